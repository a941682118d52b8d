"""Which quantizations vLLM takes: known ones, in accord with the checkpoint, on this GPU, with this type.

Source: vLLM 0.32, config/model.py (`_verify_quantization`), config/vllm.py (`_get_quantization_config`), and each
method's `override_quantization_method`, `get_min_capability` and `get_supported_act_dtypes`. Which quantizations older
ones had, and what those needed, was read for 0.11 alone: of the others what both refuse is refused.
"""

from collections.abc import Mapping
from typing import Any

from ..api.flags.versions import needs
from ..api.reasons import Reason
from ..api.vocabulary import GONE_QUANTIZATIONS, QUANTIZATIONS, VLLM_VERSION
from .quantization import ALIASES, method_of
from .rules import Check, Question, Refusal
from .versions import is_since

DEPRECATED = ("fbgemm_fp8", "fp_quant")
# Of a checkpoint only; the spec's words are in the vocabulary.
_OF_CHECKPOINTS = frozenset({*QUANTIZATIONS, *DEPRECATED, "auto-round", "online"})
_NO_QUANTIZATION = ("", "none")
# Of a checkpoint these have stricter needs than where vLLM makes them itself (config/quantization.py).
_ALSO_ONLINE = ("mxfp4", "mxfp8")

# What may be asked of a checkpoint besides its own method.
_OVERRIDES: dict[str, frozenset[str]] = {
    "awq": frozenset({"awq", "awq_marlin", "auto_awq", "moe_wna16"}),
    "gptq": frozenset({"gptq", "gptq_marlin", "auto_gptq", "moe_wna16"}),
}
# These checkpoints override whatever is asked.
_ALWAYS = frozenset({"auto-round", "modelopt", "modelopt_fp4", "modelopt_mxfp8", "modelopt_mixed"})

# Least compute capability, in tenths. 75 is also that of every quantization that vLLM makes while it loads.
_LEAST: dict[str, int] = {
    "gptq": 60, "inc": 60, "auto-round": 60, "quark": 70, "moe_wna16": 70, "compressed-tensors": 70, "modelopt": 80,
    "modelopt_mxfp8": 80, "mxfp4": 80, "experts_int8": 80, "fbgemm_fp8": 80, "fp_quant": 100,
}  # fmt: skip
_LEAST_OTHERS = 75
# What vLLM 0.11 wants more of.
_LEAST_SINCE = (0, 12)
_LEAST_BEFORE = {"fp8": 80, "modelopt": 89, "modelopt_fp4": 80}
_TENTHS = 10
_NVFP4_FAMILY = 10
# platforms/rocm.py, supported_quantization.
ON_AMD = frozenset({
    "awq", "gptq", "fp8", "deepseek_v4_fp8", "compressed-tensors", "fbgemm_fp8", "inc", "auto-round", "quark", "mxfp4",
    "mxfp8", "torchao", "modelopt", "modelopt_fp4", "modelopt_mxfp8", "modelopt_mixed", "fp8_per_tensor",
    "fp8_per_block", "fp8_per_channel", "online",
})  # fmt: skip

_ANY_DTYPE = frozenset({"compressed-tensors", "torchao"})
_BFLOAT16_ONLY = frozenset({"mxfp4", "modelopt_mxfp8", "fp_quant"})


def _used(question: Question) -> str:
    """The method in use, the checkpoint's or the one asked for; "" for none."""
    asked, own = question.spec.quantization or "", _checkpoint(question)
    if own == "mxfp8":
        return "modelopt_mxfp8"
    if not own and asked in _ALSO_ONLINE:
        return "online"
    return own or ALIASES.get(asked, asked)


def _checkpoint(question: Question) -> str:
    method = method_of(question.model).lower()
    return "" if method in _NO_QUANTIZATION else method


def _gone(question: Question) -> Refusal | None:
    if question.is_older:
        return None
    for method in (question.spec.quantization, _checkpoint(question)):
        if method in GONE_QUANTIZATIONS:
            return Refusal(
                Reason.QUANTIZATION_GONE,
                f"vLLM no longer has the quantization {method}: use an AWQ, GPTQ or fp8 checkpoint of the model",
            )
    return None


def _too_new(question: Question) -> Refusal | None:
    """What the image's vLLM does not have yet. What the spec asks for is looked at before there is a plan."""
    own = _checkpoint(question)
    since = needs(f"quantization={own}", question.spec.image)
    if since is None:
        return None
    return Refusal(
        Reason.QUANTIZATION_UNKNOWN,
        f"the checkpoint is quantized with {own}, which vLLM has since {since} and the image has "
        f"{question.engine.version}: use a newer image, or another checkpoint",
    )


def _unknown(question: Question) -> Refusal | None:
    asked, own = question.spec.quantization, _checkpoint(question)
    if asked and asked not in QUANTIZATIONS:
        known = ", ".join(QUANTIZATIONS)
        return Refusal(
            Reason.QUANTIZATION_UNKNOWN,
            f"vLLM has no quantization {asked}: remove it to use what the checkpoint says, or set one of {known}",
        )
    if own and own not in _OF_CHECKPOINTS and not _only_older(question, own):
        return Refusal(
            Reason.QUANTIZATION_UNKNOWN,
            f"the checkpoint is quantized with {own}, which vLLM does not have: use an AWQ, GPTQ or fp8 checkpoint",
        )
    return None


