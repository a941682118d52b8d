"""How a checkpoint's quantization stores a matrix: bytes, group sizes, and which matrices it leaves alone.

Formulas: vLLM 0.32, model_executor/layers/quantization. Whether a GPU can run it is decided in `refusals.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .shapes import Linear, Model

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "half": 2, "float32": 4, "float": 4}
MXFP4_BLOCK = 32


@dataclass(frozen=True, slots=True)
class Scheme:
    """How matrices are stored: `bits` per weight, and what each group or block of weights carries besides."""

    method: str
    """vLLM's name of the quantization; "" for none."""
    bits: float
    group: int = 0
    """Inputs that share a scale; 0: a whole column of them."""
    scale_bytes: float = 0
    """Bytes of scales, for each output and group (or for each block)."""
    zero_bits: float = 0
    """Bits of zero points, for each output and group."""
    block: tuple[int, int] | None = None
    """Outputs and inputs of a block that shares one float32 scale."""
    index_bytes: int = 0
    """Bytes for each input (GPTQ's order of activations)."""
    tensor_bytes: int = 0
    """Bytes for each matrix."""
    experts_only: bool = False
    linears_only: bool = False
    head: bool = False
    """Whether the output head is quantized as well."""
    ignored: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    fused_input: str = ""
    """fp8 or int8 where inputs are quantized too, in one kernel with what comes before; "" where they are not."""

    def matrix_bytes(self, rows: int, columns: int) -> int:
        """Bytes of a matrix of `rows` outputs and `columns` inputs on one rank."""
        weights = rows * columns * self.bits / 8
        if self.block:
            scales = 4.0 * -(-rows // self.block[0]) * -(-columns // self.block[1])
        else:
            groups = -(-columns // self.group) if self.group > 0 else 1
            scales = rows * groups * (self.scale_bytes + self.zero_bits / 8)
        return int(weights + scales + self.index_bytes * columns + self.tensor_bytes)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which modules a scheme leaves unquantized. Names are exact, prefixes with a dot after them, or patterns."""

    names: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]

    @classmethod
    def of(cls, entries: tuple[str, ...]) -> "Selection":
        """From the entries of an ignore list: `re:` starts a pattern, `*` stands for anything, the rest are names."""
        patterns, names = [], set()
        for entry in entries:
            if entry.startswith("re:"):
                patterns.append(re.compile(entry[3:]))
            elif "*" in entry:
                patterns.append(re.compile(".*".join(re.escape(part) for part in entry.split("*")) + r"(\..*)?$"))
            else:
                names.add(entry.removeprefix("model.").removeprefix("language_model."))
        return cls(frozenset(names), tuple(patterns))

    def has(self, name: str) -> bool:
        """Whether the module with this full name is on the list, by itself, a parent, or its last part."""
        short = name.removeprefix("model.")
        parts = short.split(".")
        if any(".".join(parts[: end + 1]) in self.names for end in range(len(parts))):
            return True
        if any(part in self.names for part in parts) or ".".join(parts[-2:]) in self.names:
            return True
        return any(pattern.match(name) for pattern in self.patterns)


def _awq(config: Mapping[str, Any]) -> Scheme:
    bits = int(config.get("bits") or config.get("w_bit") or 4)
    group = int(config.get("group_size") or config.get("q_group_size") or 128)
    ignored = tuple(config.get("modules_to_not_convert") or ())
    return Scheme("awq", bits, group, scale_bytes=2, zero_bits=bits, head=bool(config.get("lm_head")), ignored=ignored)


def _gptq(config: Mapping[str, Any]) -> Scheme:
    bits = int(config.get("bits", 4))
    order = 4 if config.get("desc_act") else 0
    left = tuple(f"re:{key[2:]}" for key in (config.get("dynamic") or {}) if key.startswith("-:"))
    return Scheme(
        "gptq", bits, int(config.get("group_size", 128)), scale_bytes=2, zero_bits=bits, index_bytes=order,
        head=bool(config.get("lm_head")), ignored=left + tuple(config.get("modules_in_block_to_quantize_not") or ()),
    )  # fmt: skip


def _fp8(config: Mapping[str, Any]) -> Scheme:
    ignored = tuple(config.get("ignored_layers") or config.get("modules_to_not_convert") or ())
    if block := config.get("weight_block_size"):
        return Scheme("fp8", 8, block=(int(block[0]), int(block[1])), ignored=ignored)
    static = 4 if config.get("activation_scheme") == "static" else 0
    return Scheme("fp8", 8, tensor_bytes=4 + static, ignored=ignored, fused_input="fp8")


def _compressed_tensors(config: Mapping[str, Any]) -> Scheme:
    groups = list((config.get("config_groups") or {}).values())
    weights = (groups[0].get("weights") if groups else None) or {}
    bits, strategy = int(weights.get("num_bits", 8)), weights.get("strategy")
    group = int(weights.get("group_size") or 0)
    ignored, name = tuple(config.get("ignore") or ()), "compressed-tensors"
    targets = tuple(groups[0].get("targets") or ()) if groups else ()
    if bits == 4 and weights.get("type") == "float":
        if group == MXFP4_BLOCK:
            return Scheme(name, 4, MXFP4_BLOCK, scale_bytes=1, ignored=ignored, targets=targets)
        return Scheme(name, 4, 16, scale_bytes=1, tensor_bytes=8, ignored=ignored, targets=targets)
    if block := weights.get("block_structure"):
        return Scheme(name, bits, block=(int(block[0]), int(block[1])), ignored=ignored, targets=targets)
    activations = (groups[0].get("input_activations") if groups else None) or None
    fused = ("fp8" if weights.get("type") == "float" else "int8") if activations else ""
    if strategy == "tensor":
        size = 8 if activations else 4
        return Scheme(name, bits, tensor_bytes=size, ignored=ignored, targets=targets, fused_input=fused)
    if strategy in {"group", "tensor_group"} or not activations:
        zeros = 0 if weights.get("symmetric", True) else bits
        return Scheme(name, bits, group, scale_bytes=2, zero_bits=zeros, ignored=ignored, targets=targets)
    return Scheme(name, bits, scale_bytes=4, ignored=ignored, targets=targets, fused_input=fused)


def _modelopt(config: Mapping[str, Any]) -> Scheme:
    content = config.get("quantization") or config
    algorithm = str(content.get("quant_algo") or "FP8").upper()
    ignored = tuple(content.get("exclude_modules") or content.get("ignore") or ())
    if "NVFP4" in algorithm:
        return Scheme("modelopt_fp4", 4, int(content.get("group_size") or 16), 1, tensor_bytes=8, ignored=ignored)
    if "MXFP8" in algorithm:
        return Scheme("modelopt_mxfp8", 8, MXFP4_BLOCK, scale_bytes=1, ignored=ignored)
    return Scheme("modelopt", 8, tensor_bytes=8, ignored=ignored, fused_input="fp8")


def _mxfp4(config: Mapping[str, Any]) -> Scheme:
    ignored = tuple(config.get("modules_to_not_convert") or ())
    return Scheme("mxfp4", 4, MXFP4_BLOCK, scale_bytes=1, experts_only=True, ignored=ignored)


_CHECKPOINT = {
    "awq": _awq, "auto_awq": _awq, "awq_marlin": _awq, "gptq": _gptq, "auto_gptq": _gptq, "gptq_marlin": _gptq,
    "fp8": _fp8, "fbgemm_fp8": _fp8, "compressed-tensors": _compressed_tensors, "modelopt": _modelopt,
    "modelopt_fp4": _modelopt, "nvfp4": _modelopt, "modelopt_mxfp8": _modelopt, "mxfp4": _mxfp4,
    "gpt_oss_mxfp4": _mxfp4,
}  # fmt: skip

# What vLLM quantizes itself while it loads an unquantized checkpoint. The output head and embeddings stay as they are.
_ONLINE = {
    "fp8": Scheme("fp8_per_tensor", 8, tensor_bytes=4, fused_input="fp8"),
    "fp8_per_tensor": Scheme("fp8_per_tensor", 8, tensor_bytes=4, fused_input="fp8"),
    "fp8_per_channel": Scheme("fp8_per_channel", 8, scale_bytes=4, fused_input="fp8"),
    "fp8_per_block": Scheme("fp8_per_block", 8, block=(128, 128)),
    "mxfp8": Scheme("mxfp8", 8, MXFP4_BLOCK, scale_bytes=1),
    "mxfp4": Scheme("mxfp4", 4, MXFP4_BLOCK, scale_bytes=1),
    "nvfp4_per_token": Scheme("nvfp4_per_token", 4, 16, scale_bytes=1, tensor_bytes=8),
    "int8_per_channel_weight_only": Scheme("int8_per_channel_weight_only", 8, scale_bytes=4, experts_only=True),
    "experts_int8": Scheme("experts_int8", 8, scale_bytes=4, experts_only=True),
}

# Other spellings of the same quantization.
ALIASES = {
    "awq_marlin": "awq", "auto_awq": "awq", "gptq_marlin": "gptq", "auto_gptq": "gptq", "gpt_oss_mxfp4": "mxfp4",
    "nvfp4": "modelopt_fp4",
}  # fmt: skip


def method_of(model: Model) -> str:
    """The quantization that the checkpoint says it has, as vLLM spells it; "" for none."""
    config = model.quantization
    if not config:
        return ""
    if "quantization" in config:  # hf_quant_config.json
        config = {**config["quantization"], "quant_method": "modelopt"}
    method = str(config.get("quant_method") or "")
    if method == "modelopt" and "NVFP4" in str(config.get("quant_algo") or "").upper():
        return "modelopt_fp4"
    return ALIASES.get(method, method)


def scheme_of(model: Model, requested: str | None) -> Scheme | None:
    """How the matrices are stored; None for a quantization whose storage the planner does not know."""
    method = method_of(model)
    if not method:
        if not requested:
            return Scheme("", 8 * DTYPE_BYTES[model.dtype])
        return _ONLINE.get(requested)
    build = _CHECKPOINT.get(method)
    return build(model.quantization or {}) if build else None


def kv_dtype_of(model: Model) -> str:
    """The type of the KV cache that the checkpoint asks for; "auto" where it says nothing."""
    config = model.quantization or {}
    content = config.get("quantization") or config
    scheme = config.get("kv_cache_scheme")
    algorithm = str(content.get("kv_cache_quant_algo") or "").upper()
    if algorithm == "FP8" or (isinstance(scheme, Mapping) and scheme.get("num_bits") == 8):
        return "fp8"
    return "auto"


def is_quantized(scheme: Scheme, selection: Selection, linear: Linear, prefix: str) -> bool:
    """Whether this matrix, in the layer named by `prefix`, is stored by the scheme."""
    return bool(
        scheme.method
        and linear.quantizable
        and not scheme.experts_only
        and not selection.has(f"{prefix}.{linear.name}")
    )
