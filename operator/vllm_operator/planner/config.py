"""Reads config.json as vLLM does: a multimodal config's text part, key names that differ, rope, the longest length."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .defaults import DEFAULTS
from .values import MOST_POSITIONS, ModelConfigError, flag, mapping, number, whole, words

__all__ = ["Config", "ModelConfigError"]

# vLLM 0.32, config/model.py, transformers_utils/model_arch_config_convertor.py: the smallest of these is the limit.
_LENGTH_KEYS = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length", "max_target_positions",
    "max_sequence_length", "max_seq_length", "seq_len",
)  # fmt: skip
# Where this one is set, it is the limit, also above the smallest (Command R).
_LENGTH_ITSELF = "model_max_length"
_DEFAULT_LENGTH = 2048
# Rope types whose max_position_embeddings is scaled already.
_SCALED = frozenset({"longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling"})
_OLD_ROPES = {"su": "longrope"}
_KV_HEADS = ("n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num", "num_attention_groups")
_NAMES = {
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers"),
    "hidden_size": ("hidden_size", "n_embd", "d_model", "dim"),
    "num_attention_heads": ("num_attention_heads", "n_head", "n_heads", "decoder_attention_heads"),
    "intermediate_size": ("intermediate_size", "decoder_ffn_dim", "ffn_dim", "n_inner", "ffn_hidden_size"),
    "vocab_size": ("vocab_size", "padded_vocab_size"),
}
_NO_HEADS = frozenset({"mamba", "mamba2", "falcon_mamba"})
_TEXT_PARTS = ("text_config", "llm_config", "language_config")
_THINKER = "thinker_config"
"""What vLLM serves of models that also speak (models/qwen3_omni_moe_thinker.py, qwen3_asr.py), text part and towers."""
_ELSEWHERE = "text_model_id"
_LATENT = frozenset({
    "deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2", "kimi_linear", "glm4_moe_lite", "glm_moe_dsa", "axk1",
    "longcat_flash", "pangu_ultra_moe", "hy_v4", "mistral4",
})  # fmt: skip
# transformers_utils/model_arch_config_convertor.py, `is_mm_prefix_lm`.
_IMAGES_WHOLE = frozenset({"bagel", "gemma3", "molmo2", "moondream3", "paligemma"})
_BY_OWN_KEY = "Gemma3TextModel"
"""Which says in a key of its own whether it is causal."""
_GEMMA_4 = ("gemma4", "diffusion_gemma")
_DTYPES = {"float32": "bfloat16"}  # vLLM loads a float32 checkpoint as bfloat16 (config/model.py)


@dataclass(frozen=True, slots=True)
class Config:
    """A config.json, read by names that models share."""

    whole: Mapping[str, Any]
    text: Mapping[str, Any]
    vision: Mapping[str, Any] | None
    given: frozenset[str] = frozenset()
    """Keys that config.json has itself, without what transformers fills in."""

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Config":
        """Of a config.json as parsed. Raises ModelConfigError where it names no architecture, or its text elsewhere."""
        content = {**mapping(_THINKER, content.get(_THINKER)), **content}
        name = next((name for name in _TEXT_PARTS if content.get(name)), None)
        text = mapping(name, content[name]) if name else content
        if not words("architectures", content.get("architectures") or text.get("architectures")):
            raise ModelConfigError("the model config names no architecture: is it the config.json of a language model?")
        if not name and content.get(_ELSEWHERE):
            raise ModelConfigError(f"the model config names another repository for its text model ({_ELSEWHERE})")
        vision = content.get("vision_config")
        defaults = DEFAULTS.get(_type_of(content, text), {})
        return cls(content, {**defaults, **text}, vision if isinstance(vision, Mapping) else None, frozenset(text))

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

    def element(self, key: str, index: int, kind: str = "") -> int:
        """A whole number, or the one of a list for a layer (the last, where the list is too short)."""
        value = self.text.get(key)
        if isinstance(value, list | tuple) and value:
            value = value[min(index, len(value) - 1)]
        return whole(key, value, kind or key)

    def either(self, keys: tuple[str, ...], default: int) -> int:
        """The first of several keys that is there."""
        return next((self.integer(key) for key in keys if self.text.get(key) is not None), default)

    def part(self, key: str) -> "Config":
        """An object within the text part, read in the same way."""
        return Config(self.whole, mapping(key, self.text.get(key)), None)

    def tower(self, key: str) -> "Config":
        """An object of the whole, with what transformers fills in."""
        content = mapping(key, self.whole.get(key))
        return Config(self.whole, {**DEFAULTS.get(str(content.get("model_type")), {}), **content}, None)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or false, of the text part. Raises ModelConfigError for anything else."""
        value = self.text.get(key)
        return default if value is None else flag(key, value)

    def tied(self, *, default: bool) -> bool:
        """Whether the output head is the embedding. Raises ModelConfigError where that is neither true nor false.

        Where only transformers says that it is, and the text part says that it is not, the checkpoint has a head, and
        vLLM keeps that (config/model.py, `maybe_untie_word_embeddings`).
        """
        key = "tie_word_embeddings"
        if (said := self.whole.get(key)) is not None:
            return flag(key, said)
        outer = DEFAULTS.get(str(self.whole.get("model_type")), {}).get(key) if self.parted else None
        own = flag(key, self.get(key, default if outer is None else outer))
        return own and outer is not False

    @property
    def parted(self) -> bool:
        """Whether the text has a part of its own in config.json."""
        return any(self.whole.get(name) for name in _TEXT_PARTS)

    @property
    def architecture(self) -> str:
        """The name of vLLM's class."""
        return str((self.whole.get("architectures") or self.text["architectures"])[0])

    @property
    def layers(self) -> int:
        """Decoder layers; some configs only list their kinds."""
        listed = self.get("layers_block_type")
        if isinstance(listed, list) and all(self.text.get(name) is None for name in _NAMES["num_hidden_layers"]):
            return whole("num_hidden_layers", len(listed))
        return self.integer("num_hidden_layers")

    @property
    def hidden(self) -> int:
        """Width of a token between layers."""
        return self.integer("hidden_size")

    @property
    def intermediate(self) -> int:
        """Width inside a dense MLP; of the first layer where they differ."""
        for name in _NAMES["intermediate_size"]:
            if self.text.get(name) is not None:
                return self.element(name, 0, "intermediate_size")
        return 4 * self.hidden

    @property
    def heads(self) -> int:
        """Heads of queries."""
        return self.integer("num_attention_heads", 1 if self.get("model_type") in _NO_HEADS else None)

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
    def encoder(self) -> bool:
        """Whether it is of BERT's kind."""
        return self.get("model_type") in {"bert", "roberta", "xlm-roberta", "modernbert", "nomic_bert", "new"}

    @property
    def causal(self) -> bool:
        """Whether tokens see only earlier ones where it embeds or classifies (config/model.py, `attn_type`;
        models/config.py, `Gemma3TextModelConfig`)."""
        if self.architecture == _BY_OWN_KEY:
            return not self.flag("use_bidirectional_attention")
        return not self.encoder and flag("is_causal", self.top("is_causal", True))

    @property
    def images_whole(self) -> bool:
        """Whether the tokens of an image see each other (`is_mm_prefix_lm`)."""
        kind, own = str(self.whole.get("model_type")), self.whole.get("is_mm_prefix_lm")
        if kind.startswith(_GEMMA_4):
            return bool(self.get("use_bidirectional_attention") == "vision")
        return kind in _IMAGES_WHOLE if own is None else bool(own)

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

    def ropes(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Rope scaling as (type, parameters), one for each kind of layer; none where positions are learned."""
        scaling = self.get("rope_scaling") or self.get("rope_parameters")
        if not isinstance(scaling, Mapping):
            return [("default", {})]
        if any(isinstance(value, Mapping) for value in scaling.values()):
            nested = [value for value in scaling.values() if isinstance(value, Mapping)]
        else:
            nested = [scaling]
        named = ((str(value.get("rope_type") or value.get("type") or "default"), value) for value in nested)
        return [(_OLD_ROPES.get(kind, kind), value) for kind, value in named]

    def longest(self) -> tuple[int, int, str]:
        """Longest sequence in tokens: vLLM's derived limit, the config's own number, and that number's key."""
        present = [key for key in _LENGTH_KEYS if self.text.get(key) is not None]
        known = {key: whole(key, self.text[key], "max_position_embeddings") for key in present}
        key = min(known, key=lambda name: known[name], default=_LENGTH_KEYS[0])
        key = _LENGTH_ITSELF if _LENGTH_ITSELF in known else key
        derived = known.get(key, _DEFAULT_LENGTH) * self._position_scale()
        if not 1 <= derived <= MOST_POSITIONS:
            raise ModelConfigError(f"the model config's positions come to {derived:.3g} tokens, which no model has")
        return int(derived), known.get(key, 0), key

    @property
    def asked_longest(self) -> int:
        """Tokens up to which vLLM takes a length that is asked for, whatever it derives itself; 0: none."""
        return self.integer(_LENGTH_ITSELF, 0, "max_position_embeddings")

    def yarn_length(self) -> int:
        """The limit of vLLM before 0.32 where the rope is YaRN's: the positions before scaling, by its factor; 0 where
        it is another."""
        key = "original_max_position_embeddings"
        yarn = next((rope for kind, rope in self.ropes() if kind == "yarn" and rope.get(key)), None)
        if yarn is None or "gemma3" in str(self.get("model_type")):
            return 0
        length = whole(key, yarn[key], "max_position_embeddings") * number("rope factor", yarn.get("factor") or 1)
        return min(MOST_POSITIONS, int(length))

    def _position_scale(self) -> float:
        """What vLLM multiplies the config's positions by: the last factor of a rope that has not scaled them itself."""
        if "gemma3" in str(self.get("model_type")):
            return 1.0
        found: Any = 1.0
        for kind, rope in self.ropes():
            found = found if kind in _SCALED else rope.get("factor", found)
        return 1.0 if found is None else number("rope factor", found)

    def default_length(self) -> int:
        """Length in tokens that vLLM takes where the user names none: for longrope, the one before scaling."""
        longest, _, _ = self.longest()
        if any(kind == "longrope" for kind, _ in self.ropes()):
            return self.integer("original_max_position_embeddings", longest, "max_position_embeddings")
        return longest

    def rope_bytes(self) -> int:
        """Bytes of the cached cosines and sines, one table for each distinct rope."""
        if self.get("model_type") in {"opt", "gpt2", "bert", "roberta", "xlm-roberta"}:
            return 0
        positions = self.integer("max_position_embeddings", _DEFAULT_LENGTH)
        if str(self.get("model_type")).startswith("cohere"):  # models/commandr.py, cohere2_moe.py
            positions = self.integer(_LENGTH_ITSELF, positions, "max_position_embeddings")
        part = number("partial_rotary_factor", self.get("partial_rotary_factor", 1), 1)
        width = self.integer("qk_rope_head_dim", 0) or int(self.head_size * part)
        # gpt-oss alone keeps its table in float32.
        size = 4 if self.get("model_type") == "gpt_oss" else 2
        local = positions * width * size if "gemma3" in str(self.get("model_type")) else 0
        factor = 1.0
        for kind, rope in self.ropes():
            if "mrope_section" in rope:  # a video's positions go further (layers/rotary_embedding/mrope.py)
                positions = min(MOST_POSITIONS, 4 * positions)
            if kind in {"yarn", "deepseek_yarn"} and rope.get("original_max_position_embeddings"):
                first = whole("original_max_position_embeddings", rope["original_max_position_embeddings"],
                              "max_position_embeddings")  # fmt: skip
                further = 4 if "mrope_section" in rope else 1
                positions = min(MOST_POSITIONS, int(further * first * number("rope factor", rope.get("factor", 1))))
            elif kind in {"linear", "dynamic"}:
                factor = number("rope factor", rope.get("factor", 1))
        return int(positions * width * size * factor) + local


def _type_of(content: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    """The text's model type; where its part does not say it, that of the whole."""
    own = text.get("model_type")
    if own:
        return str(own)
    outer = str(content.get("model_type") or "")
    return f"{outer}_text" if f"{outer}_text" in DEFAULTS else outer