def _deprecated(question: Question) -> Refusal | None:
    used = _used(question)
    allowed = question.is_older or "--allow-deprecated-quantization" in (question.spec.extra_args or [])
    if used not in DEPRECATED or allowed:
        return None
    return Refusal(
        Reason.QUANTIZATION_DEPRECATED,
        f"vLLM no longer serves {used} checkpoints by default: use an fp8 or compressed-tensors checkpoint",
    )


def _only_older(question: Question, method: str) -> bool:
    """Whether only older vLLMs than the project's own, as that of the image, may have it: no rule tells of it here."""
    return question.is_older and method not in _OF_CHECKPOINTS


def _order(question: Question) -> Refusal | None:
    """Matrices whose inputs are ordered by activation in groups (utils/gptq_utils.py, compressed_tensors.py)."""
    own = _checkpoint(question)
    if (
        not question.as_shipped
        or own not in {"gptq", "compressed-tensors"}
        or not _ordered(question.model.quantization or {})
    ):
        return None
    return Refusal(
        Reason.ACTIVATION_ORDER,
        f"vLLM {VLLM_VERSION} does not serve {own} checkpoints whose groups are ordered by activation (desc_act, "
        "actorder): use a checkpoint of the model without it, or with static order",
    )


def _ordered(settings: Mapping[str, Any]) -> bool:
    if settings.get("desc_act") and settings.get("group_size", 128) != -1:
        return True
    groups = settings.get("config_groups")
    weights = [group.get("weights") or {} for group in groups.values()] if isinstance(groups, Mapping) else []
    return any(one.get("actorder") in ("group", "dynamic") for one in weights)


def _mismatch(question: Question) -> Refusal | None:
    asked, own = question.spec.quantization, _checkpoint(question)
    if not asked or not own or own in _ALWAYS or asked == "humming":
        return None
    if own == "mxfp4" and question.model.architecture == "GptOssForCausalLM":
        return None
    exact = own == "awq" and question.gpu.vendor == "cpu"
    if asked == own or (asked in _OVERRIDES.get(own, ()) and not exact):
        return None
    return Refusal(
        Reason.QUANTIZATION_MISMATCH,
        f"the checkpoint is quantized with {own}, and the spec asks for {asked}: remove quantization from the spec",
    )


def least_capability(method: str, version: str | None = None) -> int:
    """The least compute capability that a quantization needs with a vLLM, in tenths: 75 is 7.5."""
    least = _LEAST.get(method, _LEAST_OTHERS)
    return least if is_since(version, _LEAST_SINCE) else _LEAST_BEFORE.get(method, least)


def _least_of_scheme(method: str) -> int:
    """What is not asked of the method as a whole, but of its kernels."""
    # compressed_tensors/schemes: the weakest of its schemes.
    return 75 if method == "compressed-tensors" else 0


def _one_family(question: Question) -> Refusal | None:
    """Experts that vLLM makes NVFP4 itself have a kernel on one family of GPUs alone (quantization/online/nvfp4.py)."""
    capability = question.capability
    if _used(question) != "nvfp4_per_token" or not question.model.experts or capability is None:
        return None
    if capability[0] == _NVFP4_FAMILY:
        return None
    return Refusal(
        Reason.QUANTIZATION_GPU,
        f"nvfp4_per_token needs a GPU of compute capability {_NVFP4_FAMILY}.0 to {_NVFP4_FAMILY}.9 and "
        f"{question.capability_words}: use a B200, or another quantization",
    )


def dtypes(method: str) -> frozenset[str]:
    """Types of what is not quantized that a quantization works with."""
    half = frozenset({"bfloat16"}) if method in _BFLOAT16_ONLY else frozenset({"bfloat16", "float16"})
    return half | {"float32"} if method in _ANY_DTYPE else half


def _on_this_gpu(question: Question) -> Refusal | None:
    method = _used(question)
    if not method:
        return None
    if question.gpu.vendor == "amd" and method not in ON_AMD and not _only_older(question, method):
        return Refusal(
            Reason.QUANTIZATION_GPU,
            f"vLLM does not run {method} on AMD GPUs: use an AWQ, GPTQ or fp8 checkpoint, or an NVIDIA GPU",
        )
    capability, version = question.capability, question.engine.version
    least = 0 if _only_older(question, method) else max(least_capability(method, version), _least_of_scheme(method))
    if capability is None or capability[0] * _TENTHS + capability[1] >= least:
        return None
    return Refusal(
        Reason.QUANTIZATION_GPU,
        f"{method} needs a GPU of compute capability {least / _TENTHS:.1f} and {question.capability_words}: "
        "use a newer GPU, or a checkpoint with another quantization",
    )


def _dtype(question: Question) -> Refusal | None:
    method, dtype = _used(question), question.engine.dtype
    if not method or dtype in dtypes(method) or _only_older(question, method):
        return None
    either = " or ".join(sorted(dtypes(method)))
    return Refusal(
        Reason.QUANTIZATION_DTYPE, f"{method} does not work with {dtype}: remove dtype, or set it to {either}"
    )


CHECKS: tuple[Check, ...] = (
    _gone,
    _too_new,
    _unknown,
    _mismatch,
    _order,
    _deprecated,
    _on_this_gpu,
    _one_family,
    _dtype,
)
