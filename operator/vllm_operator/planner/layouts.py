"""How mixer and MLP are put together to one layer: in turn, as nearly all do, or in a way of the family's own.

Source: vLLM 0.32, model_executor/models: nemotron_h.py, falcon_h1.py, mamba.py, nemotron_nas.py, gemma3n.py, gemma4.py.
"""

from collections.abc import Callable
from dataclasses import replace

from . import deepseek_v4
from .attention import attend, expanded
from .config import Config
from .families import Family
from .feeds import experts_of, feed, first_of, mlp
from .kinds import STATE, kind
from .mixers import MIXERS
from .shapes import Cached, Layer, Linear, Split
from .values import ModelConfigError, mapping

_NOTHING = Layer((), None)


def layer(config: Config, family: Family, index: int) -> Layer:
    """One layer of the decoder."""
    build = LAYOUTS[family.layout]
    return build(config, family, index)


def joined(*parts: Layer) -> Layer:
    """Several parts as one layer."""
    caches = [cache for part in parts for cache in (part.cache, *part.more) if cache is not None]
    return Layer(
        tuple(linear for part in parts for linear in part.linears),
        caches[0] if caches else None,
        next((part.experts for part in parts if part.experts), None),
        sum(part.elements for part in parts),
        sum(part.split_elements for part in parts),
        sum(part.float32_elements for part in parts),
        sum(part.split_float32_elements for part in parts),
        tuple(caches[1:]),
    )


def _norms(config: Config, family: Family) -> Layer:
    return Layer((), None, elements=family.norms * config.hidden)


def mixer(config: Config, family: Family, index: int) -> Layer:
    """Attention, or what the family has in its place in this layer."""
    if family.mixer and kind(config, index) == STATE:
        return MIXERS[family.mixer](config, "mamba")
    return attend(config, family.attention, index)


def _in_turn(config: Config, family: Family, index: int) -> Layer:
    return joined(mixer(config, family, index), feed(config, family, index), _norms(config, family))


def _parallel(config: Config, family: Family, index: int) -> Layer:
    """Falcon-H1: attention and Mamba-2 beside each other."""
    state = MIXERS[family.mixer](config, "mamba")
    return joined(attend(config, family.attention, index), state, feed(config, family, index), _norms(config, family))


def _mixers(config: Config, family: Family, index: int) -> Layer:
    """Mamba: nothing else. vLLM keeps one state of a sequence, since it caches no prefixes of such models."""
    state = MIXERS[family.mixer](config, "mixer")
    assert state.cache, "a mixer keeps a state"
    return joined(replace(state, cache=replace(state.cache, checkpoints=-1)), _norms(config, family))


# Nemotron-H's letters, and the words of newer configs.
_LETTERS = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}


def _one_of(config: Config, family: Family, index: int) -> Layer:
    """Nemotron-H: a layer is a mixer, attention, an MLP or experts."""
    norms = _norms(config, family)
    match _word(config, index):
        case "mamba" | "mamba2" | "linear_attention":
            return joined(MIXERS[family.mixer](config, "mixer"), norms)
        case "attention" | "full_attention":
            return joined(attend(config, family.attention, index), norms)
        case "mlp":
            width = config.element("intermediate_size", _earlier(config, index))
            return joined(Layer(mlp(config, family.mlp, width), None), norms)
        case "moe" if family.moe:
            return joined(experts_of(config, family.moe, first_of(config, family.moe.count, kind="experts")), norms)
        case word:
            raise ModelConfigError(f"the model config has layers of type {word:.40}, which is not known")


def _word(config: Config, index: int) -> str:
    pattern, listed = config.get("hybrid_override_pattern"), config.get("layers_block_type")
    if isinstance(pattern, str) and index < len(pattern):
        return _LETTERS.get(pattern[index], pattern[index])
    if isinstance(listed, list) and index < len(listed):
        return str(listed[index])
    raise ModelConfigError("the model config's hybrid_override_pattern is shorter than its layers")


def _earlier(config: Config, index: int) -> int:
    """MLPs before this one, which may have widths of their own."""
    return (
        sum(_word(config, one) == "mlp" for one in range(index))
        if isinstance(config.get("intermediate_size"), list)
        else 0
    )


def _expanded(config: Config, family: Family, index: int) -> Layer:
    return joined(expanded(config, family.attention, index), feed(config, family, index), _norms(config, family))


def _blocks(config: Config, family: Family, index: int) -> Layer:
    """Nemotron-NAS: each layer's attention and MLP may be missing, or one matrix, or of another width."""
    listed = config.get("block_configs")
    if not isinstance(listed, list) or index >= len(listed):
        raise ModelConfigError("the model config's block_configs is shorter than its layers")
    block = mapping("block_configs", listed[index])
    attention, ffn = mapping("attention", block.get("attention")), mapping("ffn", block.get("ffn"))
    parts = []
    if attention.get("replace_with_linear"):
        parts.append(
            Layer((Linear("self_attn.linear_attn", config.hidden, config.hidden),), None, elements=config.hidden)
        )
    elif not attention.get("no_op"):
        parts.append(joined(attend(_with_heads(config, attention), family.attention, index), _vector(config)))
    if ffn.get("replace_with_linear"):
        parts.append(Layer((Linear("mlp.linear_mlp", config.hidden, config.hidden),), None, elements=config.hidden))
    elif not ffn.get("no_op"):
        parts.append(joined(Layer(mlp(config, family.mlp, _block_width(config, ffn)), None), _vector(config)))
    return joined(*parts) if parts else _NOTHING


