"""What a checkpoint's quantization_config says, made into a `Scheme`: one function for each method of vLLM 0.32.

Sources: vLLM 0.32, model_executor/layers/quantization/{auto_awq,auto_gptq,fp8,modelopt,mxfp4}.py, compressed_tensors/,
quark/, inc/. Values come from strangers: a ModelConfigError says which one no checkpoint can have.
"""

from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import replace
from typing import Any

from .schemes import MXFP4_BLOCK, NO_RULES, Rules, Scheme
from .selection import Match, Selection
from .values import ModelConfigError, flag, mapping, whole, words

Settings = Mapping[str, Any]
MOST_MODULES = 1 << 16
"""Entries of quantized_layers: each expert of each layer has three."""
MOST_KINDS = 16
"""Ways to store a matrix within one model."""
_WIDTHS = range(2, 9)
_ALL = ("Linear", "FusedMoE", "LinearBase")


def _bits(settings: Settings, *names: str, default: int = 4) -> int:
    name = next((name for name in names if settings.get(name) is not None), names[0])
    bits = whole(name, settings.get(name, default))
    if bits not in _WIDTHS:
        raise ModelConfigError(f"the model config's quantization has {bits} {name}, and there are 2 to 8")
    return bits


def _group(settings: Settings, *names: str, default: int = 128) -> int:
    """Inputs that share a scale; 0 for all of them."""
    value = next((settings[name] for name in names if settings.get(name) is not None), default)
    return 0 if value == -1 else whole("group_size", value)


def _block(value: Any) -> tuple[int, int]:
    """Rows and columns: two numbers, or of old checkpoints words like 128x128."""
    if isinstance(value, str) and all(part.isdecimal() for part in value.split("x")):
        value = [int(part) for part in value.split("x")]
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ModelConfigError(f"the model config's weight_block_size is {value!r:.60}, not two numbers")
    rows, columns = (whole("weight_block_size", one) for one in value)
    if not rows or not columns:
        raise ModelConfigError("the model config's weight_block_size has a 0")
    return rows, columns


def _rules(ignored: tuple[str, ...], match: Match = Match.NAMES) -> Rules:
    return Rules(Selection.of(ignored, match))


def _truth(settings: Settings, name: str, *, default: bool = False) -> bool:
    value = settings.get(name)
    return default if value is None else flag(name, value)


def _few(kinds: Sized) -> None:
    """Raises ModelConfigError where a checkpoint stores its matrices in more ways than any does."""
    if len(kinds) > MOST_KINDS:
        raise ModelConfigError(
            f"the model config's quantization has {len(kinds)} kinds of matrices, which no model has"
        )


def _by_scheme(
    entries: Iterable[tuple[str, Scheme | None]], match: Match
) -> tuple[tuple[Selection, Scheme | None], ...]:
    """Modules by how they are stored, so that each way is looked for once."""
    found: dict[Scheme | None, list[str]] = {}
    for name, scheme in entries:
        found.setdefault(scheme, []).append(name)
    _few(found)
    return tuple((Selection.of(tuple(names), match), scheme) for scheme, names in found.items())


def awq(settings: Settings) -> Scheme:
    """4 bits, groups with zero points."""
    bits, group = _bits(settings, "bits", "w_bit"), _group(settings, "group_size", "q_group_size")
    left = words("modules_to_not_convert", settings.get("modules_to_not_convert"))
    return Scheme("awq", bits, group, scale_bytes=2, zero_bits=bits, head=_truth(settings, "lm_head"),
                  rules=_rules(left, Match.PARTS))  # fmt: skip


