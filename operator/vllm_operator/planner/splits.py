"""Which tensor parallel sizes a model can be split by: vLLM asserts that what it splits divides without a rest.

Source: vLLM 0.32, config/model.py (attention heads), distributed/utils.py (`divide`), layers/linear.py (heads of keys
and values), layers/fused_moe/config.py, layers/vocab_parallel_embedding.py, layers/quantization.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import gcd

from ..api.reasons import Reason
from .asked import TOWERS_WHOLE, as_asked
from .rules import Question, Refusal
from .schemes import DTYPE_BYTES, Scheme, schemes_of_all
from .shapes import Cached, Experts, Layer, Linear, ModelShape, Split
from .weights import VOCABULARY_PADDING

LARGEST_TENSOR_SIZE = 16
"""Largest size that is suggested."""
_ATTENTION = ("self_attn.", "linear_attn.")
_STATE_INPUTS = ".in_proj"
# Quantizations whose groups of inputs vLLM does not cut: layers/quantization/auto_awq.py, utils/marlin_utils.py,
# inc/schemes/inc_wna16_linear.py, compressed_tensors/schemes/compressed_tensors_wNa16.py. Experts of AWQ and GPTQ are
# refined, and MXFP4's are padded.
_GROUPED = frozenset({"awq", "gptq", "auto-round", "compressed-tensors"})
_BLOCKED = frozenset({"fp8", "compressed-tensors"})
_ONE_MATRIX = frozenset({"MiMoV2FlashForCausalLM", "MiMoV2ForCausalLM", "DeepseekV4ForCausalLM"})
"""Models whose queries, keys and values are one matrix to vLLM, of whatever width."""
_FINEST_BLOCK = 32
"""Experts' blocks are made finer down to this, those of fp8 checkpoints alone (fused_moe/oracle/fp8.py)."""

# The rule that a split breaks, and what does not divide.
Misfit = tuple[Reason, str]


def check(question: Question) -> Refusal | None:
    """The first part of the model that the service's tensor parallel size does not divide, with sizes that work."""
    for rule, what in _misfits(question, question.engine.ranks.tensor):
        return Refusal(rule, f"{what}: {_way_out(question)}")
    return None


def tensor_sizes(question: Question, limit: int = LARGEST_TENSOR_SIZE) -> list[int]:
    """Tensor parallel sizes, from 1 to `limit`, that all parts of the model can be split by."""
    return [size for size in range(1, limit + 1) if not any(True for _ in _misfits(question, size))]


def _way_out(question: Question) -> str:
    sizes = tensor_sizes(question)
    if not sizes:
        return "use another model or checkpoint"
    words = [str(size) for size in sizes]
    either = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
    whole = question.model.experts and not question.engine.ranks.experts
    experts = _whole_experts(question) if whole else ""
    return f"set tensorParallelSize to {either}{experts}{_whole_towers(question)}"


def _whole_experts(question: Question) -> str:
    """The hint at whole experts on each GPU, where that is all it takes."""
    ranks = replace(question.engine.ranks, experts=True)
    other = replace(question, engine=replace(question.engine, ranks=ranks))
    works = not any(True for _ in _misfits(other, ranks.tensor))
    return ", or set expertParallel: true, which gives whole experts to each GPU" if works else ""


def _whole_towers(question: Question) -> str:
    """The hint at whole towers on each GPU, where that is all it takes."""
    spec = question.spec.model_copy(update={"extra_args": [*(question.spec.extra_args or []), TOWERS_WHOLE]})
    other = replace(question, model=as_asked(spec, question.model))
    if other.model.towers == question.model.towers or any(True for _ in _misfits(other, question.engine.ranks.tensor)):
        return ""
    return f", or add {TOWERS_WHOLE} to extraArgs, which gives the whole tower to each GPU"


