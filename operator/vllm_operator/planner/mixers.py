"""Layers that keep a state of fixed size in place of keys and values: Mamba, Mamba-2, gated delta rules, short
convolutions. Each gives its matrices and what it caches.

Source: vLLM 0.32, model_executor/layers/mamba (mamba_mixer.py, mamba_mixer2.py, gdn/, kda.py, short_conv.py,
mamba_utils.py for the states).
"""

from collections.abc import Callable

from .config import Config
from .feeds import first_of
from .shapes import Cached, Layer, LayerCache, Linear, Split


def _layer(linears: tuple[Linear, ...], cache: LayerCache, elements: int, split: int, float32: int = 0) -> Layer:
    """A layer of which ranks share out the float32 part."""
    return Layer(linears, cache, None, elements, split, split_float32_elements=float32)


def gated_delta(config: Config, name: str) -> Layer:
    """Qwen3-Next and 3.5: gdn/qwen_gdn_linear_attn.py. The state's type may be one of its own (mamba_ssm_dtype)."""
    key_heads, value_heads = config.integer("linear_num_key_heads"), config.integer("linear_num_value_heads")
    key_size, value_size = config.integer("linear_key_head_dim"), config.integer("linear_value_head_dim")
    kernel, hidden, prefix = config.integer("linear_conv_kernel_dim", 4), config.hidden, "linear_attn"
    keys, values = key_heads * key_size, value_heads * value_size
    mixed = 2 * keys + values
    linears = (
        Linear(f"{prefix}.in_proj_qkv", mixed, hidden, Split.ROWS),
        Linear(f"{prefix}.in_proj_z", values, hidden, Split.ROWS),
        Linear(f"{prefix}.in_proj_ba", 2 * value_heads, hidden, Split.ROWS),
        Linear(f"{prefix}.out_proj", hidden, values, Split.COLUMNS),
    )
    cache = LayerCache(
        Cached.STATE,
        conv_elements=(kernel - 1) * mixed,
        state_elements=value_heads * value_size * key_size,
        state_dtype=_dtype(config, "mamba_ssm_dtype"),
    )
    # The convolution and the time bias are split, the norm is not; the decay is kept in float32.
    return _layer(linears, cache, value_size, mixed * kernel + value_heads, value_heads)


def kimi_delta(config: Config, name: str) -> Layer:
    """Kimi's delta rule (models/kimi_k3): three convolutions, a state in float32, a gate of low rank or a whole one."""
    settings = config.part("linear_attn_config")
    heads, size = settings.integer("num_heads"), settings.integer("head_dim")
    kernel, hidden, prefix = settings.integer("short_conv_kernel_size", 4), config.hidden, "self_attn"
    wide = heads * size
    gate: tuple[Linear, ...]
    if settings.flag("use_full_rank_gate"):
        gate = (Linear(f"{prefix}.g_proj", wide, hidden, Split.ROWS),)
    else:
        gate = (Linear(f"{prefix}.g_a_proj", size, hidden), Linear(f"{prefix}.g_b_proj", wide, size, Split.ROWS))
    linears = (
        *(Linear(f"{prefix}.{part}_proj", wide, hidden, Split.ROWS) for part in ("q", "k", "v")),
        *gate,
        Linear(f"{prefix}.f_a_proj", size, hidden),
        Linear(f"{prefix}.f_b_proj", wide, size, Split.ROWS),
        Linear(f"{prefix}.b_proj", heads, hidden, Split.ROWS),
        Linear(f"{prefix}.o_proj", hidden, wide, Split.COLUMNS),
    )
    cache = LayerCache(Cached.STATE, conv_elements=(kernel - 1) * 3 * wide, state_elements=heads * size * size,
                  state_dtype="float32")  # fmt: skip
    return _layer(linears, cache, size, 0, heads + wide + 3 * wide * kernel)