def gptq(settings: Settings) -> Scheme:
    """2 to 8 bits, groups with zero points; `dynamic` leaves modules out (-:) or stores them otherwise (+:)."""
    bits, group = _bits(settings, "bits"), _group(settings, "group_size")
    base = Scheme("gptq", bits, group, scale_bytes=2, zero_bits=bits, head=_truth(settings, "lm_head"))
    left, others = list[str](), list[tuple[str, Scheme | None]]()
    for key, change in mapping("dynamic", settings.get("dynamic")).items():
        if key.startswith("-:"):
            left.append(f"re:{key[2:]}")
        else:
            own = {**settings, **mapping("dynamic", change), "dynamic": None}
            others.append((f"re:{key.removeprefix('+:')}", replace(gptq(own), rules=NO_RULES)))
    groups = [*_by_scheme(others, Match.PATTERNS)]
    inside = settings.get("modules_in_block_to_quantize")
    if inside:
        names = tuple(name for row in inside for name in (row if isinstance(row, list) else [row]))
        groups.append((Selection.of(words("modules_in_block_to_quantize", names), Match.PARTS), base))
    rules = Rules(Selection.of(tuple(left), Match.PATTERNS), tuple(groups), rest=not inside)
    return replace(base, rules=rules)


def fp8(settings: Settings) -> Scheme:
    """8 bits: a scale for each matrix, or for each block."""
    left = words("ignored_layers", settings.get("ignored_layers") or settings.get("modules_to_not_convert"))
    rules = Rules(Selection.of(left), _fp4_experts(settings))
    if block := settings.get("weight_block_size"):
        return Scheme("fp8", 8, block=_block(block), rules=rules)
    static = 4 if settings.get("activation_scheme") == "static" else 0
    return Scheme("fp8", 8, tensor_bytes=4 + static, rules=rules, fused_input="fp8")


def _fp4_experts(settings: Settings) -> tuple[tuple[Selection, Scheme | None], ...]:
    """DeepSeek V4's experts have 4 bits beside matrices of 8 (expert_dtype)."""
    if settings.get("moe_quant_algo") == "NVFP4":
        scheme = _MODELOPT["NVFP4"](_algorithm_group(settings))
    elif settings.get("expert_dtype") == "fp4":
        scheme = Scheme("mxfp4", 4, MXFP4_BLOCK, scale_bytes=1)
    else:
        return ()
    return ((Selection.of(("ffn.experts", "mlp.experts")), scheme),)


def compressed_tensors(settings: Settings) -> Scheme:
    """Groups of modules, each with a scheme of its own; `targets` are classes, names or patterns."""
    groups = mapping("config_groups", settings.get("config_groups"))
    _few(groups)
    left = Selection.of(words("ignore", settings.get("ignore")), Match.PATTERNS)
    found: list[tuple[Selection, Scheme | None]] = []
    rest: Scheme | None = None
    head = False
    for group in groups.values():
        entries = mapping("config_groups", group)
        one, targets = _compressed(entries), words("targets", entries.get("targets"))
        named = tuple(target for target in targets if target not in _ALL)
        head |= any("lm_head" in target for target in named)
        if named:
            found.append((Selection.of(named, Match.PATTERNS), one))
        if len(named) < len(targets) or not targets:
            rest = rest or one
    main = rest or next((one for _, one in found if one), Scheme("compressed-tensors", 8))
    return replace(main, head=head, rules=Rules(left, tuple(found), rest=rest is not None or not found))


def _compressed(group: Settings) -> Scheme:
    weights, inputs = mapping("weights", group.get("weights")), group.get("input_activations")
    bits, strategy = _bits(weights, "num_bits", default=8), weights.get("strategy")
    size, name = _group(weights, "group_size", default=0), "compressed-tensors"
    floats = weights.get("type") == "float"
    if floats and size == MXFP4_BLOCK:
        return Scheme(name, bits, MXFP4_BLOCK, scale_bytes=1)
    if floats and bits == 4:
        return Scheme(name, 4, 16, scale_bytes=1, tensor_bytes=8)
    if block := weights.get("block_structure"):
        return Scheme(name, bits, block=_block(block))
    fused = ("fp8" if floats else "int8") if inputs else ""
    if strategy == "tensor":
        return Scheme(name, bits, tensor_bytes=8 if inputs else 4, fused_input=fused)
    if strategy in {"group", "tensor_group"} or not inputs:
        zeros = 0 if _truth(weights, "symmetric", default=True) else bits
        return Scheme(name, bits, size, scale_bytes=2, zero_bits=zeros)
    return Scheme(name, bits, scale_bytes=4, fused_input=fused)


