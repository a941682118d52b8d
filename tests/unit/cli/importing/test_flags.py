"""Each flag that a field carries, or extraArgs passes, reaches the spec; what has no place is told with why."""

import json
from typing import Any

import pytest

from vllm_operator.api.flags.catalogue import Standing
from vllm_operator.api.flags.finding import CATALOGUE
from vllm_operator.cli.importing.command import told
from vllm_operator.cli.importing.documents import ImportInputError, Sources
from vllm_operator.cli.importing.imports import Imported, imported
from vllm_operator.cli.importing.report import Went
from vllm_operator.cli.importing.sources.command_line import document_of
from vllm_operator.settings import Settings


def line(*words: str) -> Imported:
    """What a command line comes to."""
    return imported(Sources(documents=[document_of(["vllm", "serve", "org/m", *words], 0)]), Settings())


def spec(*words: str) -> dict[str, Any]:
    """The spec that a command line comes to."""
    (service,) = line(*words).documents
    found: dict[str, Any] = service["spec"]
    return found


@pytest.mark.parametrize("path", ["/models/..", "/", "~/..", "./."])
def test_a_folder_that_can_be_no_models_is_refused_in_a_sentence(path: str) -> None:
    with pytest.raises(ImportInputError, match=r"^the model: .* set model.uri to pvc://claim/path"):
        imported(Sources(documents=[document_of(["vllm", "serve", path], 0)]), Settings())


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_flag_of_vllm_has_an_answer(name: str) -> None:
    """With a value that most flags take; none is dropped, and none ends the import."""
    entry = CATALOGUE[name]
    if name in ("--nnodes", "--node-rank", "--headless", "--model", "--config"):
        pytest.skip("is about the command line as a whole")
    words = [name] if entry.kind == "switch" else [name, next(iter(entry.choices), "1")]
    rows = [row for row in line(*words).report.rows if row.origin.what.startswith((name, "adapter"))]
    assert rows
    assert all(row.text for row in rows)
    if entry.standing in (Standing.REFUSED, Standing.GONE, Standing.OWNED):
        assert not {row.went for row in rows} & {Went.FIELD} or name in ("--download-dir", "--task")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--load-format", "mistral", "--config-format=mistral", "--tokenizer-mode", "mistral"], {
            "model": {"uri": "hf://org/m", "servedModelNames": ["org/m"], "format": "mistral"},
        }),
        (["--load-format=runai_streamer", "--model-loader-extra-config", '{"concurrency":16,"memory_limit":1024}'], {
            "model": {
                "uri": "hf://org/m", "servedModelNames": ["org/m"], "loadFormat": "runai_streamer",
                "loaderOptions": {"concurrency": 16, "memoryLimit": "1Ki"},
            },
        }),
        (["--kv-events-config", '{"enable_kv_cache_events":true,"endpoint":"tcp://*:5556","topic":"kv"}'], {
            "kvCache": {"events": {"port": 5556, "topic": "kv"}},
        }),
        (["--chat-template", "examples/tool_chat_template_hermes.jinja"], {
            "chatTemplate": {"fromImage": "tool_chat_template_hermes"},
        }),
        (["--compilation-config", '{"cudagraph_mode": "PIECEWISE"}'], {
            "tuning": {"compilation": {"cudagraphMode": "PIECEWISE"}},
        }),
        (["--cudagraph-capture-sizes", "1", "2"], {"tuning": {"compilation": {"cudagraphCaptureSizes": [1, 2]}}}),
        (["-cc.custom_ops+=+rms_norm,-gelu", "--compilation_config.custom_ops+", "+quant_fp8"], {
            "tuning": {"compilation": {"customOps": ["+rms_norm", "-gelu", "+quant_fp8"]}},
        }),
        (["--disable-log-requests", "--max-num-seqs", "8"], {"maxNumSeqs": 8}),
        (["--data-parallel-size", "2"], {"dataParallelSize": 2}),
        (["--api-key", "one-secret", "two-secret"], {
            "apiKeySecretRefs": [{"name": "m-api-key", "key": "key-1"}, {"name": "m-api-key", "key": "key-2"}],
        }),
        (["--served-model-name", "a,b", "c"], {"model": {"uri": "hf://org/m", "servedModelNames": ["a", "b", "c"]}}),
        (["--shutdown-timeout", "60"], {"rollout": {"drainTimeoutSeconds": 60}}),
        (["--spec-method", "ngram", "--spec-tokens", "3"], {
            "speculative": {"method": "ngram", "numSpeculativeTokens": 3},
        }),
    ],
)  # fmt: skip
def test_flags_that_are_more_than_their_value(words: list[str], found: dict[str, Any]) -> None:
    assert spec(*words).items() >= found.items()


def test_keys_of_json_without_a_field_are_told_one_by_one() -> None:
    result = line("--speculative-config", json.dumps({"method": "ngram", "num_speculative_tokens": 2, "no_such": 1}))
    assert result.documents[0]["spec"]["speculative"] == {"method": "ngram", "numSpeculativeTokens": 2}
    (row,) = (row for row in result.report.rows if row.went == Went.LEFT)
    assert row.origin.what == "--speculative-config no_such=1"


def test_an_api_key_is_never_printed() -> None:
    printed = told(line("--api-key", "one-secret", "two-secret", "--hf-token", "third-secret"))
    assert "secret'" not in printed
    for value in ("one-secret", "two-secret", "third-secret"):
        assert value not in printed