def mamba2(config: Config, name: str) -> Layer:
    """Mamba-2: groups of B and C are repeated where ranks are more than groups."""
    hidden = config.hidden
    heads = first_of(config, ("mamba_n_heads", "mamba_num_heads", "n_mamba_heads", "num_heads"))
    size = first_of(config, ("mamba_d_head", "mamba_head_dim", "mamba_headdim", "head_dim"), 0)
    expanded = first_of(config, ("mamba_expand", "expand"), 2) * hidden
    inner = first_of(config, ("mamba_d_ssm",), heads * size if size else expanded)
    size = inner // max(1, heads)
    groups = first_of(config, ("mamba_n_groups", "n_groups", "mamba_ngroups"), 1)
    state = first_of(config, ("mamba_d_state", "ssm_state_size", "state_size"), 128)
    kernel = first_of(config, ("mamba_d_conv", "conv_kernel"), 4)
    shared, whole = 2 * groups * state, groups == 1
    bias = config.flag("mamba_proj_bias", default=config.flag("use_bias"))
    linears = (
        Linear(f"{name}.in_proj", 2 * inner + heads, hidden, Split.ROWS, bias=bias),
        Linear(f"{name}.in_proj", shared, hidden, Split.ROWS, groups, bias=bias),
        Linear(f"{name}.out_proj", hidden, inner, Split.COLUMNS, bias=bias),
    )
    conv = kernel + config.flag("mamba_conv_bias", default=config.flag("use_conv_bias", default=True))
    norm = inner if config.flag("mamba_rms_norm", default=True) else 0
    split = inner * conv + (0 if whole else shared * conv) + 2 * heads + norm
    cache = LayerCache(
        Cached.STATE, conv_elements=(kernel - 1) * (inner + (0 if whole else shared)),
        conv_whole=(kernel - 1) * shared if whole else 0, state_elements=heads * size * state,
        state_dtype=_nemotron_dtype(config), checkpoints=1,
    )  # fmt: skip
    return _layer(linears, cache, shared * conv if whole else 0, split, heads)


def mamba(config: Config, name: str) -> Layer:
    """Mamba: the size of a step is of low rank."""
    hidden = config.hidden
    inner = first_of(config, ("mamba_expand", "expand"), 2) * hidden
    if config.get("mamba_expand") is None:
        inner = first_of(config, ("intermediate_size",), inner)
    state = first_of(config, ("mamba_d_state", "state_size"), 16)
    kernel = first_of(config, ("mamba_d_conv", "conv_kernel"), 4)
    rank = _step_rank(config)
    bias = config.flag("mamba_proj_bias", default=config.flag("use_bias"))
    linears = (
        Linear(f"{name}.in_proj", 2 * inner, hidden, Split.ROWS, bias=bias),
        Linear(f"{name}.x_proj", rank + 2 * state, inner, Split.COLUMNS),
        Linear(f"{name}.dt_proj", inner, rank, Split.ROWS, bias=True),
        Linear(f"{name}.out_proj", hidden, inner, Split.COLUMNS, bias=bias),
    )
    conv = kernel + config.flag("mamba_conv_bias", default=config.flag("use_conv_bias", default=True))
    cache = LayerCache(Cached.STATE, conv_elements=(kernel - 1) * inner, state_elements=inner * state)
    return _layer(linears, cache, rank + 2 * state, inner * conv + inner, inner * state)


def _step_rank(config: Config) -> int:
    for key in ("mamba_dt_rank", "time_step_rank"):
        if isinstance(config.get(key), int):
            return config.integer(key)
    return -(-config.hidden // 16)


def short_conv(config: Config, name: str) -> Layer:
    """LFM2's short convolution: three projections at once, and a state of a few tokens."""
    hidden = config.hidden
    wide = first_of(config, ("conv_dim",), hidden)
    kernel = first_of(config, ("conv_L_cache",), 3)
    bias = config.flag("conv_bias")
    linears = (
        Linear("conv.in_proj", 3 * wide, hidden, Split.ROWS, bias=bias),
        Linear("conv.out_proj", hidden, wide, Split.COLUMNS, bias=bias),
    )
    return _layer(linears, LayerCache(Cached.STATE, conv_elements=(kernel - 1) * wide), 0, wide * (kernel + bias))


def _nemotron_dtype(config: Config) -> str:
    """Only Nemotron-H has a type for its states in its config, and one where it says nothing (models/config.py)."""
    if not config.architecture.startswith("NemotronH"):
        return ""
    return _dtype(config, "mamba_ssm_cache_dtype") or "float32"


def _dtype(config: Config, key: str) -> str:
    """A type of a state; "" for the model's."""
    name = str(config.get(key) or "")
    return name if name in {"float32", "bfloat16", "float16"} else ""


MIXERS: dict[str, Callable[[Config, str], Layer]] = {
    "gated_delta": gated_delta,
    "kimi_delta": kimi_delta,
    "mamba": mamba,
    "mamba2": mamba2,
    "short_conv": short_conv,
}