# Of ModelOpt's algorithms: what each stores.
_MODELOPT: dict[str, Callable[[int], Scheme]] = {
    "FP8": lambda _: Scheme("modelopt", 8, tensor_bytes=8, fused_input="fp8"),
    "FP8_PER_CHANNEL_PER_TOKEN": lambda _: Scheme("modelopt", 8, scale_bytes=4, fused_input="fp8"),
    "FP8_PB_WO": lambda group: Scheme("modelopt", 8, block=(group or 128, group or 128)),
    "FP8_BLOCK_SCALES": lambda group: Scheme("modelopt", 8, block=(group or 128, group or 128)),
    "NVFP4": lambda group: Scheme("modelopt_fp4", 4, group or 16, 1, tensor_bytes=8),
    "W4A16_NVFP4": lambda group: Scheme("modelopt_fp4", 4, group or 16, 1, tensor_bytes=4),
    "MXFP8": lambda _: Scheme("modelopt_mxfp8", 8, MXFP4_BLOCK, scale_bytes=1),
}


def modelopt(settings: Settings) -> Scheme | None:
    """One algorithm for all, or with MIXED_PRECISION one for each module that is named."""
    inner = settings.get("quantization")
    content = inner if isinstance(inner, Mapping) else settings
    algorithm = str(content.get("quant_algo") or settings.get("quant_algo") or "").upper()
    left = words("exclude_modules", content.get("exclude_modules") or content.get("ignore"))
    rules = _rules(left, Match.WILDCARDS)
    if algorithm == "MIXED_PRECISION":
        return _mixed(mapping("quantized_layers", content.get("quantized_layers")), rules)
    build = _MODELOPT.get(algorithm)
    return replace(build(_algorithm_group(content)), rules=rules) if build else None


def _algorithm_group(content: Settings) -> int:
    if content.get("group_size") is not None:
        return whole("group_size", content["group_size"])
    for group in mapping("config_groups", content.get("config_groups")).values():
        size = mapping("weights", mapping("config_groups", group).get("weights")).get("group_size")
        if size is not None:
            return whole("group_size", size)
    return 0


def _mixed(layers: Settings, left: Rules) -> Scheme | None:
    named: dict[tuple[str, int], list[str]] = {}
    kinds: dict[tuple[Any, Any], tuple[str, int]] = {}
    if len(layers) > MOST_MODULES:
        raise ModelConfigError(f"the model config's quantized_layers names {len(layers):,} modules, which no model has")
    for name, entry in layers.items():
        if ".experts." in name and ".experts.0." not in name:
            continue  # all experts of a layer are alike, or vLLM would refuse
        content = mapping("quantized_layers", entry)
        said = (str(content.get("quant_algo")), str(content.get("group_size")))
        if said not in kinds:  # files name tens of thousands of modules, of a few kinds
            kinds[said] = str(content.get("quant_algo") or "").upper(), _algorithm_group(content)
        named.setdefault(kinds[said], []).append(name)
    groups: list[tuple[Selection, Scheme | None]] = []
    _few(named)
    for (algorithm, group), names in named.items():
        if algorithm not in _MODELOPT:
            return None
        groups.append((Selection.of(tuple(names)), _MODELOPT[algorithm](group)))
    if not groups:
        return None
    widest = max((scheme for _, scheme in groups if scheme), key=lambda scheme: scheme.bits)
    head = next((scheme for selection, scheme in groups if "lm_head" in selection.names), None)
    rules = Rules(left.ignored, tuple(groups), rest=False, head=head)
    return replace(widest, method="modelopt_mixed", head=head is not None, rules=rules)


