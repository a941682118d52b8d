"""What extraArgs and env change of the memory: it is counted as vLLM does, widens the margin, or there is no verdict.

What is not held against a number of vLLM's here was read in its source; each flag and variable that is allowed is in
exactly one of the lists.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from planner.models import (
    AWQ,
    BERT,
    DEEPSEEK_LITE,
    GEMMA2_9B,
    GPT_OSS_20B,
    LLAMA_8B,
    LLAMA_70B,
    QWEN3_30B,
    QWEN3_NEXT,
    QWEN25_7B,
    Content,
    gpu_of,
    quantized,
    spec_of,
)
from planner.oracle.__main__ import CACHE_BYTES
from vllm_operator.api import environment
from vllm_operator.api.flags.allowed import CHOICES, SWITCHES, VALUES
from vllm_operator.api.reasons import Reason
from vllm_operator.planner.accelerators import GIB
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.asked import as_asked, kinds_of
from vllm_operator.planner.effective import EngineSettings, engine_of
from vllm_operator.planner.kv_cache import layout
from vllm_operator.planner.plan import Plan, plan
from vllm_operator.planner.quantization import scheme_of
from vllm_operator.planner.shapes import Cached
from vllm_operator.planner.uncounted import (
    FLAGS,
    UNMEASURED_FLAGS,
    UNMEASURED_SWITCHES,
    UNMEASURED_VARIABLES,
    VARIABLES,
)
from vllm_operator.planner.weights import Ranks, Storage, rank_weights

MODELS = json.loads(Path(__file__).with_name("architectures.json").read_text())


def config_of(name: str) -> Content:
    """The config.json of a model of architectures.json."""
    content: Content = MODELS[name]["config"]
    return content


def fields_of(*words: str, **fields: Any) -> dict[str, Any]:
    """Fields of a spec with flags (--x) and variables (X=1)."""
    flags = [word for word in words if word.startswith("--")]
    pairs = (word.partition("=") for word in words if not word.startswith("--"))
    return {**fields, "extraArgs": flags, "env": [{"name": name, "value": value} for name, _, value in pairs]}


def planned(config: Content, gpu: str, *words: str, **fields: Any) -> Plan:
    """The plan with flags and variables."""
    return plan(spec_of(**fields_of(*words, **fields)), model_of(config), gpu_of(gpu))


def engine(config: Content, gpu: str, *words: str, **fields: Any) -> EngineSettings:
    """vLLM's settings with flags and variables."""
    spec = spec_of(**fields_of(*words, **fields))
    return engine_of(spec, as_asked(spec, model_of(config)), gpu_of(gpu))


# --- what is counted

GEMMA, LLAMA_4 = "gemma-3-12b-it", "Llama-4-Maverick-17B-128E-Instruct"


# Tokens that vLLM says 40 GiB hold (python -m planner.oracle, with these arguments).
@pytest.mark.parametrize(
    ("name", "tensor", "length", "word", "tokens"),
    [
        (GEMMA, 1, 131072, "--disable-hybrid-kv-cache-manager", 109216),
        (GEMMA, 1, 131072, "--no-disable-hybrid-kv-cache-manager", 393686),
        (GEMMA, 1, 1024, "--disable-sliding-window", 109216),
        (LLAMA_4, 8, 131072, "--disable-hybrid-kv-cache-manager", 1747616),
        (LLAMA_4, 8, 131072, "VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE=0", 1747616),
        (LLAMA_4, 8, 131072, "VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE=1", 4473917),
        ("default-Qwen3NextForCausalLM", 1, 8192, "--mamba-ssm-cache-dtype=auto", 1196032),
        ("default-Qwen3NextForCausalLM", 1, 8192, "--mamba-ssm-cache-dtype=float32", 967826),
        ("default-JambaForCausalLM", 1, 8192, "--mamba-ssm-cache-dtype=float32", 2100382),
        ("Qwen3.5-27B", 1, 8192, "--mamba-ssm-cache-dtype=float32", 402371),
        ("Qwen3.5-27B", 1, 8192, "--mamba-ssm-cache-dtype=bfloat16", 496981),
    ],
)
def test_the_kv_cache_holds_what_vllms_own_does(name: str, tensor: int, length: int, word: str, tokens: int) -> None:
    spec = spec_of(
        **fields_of(word, tensorParallelSize=tensor, maxModelLen=length, maxNumBatchedTokens=8192, dtype="bfloat16")
    )
    model = as_asked(spec, model_of(config_of(name)))
    settings = engine_of(spec, model, gpu_of("H100"))
    assert layout(model, settings, 0).tokens(CACHE_BYTES, length, settings)[0] == tokens


