"""A layer's MLP and experts, from a family's row and a config.json: which layers have which, and how wide they are."""

from collections.abc import Callable
from dataclasses import replace

from .config import Config
from .families import Bias, Family, Mlp, Moe
from .shapes import Experts, Layer, Linear, Split
from .values import ModelConfigError


def biased(config: Config, bias: Bias) -> bool:
    """Whether a matrix has a bias."""
    return config.flag(bias) if isinstance(bias, str) else bias


def first_of(config: Config, keys: tuple[str, ...], default: int | None = None, kind: str = "") -> int:
    """The value of the first key that config.json has; of a list, its first.

    Raises ModelConfigError where it has none, without a default.
    """
    found = next((key for key in keys if config.get(key) is not None), None)
    if found is not None:
        return config.element(found, 0, kind)
    if default is None:
        raise ModelConfigError(f"the model config has no {keys[0]}")
    return default


def feed(config: Config, family: Family, index: int) -> Layer:
    """What is in a layer besides its mixer."""
    moe = family.moe
    count = first_of(config, moe.count, 0, "experts") if moe else 0
    if moe is None or not count or not _SPARSE[moe.sparse](config, index):
        return Layer(mlp(config, family.mlp, _dense_width(config, family.mlp, index)), None)
    found = experts_of(config, moe, count)
    if not moe.beside:
        return found
    return replace(found, linears=mlp(config, family.mlp, config.intermediate) + found.linears)


def _dense_width(config: Config, row: Mlp, index: int) -> int:
    key = next((key for key in row.width if config.get(key) is not None), None)
    return config.intermediate if key is None else config.element(key, index, "intermediate_size")


def mlp(config: Config, row: Mlp, width: int) -> tuple[Linear, ...]:
    """The matrices of a dense MLP."""
    return _mlp(config, row.name, width, row, bias=biased(config, row.bias))


def _mlp(config: Config, name: str, width: int, row: Mlp, *, bias: bool) -> tuple[Linear, ...]:
    prefix = f"{name}." if name else ""
    rows, columns = (Split.ROWS, Split.COLUMNS) if row.split else (Split.NONE, Split.NONE)
    gate = (Linear(f"{prefix}gate_proj", width, config.hidden, rows, bias=bias),) if row.gated else ()
    return (
        *gate,
        Linear(f"{prefix}{row.first}", width, config.hidden, rows, bias=bias),
        Linear(f"{prefix}{row.second}", config.hidden, width, columns, bias=bias),
    )


def experts_of(config: Config, moe: Moe, count: int) -> Layer:
    """Router, shared and routed experts of one layer."""
    hidden, prefix = config.hidden, f"{moe.name}." if moe.name else ""
    width = first_of(config, moe.width, config.intermediate)
    inner = first_of(config, moe.hidden, 0) if moe.hidden else 0
    linears = [] if moe.router_float32 else [
        Linear(f"{prefix}{moe.router}", count, hidden, bias=moe.router_bias, quantizable=False)
    ]  # fmt: skip
    if shared := _shared_width(config, moe, width):
        linears += _mlp(config, f"{prefix}{moe.shared}", shared, Mlp(gated=moe.gated), bias=False)
        if moe.shared_gate:
            linears.append(Linear(f"{prefix}{moe.shared}_gate", 1, hidden, quantizable=False))
    if inner:
        linears.append(Linear(f"{prefix}fc1_latent_proj", inner, hidden))
        linears.append(Linear(f"{prefix}fc2_latent_proj", hidden, inner))
    per_token = first_of(config, moe.per_token, 1, "experts")
    # Scores that are not made to a sum of 1 again are no kernel's.
    common = not moe.own_routing and config.get("norm_topk_prob") is not False
    experts = Experts(f"{prefix}{moe.experts}", count, per_token, inner or hidden, width, moe.gated, moe.bias, common)
    corrected = count if _corrected(config, moe) else 0
    return Layer(
        tuple(linears), None, experts, float32_elements=corrected + (count * hidden if moe.router_float32 else 0)
    )


def _corrected(config: Config, moe: Moe) -> bool:
    if moe.correction == "noaux_tc":
        return bool(config.get("topk_method") == "noaux_tc")
    return biased(config, moe.correction)


def _shared_width(config: Config, moe: Moe, width: int) -> int:
    if not moe.shared:
        return 0
    count = first_of(config, moe.shared_count, -1, "experts") if moe.shared_count else -1
    if moe.shared_width and (whole := first_of(config, moe.shared_width, 0)):
        return whole * max(1, count)
    return width * max(0, count)


def _types(config: Config, index: int) -> bool:
    kinds = config.get("mlp_layer_types")
    if isinstance(kinds, list) and kinds:
        return index < len(kinds) and kinds[index] == "sparse"
    return _after_dense(config, index)


def _after_dense(config: Config, index: int) -> bool:
    if isinstance(config.get("moe_layer_freq"), list):
        return _frequency(config, index)
    step = max(1, config.integer("moe_layer_freq", 1))
    return index >= config.integer("first_k_dense_replace", 0) and index % step == 0


def _frequency(config: Config, index: int) -> bool:
    step = config.get("moe_layer_freq")
    return not isinstance(step, list) or (index < len(step) and bool(step[index]))


def _steps(config: Config, index: int) -> bool:
    step = max(1, config.integer("decoder_sparse_step", 1))
    return index not in (config.get("mlp_only_layers") or ()) and (index + 1) % step == 0


def _interleaved(config: Config, index: int) -> bool:
    named = config.get("moe_layers")
    if isinstance(named, list) and named:
        return index in named
    step = config.integer("interleave_moe_layer_step", 1)
    return step > 0 and (index + 1) % step == 0


def _period(config: Config, index: int) -> bool:
    period, offset = config.integer("expert_layer_period", 2), config.integer("expert_layer_offset", 1)
    return index % max(1, period) == offset


def _ernie(config: Config, index: int) -> bool:
    last = config.get("moe_layer_end_index")
    end = config.layers - 1 if last in {None, -1} else config.element("moe_layer_end_index", 0)
    start, step = first_of(config, ("moe_layer_start_index",), 0), first_of(config, ("moe_layer_interval",), 1)
    return start <= index <= end and (index + 1) % max(1, step) == 0


_SPARSE: dict[str, Callable[[Config, int], bool]] = {
    "all": lambda _config, _index: True,
    "after_dense": _after_dense,
    "after_layers": lambda config, index: index >= config.integer("num_dense_layers", 0),
    "steps": _steps,
    "interleaved": _interleaved,
    "period": _period,
    "ernie": _ernie,
    "mlp_types": _types,
    "frequency": _frequency,
    "enabled": lambda config, _index: config.flag("enable_moe_block"),
}
