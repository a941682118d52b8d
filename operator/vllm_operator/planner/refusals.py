"""What vLLM refuses before it loads a weight: each rule is the condition in vLLM's source, with the way out.

Every rule names the text that vLLM raises; a test fails when that text is gone from the pinned vLLM.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ..api import InferenceServiceSpec
from ..api.vocabulary import GONE_QUANTIZATIONS
from .accelerators import Gpu
from .engine import Engine
from .quantization import ALIASES, MXFP4_BLOCK, Scheme, method_of
from .shapes import Cached, Model, Split

LARGEST_TENSOR_SIZE = 64


class Rule(StrEnum):
    """One word for what is wrong. They are API: conditions carry them."""

    ATTENTION_HEADS = "AttentionHeadsNotDivisible"
    KV_HEADS = "KVHeadsNotDivisible"
    INTERMEDIATE = "IntermediateSizeNotDivisible"
    EXPERT_WIDTH = "ExpertSizeNotDivisible"
    VOCABULARY = "VocabularyNotDivisible"
    STATE_HEADS = "LinearAttentionHeadsNotDivisible"
    QUANTIZATION_GROUP = "QuantizationGroupSplit"
    FP8_BLOCK = "Fp8BlockSplit"
    NO_EXPERTS = "NoExperts"
    PIPELINE = "TooManyPipelineStages"
    QUANTIZATION_GONE = "QuantizationGone"
    QUANTIZATION_UNKNOWN = "QuantizationUnknown"
    QUANTIZATION_MISMATCH = "QuantizationMismatch"
    QUANTIZATION_GPU = "QuantizationNotOnThisGPU"
    QUANTIZATION_DTYPE = "QuantizationNeedsOtherDtype"
    BFLOAT16_GPU = "BFloat16NotOnThisGPU"
    FP8_KV_GPU = "Fp8KVCacheNotOnThisGPU"
    LENGTH = "MaxModelLenTooLong"
    BATCH = "BatchTooSmall"
    GPUS_PER_NODE = "TooManyGPUs"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why vLLM would not start, and what to do."""

    rule: Rule
    message: str


@dataclass(frozen=True, slots=True)
class Question:
    """All that a rule may look at."""

    spec: InferenceServiceSpec
    model: Model
    engine: Engine
    gpu: Gpu
    scheme: Scheme | None
    gpus_per_node: int | None = None


Check = Callable[[Question], Refusal | None]


def first_refusal(question: Question) -> Refusal | None:
    """The first rule that the service breaks, in the order in which vLLM would notice; None: none."""
    return next((refusal for check in _CHECKS if (refusal := check(question))), None)


def tensor_sizes(question: Question, limit: int = 16) -> list[int]:
    """Tensor parallel sizes, from 1 up, that the model's heads and widths can be split by."""
    return [size for size in range(1, limit + 1) if not any(True for _ in _splits(question.model, size, question))]