def test_a_cache_of_one_kind_needs_all_of_every_layer() -> None:
    assert planned(config_of(GEMMA), "L40S", maxModelLen=131072).fits is True
    found = planned(config_of(GEMMA), "L40S", "--disable-hybrid-kv-cache-manager", maxModelLen=131072)
    assert (found.fits, found.reason) == (False, Reason.CONTEXT_TOO_LONG)
    assert "needs 48.01 GiB" in found.message


def test_without_a_window_no_sequence_is_longer_than_it() -> None:
    found = planned(GEMMA2_9B, "H100", "--disable-sliding-window", maxModelLen=8192)
    assert (found.fits, found.reason) == (False, Reason.LENGTH)
    assert "4,096 tokens (sliding_window in config.json)" in found.message
    capacity = planned(GEMMA2_9B, "H100", "--disable-sliding-window").capacity
    assert capacity
    assert capacity.max_model_len == 4096


@pytest.mark.parametrize(
    ("config", "word", "said"),
    [
        (QWEN3_NEXT, "--disable-hybrid-kv-cache-manager", "some of this model keep a state"),
        (config_of(LLAMA_4), "--no-disable-hybrid-kv-cache-manager", "does not go with"),
    ],
)
def test_one_kind_of_cache_is_not_for_every_model(config: Content, word: str, said: str) -> None:
    off = "VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE=0"
    found = planned(config, "H200", word, off, maxModelLen=4096, tensorParallelSize=8)
    assert (found.fits, found.reason) == (False, Reason.SETTING)
    assert said in found.message


IMAGE = "vllm/vllm-openai:v"
EVENTS: Content = {"events": {}}
OFFLOAD: Content = {"cpuOffload": "8Gi"}
NATIVE: Content = {**OFFLOAD, "offloadBackend": "native"}


# config/vllm.py of vLLM 0.11.2 and 0.32: the setting, and whether layers with a window keep everything in each.
@pytest.mark.parametrize(
    ("name", "cache", "word", "old", "new"),
    [
        (GEMMA, None, "", False, False), (GEMMA, EVENTS, "", True, False), (GEMMA, OFFLOAD, "", False, False),
        (GEMMA, NATIVE, "", True, False), (GEMMA, EVENTS, "--no-disable-hybrid-kv-cache-manager", True, False),
        (GEMMA, None, "--disable-hybrid-kv-cache-manager", True, True), (LLAMA_4, None, "", True, False),
        (LLAMA_4, None, "VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE=0", True, True),
        (LLAMA_4, None, "VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE=1", False, False),
        (LLAMA_4, None, "--no-disable-hybrid-kv-cache-manager", True, False),
    ],
)  # fmt: skip
def test_older_vllms_keep_everything_in_all_layers_for_more(
    name: str, cache: Content | None, word: str, *, old: bool, new: bool
) -> None:
    for version, whole in (("0.11.2", old), ("0.32.0", new)):
        fields = {"image": f"{IMAGE}{version}", **({"kvCache": cache} if cache else {})}
        spec = spec_of(**fields_of(*([word] if word else []), **fields))
        kinds = kinds_of(as_asked(spec, model_of(config_of(name))))
        assert (kinds == {Cached.FULL}) is whole, version


@pytest.mark.parametrize("method", ["eagle", "eagle3", "mtp", "deepseek_mtp", "dflash", "dspark"])
def test_chunked_attention_keeps_everything_where_hidden_states_are_guessed_from(method: str) -> None:
    spec = spec_of(speculative={"method": method, "model": "hf://a/b", "numSpeculativeTokens": 1})
    assert kinds_of(as_asked(spec, model_of(config_of(LLAMA_4)))) == {Cached.FULL}


