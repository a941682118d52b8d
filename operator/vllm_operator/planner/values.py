"""Reads single values of a config.json, which anyone may have written: each has a type and a range, or it is an error.

The ranges hold every model that there is with room to spare; beyond them a plan would take too long, or mean nothing.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any


class ModelConfigError(ValueError):
    """The config lacks what a plan needs, or says what no model can be. The text is one clear sentence for the user."""


MOST_LAYERS = 320
MOST_NAMES = 1 << 13
MOST_EXPERTS = 8192
MOST_POSITIONS = 1 << 28
# The least and the most of a number, by the name that this project uses for it.
_RANGES: dict[str, tuple[int, int]] = {
    "num_hidden_layers": (1, MOST_LAYERS),
    "hidden_size": (1, 1 << 17),
    "num_attention_heads": (1, 4096),
    "num_key_value_heads": (1, 4096),
    "head_dim": (0, 1 << 14),
    "intermediate_size": (0, 1 << 21),
    "vocab_size": (1, 1 << 24),
    "max_position_embeddings": (1, MOST_POSITIONS),
    "sliding_window": (0, MOST_POSITIONS),
    "experts": (0, MOST_EXPERTS),
}
_USUAL = (0, 1 << 21)
_WORDS = {"num_hidden_layers": "layers", "num_attention_heads": "attention heads", "num_key_value_heads": "KV heads"}
_SHOWN = 60


def shown(value: Any) -> str:
    """A value for a message, cut where it is long. Of a container its kind: its text might take a gigabyte."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def whole(name: str, value: Any, kind: str = "") -> int:
    """A whole number in the range of its `kind` (by default its name's). Raises ModelConfigError."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ModelConfigError(f"the model config's {name} is {shown(value)}, not a whole number")
    least, most = _RANGES.get(kind or name, _USUAL)
    if not least <= value <= most:
        what = f"{value:.6g} {_WORDS[kind or name]} ({name})" if (kind or name) in _WORDS else f"{name} {value:.6g}"
        raise ModelConfigError(f"the model config has {what}, and models have {least:,} to {most:,}")
    return value


def number(name: str, value: Any, most: float = 1e6) -> float:
    """A number above 0 and up to `most`. Raises ModelConfigError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or not 0 < value <= most:
        raise ModelConfigError(f"the model config's {name} is {shown(value)}, not a number above 0")
    return float(value)


def flag(name: str, value: Any) -> bool:
    """True or false. Raises ModelConfigError."""
    if not isinstance(value, bool | int) or value not in {True, False}:
        raise ModelConfigError(f"the model config's {name} is {shown(value)}, not true or false")
    return bool(value)


def words(name: str, value: Any) -> tuple[str, ...]:
    """A list of texts; none where there is no value. Raises ModelConfigError."""
    if value is None:
        return ()
    if (
        not isinstance(value, list | tuple)
        or len(value) > MOST_NAMES
        or not all(isinstance(item, str) for item in value)
    ):
        raise ModelConfigError(f"the model config's {name} is {shown(value)}, not a list of names")
    return tuple(value)


def mapping(name: str, value: Any) -> Mapping[str, Any]:
    """An object; an empty one where there is no value. Raises ModelConfigError."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ModelConfigError(f"the model config's {name} is {shown(value)}, not an object")
    return value