def _sizes(question: Question) -> str:
    sizes = tensor_sizes(question)
    return f"set tensorParallelSize to {_either([str(size) for size in sizes])}" if sizes else "use another model"


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _splits(model: Model, tensor: int, question: Question) -> Iterator[tuple[Rule, str]]:
    """What of the model a tensor parallel size does not divide."""
    if model.heads % tensor:
        yield Rule.ATTENTION_HEADS, f"{model.heads} attention heads cannot be split over {tensor} GPUs"
    kv = model.kv_heads
    if kv % tensor if kv >= tensor else tensor % kv:
        yield Rule.KV_HEADS, f"{kv} heads of keys and values can be neither split over {tensor} GPUs nor repeated"
    if any(layer.experts is None for layer in model.layers) and model.intermediate % tensor:
        yield Rule.INTERMEDIATE, f"the MLP's width of {model.intermediate} cannot be split over {tensor} GPUs"
    experts = model.experts
    if experts and not question.engine.ranks.experts and experts.intermediate % tensor:
        yield (
            Rule.EXPERT_WIDTH,
            (
                f"the experts' width of {experts.intermediate} cannot be split over {tensor} GPUs "
                "(expertParallel: true gives whole experts to each)"
            ),
        )
    if -(-model.vocabulary // 64) * 64 % tensor:
        yield (
            Rule.VOCABULARY,
            f"the padded vocabulary of {-(-model.vocabulary // 64) * 64} cannot be split over {tensor} GPUs",
        )
    for layer in model.layers:
        if layer.cache is not None and layer.cache.kind is Cached.STATE and layer.float32_elements % tensor:
            yield (
                Rule.STATE_HEADS,
                f"{layer.float32_elements} heads of linear attention cannot be split over {tensor} GPUs",
            )
            break
    yield from _quantized_splits(model, tensor, question)


def _quantized_splits(model: Model, tensor: int, question: Question) -> Iterator[tuple[Rule, str]]:
    """Groups and blocks of a quantization that a rank would get only a part of."""
    scheme = question.scheme
    if scheme is None or tensor == 1 or not scheme.method:
        return
    linears = {} if scheme.experts_only else {linear.name: linear for layer in model.layers for linear in layer.linears}
    for linear in linears.values():
        if not linear.quantizable:
            continue
        if linear.split is Split.COLUMNS and scheme.group > MXFP4_BLOCK and linear.columns % (tensor * scheme.group):
            yield (
                Rule.QUANTIZATION_GROUP,
                (
                    f"{linear.name} has {linear.columns} inputs, which {tensor} GPUs would share in parts that are no "
                    f"whole number of the quantization's groups of {scheme.group}"
                ),
            )
        if scheme.block and linear.split is Split.COLUMNS and linear.columns // tensor % scheme.block[1]:
            yield (
                Rule.FP8_BLOCK,
                (
                    f"{linear.name} has {linear.columns} inputs, which {tensor} GPUs would share in parts that are no "
                    f"whole number of fp8 blocks of {scheme.block[1]}"
                ),
            )
        if scheme.block and linear.split is Split.ROWS and linear.rank_rows(tensor) % scheme.block[0]:
            yield (
                Rule.FP8_BLOCK,
                (
                    f"{linear.name} has {linear.rows} outputs, which {tensor} GPUs would share in parts that are no "
                    f"whole number of fp8 blocks of {scheme.block[0]}"
                ),
            )


def _parallel(question: Question) -> Refusal | None:
    tensor = question.engine.ranks.tensor
    for rule, what in _splits(question.model, tensor, question):
        return Refusal(rule, f"{what}: {_sizes(question)}")
    return None


def _pipeline(question: Question) -> Refusal | None:
    pipeline, layers = question.engine.ranks.pipeline, len(question.model.layers)
    if pipeline <= layers:
        return None
    return Refusal(
        Rule.PIPELINE, f"{layers} layers cannot be spread over {pipeline} pipeline stages: set at most {layers}"
    )


def _experts(question: Question) -> Refusal | None:
    if not question.engine.ranks.experts or question.model.experts:
        return None
    return Refusal(
        Rule.NO_EXPERTS, "expertParallel is for mixture-of-experts models and this one has no experts: remove it"
    )


def _gone(question: Question) -> Refusal | None:
    for method in (question.spec.quantization, method_of(question.model)):
        if method in GONE_QUANTIZATIONS:
            return Refusal(
                Rule.QUANTIZATION_GONE,
                f"vLLM no longer has the quantization {method}: use an AWQ, GPTQ or fp8 checkpoint of the model",
            )
    return None


def _mismatch(question: Question) -> Refusal | None:
    asked, own = question.spec.quantization, method_of(question.model)
    if not asked or not own:
        return None
    asked = ALIASES.get(asked, asked)
    same = {asked, own} in ({"modelopt", "modelopt_fp4"}, {"awq", "moe_wna16"}, {"gptq", "moe_wna16"}) or asked == own
    if same or (own == "fp8" and asked.startswith("fp8")):
        return None
    return Refusal(
        Rule.QUANTIZATION_MISMATCH,
        f"the checkpoint is quantized with {own}, and the spec asks for {asked}: remove quantization",
    )


# Least compute capability, in tenths, and the types that are not quantized (vLLM 0.32, layers/quantization).
_NEEDS: dict[str, int] = {
    "awq": 75, "gptq": 60, "fp8": 75, "fp8_per_tensor": 75, "fp8_per_channel": 75, "fp8_per_block": 75,
    "int8_per_channel_weight_only": 75, "compressed-tensors": 70, "modelopt": 80, "modelopt_fp4": 75,
    "modelopt_mxfp8": 80, "modelopt_mixed": 75, "mxfp4": 80, "mxfp8": 80, "quark": 70, "moe_wna16": 70,
    "experts_int8": 80, "torchao": 75, "inc": 60, "humming": 75, "deepseek_v4_fp8": 75, "nvfp4_per_token": 100,
    "fbgemm_fp8": 80,
}  # fmt: skip
_TENTHS = 10


def _capability(question: Question) -> Refusal | None:
    method = method_of(question.model) or ALIASES.get(
        question.spec.quantization or "", question.spec.quantization or ""
    )
    major, minor = question.gpu.capability
    own = major * _TENTHS + minor
    least = _NEEDS.get(method, 0)
    if method == "compressed-tensors" and question.scheme and question.scheme.bits:
        least = 75
    if question.gpu.vendor != "nvidia" or not own or own >= least:
        return None
    return Refusal(
        Rule.QUANTIZATION_GPU,
        f"{method} needs a GPU of compute capability {least / _TENTHS:.1f}, and {question.gpu.name} has "
        f"{major}.{minor}: use a newer GPU or a checkpoint with another quantization",
    )


def _types(question: Question) -> Refusal | None:
    method, dtype = method_of(question.model), question.engine.dtype
    if method == "mxfp4" and dtype != "bfloat16":
        return Refusal(Rule.QUANTIZATION_DTYPE, f"mxfp4 works with bfloat16 only, not {dtype}: remove dtype")
    if method and dtype == "float32":
        return Refusal(
            Rule.QUANTIZATION_DTYPE, f"{method} does not work with float32: set dtype to bfloat16 or float16"
        )
    capability = question.gpu.capability
    if dtype == "bfloat16" and question.gpu.vendor == "nvidia" and (0, 0) < capability < (8, 0):
        return Refusal(
            Rule.BFLOAT16_GPU,
            f"bfloat16 needs a GPU of compute capability 8.0, and {question.gpu.name} has "
            f"{capability[0]}.{capability[1]}: set dtype to float16",
        )
    return None


def _length(question: Question) -> Refusal | None:
    model, asked = question.model, question.spec.max_model_len
    if not isinstance(asked, int) or not model.raw_longest or asked <= model.longest:
        return None
    if any(variable.name == "VLLM_ALLOW_LONG_MAX_MODEL_LEN" for variable in question.spec.env or []):
        return None
    return Refusal(
        Rule.LENGTH,
        f"maxModelLen {asked:,} is longer than the model's own {model.longest:,} ({model.longest_key} in config.json): "
        f"set at most {model.longest}",
    )


def _batch(question: Question) -> Refusal | None:
    engine = question.engine
    if engine.max_num_batched_tokens >= engine.max_num_seqs:
        return None
    return Refusal(
        Rule.BATCH,
        f"maxNumBatchedTokens {engine.max_num_batched_tokens} is below maxNumSeqs {engine.max_num_seqs}: every running "
        "sequence takes a token of each batch, raise it",
    )


def _per_node(question: Question) -> Refusal | None:
    gpus, here = question.engine.ranks.gpus, question.gpus_per_node
    if here is None or gpus <= here:
        return None
    return Refusal(
        Rule.GPUS_PER_NODE,
        f"one replica needs {gpus} GPUs on one node, and no node has more than {here}: lower tensorParallelSize or "
        "pipelineParallelSize, or use a smaller or quantized model",
    )


_CHECKS: tuple[Check, ...] = (
    _gone, _mismatch, _length, _types, _capability, _batch, _experts, _pipeline, _parallel, _per_node,
)  # fmt: skip