def test_between_the_vllms_that_were_read_there_is_a_verdict_only_where_both_have_it() -> None:
    gemma, kv = config_of(GEMMA), {"kvCache": EVENTS, "image": f"{IMAGE}0.20.0"}
    close = planned(gemma, "L40S", maxModelLen=131072, **kv)
    assert (close.fits, close.reason) == (None, Reason.UNKNOWN_SETTING)
    assert "vLLM 0.20.0" in close.message
    assert "kvCache.events" in close.message
    both = planned(gemma, "L40S", maxModelLen=8192, **kv)
    assert both.fits is True
    assert any("kvCache.events" in why for why in both.approximate)
    whole = planned(gemma, "L40S", "--disable-hybrid-kv-cache-manager", maxModelLen=8192, **kv)
    assert both.capacity == whole.capacity
    neither = planned(gemma, "A10G", maxModelLen=8192, **kv)
    assert (neither.fits, neither.reason) == (False, Reason.WEIGHTS_TOO_LARGE)
    assert planned(LLAMA_8B, "H100", maxModelLen=8192, **kv).approximate == planned(
        LLAMA_8B, "H100", maxModelLen=8192, image=kv["image"]
    ).approximate  # fmt: skip


@pytest.mark.parametrize(("version", "fits"), [("0.11.2", False), ("0.20.0", None), ("0.32.0", True)])
def test_states_do_not_go_with_events_of_older_vllms(version: str, fits: bool | None) -> None:  # noqa: FBT001
    found = planned(QWEN3_NEXT, "H200", maxModelLen=8192, tensorParallelSize=4, kvCache=EVENTS, image=IMAGE + version)
    assert found.fits is fits
    assert found.reason is {False: Reason.SETTING, None: Reason.UNKNOWN_SETTING, True: Reason.FITS}[fits]


def test_a_number_of_blocks_is_the_cache_whatever_room_there_is() -> None:
    found = planned(LLAMA_8B, "H100", "--num-gpu-blocks-override=100")
    assert (found.fits, found.reason) == (False, Reason.CONTEXT_TOO_LONG)
    assert found.capacity
    assert (found.capacity.kv_cache_tokens, found.capacity.max_model_len_that_fits) == (1600, 1584)
    assert "kvCache.memoryPerGPU" in found.message
    enough = planned(LLAMA_8B, "H100", "--num-gpu-blocks-override=8193")  # one is never given out
    assert (enough.fits, enough.capacity and enough.capacity.needed_bytes) == (True, 8193 * 16 * 131072)
    assert planned(LLAMA_8B, "H100", "--num-gpu-blocks-override=8192").fits is False
    large = planned(LLAMA_8B, "H100", "--num-gpu-blocks-override=40000")
    assert (large.fits, large.reason) == (False, Reason.WEIGHTS_TOO_LARGE)


def test_stages_have_as_many_blocks_each() -> None:
    found = planned(LLAMA_8B, "H100", "--num-gpu-blocks-override=1000", pipelineParallelSize=2, maxModelLen=4096)
    assert found.capacity
    assert found.capacity.kv_cache_tokens == 16000


def test_throughput_doubles_the_defaults_of_a_batch() -> None:
    awq = quantized(LLAMA_70B, AWQ)
    found = engine(awq, "H100", "--performance-mode=throughput", maxModelLen=96000)
    assert (found.max_num_batched_tokens, found.max_num_seqs) == (16384, 2048)
    own = engine(awq, "H100", "--performance-mode=throughput", maxNumSeqs=64, maxNumBatchedTokens=512)
    assert (own.max_num_batched_tokens, own.max_num_seqs) == (512, 64)
    assert planned(awq, "H100", maxModelLen=96000).fits is not False
    assert planned(awq, "H100", "--performance-mode=throughput", maxModelLen=96000).fits is False


def test_a_prompt_that_is_not_cut_is_a_batch() -> None:
    assert engine(LLAMA_8B, "H100").max_num_batched_tokens == 8192
    assert engine(LLAMA_8B, "H100", "--enable-chunked-prefill").max_num_batched_tokens == 8192
    assert engine(LLAMA_8B, "H100", "--no-enable-chunked-prefill").max_num_batched_tokens == 131072
    own = engine(LLAMA_8B, "H100", "--no-enable-chunked-prefill", maxNumBatchedTokens=2048)
    assert own.max_num_batched_tokens == 2048