def mxfp4(settings: Settings) -> Scheme:
    """4 bits, experts only (gpt-oss)."""
    left = words("modules_to_not_convert", settings.get("modules_to_not_convert"))
    return Scheme("mxfp4", 4, MXFP4_BLOCK, scale_bytes=1, experts_only=True, rules=_rules(left))


def quark(settings: Settings) -> Scheme | None:
    """AMD Quark: one scheme for all, others for modules that are named."""
    general = mapping("global_quant_config", settings.get("global_quant_config"))
    base = _quark(general)
    named = mapping("layer_quant_config", settings.get("layer_quant_config"))
    others = [(name, _quark(mapping("layer_quant_config", entry))) for name, entry in named.items()]
    if base is None or any(scheme is None for _, scheme in others):
        return None
    left = Selection.of(words("exclude", settings.get("exclude")), Match.PATTERNS)
    return replace(base, rules=Rules(left, _by_scheme(others, Match.WILDCARDS)))


def _quark(settings: Settings) -> Scheme | None:
    weight, inputs = settings.get("weight"), settings.get("input_tensors")
    weight = weight[0] if isinstance(weight, list) and weight else weight
    content = mapping("weight", weight)
    dtype, scheme = content.get("dtype"), content.get("qscheme")
    if dtype in {"fp8_e4m3", "int8"} and scheme in {"per_tensor", "per_channel"}:
        fused = ("int8" if dtype == "int8" else "fp8") if inputs else ""
        static = 4 if isinstance(inputs, Mapping) and inputs.get("is_dynamic") is False else 0
        if scheme == "per_tensor":
            return Scheme("quark", 8, tensor_bytes=4 + static, fused_input=fused)
        return Scheme("quark", 8, scale_bytes=4, tensor_bytes=static, fused_input=fused)
    if dtype in {"fp4", "fp6_e2m3", "fp6_e3m2"} and scheme == "per_group":
        return Scheme("quark", 4 if dtype == "fp4" else 6, MXFP4_BLOCK, scale_bytes=1)
    return None


def auto_round(settings: Settings) -> Scheme | None:
    """Intel's AutoRound, stored as GPTQ or AWQ; modules may have bits of their own, 16 for none."""
    if str(settings.get("data_type") or "int") not in {"int", "int_sym", "int_asym"}:
        return None
    base = _rounded(settings)
    others: list[tuple[str, Scheme | None]] = []
    for name, entry in mapping("extra_config", settings.get("extra_config")).items():
        own = {**settings, **mapping("extra_config", entry)}
        pattern = f"re:{name}" if any(sign in name for sign in "*^$|[\\") else name
        others.append((pattern, None if own.get("bits") == 16 else _rounded(own)))
    return replace(base, rules=Rules(Selection.of(()), _by_scheme(others, Match.PATTERNS)))


def _rounded(settings: Settings) -> Scheme:
    bits, group = _bits(settings, "bits"), _group(settings, "group_size")
    symmetric = settings.get("sym") is not False
    return Scheme("auto-round", bits, group, scale_bytes=2, zero_bits=bits, symmetric=symmetric)


BUILDERS: dict[str, Callable[[Settings], Scheme | None]] = {
    "awq": awq, "auto_awq": awq, "awq_marlin": awq, "gptq": gptq, "auto_gptq": gptq, "gptq_marlin": gptq, "fp8": fp8,
    "fbgemm_fp8": fp8, "compressed-tensors": compressed_tensors, "modelopt": modelopt, "modelopt_fp4": modelopt,
    "nvfp4": modelopt, "modelopt_mxfp8": modelopt, "modelopt_mixed": modelopt, "mxfp4": mxfp4, "gpt_oss_mxfp4": mxfp4,
    "quark": quark, "auto-round": auto_round, "inc": auto_round,
}  # fmt: skip
