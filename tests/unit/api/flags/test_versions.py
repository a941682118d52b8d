"""Which flags an image's vLLM has, by its tag."""

import pytest

from support.spoken import keys, words
from vllm_operator.api.flags.allowed import EXTRA_SWITCH_FLAGS, EXTRA_VALUE_FLAGS
from vllm_operator.api.flags.catalogue import Standing
from vllm_operator.api.flags.finding import CATALOGUE
from vllm_operator.api.flags.versions import KEYS_SINCE, SINCE, WORDS_SINCE, engine_version, needs, too_old
from vllm_operator.api.vocabulary import OLDEST_VLLM_VERSION, VLLM_VERSION


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("vllm/vllm-openai:v0.22.1", "0.22.1"),
        ("registry.example.com:5000/mirror/vllm-openai:0.11.2-x86_64", "0.11.2"),
        ("localhost/vllm-cpu:0.32.0", "0.32.0"),
        ("vllm/vllm-openai:v0.22.1@sha256:aaaa", "0.22.1"),
        ("vllm/vllm-openai:nightly", None),
        ("vllm/vllm-openai@sha256:aaaa", None),
        ("registry.example.com/team/model-server:v0.3.0", None),
        ("registry.example.com/vllm/model-server:v0.3.0", None),
        (None, None),
    ],
)
def test_a_tag_tells_the_version_of_an_image_that_is_called_after_vllm(image: str | None, version: str | None) -> None:
    assert engine_version(image) == version


def test_what_is_too_old() -> None:
    assert too_old("vllm/vllm-openai:v0.9.2")
    assert too_old("vllm/vllm-openai:v0.11.1")
    assert not too_old(f"vllm/vllm-openai:v{OLDEST_VLLM_VERSION}")
    assert not too_old(f"vllm/vllm-openai:v{VLLM_VERSION}")
    assert not too_old("vllm/vllm-openai:latest")


def test_what_a_flag_needs() -> None:
    assert needs("--max-num-queued-reqs", "vllm/vllm-openai:v0.28.0") == "0.29"
    assert needs("--no-enable-mfu-metrics", "vllm/vllm-openai:v0.13.0") == "0.14"
    assert needs("shutdown-timeout", "vllm/vllm-openai:v0.17.1") == "0.18"
    assert needs("--max-num-queued-reqs", "vllm/vllm-openai:v0.29.0") is None
    assert needs("--max-num-queued-reqs", "vllm/vllm-openai:nightly") is None
    assert needs("--tokenizer-mode=hf", "vllm/vllm-openai:v0.11.2") == "0.12"
    assert needs("--tokenizer-mode=mistral", "vllm/vllm-openai:v0.11.2") is None
    assert needs("--max-model-len", "vllm/vllm-openai:v0.12.0") is None


def test_what_a_word_or_a_key_needs() -> None:
    assert needs("--max-model-len=auto", "vllm/vllm-openai:v0.13.0") == "0.14"
    assert needs("--attention-backend=B12X", "vllm/vllm-openai:v0.12.0") == "0.30"
    assert needs("--attention-backend=FLASHINFER", "vllm/vllm-openai:v0.12.0") == "0.13"
    assert needs("compilation-config.fast_moe_cold_start", "vllm/vllm-openai:v0.15.1") == "0.16"
    assert needs("compilation-config.fast_moe_cold_start=True", "vllm/vllm-openai:v0.16.0") is None
    assert needs("reasoning-config.reasoning_end_str=x", "vllm/vllm-openai:v0.18.0") == "0.19"
    # The key needs 0.26, the word 0.20, or 0.32.
    assert needs("speculative-config.kv_cache_dtype=nvfp4", "vllm/vllm-openai:v0.20.0") == "0.26"
    assert needs("speculative-config.kv_cache_dtype=ultraquant_4bit", "vllm/vllm-openai:v0.20.0") == "0.32"


def test_rows_are_of_flags_that_are_passed() -> None:
    names = [f"--{name}" for names in SINCE.values() for name in names]
    assert len(names) == len(set(names))
    owners = {f"--{of.split('.')[0]}" for of in (*KEYS_SINCE, *(one for several in WORDS_SINCE for one in several))}
    for name in (*names, *owners):
        standing = CATALOGUE[name].standing
        assert standing in (Standing.FIELD, Standing.ALLOWED, Standing.OWNED), name
        assert standing != Standing.ALLOWED or name in (*EXTRA_VALUE_FLAGS, *EXTRA_SWITCH_FLAGS)


def test_rows_are_of_words_and_keys_that_are_said() -> None:
    said = words()
    for owners, releases in WORDS_SINCE.items():
        newer = [word for several in releases.values() for word in several]
        assert len(newer) == len(set(newer)), owners
        for owner in owners:
            assert {*newer} <= said[owner], owner
    for owner, releases in KEYS_SINCE.items():
        assert {f"{owner}.{key}" for several in releases.values() for key in several} <= keys()