# What vLLM's own classes keep of a decoder that is not causal (python -m planner.oracle, with --runner=pooling).
@pytest.mark.parametrize(
    ("name", "keeps"),
    [
        ("Qwen2.5-14B-Instruct", False), ("Qwen3-14B", False), ("Phi-3-mini-4k-instruct", False),
        ("Mistral-7B-Instruct-v0.1", False), ("default-DeepseekV3ForCausalLM", False), ("mlc-gemma3_1b_it", False),
        ("default-LlamaModel", False), ("Mixtral-8x22B-v0.1", True), ("granite-3.3-8b-instruct", True),
        ("mlc-gemma_2b", True), ("Qwen2.5-VL-7B-Instruct", True), ("default-Mamba2ForCausalLM", True),
    ],
)  # fmt: skip
def test_a_decoder_that_is_not_causal_keeps_nothing_where_its_class_can(name: str, *, keeps: bool) -> None:
    own = config_of(name)
    config, spec = {**own, "is_causal": False}, spec_of(extraArgs=["--runner=pooling"])
    assert bool(kinds_of(as_asked(spec, model_of(config)))) is keeps
    assert kinds_of(as_asked(spec, model_of(own)))
    assert not name.startswith("Q") or kinds_of(as_asked(spec_of(), model_of(config)))


def test_an_embedder_of_gemmas_says_so_in_its_own_key() -> None:
    config = config_of("default-Gemma3TextModel")
    assert kinds_of(as_asked(spec_of(), model_of({**config, "is_causal": False})))
    assert not kinds_of(as_asked(spec_of(), model_of({**config, "use_bidirectional_attention": True})))


def test_a_long_prompt_that_is_read_whole_has_its_room() -> None:
    config = {**QWEN25_7B, "is_causal": False, "max_position_embeddings": 131072}
    small, large = (planned(config, "A10G", "--runner=pooling", maxModelLen=length) for length in (2048, 131072))
    assert (small.fits, large.fits, large.reason) == (True, False, Reason.WEIGHTS_TOO_LARGE)
    assert planned(config, "A10G", "--runner=pooling", "--enable-chunked-prefill", maxModelLen=131072).fits is True


@pytest.mark.parametrize(
    ("words", "tokens"),
    [
        ((), 2496), (("--limit-mm-per-prompt={\"video\": 0}",), 2496), (("--language-model-only",), 2048),
        (('--limit-mm-per-prompt={"video": {"count": 1, "num_frames": 30}}',), 2340),
        (('--limit-mm-per-prompt={"video": {"count": 1, "num_frames": 8}}',), 2048),
        (("--performance-mode=throughput",), 4096),
    ],
)  # fmt: skip
def test_the_batch_that_vllm_chooses_holds_a_video_that_is_read_whole(words: tuple[str, ...], tokens: int) -> None:
    config = config_of("gemma-4-26B-A4B")
    assert engine(config, "A100-80GB", *words).max_num_batched_tokens == tokens
    text = {**config["text_config"], "use_bidirectional_attention": None}
    assert engine({**config, "text_config": text}, "A100-80GB").max_num_batched_tokens == 2048


@pytest.mark.parametrize(
    ("words", "pipeline", "batches"),
    [
        ((), 1, 2), (("--no-async-scheduling",), 1, 1), (("--async-scheduling",), 1, 2), ((), 4, 5),
        (("--no-async-scheduling",), 4, 4), (("VLLM_USE_V2_MODEL_RUNNER=0",), 4, 4),
        (("VLLM_USE_V2_MODEL_RUNNER=1",), 4, 5),
    ],
)  # fmt: skip
def test_batches_that_are_under_way_are_vllms(words: tuple[str, ...], pipeline: int, batches: int) -> None:
    found = engine(LLAMA_8B, "H100", *words, pipelineParallelSize=pipeline)
    assert found.in_flight_tokens == batches * found.max_num_batched_tokens


def test_the_runner_is_the_one_that_is_asked_for() -> None:
    assert engine(LLAMA_8B, "H100").second_runner
    assert not engine(LLAMA_8B, "H100", "VLLM_USE_V2_MODEL_RUNNER=0").second_runner


# Bytes of the parameters of one of two ranks (python -m planner.oracle, with this argument).
@pytest.mark.parametrize(
    ("name", "more"), [("Qwen2.5-VL-7B-Instruct", 8968921088 - 8294044928), ("pixtral-12b", 0)]
)  # fmt: skip
def test_towers_are_whole_on_each_rank_where_the_model_can_do_that(name: str, more: int) -> None:
    plain, whole = (
        planned(config_of(name), "H100", *words, tensorParallelSize=2, maxModelLen=4096).capacity
        for words in ((), ("--mm-encoder-tp-mode=data",))
    )
    assert plain
    assert whole
    assert whole.memory.weights - plain.memory.weights == pytest.approx(more, abs=64 << 20)


