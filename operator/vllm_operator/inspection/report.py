"""What the inspect Job tells the operator, in the 4,096 bytes that Kubernetes keeps of a termination message. Pure."""

import base64
import json
import re
import zlib
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from ..api.reasons import Reason

LONGEST_BYTES = 4096
# What is kept of it unpacked is an object of its own; an API server takes 1.5 MiB at most.
LONGEST_KEPT_BYTES = 512 * 1024
# Says nothing about memory, and does not shrink: the names of classes, and what training left behind.
_NOISE = frozenset(
    {"id2label", "label2id", "task_specific_params", "auto_map", "_name_or_path", "transformers_version"}
)


class InspectionError(Exception):
    """The model cannot be read, and why: `reason` for scripts, the text for people."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a model: its config, the quantization that ModelOpt notes apart, and the size of its weights."""

    config: dict[str, Any]
    quantization: dict[str, Any] | None = None
    weights_bytes: int | None = None
    """Bytes of all tensors, from the headers; None where there are no safetensors."""
    commit: str | None = None
    """The commit that a branch or a tag stood for; None for a folder."""
    chat_template: bool | None = None
    """Whether a chat template is among the files; None where they do not tell."""

    @property
    def architecture(self) -> str | None:
        """The class that the model is of, as its config names it."""
        names = self.config.get("architectures") or self._text.get("architectures")
        return str(names[0]) if isinstance(names, list) and names else None

    @property
    def quantization_method(self) -> str | None:
        """How the weights are quantized, in the checkpoint's own word; None where it says nothing."""
        if self.quantization:  # hf_quant_config.json is ModelOpt's
            return "modelopt"
        said = self.config.get("quantization_config") or self._text.get("quantization_config")
        method = said.get("quant_method") if isinstance(said, dict) else None
        return str(method) if method else None

    @property
    def _text(self) -> dict[str, Any]:
        """The part about text of a model that also sees or hears."""
        part = self.config.get("text_config")
        return part if isinstance(part, dict) else {}


def encode(facts: Facts) -> str:
    """The message for a model that was read. Raises InspectionError where the config is too large for it."""
    folded = fold({"config": _without_noise(facts.config), "quantization": facts.quantization})
    plain = json.dumps(folded, separators=(",", ":")).encode()
    content = zlib.compress(plain, level=9)
    message = json.dumps(
        {
            "commit": facts.commit,
            "weightsBytes": facts.weights_bytes,
            "chatTemplate": facts.chat_template,
            "model": base64.b85encode(content).decode(),
        }
    )
    if len(plain) > LONGEST_KEPT_BYTES:
        size = f"{len(plain):,} bytes, of {LONGEST_KEPT_BYTES:,} at most"
        raise InspectionError(Reason.UNREADABLE, f"config.json is too large to keep ({size})")
    if len(message) > LONGEST_BYTES:
        size = f"{len(message):,} bytes packed, of {LONGEST_BYTES:,} at most"
        raise InspectionError(Reason.UNREADABLE, f"config.json is too large to hand over ({size})")
    return message


def encode_error(error: InspectionError) -> str:
    """The message for a model that could not be read."""
    return json.dumps({"reason": error.reason, "message": str(error)[:1024]})


def decode(message: str) -> Facts:
    """What is in the message of an inspect Job. Raises InspectionError: what the Job says, or that it says neither."""
    try:
        content = json.loads(message)
        if "reason" in content:
            raise InspectionError(Reason.named(content["reason"]), content["message"])
        model = json.loads(zlib.decompress(base64.b85decode(content["model"])), object_hook=unfold)
        template = content.get("chatTemplate")
        return Facts(model["config"], model["quantization"], content["weightsBytes"], content["commit"], template)
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        said = message.strip().splitlines()[-1:] or ["nothing"]
        text = f"the inspect Job ended without a report; it said: {said[0][:300]}"
        raise InspectionError(Reason.UNREADABLE, text) from error


def _without_noise(config: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_noise(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in _NOISE
    }


_FOLDED = "$folded"
_LONG = 32


def fold(node: Any) -> Any:
    """A JSON value with its long lists of module names in a shorter form."""
    if isinstance(node, dict):
        return {key: fold(value) for key, value in node.items()}
    return _fold(node) if isinstance(node, list) else node


def _fold(items: list[Any]) -> Any:
    """A long list of module names as runs of one pattern, like layers.#.mlp.#, with the steps of each number.

    A list of unquantized modules may name thousands. The steps are nearly all 0 or 1, which packs to almost nothing.
    """
    if len(items) < _LONG or not all(isinstance(item, str) and "#" not in item for item in items):
        return items
    runs: list[tuple[str, list[list[int]]]] = []
    for item in items:
        pattern, numbers = re.sub(r"0|[1-9][0-9]*", "#", item), [int(n) for n in re.findall(r"0|[1-9][0-9]*", item)]
        if not runs or runs[-1][0] != pattern:
            runs.append((pattern, []))
        runs[-1][1].append(numbers)
    return {
        _FOLDED: [
            [pattern, len(rows), [_steps(column) for column in zip(*rows, strict=True)]] for pattern, rows in runs
        ]
    }


def _steps(column: tuple[int, ...]) -> list[int]:
    return [b - a for a, b in zip((0, *column), column, strict=False)]


def unfold(node: dict[str, Any]) -> Any:
    """The list that an object stands for, or the object itself. For `object_hook` of json.loads."""
    if set(node) != {_FOLDED}:
        return node
    items: list[str] = []
    for pattern, count, steps in node[_FOLDED]:
        columns = [list(accumulate(column)) for column in steps]
        for row in range(count):
            parts = pattern.split("#")
            numbers = [str(column[row]) for column in columns]
            items.append("".join(part + number for part, number in zip(parts, [*numbers, ""], strict=True)))
    return items