def _vector(config: Config) -> Layer:
    return Layer((), None, elements=config.hidden)


def _with_heads(config: Config, attention: object) -> Config:
    """The config with the block's number of heads of keys and values."""
    settings = Config(config.whole, mapping("attention", attention), None)
    if settings.get("num_key_value_heads") is not None:
        heads = settings.integer("num_key_value_heads")
    else:
        heads = config.heads // max(1, settings.integer("n_heads_in_group", 1))
    return replace(config, text={**config.text, "num_key_value_heads": heads})


def _block_width(config: Config, ffn: object) -> int:
    """The MLP's width: given, or as a share of the hidden size, rounded up to 256 (nemotron_nas.py)."""
    settings = Config(config.whole, mapping("ffn", ffn), None)
    if settings.get("intermediate_size") is not None:
        return settings.integer("intermediate_size")
    share = settings.get("ffn_mult")
    if not isinstance(share, int | float) or not 0 < share < 64:
        return config.intermediate
    return -(-int(2 * share * config.hidden / 3) // 256) * 256


def _gemma4(config: Config, family: Family, index: int) -> Layer:
    """Gemma 4: scales of the router and its experts, inputs of each layer's own, wider MLPs without a cache."""
    own = joined(attend(config, family.attention, index), feed(config, family, index), _norms(config, family))
    elements = 0
    if own.experts:
        elements += 4 * config.hidden + own.experts.count
    inner = config.integer("hidden_size_per_layer_input", 0)
    linears: tuple[Linear, ...] = ()
    if inner:
        linears = (
            Linear("per_layer_input_gate", inner, config.hidden),
            Linear("per_layer_projection", config.hidden, inner),
        )
        elements += config.hidden
    wide = config.flag("use_double_wide_mlp") and index >= config.layers - config.integer("num_kv_shared_layers", 0)
    if wide:
        own = replace(own, linears=own.linears + mlp(config, family.mlp, config.intermediate))
    return joined(own, Layer(linears, None, elements=elements))


def _gemma3n(config: Config, family: Family, index: int) -> Layer:
    """Gemma 3n: four streams, a low-rank path beside, inputs of each layer's own."""
    hidden, inner = config.hidden, config.integer("hidden_size_per_layer_input", 256)
    streams, rank = config.integer("altup_num_inputs", 4), config.integer("laurel_rank", 64)
    linears = (
        Linear("per_layer_input_gate", inner, hidden),
        Linear("per_layer_projection", hidden, inner),
        Linear("laurel.linear_left", rank, hidden, Split.ROWS),
        Linear("laurel.linear_right", hidden, rank, Split.COLUMNS),
        Linear("altup.correction_coefs", streams, streams, quantizable=False),
        Linear("altup.prediction_coefs", streams * streams, streams, quantizable=False),
        Linear("altup.modality_router", streams, hidden, quantizable=False),
    )
    beside = Layer(linears, None, elements=4 * hidden)
    return joined(attend(config, family.attention, index), feed(config, family, index), _norms(config, family), beside)


def _lfm2(config: Config, family: Family, index: int) -> Layer:
    """LFM2: the MLP's width is adjusted to a share, and rounded up."""
    width = first_of(config, ("block_ff_dim", "intermediate_size"), config.intermediate)
    if config.flag("block_auto_adjust_ff_dim", default=True):
        width = 2 * width // 3
        share = config.get("block_ffn_dim_multiplier")
        width = int(share * width) if isinstance(share, int | float) and 0 < share < 64 else width
        step = max(1, config.integer("block_multiple_of", 256))
        width = -(-width // step) * step
    dense = Layer(mlp(config, family.mlp, width), None)
    return joined(mixer(config, family, index), dense, _norms(config, family))


def _deepseek_v4(config: Config, family: Family, index: int) -> Layer:
    return deepseek_v4.layer(config, index)


def _whisper(config: Config, family: Family, index: int) -> Layer:
    """Whisper's decoder: attention to itself, then to what the encoder has heard, each with a norm."""
    across = replace(family.attention, name="encoder_attn")
    heard = attend(config, across, index)
    assert heard.cache, "attention is cached"
    cache = replace(heard.cache, kind=Cached.CROSS, window=config.integer("max_source_positions", 1500))
    both = joined(attend(config, family.attention, index), replace(heard, cache=cache))
    return joined(both, feed(config, family, index), _norms(config, family))


LAYOUTS: dict[str, Callable[[Config, Family, int], Layer]] = {
    "": _in_turn, "parallel": _parallel, "mixers": _mixers, "one_of": _one_of, "expanded": _expanded, "blocks": _blocks,
    "deepseek_v4": _deepseek_v4, "whisper": _whisper, "gemma4": _gemma4, "gemma3n": _gemma3n, "lfm2": _lfm2,
}  # fmt: skip