# Bytes of the parameters with language_model_only (python -m planner.oracle, with this argument).
@pytest.mark.parametrize(
    ("name", "size"),
    [
        (GEMMA, 23532068352), (LLAMA_4, 801423697920), ("Qwen2.5-VL-7B-Instruct", 15231233024),
        ("Qwen3.5-35B-A3B", 69321223296), ("Mistral-Small-3.2-24B-Instruct-2506", 47144806400),
        ("default-Glm4vForConditionalGeneration", 18800189440), ("pixtral-12b", 24495564800),
        ("default-InternVLForConditionalGeneration", 22855032832),
    ],
)  # fmt: skip
def test_without_images_the_towers_have_no_weights(name: str, size: int) -> None:
    spec = spec_of(extraArgs=["--language-model-only"])
    model = replace(as_asked(spec, model_of(config_of(name))), dtype="bfloat16")
    scheme = scheme_of(model, None)
    assert scheme
    assert rank_weights(model, Storage(scheme), Ranks(), 0).parameters == size


@pytest.mark.parametrize(
    ("name", "word", "left_out"),
    [
        (GEMMA, '--limit-mm-per-prompt={"image": 0}', True),
        (GEMMA, '--limit-mm-per-prompt={"image": {"count": 0}, "audio": 0}', True),
        (GEMMA, '--limit-mm-per-prompt={"image": 1}', False),
        (GEMMA, '--limit-mm-per-prompt={"video": 0}', False),
        (GEMMA, "--limit-mm-per-prompt=0", False),
        (GEMMA, "--no-language-model-only", False),
        ("Qwen3.5-27B", '--limit-mm-per-prompt={"image": 0}', False),
        ("Qwen3.5-27B", '--limit-mm-per-prompt={"image": 0, "video": 0}', True),
        ("gemma-3n-E4B-it", '--limit-mm-per-prompt={"image": 0, "video": 0}', False),
        ("whisper-large-v3", "--language-model-only", False),
    ],
)
def test_towers_are_left_out_where_no_request_may_have_their_inputs(name: str, word: str, *, left_out: bool) -> None:
    model = as_asked(spec_of(extraArgs=[word]), model_of(config_of(name)))
    assert model.text_only is left_out
    assert (len(model.loaded_towers) < len(model.towers)) is left_out


@pytest.mark.parametrize(("image", "left_out"), [("v0.11.2", False), ("v0.15.1", False), ("v0.32.0", True)])
def test_older_vllms_have_their_towers_all_the_same(image: str, *, left_out: bool) -> None:
    spec = spec_of(image=f"vllm/vllm-openai:{image}", extraArgs=['--limit-mm-per-prompt={"image": 0}'])
    assert as_asked(spec, model_of(config_of(GEMMA))).text_only is left_out


def test_the_text_keeps_what_it_has_beside_its_layers() -> None:
    model = as_asked(spec_of(extraArgs=["--language-model-only"]), model_of(config_of("gemma-3n-E4B-it")))
    assert model.loaded_towers == model_of(config_of("gemma-3n-E4B-it")).towers[1:]


def test_without_images_a_plan_counts_no_pass_through_the_tower() -> None:
    plain, text = (
        plan(
            spec_of(extraArgs=words, maxModelLen=4096),
            model_of(config_of(GEMMA), header_bytes=24374650080), gpu_of("H100"),
        )
        for words in ([], ["--language-model-only"])
    )  # fmt: skip
    assert text.approximate == ()
    assert plain.capacity
    assert text.capacity
    assert plain.capacity.margin_bytes > text.capacity.margin_bytes
    assert plain.capacity.memory.activation > text.capacity.memory.activation + GIB


@pytest.mark.parametrize("word", ["--convert=embed", "--convert=classify"])
def test_a_model_that_is_converted_has_no_output_head(word: str) -> None:
    plain, converted = (planned(LLAMA_8B, "H100", *words, maxModelLen=4096).capacity for words in ((), (word,)))
    assert plain
    assert converted
    assert plain.memory.weights - converted.memory.weights == pytest.approx(128256 * 4096 * 2, abs=4 << 20)


