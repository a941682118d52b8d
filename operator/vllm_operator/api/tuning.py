"""Settings of vLLM's inner parts, as its recipes have them: those of its JSON flags that name no code and no file.

The fields are called as vLLM's keys are, in camelCase, so that `--compilation-config={"cudagraph_mode": ...}` becomes
`compilation.cudagraphMode`. A key that is not here takes a module, a class or a path, or is worked out by vLLM.
"""

from typing import Annotated, Literal

from pydantic import Field

from .base import ApiModel, Form, Limits, Rule, optional, rule, with_rules
from .fields import Flag
from .vocabulary import PASSES, AttentionBackend, MlaPrefillBackend

# A custom op of vLLM that is switched on or off, or all of them.
CustomOp = Annotated[
    str,
    Limits(max_length=64),
    Form(r"all|none|[+-][a-z0-9_]+", "must be all, none, or the name of an op with + or - before it, like +rms_norm"),
]
SplittingOp = Annotated[
    str,
    Limits(max_length=128),
    Form(r"[a-z0-9_]+::[A-Za-z0-9_.]+", "must be the name of an op of torch, like vllm::unified_attention"),
]
BatchSize = Annotated[int, Field(ge=1, le=65536)]


class Compilation(ApiModel):
    """How vLLM compiles a model and captures CUDA graphs."""

    mode: Literal["NONE", "STOCK_TORCH_COMPILE", "DYNAMO_TRACE_ONCE", "VLLM_COMPILE"] | None = optional(
        "How torch.compile is used; NONE: not at all (vLLM's default: VLLM_COMPILE, or NONE with enforceEager).",
        "VLLM_COMPILE",
    )
    cudagraph_mode: Literal["NONE", "PIECEWISE", "FULL", "FULL_DECODE_ONLY", "FULL_AND_PIECEWISE"] | None = optional(
        "What CUDA graphs are captured of (vLLM's default: FULL_AND_PIECEWISE, where the model allows it).",
        "FULL_DECODE_ONLY",
    )
    max_cudagraph_capture_size: int | None = optional(
        "Largest batch that a CUDA graph is captured for, in tokens.", 512, ge=0, le=65536
    )
    cudagraph_capture_sizes: list[BatchSize] | None = optional(
        "The batches that CUDA graphs are captured for, in tokens.",
        [1, 2, 4, 8],
        min_length=1,
        max_length=256,
        list_type="set",
    )
    cudagraph_num_of_warmups: int | None = optional("Runs before a CUDA graph is captured.", 1, ge=0, le=100)
    cudagraph_specialize_lora: bool | None = optional("Whether batches without an adapter have graphs.", True)
    custom_ops: list[CustomOp] | None = optional(
        "Ops of vLLM's own that take the place of compiled ones (+name) or do not (-name).",
        ["+rms_norm", "+silu_and_mul"],
        max_length=32,
        list_type="atomic",
    )
    splitting_ops: list[SplittingOp] | None = optional(
        "Ops at which the graph is cut into pieces; an empty list: nowhere.",
        ["vllm::unified_attention_with_output"],
        max_length=32,
        list_type="atomic",
    )
    compile_sizes: list[BatchSize] | None = optional(
        "Batches to compile kernels for.", [1, 8], max_length=64, list_type="set"
    )
    compile_mm_encoder: bool | None = optional("Whether the vision tower is compiled too.", True)
    use_inductor_graph_partition: bool | None = optional("Whether Inductor cuts the graph into pieces.", True)
    fast_moe_cold_start: bool | None = optional("Whether mixtures of experts are compiled once only.", True)
    pass_config: dict[str, bool] | None = optional(
        "Passes over the compiled graph that are on or off, by vLLM's names, like fuse_allreduce_rms.",
        {"fuse_allreduce_rms": True},
        max_length=len(PASSES),
        rules=[rule(f"self.all(k, k in {list(PASSES)!r})", f"a key must be one of {', '.join(PASSES)}")],
    )


class Attention(ApiModel):
    """How vLLM computes attention."""

    backend: AttentionBackend | None = optional(
        "The backend, by vLLM's name; omitted: the fastest that the GPU and the model allow.",
        "FLASHINFER_MLA",
    )
    mla_prefill_backend: MlaPrefillBackend | None = optional(
        "The backend for prompts with multi-head latent attention.", "FLASHINFER"
    )
    flash_attn_version: Literal[2, 3, 4] | None = optional("The version of FlashAttention.", 3)
    flash_attn_max_num_splits_for_cuda_graph: int | None = optional(
        "Most parts that FlashAttention divides a sequence into, in a CUDA graph (vLLM's default: 32).",
        16,
        ge=1,
        le=256,
    )
    use_trtllm_attention: bool | None = optional("Whether FlashInfer uses TensorRT-LLM's kernels.", True)
    use_prefill_query_quantization: bool | None = optional("Whether queries of prompts are quantized.", True)
    disable_flashinfer_q_quantization: bool | None = optional(
        "Whether queries stay as they are with an fp8 KV cache.", True
    )
    indexer_kv_dtype: Literal["auto", "bf16", "fp8", "mxfp4", "nvfp4"] | None = optional(
        "Type of the cache of a sparse attention's indexer.", "fp8"
    )
    minimax_m3_msa_decode_backend: Literal["triton", "cutlass"] | None = optional(
        "Kernel of MiniMax M3's sparse attention.", "cutlass"
    )


