"""Which kind each layer of a model is: full, sliding or chunked attention, or a mixer that keeps a state.

Sources: the `layer_types` that transformers' configurations make where a config.json has none, and vLLM 0.32's models.
"""

from collections.abc import Callable

from .config import Config
from .values import ModelConfigError, words

FULL, SLIDING, CHUNKED, STATE, NONE = "full", "sliding", "chunked", "state", "none"

# The words of config.json files.
_WORDS = {
    "full_attention": FULL, "attention": FULL, "indexed_attention": FULL, "sliding_attention": SLIDING,
    "chunked_attention": CHUNKED, "linear_attention": STATE, "mamba": STATE, "mamba2": STATE, "conv": STATE,
    "hybrid": FULL, "sparse": FULL, "compressed_sparse_attention": FULL,
    "deepseek_sparse_attention": FULL, "heavily_compressed_attention": FULL,
}  # fmt: skip

# What only Nemotron-H's layers are called.
_OTHERS = frozenset({"mlp", "moe"})


def kind(config: Config, index: int) -> str:
    """The kind of a layer. Raises ModelConfigError where the list of kinds is too short."""
    named = config.get("layer_types") or config.get("layers_block_type")
    if named:
        kinds = words("layer_types", named)
        if index >= len(kinds):
            raise ModelConfigError(f"the model config's layer_types has {len(kinds)} layers of {config.layers}")
        found = _WORDS.get(kinds[index], FULL)
    else:
        rule = _RULES.get(str(config.get("model_type")).removesuffix("_text"))
        found = rule(config, index) if rule else _windows(config)
    if found == SLIDING and not window(config):
        return FULL
    if found == CHUNKED and not config.integer("attention_chunk_size", 0, "sliding_window"):
        return FULL
    return found


def unknown_kind(config: Config) -> str:
    """A kind of layer that the planner does not know; "" where it knows all."""
    named = words("layer_types", config.get("layer_types") or config.get("layers_block_type"))
    return next((word for word in named if word not in _WORDS and word not in _OTHERS), "")


def window(config: Config) -> int:
    """Tokens that a sliding layer sees; 0 for all."""
    return config.integer("sliding_window", 0)


def _windows(config: Config) -> str:
    slides = window(config) and config.flag("use_sliding_window", default=True)
    return SLIDING if slides else FULL


def _qwen(config: Config, index: int) -> str:
    slides = config.flag("use_sliding_window") and index >= config.integer("max_window_layers", 28)
    return SLIDING if slides else FULL


def _every(
    step: int, other: str = SLIDING, keys: tuple[str, ...] = ("sliding_window_pattern",)
) -> Callable[[Config, int], str]:
    """Full attention in every so many layers."""

    def rule(config: Config, index: int) -> str:
        named = [key for key in keys if isinstance(config.get(key), int)]
        each = config.integer(named[0]) if named else step
        return FULL if each and (index + 1) % each == 0 else other

    return rule


def _even(config: Config, index: int) -> str:
    return SLIDING if index % 2 == 0 else FULL


def _llama4(config: Config, index: int) -> str:
    """Layers without rotated positions see everything."""
    named = config.get("no_rope_layers")
    if isinstance(named, list) and named:
        return CHUNKED if index < len(named) and named[index] else FULL
    return _every(4, CHUNKED, ("no_rope_layer_interval",))(config, index)


def _jamba(config: Config, index: int) -> str:
    period, offset = config.integer("attn_layer_period", 8), config.integer("attn_layer_offset", 4)
    return FULL if index % max(1, period) == offset else STATE


def _listed(key: str) -> Callable[[Config, int], str]:
    """Layers of attention are listed."""

    def rule(config: Config, index: int) -> str:
        named = config.get(key)
        return FULL if isinstance(named, list) and index in named else STATE

    return rule


def _kimi(config: Config, index: int) -> str:
    named = config.part("linear_attn_config").get("full_attn_layers")
    return FULL if isinstance(named, list) and index + 1 in named else STATE


def _mimo(config: Config, index: int) -> str:
    named = config.get("hybrid_layer_pattern")
    return SLIDING if isinstance(named, list) and index < len(named) and named[index] else FULL


def _exaone(config: Config, index: int) -> str:
    pattern = config.get("sliding_window_pattern")
    if isinstance(pattern, str) and pattern:
        return SLIDING if pattern[index % len(pattern)] == "L" else FULL
    if not isinstance(pattern, int) or not pattern:
        return FULL
    last = index == config.layers - 1
    return FULL if last or (index + 1) % pattern == 0 else SLIDING


_RULES: dict[str, Callable[[Config, int], str]] = {
    "qwen2": _qwen, "qwen3": _qwen, "qwen2_moe": _qwen, "qwen3_moe": _qwen, "qwen2_vl": _qwen, "qwen2_5_vl": _qwen,
    "qwen3_vl": lambda _config, _index: FULL, "qwen3_vl_moe": lambda _config, _index: FULL,
    "qwen3_next": _every(4, STATE, ("full_attention_interval",)),
    "qwen3_5": _every(4, STATE, ("full_attention_interval",)),
    "qwen3_5_moe": _every(4, STATE, ("full_attention_interval",)),
    "gemma2": _even, "gpt_oss": _even,
    "gemma3": _every(6, keys=("sliding_window_pattern", "_sliding_window_pattern")),
    "gemma3n": _every(5), "gemma4": _every(6), "cohere2": _every(4), "cohere2_moe": _every(4), "olmo3": _every(4),
    "exaone4": _exaone, "exaone_moe": _exaone, "llama4": _llama4, "jamba": _jamba,
    "lfm2": _listed("full_attn_idxs"), "lfm2_moe": _listed("full_attn_idxs"),
    "kimi_linear": _kimi, "mimo_v2_flash": _mimo, "mamba": lambda _config, _index: STATE,
    "falcon_mamba": lambda _config, _index: STATE, "mamba2": lambda _config, _index: STATE,
    "granitemoehybrid": lambda _config, _index: STATE, "afmoe": _every(4, keys=("global_attn_every_n_layers",)),
    "phi4mm": lambda config, _index: _windows(config), "phimoe": lambda config, _index: _windows(config),
}  # fmt: skip