# --- what is not counted

OPEN: list[tuple[str, Content, dict[str, Any]]] = [
    ("--all2all-backend=deepep_low_latency", QWEN3_30B, {"dataParallelSize": 2, "expertParallel": True}),
    ("--decode-context-parallel-size=2", DEEPSEEK_LITE, {"tensorParallelSize": 2}),
    ("--enable-dbo", QWEN3_30B, {"dataParallelSize": 2}),
    ("--enable-eplb", QWEN3_30B, {"tensorParallelSize": 2, "expertParallel": True}),
    ("--mamba-block-size=1024", QWEN3_NEXT, {"tensorParallelSize": 4}),
    ("--mamba-cache-dtype=float32", QWEN3_NEXT, {"tensorParallelSize": 4}),
    ("--model-impl=transformers", LLAMA_8B, {}),
    ("--moe-backend=marlin", GPT_OSS_20B, {}),
    ("--ubatch-size=2", QWEN3_30B, {"dataParallelSize": 2}),
    ("VLLM_FLASHINFER_WORKSPACE_BUFFER_SIZE=8589934592", LLAMA_8B, {}),
    ("VLLM_MLA_DISABLE=1", DEEPSEEK_LITE, {}),
    ("VLLM_PP_LAYER_PARTITION=30,2", LLAMA_8B, {"pipelineParallelSize": 2}),
    ("VLLM_SPARSE_INDEXER_MAX_LOGITS_MB=4096", config_of("default-DeepseekV32ForCausalLM"), {"tensorParallelSize": 16}),
]


@pytest.mark.parametrize(("word", "config", "fields"), OPEN, ids=[row[0] for row in OPEN])
def test_there_is_no_verdict_where_a_setting_is_not_counted(word: str, config: Content, fields: dict[str, Any]) -> None:
    assert planned(config, "H200", maxModelLen=4096, **fields).fits is True
    found = planned(config, "H200", word, maxModelLen=4096, **fields)
    assert (found.fits, found.reason, found.capacity) == (None, Reason.UNKNOWN_SETTING, None)
    assert word.partition("=")[0] in found.message
    assert "leave it out to have a plan" in found.message


def test_every_setting_that_is_not_counted_has_a_row() -> None:
    assert {word.removeprefix("--").partition("=")[0] for word, *_ in OPEN} == {*FLAGS, *VARIABLES}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (LLAMA_8B, ("VLLM_MLA_DISABLE=1", "VLLM_PP_LAYER_PARTITION=32", "--mamba-block-size=1024", "--enable-eplb")),
        (LLAMA_8B, ("--decode-context-parallel-size=1", "--ubatch-size=0", "--no-enable-dbo", "--model-impl=vllm")),
        (DEEPSEEK_LITE, ("VLLM_MLA_DISABLE=0", "--all2all-backend=deepep_low_latency", "--moe-backend=triton")),
    ],
)
def test_a_setting_that_changes_nothing_leaves_the_verdict(config: Content, words: tuple[str, ...]) -> None:
    assert planned(config, "H200", *words, maxModelLen=4096).fits is True


def test_a_variable_that_only_the_pod_knows_counts_as_set() -> None:
    variable = {"name": "VLLM_MLA_DISABLE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mla"}}}
    found = plan(spec_of(env=[variable], maxModelLen=4096), model_of(DEEPSEEK_LITE), gpu_of("H200"))
    assert found.reason is Reason.UNKNOWN_SETTING


def test_a_refusal_goes_before_what_is_not_counted() -> None:
    found = planned(LLAMA_8B, "H100", "--model-impl=transformers", tensorParallelSize=3)
    assert found.reason is Reason.ATTENTION_HEADS


UNMEASURED = [
    *(f"--{name}={next(word for word in CHOICES[name] if word not in own)}" for name, own in UNMEASURED_FLAGS.items()),
    *(f"--{name}" for name in UNMEASURED_SWITCHES),
    *(f"{name}=0" for name in UNMEASURED_VARIABLES),
]


