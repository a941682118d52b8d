"""The real vLLM and the planner say yes and no to the same services, as far as vLLM can be asked without a GPU."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planner.models import (
    AWQ,
    BERT,
    COMMAND_R,
    COMPRESSED,
    FP8,
    GEMMA2_9B,
    GPTQ,
    LLAMA_8B,
    LONGROPE,
    PHI3_MINI,
    QWEN3_30B,
    QWEN25_7B,
    Content,
    gpu_of,
    guessing,
    quantized,
    spec_of,
)
from planner.oracle.tables import told
from support.real_vllm.environment import interpreter
from support.reasons import RULES
from vllm_operator.api.reasons import Reason
from vllm_operator.planner import methods
from vllm_operator.planner.accelerators import GIB, Gpu
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.asked import as_asked
from vllm_operator.planner.effective import engine_of
from vllm_operator.planner.plan import plan
from vllm_operator.planner.quantization import ALIASES, scheme_of
from vllm_operator.planner.served import WHOLE_TOWERS, WITHOUT_ADAPTERS, WITHOUT_STAGES
from vllm_operator.planner.weights import Ranks, Storage, rank_weights
from vllm_operator.vllm.argv import flag_values

MODELS = json.loads(Path(__file__).with_name("architectures.json").read_text())
GEMMA3N = MODELS["default-Gemma3nForCausalLM"]["config"]
SMALL_WINDOW: Content = {**GEMMA2_9B, "sliding_window": 128}
CPU = Gpu("CPU", 64 * GIB, (0, 0), vendor="cpu")
# A checkpoint's mxfp8 is ModelOpt's.
SAME = {**ALIASES, "mxfp8": "modelopt_mxfp8"}


class Vllm:
    """vLLM, in a process that imports it once (about 12 s)."""

    def __init__(self) -> None:
        quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_PLUGINS": ""}
        own = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
        self._process = subprocess.Popen(
            [interpreter(), Path(__file__).with_name("refuse.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**own, **quiet},
        )
        self.methods: dict[str, dict[str, Any]] = self._answer()

    def says(self, config: Content, arguments: Content, beside: Content | None = None) -> str | None:
        """What vLLM says against an engine; None: nothing. `beside` as of `length`."""
        answer: str | None = self._asked(config, arguments, beside)[0]
        return answer

    def length(self, config: Content, arguments: Content, beside: Content | None = None) -> int:
        """The longest sequence that an engine takes, in tokens; with auto before it is shortened to what fits.

        `beside`: contents of files beside config.json, by their names.
        """
        said, length, _ = self._asked(config, arguments, beside)
        assert not said, said
        return int(length)

    def batch(self, config: Content, arguments: Content) -> int:
        """Tokens of a batch."""
        said, _, tokens = self._asked(config, arguments)
        assert not said, said
        return int(tokens)

    def _asked(self, config: Content, arguments: Content, beside: Content | None = None) -> Any:
        assert self._process.stdin
        self._process.stdin.write(json.dumps([config, arguments, beside or {}]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("vLLM ended; its words are above")
        return json.loads(line)


@pytest.fixture(scope="module")
def vllm() -> Iterator[Vllm]:
    """The pinned vLLM for the CPU."""
    process = Vllm()
    yield process
    process.close()


def arguments(fields: Content) -> Content:
    """The arguments of vLLM for fields of a spec, as its parser would make them of what the operator passes."""
    values = {flag.replace("-", "_"): value for flag, value in flag_values(spec_of(**fields)).items()}
    guesses = values.get("speculative_config")
    return {**values, "speculative_config": json.loads(guesses)} if guesses else values


SERVICES: dict[str, tuple[Content, Content, str | None]] = {
    "nothing wrong": (LLAMA_8B, {}, None),
    "heads": (LLAMA_8B, {"tensorParallelSize": 3}, Reason.ATTENTION_HEADS),
    "heads that divide": (LLAMA_8B, {"tensorParallelSize": 4}, None),
    "too long": (LLAMA_8B, {"maxModelLen": 131073}, Reason.LENGTH),
    "as long as can be": (LLAMA_8B, {"maxModelLen": 131072}, None),
    "longer than max_position_embeddings": (COMMAND_R, {"maxModelLen": 32768}, None),
    "longer than model_max_length": (COMMAND_R, {"maxModelLen": 131073}, Reason.LENGTH),
    "longer than before scaling": (PHI3_MINI, {"maxModelLen": 131072}, None),
    "longer than after scaling": (PHI3_MINI, {"maxModelLen": 131073}, Reason.LENGTH),
    "no experts": (LLAMA_8B, {"expertParallel": True}, Reason.NO_EXPERTS),
    "batch": (LLAMA_8B, {"maxNumSeqs": 64, "maxNumBatchedTokens": 63}, Reason.BATCH),
    "batch that holds all": (LLAMA_8B, {"maxNumSeqs": 64, "maxNumBatchedTokens": 64}, None),
    "batch less than a prompt that is read whole": (BERT, {"maxNumSeqs": 64, "maxNumBatchedTokens": 511}, Reason.BATCH),
    "batch of a prompt that is read whole": (BERT, {"maxNumSeqs": 64, "maxNumBatchedTokens": 512}, None),
    "many sequences": (LLAMA_8B, {"maxNumSeqs": 65536}, Reason.BATCH),
    "guesses beside adapters": (LLAMA_8B, guessing(16, accelerator={"resource": "cpu"}), Reason.BATCH),
    "guesses beside adapters that a batch holds": (LLAMA_8B, guessing(15, accelerator={"resource": "cpu"}), None),
    "stages of an encoder": (BERT, {"pipelineParallelSize": 2}, Reason.PIPELINE),
    "stages of a decoder": (GEMMA3N, {"pipelineParallelSize": 2}, Reason.PIPELINE),
    "float16": (GEMMA2_9B, {"dtype": "half"}, Reason.FLOAT16_MODEL),
    "float32": (GEMMA2_9B, {"dtype": "float32"}, None),
    "awq in float32": (quantized(LLAMA_8B, AWQ), {"dtype": "float32"}, Reason.QUANTIZATION_DTYPE),
    "gone": (quantized(LLAMA_8B, {"quant_method": "bitsandbytes"}), {}, Reason.QUANTIZATION_GONE),
    "asked for and gone": (LLAMA_8B, {"quantization": "bitsandbytes"}, Reason.QUANTIZATION_GONE),
    "unknown": (quantized(LLAMA_8B, {"quant_method": "eetq"}), {}, Reason.QUANTIZATION_UNKNOWN),
    "gptq of 3 bits": (quantized(LLAMA_8B, {**GPTQ, "bits": 3}), {}, Reason.QUANTIZATION_KERNEL),
    "gptq of 8 bits": (quantized(LLAMA_8B, {**GPTQ, "bits": 8}), {}, None),
    "asymmetric gptq": (quantized(LLAMA_8B, {**GPTQ, "sym": False}), {}, Reason.QUANTIZATION_KERNEL),
    "awq of 8 bits": (quantized(LLAMA_8B, {**AWQ, "bits": 8}), {}, Reason.QUANTIZATION_KERNEL),
    "sparse": (
        quantized(LLAMA_8B, {**COMPRESSED, "sparsity_config": {"format": "dense", "targets": ["Linear"]}}),
        {},
        Reason.QUANTIZATION_KERNEL,
    ),
    "a sparsity of nothing": (quantized(LLAMA_8B, {**COMPRESSED, "sparsity_config": {"format": "dense"}}), {}, None),
    "deprecated": (quantized(LLAMA_8B, {"quant_method": "fbgemm_fp8"}), {}, Reason.QUANTIZATION_DEPRECATED),
}


@pytest.mark.parametrize(("config", "fields", "rule"), SERVICES.values(), ids=SERVICES)
def test_both_refuse_or_both_accept(vllm: Vllm, config: Content, fields: Content, rule: str | None) -> None:
    said = vllm.says(config, arguments(fields))
    result = plan(spec_of(**fields), model_of(config), CPU)
    assert bool(said) == bool(rule), said
    assert result.reason == rule if rule else result.reason not in RULES, result.message


BIDIRECTIONAL: Content = {**QWEN25_7B, "is_causal": False}
EMBEDDER: Content = MODELS["default-Gemma3TextModel"]["config"]
# Models and flags with which a prompt is read in one go, or in parts.
BATCHES: dict[str, tuple[Content, Content]] = {
    "a decoder": (QWEN25_7B, {}),
    "a decoder that embeds": (QWEN25_7B, {"runner": "pooling"}),
    "a decoder that embeds by the mean": (QWEN25_7B, {"runner": "pooling", "pooler-config": {"pooling_type": "MEAN"}}),
    "by the first": (QWEN25_7B, {"runner": "pooling", "pooler-config": {"seq_pooling_type": "CLS"}}),
    "by the last": (QWEN25_7B, {"runner": "pooling", "pooler-config": {"seq_pooling_type": "LAST"}}),
    "by steps": ({**QWEN25_7B, "architectures": ["Qwen2ForProcessRewardModel"]}, {}),
    "by steps, told otherwise": (
        {**QWEN25_7B, "architectures": ["Qwen2ForProcessRewardModel"]}, {"pooler-config": {"pooling_type": "ALL"}}),
    "both ways": (BIDIRECTIONAL, {"runner": "pooling"}),
    "both ways and short": (BIDIRECTIONAL, {"runner": "pooling", "max-model-len": 512}),
    "both ways, in parts all the same": (BIDIRECTIONAL, {"runner": "pooling", "enable-chunked-prefill": True}),
    "both ways, of a class that does not know": (
        {**MODELS["Mixtral-8x22B-v0.1"]["config"], "is_causal": False}, {"runner": "pooling"}),
    "Gemma's": (EMBEDDER, {}),
    "Gemma's, both ways": ({**EMBEDDER, "use_bidirectional_attention": True}, {}),
    "Gemma's other key": ({**EMBEDDER, "is_causal": False}, {}),
    "an image in one go": (MODELS["default-PaliGemmaForConditionalGeneration"]["config"], {}),
    "an encoder": ({**BERT, "max_position_embeddings": 8192}, {}),
}  # fmt: skip


@pytest.mark.parametrize(("config", "flags"), BATCHES.values(), ids=BATCHES)
def test_both_have_the_same_batch(vllm: Vllm, config: Content, flags: Content) -> None:
    words = [
        f"--{flag}" if value is True else f"--{flag}={value if isinstance(value, str | int) else json.dumps(value)}"
        for flag, value in flags.items() if flag != "max-model-len"
    ]  # fmt: skip
    spec = spec_of(extraArgs=words, maxModelLen=flags.get("max-model-len"), accelerator={"resource": "cpu"})
    planned = engine_of(spec, as_asked(spec, model_of(config)), CPU)
    assert planned.max_num_batched_tokens == vllm.batch(config, {key.replace("-", "_"): flags[key] for key in flags})


HYBRID = MODELS["default-JambaForCausalLM"]["config"]
STATES = MODELS["default-Mamba2ForCausalLM"]["config"]


@pytest.mark.parametrize("prefixes", [None, True, False])
@pytest.mark.parametrize(
    "word", ["--enable-chunked-prefill", "--no-enable-chunked-prefill", "--disable-chunked-mm-input"]
)
@pytest.mark.parametrize("config", [HYBRID, STATES, LLAMA_8B], ids=["hybrid", "states", "decoder"])
def test_both_refuse_prompts_that_are_not_cut(vllm: Vllm, config: Content, word: str, *, prefixes: bool | None) -> None:
    flag = {word.removeprefix("--").removeprefix("no-").replace("-", "_"): not word.startswith("--no-")}
    said = vllm.says(config, {**flag, **({} if prefixes is None else {"enable_prefix_caching": prefixes})}) or ""
    spec = spec_of(extraArgs=[word], kvCache={"prefixCaching": prefixes}, accelerator={"resource": "cpu"})
    found = plan(spec, model_of(config), CPU)
    if word != "--disable-chunked-mm-input":  # vLLM says so only once the engine is there
        assert ("Chunked prefill is required" in said) == (found.reason == Reason.SETTING), (said, found.message)
    else:
        caches = prefixes is not False if config is HYBRID else prefixes is True and config is STATES
        assert (found.reason == Reason.SETTING) == caches


PLAIN: Content = {key: value for key, value in LLAMA_8B.items() if key != "rope_scaling"}
WIDE: Content = {**LONGROPE, "short_factor": [1.0] * 64, "long_factor": [1.0] * 64}
LENGTHS: dict[str, Content] = {
    "scaled already": LLAMA_8B,
    "model_max_length is more": COMMAND_R,
    "model_max_length is less": {**PLAIN, "model_max_length": 4096},
    "model_max_length and a factor": {
        **PLAIN, "model_max_length": 4096, "rope_scaling": {"type": "linear", "factor": 4.0},
    },
    "another key is less": {**PLAIN, "seq_length": 4096},
    "longrope": PHI3_MINI,
    "longrope's old name": {
        **PLAIN, "original_max_position_embeddings": 8192, "rope_scaling": {**WIDE, "rope_type": "su"},
    },
    "longrope that says its first length inside": {
        **PLAIN, "rope_scaling": {**WIDE, "original_max_position_embeddings": 8192},
    },
    "longrope of a type with a first length": {
        key: value for key, value in PHI3_MINI.items() if key != "original_max_position_embeddings"
    },
    "linear": {**PLAIN, "rope_scaling": {"type": "linear", "factor": 4.0}},
    "dynamic": {**PLAIN, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
    "no whole number": {**PLAIN, "max_position_embeddings": 1000, "rope_scaling": {"type": "linear", "factor": 2.0005}},
    "yarn": {**PLAIN, "rope_scaling": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}},
    "images' positions": {**PLAIN, "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}},
    "two spellings": {
        **PLAIN, "rope_scaling": {"rope_type": "linear", "factor": 4.0},
        "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0},
    },
}  # fmt: skip


@pytest.mark.parametrize("asked", [{}, {"maxModelLen": "auto"}], ids=["omitted", "auto"])
@pytest.mark.parametrize("config", LENGTHS.values(), ids=LENGTHS)
def test_both_take_the_same_length_where_none_is_named(vllm: Vllm, config: Content, asked: Content) -> None:
    flags = {**arguments(asked), **({"max_model_len": -1} if asked else {})}  # what the flag's parser makes of auto
    planned = engine_of(spec_of(**asked), model_of(config), CPU)
    assert planned.max_model_len == vllm.length(config, flags)
    assert planned.auto == bool(asked)


@pytest.mark.parametrize("noted", [256, 4096, 200000])
@pytest.mark.parametrize("config", [BERT, LLAMA_8B, PHI3_MINI, LENGTHS["linear"]])
def test_both_take_the_length_that_sentence_transformers_notes(vllm: Vllm, config: Content, noted: int) -> None:
    model = model_of(config, max_seq_length=noted)
    beside = {"sentence_bert_config.json": {"max_seq_length": noted, "do_lower_case": False}}
    assert engine_of(spec_of(), model, CPU).max_model_len == vllm.length(config, {}, beside)
    assert vllm.length(config, {"max_model_len": model.longest}, beside) == noted == model.longest


# Lengths that are asked for beside a noted one of 512 tokens.
BESIDE_A_NOTE: dict[str, tuple[Content, Content]] = {
    "as long": (QWEN25_7B, {"maxModelLen": 512}),
    "longer": (QWEN25_7B, {"maxModelLen": 513}),
    "longer than none": (MODELS["default-MambaForCausalLM"]["config"], {"maxModelLen": 4096}),
    "model_max_length": ({**QWEN25_7B, "model_max_length": 8192}, {"maxModelLen": 8192}),
    "longer than model_max_length": ({**QWEN25_7B, "model_max_length": 8192}, {"maxModelLen": 8193}),
    "a window": (SMALL_WINDOW, {"maxModelLen": 512, "extraArgs": ["--disable-sliding-window"]}),
    "longer than with a window": (SMALL_WINDOW, {"maxModelLen": 513, "extraArgs": ["--disable-sliding-window"]}),
}


@pytest.mark.parametrize(("config", "fields"), BESIDE_A_NOTE.values(), ids=BESIDE_A_NOTE)
def test_both_refuse_the_same_lengths_beside_a_noted_one(vllm: Vllm, config: Content, fields: Content) -> None:
    beside = {"sentence_bert_config.json": {"max_seq_length": 512}}
    flags = {"max_model_len": fields["maxModelLen"], "disable_sliding_window": "extraArgs" in fields}
    found = plan(spec_of(**fields), model_of(config, max_seq_length=512), gpu_of("H200"))
    said = vllm.says(config, flags, beside)
    assert ("is greater than the derived max_model_len" in (said or "")) == (found.reason == Reason.LENGTH), said


CHECKPOINTS = {"awq": AWQ, "gptq": GPTQ, "fp8": FP8, "compressed-tensors": COMPRESSED,
               "modelopt": {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": []},
               "auto-round": {"quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": True}}  # fmt: skip
ASKED = ("awq", "awq_marlin", "auto_awq", "gptq", "gptq_marlin", "auto_gptq", "fp8", "fp8_per_tensor", "mxfp8",
         "compressed-tensors", "modelopt", "modelopt_fp4", "inc", "moe_wna16", "quark")  # fmt: skip


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("own", CHECKPOINTS)
def test_both_see_the_same_contradictions(vllm: Vllm, own: str, asked: str) -> None:
    config = quantized(LLAMA_8B, CHECKPOINTS[own])
    said = vllm.says(config, {"quantization": asked}) or ""
    mismatch = "does not match the quantization method specified in the `quantization` argument" in said
    result = plan(spec_of(quantization=asked), model_of(config), CPU)
    assert (result.reason == Reason.QUANTIZATION_MISMATCH) == mismatch, (said, result.message)


def test_least_capabilities_are_vllms(vllm: Vllm) -> None:
    for name, facts in vllm.methods.items():
        assert methods.least_capability(SAME.get(name, name)) == facts["capability"], name


def test_types_are_vllms(vllm: Vllm) -> None:
    for name, facts in vllm.methods.items():
        accepted = methods.dtypes(SAME.get(name, name))
        assert accepted == frozenset(facts["dtypes"]) - {"float8_e4m3fn"}, name


def test_what_architectures_can_and_cannot_do_is_vllms() -> None:
    assert told("classes.py") == {
        "noStages": sorted(WITHOUT_STAGES), "noAdapters": sorted(WITHOUT_ADAPTERS), "wholeTowers": sorted(WHOLE_TOWERS),
    }  # fmt: skip


def test_what_is_quantized_while_loading_is_what_vllm_quantizes(vllm: Vllm) -> None:
    """Of a dense model nothing, where vLLM quantizes experts alone; of one with experts something in any case."""
    facts = {name: facts["expertsOnly"] for name, facts in vllm.methods.items() if facts["expertsOnly"] is not None}
    assert facts
    for name, experts_only in facts.items():
        for content, same in ((LLAMA_8B, experts_only), (QWEN3_30B, False)):
            plain, made = (bytes_of(content, asked) for asked in (None, name))
            assert (plain == made) == same, (name, content["architectures"])
            assert made <= plain


def bytes_of(content: Content, asked: str | None) -> int:
    """Bytes of a model's weights, quantized as is asked."""
    model = model_of(content)
    scheme = scheme_of(model, asked)
    assert scheme
    return rank_weights(model, Storage(scheme), Ranks(), 0).parameters