_TEXT = Limits(min_length=1, max_length=256)


class Reasoning(ApiModel):
    """What begins and ends a model's reasoning, so that requests may limit it (thinking_token_budget)."""

    reasoning_start_str: Annotated[str, _TEXT] | None = optional("Text that begins it.", "<think>")
    reasoning_end_str: Annotated[str, _TEXT] | None = optional(
        "Text that ends it, and that is put in where a request's limit is reached.", "</think>"
    )


class StructuredOutputs(ApiModel):
    """How answers are held to a schema, a grammar or a choice."""

    model_config = with_rules(
        rule(
            "!has(self.disableAnyWhitespace) || !self.disableAnyWhitespace"
            " || (has(self.backend) && self.backend in ['xgrammar', 'guidance'])",
            "disableAnyWhitespace needs backend xgrammar or guidance",
        ),
        rule(
            "!has(self.disableAdditionalProperties) || !self.disableAdditionalProperties"
            " || (has(self.backend) && self.backend == 'guidance')",
            "disableAdditionalProperties needs backend guidance",
        ),
    )

    backend: Literal["auto", "xgrammar", "guidance", "outlines", "lm-format-enforcer"] | None = optional(
        "The library that does it; auto chooses by the request (vLLM's default).", "xgrammar"
    )
    disable_any_whitespace: bool | None = optional("Whether JSON has no spaces between its parts.", True)
    disable_additional_properties: bool | None = optional("Whether objects have only the named properties.", True)
    enable_in_reasoning: bool | None = optional("Whether reasoning is held to it as well.", False)


class Tuning(ApiModel):
    """Settings of vLLM's inner parts, as its recipes have them."""

    compilation: Compilation | None = optional(
        "How the model is compiled, and its CUDA graphs.",
        {"cudagraphMode": "FULL_DECODE_ONLY"},
        flag=Flag("compilation-config", "keys"),
    )
    attention: Attention | None = optional(
        "How attention is computed.", {"backend": "FLASHINFER"}, flag=Flag("attention-config", "keys")
    )
    reasoning: Reasoning | None = optional(
        "What begins and ends reasoning, so that requests may limit it.",
        {"reasoningStartStr": "<think>", "reasoningEndStr": "</think>"},
        flag=Flag("reasoning-config", "keys"),
    )
    structured_outputs: StructuredOutputs | None = optional(
        "How answers are held to a schema, a grammar or a choice.",
        {"backend": "xgrammar"},
        flag=Flag("structured-outputs-config", "keys"),
    )


def _twice(key: str, flag: str) -> Rule:
    has = " && ".join(f"has(self.tuning.{'.'.join(key.split('.')[: n + 1])})" for n in range(key.count(".") + 1))
    return rule(
        f"!has(self.tuning) || !({has}) || !has(self.extraArgs) || !self.extraArgs.exists(a, a.startsWith('{flag}='))",
        f"set tuning.{key} or {flag} in extraArgs, not both",
    )


BACKEND_TWICE_RULE = _twice("attention.backend", "--attention-backend")
LARGEST_FLAG = "--max-cudagraph-capture-size"
GRAPHS_TWICE_RULE = _twice("compilation.maxCudagraphCaptureSize", LARGEST_FLAG)
_COMPILATION = "self.tuning.compilation"
_SIZES, _LARGEST = f"{_COMPILATION}.cudagraphCaptureSizes", f"{_COMPILATION}.maxCudagraphCaptureSize"
_PASSED = f"int(a.substring({len(LARGEST_FLAG) + 1}))"


def _largest(size: str) -> str:
    return f"({size} in {_SIZES} && {_SIZES}.all(s, s <= {size}))"


GRAPH_SIZES_RULE = rule(
    f"!has(self.tuning) || !has({_COMPILATION}) || !has({_SIZES}) || ((!has({_LARGEST}) || {_largest(_LARGEST)})"
    f" && (!has(self.extraArgs) || self.extraArgs.all(a, !a.matches('^{LARGEST_FLAG}=[0-9]{{1,9}}$')"
    f" || {_largest(_PASSED)})))",
    f"tuning.compilation.maxCudagraphCaptureSize, or {LARGEST_FLAG} in extraArgs, must be the largest of "
    "cudagraphCaptureSizes: leave it out, as the largest counts",
)
TUNING_RULES = (BACKEND_TWICE_RULE, GRAPHS_TWICE_RULE, GRAPH_SIZES_RULE)