@pytest.mark.parametrize("word", UNMEASURED)
def test_other_kernels_widen_the_margin_and_are_told(word: str) -> None:
    plain, found = (planned(QWEN3_30B, "H200", *words, maxModelLen=4096) for words in ((), (word,)))
    assert plain.capacity
    assert found.capacity
    assert found.capacity.margin_bytes > plain.capacity.margin_bytes
    assert any(word.partition("=")[0] in why for why in found.approximate)
    assert not plain.approximate


# --- all that is allowed

COUNTED = {
    "async-scheduling", "convert", "disable-hybrid-kv-cache-manager", "disable-sliding-window",
    "enable-chunked-prefill", "fully-sharded-loras", "language-model-only", "limit-mm-per-prompt",
    "mamba-ssm-cache-dtype", "max-cudagraph-capture-size", "max-loras", "mm-encoder-tp-mode", "num-gpu-blocks-override",
    "runner", "VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE", "VLLM_ALLOW_LONG_MAX_MODEL_LEN",
}  # fmt: skip
# Takes less than is counted: images that are not tried, fewer of their tokens.
LESS = {
    "lora-dtype", "skip-mm-profiling", "video-pruning-method",
    "video-pruning-rate",
}  # fmt: skip
# Takes memory of the host, or of the GPU only while weights are read.
OF_THE_HOST = {
    "disable-chunked-mm-input", "enable-ep-weight-filter", "expert-placement-strategy", "load-format",
    "max-cpu-loras", "max-parallel-loading-workers", "mm-device-do-normalize", "mm-hasher-algorithm",
    "mm-processor-cache-gb", "mm-processor-cache-type", "mm-processor-device", "mm-shm-cache-max-object-size-mb",
    "mm-tensor-ipc", "renderer-num-workers", "safetensors-load-strategy", "safetensors-prefetch-block-size",
    "safetensors-prefetch-num-threads", "use-tqdm-on-load", "VLLM_MEDIA_LOADING_THREAD_COUNT",
    "VLLM_MQ_MAX_CHUNK_BYTES_MB", "VLLM_WSL2_ENABLE_PIN_MEMORY", "VLLM_XGRAMMAR_CACHE_MB",
}  # fmt: skip
# Decides what is scheduled when, and which blocks are kept, within the same cache.
OF_THE_SCHEDULER = {
    "cp-kv-cache-interleave-size", "dbo-decode-token-threshold", "dbo-prefill-token-threshold", "dcp-comm-backend",
    "dcp-kv-cache-interleave-size", "disable-cascade-attn", "enable-flashinfer-autotune",
    "enable-mamba-cache-stochastic-rounding", "enable-mamba-shared-prefix-checkpoint", "kv-cache-metrics",
    "kv-cache-metrics-sample", "long-prefill-token-threshold", "long-prefill-token-threshold-adaptive",
    "mamba-cache-mode", "mamba-cache-philox-rounds", "max-logprobs", "max-lora-cls-labels", "max-num-active-seqs",
    "max-num-queued-tokens", "max-num-scheduled-tokens", "prefill-schedule-interval", "prefix-cache-retention-interval",
    "prefix-caching-hash-algo", "prefix-match-unit", "scheduler-reserve-full-isl", "scheduling-policy",
    "stream-interval", "watermark",
}  # fmt: skip
# Is about requests, answers, tokens, logs, metrics and processes.
OF_THE_SERVER = {
    "aggregate-engine-logging", "allow-credentials", "allowed-headers", "allowed-methods", "allowed-origins",
    "anthropic-disabled-thinking-effort", "chat-template-content-format", "cohere-format", "cohere-is-reasoning-model",
    "collect-detailed-traces", "config-format", "cpu-distributed-timeout-seconds", "cudagraph-metrics",
    "custom-histogram-buckets", "default-chat-template-kwargs", "disable-fastapi-docs", "disable-uvicorn-access-log",
    "distributed-executor-backend", "distributed-timeout-seconds", "enable-force-include-usage", "enable-log-deltas",
    "enable-log-outputs", "enable-log-requests", "enable-logging-iteration-details", "enable-mfu-metrics",
    "enable-offline-docs", "enable-per-request-metrics", "enable-prompt-tokens-details", "enable-request-id-headers",
    "enable-server-load-tracking", "enable-tokenizer-info-endpoint", "exclude-tools-when-tool-choice-none",
    "fail-on-environ-validation", "fingerprint-mode", "fingerprint-value", "generation-config",
    "h11-max-header-count", "h11-max-incomplete-event-size", "interleave-mm-strings", "jit-monitor-mode",
    "jit-monitor-verbose", "log-error-stack", "log-level", "max-log-len", "otlp-traces-endpoint",
    "override-generation-config", "per-request-spec-decode-metrics", "pooler-config", "response-role",
    "return-tokens-as-token-ids", "root-path", "seed", "show-hidden-metrics-for-version", "sse-keep-alive-interval",
    "tokenizer-mode", "tool-strict-level", "uvicorn-log-level",
}  # fmt: skip
# The same of vLLM's variables. What is said of AMD's GPUs and of the CPU was not measured, whatever they are told.
VARIABLES_OF_THE_SERVER = {
    "AUDIO_FETCH_TIMEOUT", "CHAT_TEMPLATE_RENDER_TIMEOUT", "CPU_INT4_W4A8", "CPU_NUM_OF_RESERVED_CPU",
    "CPU_OMP_THREADS_BIND", "DEEP_GEMM_WARMUP", "DISABLE_COMPILE_CACHE", "DISABLE_LOG_LOGO",
    "DISABLE_REQUEST_ID_RANDOMIZATION", "ENABLE_COHERE_API", "ENABLE_CUDAGRAPH_GC", "ENABLE_CUDA_COMPATIBILITY",
    "ENABLE_RESPONSES_API_STORE", "ENABLE_V1_MULTIPROCESSING", "ENFORCE_STRICT_TOOL_CALLING", "ENGINE_READY_TIMEOUT_S",
    "EXECUTE_MODEL_TIMEOUT_SECONDS", "GPT_OSS_HARMONY_SYSTEM_INSTRUCTIONS", "HTTP_TIMEOUT_KEEP_ALIVE",
    "IMAGE_FETCH_TIMEOUT", "KV_EVENTS_USE_INT_BLOCK_HASHES", "LOGGING_COLOR", "LOGGING_LEVEL",
    "LOG_BATCHSIZE_INTERVAL", "LOG_MODEL_INSPECTION", "LOG_STATS_INTERVAL", "LORA_DISABLE_PDL",
    "MAX_AUDIO_CLIP_FILESIZE_MB", "MAX_AUDIO_DECODE_DURATION_S", "MAX_COMPLETION_PROMPTS", "MAX_IMAGE_PIXELS",
    "MAX_MEDIA_DOWNLOAD_SIZE_MB", "MAX_N_SEQUENCES", "MAX_STOP_STRINGS", "MEDIA_FETCH_MAX_RETRIES",
    "REGEX_COMPILATION_TIMEOUT_S", "RINGBUFFER_WARNING_INTERVAL", "SKIP_P2P_CHECK", "SYSTEM_START_DATE",
    "TOOL_JSON_ERROR_AUTOMATIC_RETRY", "TOOL_PARSE_REGEX_TIMEOUT_SECONDS", "V1_OUTPUT_PROC_CHUNK_SIZE",
    "VIDEO_FETCH_TIMEOUT", "WORKER_MULTIPROC_METHOD", "WORKER_SHUTDOWN_TIMEOUT_SECONDS",
}  # fmt: skip
OF_AMD = {name for name in environment.OF_VLLM if name.startswith("VLLM_ROCM_")}


def test_of_every_flag_and_variable_that_is_allowed_it_is_known_what_it_does_to_memory() -> None:
    nothing = [LESS, OF_THE_HOST, OF_THE_SCHEDULER, OF_THE_SERVER, OF_AMD]
    nothing.append({f"VLLM_{name}" for name in VARIABLES_OF_THE_SERVER})
    something = {*COUNTED, *FLAGS, *VARIABLES, *UNMEASURED_FLAGS, *UNMEASURED_SWITCHES, *UNMEASURED_VARIABLES}
    assert sum(map(len, nothing)) == len(set().union(*nothing))
    assert not something & set().union(*nothing)
    allowed = {*VALUES, *CHOICES, *SWITCHES, *environment.OF_VLLM}
    known = something.union(*nothing)
    assert sorted(allowed - known) == [], "say here what it does to memory"
    assert sorted(known - allowed - {*environment.ALLOWED}) == []


def test_an_encoder_is_planned_with_any_of_them() -> None:
    assert planned(BERT, "L4", "--no-enable-chunked-prefill", "--no-async-scheduling").fits is True
