"""Quantized checkpoints that vLLM has no kernels for, though it knows the method: by bits, symmetry, format and GPU.

Source: vLLM 0.32, model_executor/layers/quantization: auto_gptq.py, auto_awq.py, utils/marlin_utils.py,
inc/schemes/inc_wna16_scheme.py and inc_wna16_linear.py, moe_wna16.py, compressed_tensors/compressed_tensors.py. Other
releases have other kernels.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..api.reasons import Reason
from ..api.vocabulary import VLLM_VERSION
from .quantization import method_of
from .rules import Question, Refusal
from .splits import quantized, quantized_experts

Settings = Mapping[str, Any]
_OTHER_KERNELS = "humming"
"""What has kernels for all of these, where the spec asks for it."""
_GPTQ_BITS, _AWQ_BITS = (4, 8), (4,)
_LOW_BITS = (2, 3, 5, 6, 7)
"""AutoRound's widths that vLLM has other kernels for, on NVIDIA's GPUs alone."""
_GROUPS = (0, 32, 64, 128)
"""Marlin's groups of inputs; 0: all of them."""
_ASYMMETRIC = "asymmetric weights (sym: false)"
_INTO_INTEGERS = "pack-quantized"
_HOPPER = (9, 0)
# What the checkpoint has, and what one of the same method is to have.
_Unserved = tuple[str, str]
_GPTQ_WAY_OUT = "with 4 or 8 bits, symmetric, in groups of 32, 64 or 128"


def check(question: Question) -> Refusal | None:
    """What the checkpoint has that the shipped vLLM ends with while it makes the model; None: nothing."""
    method, settings = method_of(question.model), question.model.quantization or {}
    look = _ROWS.get(method)
    if look is None or not question.as_shipped or question.spec.quantization == _OTHER_KERNELS:
        return None
    for what, instead in look(question, settings):
        return Refusal(
            Reason.QUANTIZATION_KERNEL,
            f"vLLM {VLLM_VERSION} does not serve {method} checkpoints with {what}: use one {instead}",
        )
    return _needs_hopper(question, settings)


def _gptq(question: Question, settings: Settings) -> Iterator[_Unserved]:
    for one in _parts(settings):
        if one.get("bits", 4) not in _GPTQ_BITS:
            yield f"{one['bits']} bits", _GPTQ_WAY_OUT
        if one.get("sym") is False:
            yield _ASYMMETRIC, _GPTQ_WAY_OUT
    yield from _marlin_groups(question)


def _marlin_groups(question: Question) -> Iterator[_Unserved]:
    """Of experts other groups are taken, by kernels that are not Marlin's."""
    for _, scheme in quantized(question):
        if scheme.bits in _GPTQ_BITS and scheme.group not in _GROUPS:
            yield f"groups of {scheme.group} inputs", _GPTQ_WAY_OUT


def _awq(question: Question, settings: Settings) -> Iterator[_Unserved]:
    bits = settings.get("w_bit", settings.get("bits", 4))
    if bits not in _AWQ_BITS:
        yield f"{bits} bits", "with 4 bits"


def _auto_round(question: Question, settings: Settings) -> Iterator[_Unserved]:
    """Of int weights. Experts have kernels for asymmetric ones and for any groups, but for no more bits."""
    if str(settings.get("data_type") or "int") != "int":
        return
    as_gptq = "gptq" in f"{settings.get('packing_format') or 'auto_round:auto_gptq'} {settings.get('backend') or ''}"
    served = _GPTQ_BITS if as_gptq and question.gpu.vendor != "cpu" else _AWQ_BITS
    few = _LOW_BITS if question.gpu.vendor == "nvidia" else ()
    packed, instead = ("", _GPTQ_WAY_OUT) if as_gptq else (" packed as AWQ's", "with 4 bits, or packed as GPTQ's")
    for _, scheme in (*quantized(question), *quantized_experts(question)):
        if scheme.bits not in (*served, *few):
            yield f"{scheme.bits} bits{packed}", instead
    if not as_gptq:
        return
    if any(scheme.bits in served and not scheme.symmetric for _, scheme in quantized(question)):
        yield _ASYMMETRIC, _GPTQ_WAY_OUT
    yield from _marlin_groups(question)


def _compressed(question: Question, settings: Settings) -> Iterator[_Unserved]:
    sparsity = settings.get("sparsity_config")
    if isinstance(sparsity, Mapping) and sparsity.get("targets"):
        yield "sparse weights (sparsity_config)", "without sparsity"
    for group, weights in _groups(settings):
        form = group.get("format") or settings.get("format")
        if not group.get("input_activations") and _type(weights) == "int" and form != _INTO_INTEGERS:
            yield f"integer weights of format {form}", f"of format {_INTO_INTEGERS}"


def _needs_hopper(question: Question, settings: Settings) -> Refusal | None:
    """Integers of 4 bits beside fp8 activations: matrices' kernels are for one GPU (`_is_fp8_w4a8_sm90`)."""
    capability = question.capability
    if method_of(question.model) != "compressed-tensors" or capability in (None, _HOPPER):
        return None
    if not any(_integers_beside_fp8(*one) for one in _groups(settings)):
        return None
    if not any(scheme.bits == 4 for _, scheme in quantized(question)):
        return None
    return Refusal(
        Reason.QUANTIZATION_GPU,
        f"weights of 4 bits beside fp8 activations need a GPU of compute capability 9.0, no older and no newer one, "
        f"and {question.capability_words}: use an H100, or a checkpoint that quantizes weights alone",
    )


def _integers_beside_fp8(group: Settings, weights: Settings) -> bool:
    inputs = group.get("input_activations")
    return (
        isinstance(inputs, Mapping)
        and (_type(weights), weights.get("num_bits")) == ("int", 4)
        and (_type(inputs), inputs.get("num_bits")) == ("float", 8)
    )


def _type(numbers: Settings) -> str:
    return str(numbers.get("type") or "int").lower()


def _groups(settings: Settings) -> Iterator[tuple[Settings, Settings]]:
    """Groups of matrices with what is said of their weights, without those of a KV cache (`from_config`)."""
    found = settings.get("config_groups")
    for group in found.values() if isinstance(found, Mapping) else ():
        targets = [str(target) for target in group.get("targets") or ()]
        if len(targets) == 1 and targets[0].endswith("Attention"):
            continue
        if isinstance(weights := group.get("weights"), Mapping):
            yield group, weights


def _parts(settings: Settings) -> Iterator[Settings]:
    """The settings for all, and those of modules that have some of their own (dynamic); -: begins what is left out."""
    yield settings
    own = settings.get("dynamic")
    for name, change in own.items() if isinstance(own, Mapping) else ():
        if isinstance(change, Mapping) and not name.startswith("-:"):
            yield {**settings, **change}


_ROWS: dict[str, Callable[[Question, Settings], Iterator[_Unserved]]] = {
    "gptq": _gptq, "awq": _awq, "auto-round": _auto_round, "compressed-tensors": _compressed,
}  # fmt: skip