def _misfits(question: Question, tensor: int) -> Iterator[Misfit]:
    model = question.model
    if model.heads % tensor and not _without_attention(model):
        yield Reason.ATTENTION_HEADS, f"{model.heads} attention heads cannot be split over {tensor} GPUs"
    if not model.known:  # of an unknown architecture nothing else is certain
        return
    layers = list({id(layer): layer for layer in model.layers}.values())
    yield from _towers(model, tensor)
    yield from _attention(question, layers, tensor)
    yield from _feed_forward(question, layers, tensor)
    padded = -(-model.vocabulary // VOCABULARY_PADDING) * VOCABULARY_PADDING
    if padded % tensor:
        yield Reason.VOCABULARY, f"the vocabulary, padded to {padded}, cannot be split over {tensor} GPUs"
    yield from _groups(question, tensor)
    yield from _blocks(question, tensor)


def _without_attention(model: ModelShape) -> bool:
    """Mamba has no heads to share out but those of its states."""
    return bool(model.layers) and all(layer.cache and layer.cache.kind is Cached.STATE for layer in model.layers)


def _towers(model: ModelShape, tensor: int) -> Iterator[Misfit]:
    """Heads of towers whose classes divide them without a way out (models/siglip.py, qwen2_vl.py, glm4_1v.py):
    also those that get no weights, as they are built all the same."""
    heads = (linear.heads for layer, _ in model.towers for linear in layer.linears if linear.split is Split.ROWS)
    if odd := next((number for number in heads if number % tensor), 0):
        yield Reason.ATTENTION_HEADS, f"{odd} attention heads of the vision tower cannot be split over {tensor} GPUs"


def _attention(question: Question, layers: list[Layer], tensor: int) -> Iterator[Misfit]:
    kinds = {layer.cache.kind for layer in layers if layer.cache}
    kv = question.model.kv_heads
    if kinds & {Cached.FULL, Cached.SLIDING, Cached.CHUNKED} and (kv % tensor if kv >= tensor else tensor % kv):
        yield Reason.KV_HEADS, f"{kv} heads of keys and values can be neither split over {tensor} GPUs nor repeated"
    for layer in layers:
        if not any(cache and cache.kind is Cached.STATE for cache in (layer.cache, *layer.more)):
            continue
        if (heads := layer.split_float32_elements) % tensor:
            yield Reason.STATE_HEADS, f"{heads} heads of linear attention cannot be split over {tensor} GPUs"
            return
        if (groups := _state_groups(layer)) % tensor and groups != 1:
            what = f"{groups} groups of Mamba's heads can be neither split over {tensor} GPUs nor repeated"
            yield Reason.STATE_HEADS, what
            return


def _state_groups(layer: Layer) -> int:
    """Groups of heads that share Mamba-2's B and C (mamba/mamba_mixer2.py); 0 where there are none."""
    return next((linear.heads for linear in layer.linears if linear.name.endswith(_STATE_INPUTS) and linear.heads), 0)


def _feed_forward(question: Question, layers: list[Layer], tensor: int) -> Iterator[Misfit]:
    for layer in layers:
        for linear in layer.linears:
            width = {Split.ROWS: linear.rows, Split.COLUMNS: linear.columns, Split.NONE: 0}[linear.split]
            if width % tensor and not linear.name.startswith(_ATTENTION):
                yield Reason.INTERMEDIATE, f"the width of {linear.name}, {width}, cannot be split over {tensor} GPUs"
                return
    experts, sharing = question.model.experts, tensor * question.engine.ranks.data
    if experts and not question.engine.ranks.experts and experts.intermediate % sharing:
        yield Reason.EXPERT_WIDTH, f"the experts' width of {experts.intermediate} cannot be split over {sharing} GPUs"


def quantized(question: Question) -> list[tuple[Linear, Scheme]]:
    """The matrices that are quantized in any layer, each shape once for each way in which it is stored."""
    scheme, model = question.scheme, question.model
    if scheme is None or not scheme.method or scheme.experts_only:
        return []
    found: dict[tuple[str, int, int, int], tuple[Linear, Scheme]] = {}
    seen: set[tuple[int, ...]] = set()
    for layer, schemes in zip(
        model.layers, schemes_of_all(model.layers, scheme, DTYPE_BYTES[model.dtype]), strict=True
    ):
        kind = (id(layer), *map(id, schemes))
        if kind in seen:
            continue
        seen.add(kind)
        for linear, stored in zip(layer.linears, schemes, strict=False):
            if stored.method:
                found.setdefault((linear.name, linear.rows, linear.columns, id(stored)), (linear, stored))
    return list(found.values())


def _groups(question: Question, tensor: int) -> Iterator[Misfit]:
    """Groups of inputs that share a scale: a rank must have a whole number of them."""
    yield from _expert_groups(question, tensor)
    for linear, scheme in quantized(question) if tensor > 1 else ():
        if scheme.method not in _GROUPED or scheme.group <= 0 or linear.split is not Split.COLUMNS:
            continue
        if scheme.group < linear.columns and linear.columns // tensor % scheme.group:
            unit = f"the quantization's groups of {scheme.group}"
            yield Reason.QUANTIZATION_GROUP, _straddle(f"{linear.name} has {linear.columns} inputs", tensor, unit)


def _blocks(question: Question, tensor: int) -> Iterator[Misfit]:
    """Blocks of an fp8 checkpoint: layers/quantization/utils/fp8_utils.py, validate_fp8_block_shape."""
    fused = question.model.architecture in _ONE_MATRIX
    for linear, scheme in quantized(question) if tensor > 1 and not fused else ():
        if scheme.method not in _BLOCKED or not scheme.block:
            continue
        rows, columns = scheme.block
        unit = f"fp8 blocks of {rows} by {columns}"
        if linear.split is Split.COLUMNS and linear.columns // tensor % columns:
            yield Reason.FP8_BLOCK, _straddle(f"{linear.name} has {linear.columns} inputs", tensor, unit)
        if linear.split is Split.ROWS and linear.rank_rows(tensor) % rows:
            yield Reason.FP8_BLOCK, _straddle(f"{linear.name} has {linear.rows} outputs", tensor, unit)
    yield from _expert_blocks(question, tensor)


def quantized_experts(question: Question) -> list[tuple[Experts, Scheme]]:
    """The quantized experts of any layer, each shape once, with how they are stored."""
    scheme, model = question.scheme, question.model
    if scheme is None or not scheme.method:
        return []
    all_schemes = schemes_of_all(model.layers, scheme, DTYPE_BYTES[model.dtype])
    found = {
        (layer.experts, id(schemes[-1])): (layer.experts, schemes[-1])
        for layer, schemes in zip(model.layers, all_schemes, strict=True)
        if layer.experts and schemes[-1].method
    }
    return list(found.values())


def _sharing(question: Question, tensor: int) -> int:
    """GPUs that share out each expert."""
    return 1 if question.engine.ranks.experts else tensor * question.engine.ranks.data


def _expert_groups(question: Question, tensor: int) -> Iterator[Misfit]:
    """Groups of integers: compressed_tensors_moe/compressed_tensors_moe_wna16.py, create_weights."""
    sharing = _sharing(question, tensor)
    for experts, scheme in quantized_experts(question):
        integers = scheme.method == "compressed-tensors" and scheme.group > 0 and scheme.scale_bytes > 1
        if integers and experts.intermediate // sharing % scheme.group:
            unit = f"the quantization's groups of {scheme.group}"
            yield Reason.QUANTIZATION_GROUP, _straddle(_width(experts), sharing, unit)


def _expert_blocks(question: Question, tensor: int) -> Iterator[Misfit]:
    ranks = _sharing(question, tensor)
    for experts, scheme in quantized_experts(question):
        if scheme.method not in _BLOCKED or not scheme.block:
            continue
        rows, columns = scheme.block
        width = experts.intermediate // ranks
        if width % rows == 0 and (tensor == 1 or width % columns == 0):
            continue
        finer = scheme.method == "fp8" and gcd(rows, columns, width, experts.hidden) >= _FINEST_BLOCK
        if not (finer or (ranks > 1 and _padded(question, experts, scheme))):
            unit = f"fp8 blocks of {rows} by {columns}"
            yield Reason.FP8_BLOCK, _straddle(_width(experts), ranks, unit)


def _padded(question: Question, experts: Experts, scheme: Scheme) -> bool:
    """Whether each rank's part is filled up to whole blocks: only where a kernel is named (fused_moe/oracle/fp8.py)."""
    named = question.engine.moe_backend != "auto"
    whole = not any(size % side for size in (experts.intermediate, experts.hidden) for side in scheme.block or ())
    return scheme.method == "fp8" and named and whole and not (experts.bias or question.engine.lora)


def _width(experts: Experts) -> str:
    return f"each expert has a width of {experts.intermediate}"


def _straddle(what: str, tensor: int, unit: str) -> str:
    if tensor == 1:
        return f"{what}, which is no whole number of {unit}"
    return f"{what}, which {tensor} GPUs would share in parts that are no whole number of {unit}"
