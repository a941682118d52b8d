"""Reads config.json as vLLM does: a multimodal config's text part, key names that differ, rope, the longest length."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .values import MOST_POSITIONS, ModelConfigError, flag, mapping, number, whole, words

__all__ = ["Config", "ModelConfigError"]

# vLLM 0.32, config/model.py, transformers_utils/model_arch_config_convertor.py: the smallest of these is the limit.
_LENGTH_KEYS = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length", "max_sequence_length",
    "max_seq_length", "seq_len", "max_target_positions",
)  # fmt: skip
# Rope types whose max_position_embeddings is scaled already.
_SCALED = frozenset({"su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling"})
_KV_HEADS = ("n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num", "num_attention_groups")
_NAMES = {
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    "hidden_size": ("hidden_size", "n_embd", "d_model", "dim"),
    "num_attention_heads": ("num_attention_heads", "n_head", "n_heads"),
    "intermediate_size": ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size"),
    "vocab_size": ("vocab_size", "padded_vocab_size"),
}
_TEXT_PARTS = ("text_config", "llm_config", "language_config")
_LATENT = frozenset({
    "deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2", "glm4_moe_lite", "longcat_flash", "pangu_ultra_moe",
    "axk1", "glm_moe_dsa",
})  # fmt: skip
_DTYPES = {"float32": "bfloat16"}  # vLLM loads a float32 checkpoint as bfloat16 (config/model.py)
# What transformers fills in where a Gemma 3 config.json leaves it out (configuration_gemma3.py).
_GEMMA3 = {
    "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131072,
    "sliding_window": 4096,
}  # fmt: skip
_DEFAULTS: dict[str, dict[str, Any]] = {
    "gemma3_text": _GEMMA3,
    "gemma3": _GEMMA3,
    "gemma2": {"head_dim": 256, "sliding_window": 4096},
    "gemma": {"head_dim": 256},
    "gpt_oss": {"head_dim": 64, "sliding_window": 128},
    "qwen3": {"head_dim": 128},
    "qwen3_moe": {"head_dim": 128},
    "opt": {"max_position_embeddings": 2048},
}


@dataclass(frozen=True, slots=True)
class Config:
    """A config.json, read by names that models share."""

    whole: Mapping[str, Any]
    text: Mapping[str, Any]
    vision: Mapping[str, Any] | None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Config":
        """Of a config.json as parsed. Raises ModelConfigError where it names no architecture."""
        name = next((name for name in _TEXT_PARTS if content.get(name)), None)
        text = mapping(name, content[name]) if name else content
        if not words("architectures", content.get("architectures") or text.get("architectures")):
            raise ModelConfigError("the model config names no architecture: is it the config.json of a language model?")
        vision = content.get("vision_config")
        defaults = _DEFAULTS.get(str(text.get("model_type")), {})
        return cls(content, {**defaults, **text}, vision if isinstance(vision, Mapping) else None)

    def get(self, key: str, default: Any = None) -> Any:
        """A value of the text part."""
        value = self.text.get(key)
        return default if value is None else value

    def top(self, key: str, default: Any = None) -> Any:
        """A value of the whole, else of the text part."""
        value = self.whole.get(key)
        return self.get(key, default) if value is None else value

    def integer(self, key: str, default: int | None = None, kind: str = "") -> int:
        """A whole number in the range of its kind.

        Raises ModelConfigError where it is missing without a default, or is something else.
        """
        for name in _NAMES.get(key, (key,)):
            value = self.text.get(name)
            if value is not None:
                return whole(name, value, kind or key)
        if default is None:
            raise ModelConfigError(f"the model config has no {key}")
        return default

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false, of the text part. Raises ModelConfigError for anything else."""
        value = self.text.get(key)
        return default if value is None else flag(key, value)

    def tied(self, *, default: bool) -> bool:
        """Whether the output head is the embedding. Raises ModelConfigError where that is neither true nor false."""
        return flag("tie_word_embeddings", self.top("tie_word_embeddings", default))

    @property
    def architecture(self) -> str:
        """The name of vLLM's class."""
        return str((self.whole.get("architectures") or self.text["architectures"])[0])

    @property
    def layers(self) -> int:
        """Decoder layers."""
        return self.integer("num_hidden_layers")

    @property
    def hidden(self) -> int:
        """Width of a token between layers."""
        return self.integer("hidden_size")

    @property
    def intermediate(self) -> int:
        """Width inside a dense MLP."""
        return self.integer("intermediate_size", 4 * self.hidden)

    @property
    def heads(self) -> int:
        """Heads of queries."""
        return self.integer("num_attention_heads")

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        found = (self.integer(key, kind="num_key_value_heads") for key in _KV_HEADS if self.text.get(key) is not None)
        return next(found, self.heads)

    @property
    def head_size(self) -> int:
        """Width of one head."""
        return self.integer("head_dim", 0) or self.hidden // max(1, self.heads)

    @property
    def latent(self) -> bool:
        """Whether keys and values are compressed for all heads together (MLA)."""
        return self.get("model_type") in _LATENT and self.get("kv_lora_rank") is not None

    @property
    def causal(self) -> bool:
        """Whether tokens see only earlier ones, so that there is something to cache."""
        return self.get("model_type") not in {"bert", "roberta", "xlm-roberta", "modernbert", "nomic_bert", "new"}

    @property
    def stored_dtype(self) -> str:
        """Type of the checkpoint's values; "" where the config does not say."""
        return str(self.top("torch_dtype") or self.top("dtype") or "").removeprefix("torch.")

    @property
    def dtype(self) -> str:
        """Type of what is not quantized, as vLLM loads it."""
        name = self.stored_dtype or "float32"
        if name == "float32" and (self.get("model_type") in {"bert", "roberta", "xlm-roberta", "opt"}):
            return "float16"
        return _DTYPES.get(name, name if name in {"bfloat16", "float16"} else "bfloat16")

    def kind(self, index: int) -> str:
        """full_attention, sliding_attention or linear_attention, for one layer."""
        kinds = words("layer_types", self.get("layer_types"))
        if kinds:
            if index >= len(kinds):
                raise ModelConfigError(f"the model config's layer_types has {len(kinds)} layers of {self.layers}")
            return kinds[index]
        model_type, window = self.get("model_type"), self.get("sliding_window")
        if model_type == "qwen3_next":
            interval = self.integer("full_attention_interval", 4)
            return "linear_attention" if (index + 1) % interval else "full_attention"
        if not window or self.get("use_sliding_window") is False:
            return "full_attention"
        sliding = {
            "gemma2": index % 2 == 0,
            "gpt_oss": index % 2 == 0,
            "gemma3": (index + 1) % self.integer("sliding_window_pattern", 6) != 0,
        }
        if model_type and model_type.startswith("qwen"):
            slides = bool(self.get("use_sliding_window")) and index >= self.integer("max_window_layers", 28)
        else:
            slides = sliding.get(str(model_type).removesuffix("_text"), True)
        return "sliding_attention" if slides else "full_attention"

    def ropes(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Rope scaling as (type, parameters), one for each kind of layer; none where positions are learned."""
        scaling = self.get("rope_parameters") or self.get("rope_scaling")
        if not isinstance(scaling, Mapping):
            return [("default", {})]
        if any(isinstance(value, Mapping) for value in scaling.values()):
            nested = [value for value in scaling.values() if isinstance(value, Mapping)]
        else:
            nested = [scaling]
        return [(str(value.get("rope_type") or value.get("type") or "default"), value) for value in nested]

    def longest(self) -> tuple[int, int, str]:
        """Longest sequence in tokens: vLLM's derived limit, the config's own number, and that number's key."""
        present = [key for key in _LENGTH_KEYS if self.text.get(key) is not None]
        known = {key: whole(key, self.text[key], "max_position_embeddings") for key in present}
        if not known:
            return 2048, 0, "max_position_embeddings"
        key = min(known, key=lambda name: known[name])
        raw = known[key]
        derived = float(raw)
        if "gemma3" not in str(self.get("model_type")):
            factors = [rope.get("factor") for kind, rope in self.ropes() if kind not in _SCALED]
            derived *= next((number("rope factor", factor) for factor in reversed(factors) if factor is not None), 1.0)
        if not 1 <= derived <= MOST_POSITIONS:
            raise ModelConfigError(f"the model config's positions come to {derived:.3g} tokens, which no model has")
        return int(derived), raw, key

    def default_length(self) -> int:
        """Length that vLLM takes where the user names none: for longrope, the one before scaling."""
        if any(kind == "longrope" for kind, _ in self.ropes()):
            return self.integer("original_max_position_embeddings", self.longest()[0], "max_position_embeddings")
        return self.longest()[0]

    def rope_bytes(self) -> int:
        """Bytes of the cached cosines and sines, one table for each distinct rope."""
        if self.get("model_type") in {"opt", "gpt2", "bert", "roberta", "xlm-roberta"}:
            return 0
        positions = self.integer("max_position_embeddings", 2048)
        part = number("partial_rotary_factor", self.get("partial_rotary_factor", 1), 1)
        width = self.integer("qk_rope_head_dim", 0) or int(self.head_size * part)
        # gpt-oss alone keeps its table in float32.
        size = 4 if self.get("model_type") == "gpt_oss" else 2
        local = positions * width * size if "gemma3" in str(self.get("model_type")) else 0
        factor = 1.0
        for kind, rope in self.ropes():
            if kind in {"yarn", "deepseek_yarn"} and rope.get("original_max_position_embeddings"):
                first = whole("original_max_position_embeddings", rope["original_max_position_embeddings"],
                              "max_position_embeddings")  # fmt: skip
                positions = min(MOST_POSITIONS, int(first * number("rope factor", rope.get("factor", 1))))
            elif kind in {"linear", "dynamic"}:
                factor = number("rope factor", rope.get("factor", 1))
        return int(positions * width * size * factor) + local
