"""What the inspect Job tells the operator, in the 4,096 bytes that Kubernetes keeps of a termination message. Pure."""

import base64
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..api import limits
from ..api.conditions import ConditionType
from ..api.limits import OverLimitError
from ..api.reasons import Reason
from .folding import Unfolding, fold

LONGEST_BYTES = 4096
_COMMIT = re.compile(r"[0-9A-Za-z._-]{1,64}")
_SHOWN = 300
_BYTES_OF_A_NAME = 80
# Says nothing about memory, and does not shrink: the names of classes, and what training left behind.
_NOISE = frozenset(
    {"id2label", "label2id", "task_specific_params", "auto_map", "_name_or_path", "transformers_version"}
)


class InspectionError(Exception):
    """The model cannot be read, and why: `reason` for scripts, the text for people."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __eq__(self, other: object) -> bool:
        """Whether they say the same: what follows from one is not worked out anew for another."""
        return isinstance(other, InspectionError) and (self.reason, self.args) == (other.reason, other.args)

    def __hash__(self) -> int:
        return hash((self.reason, self.args))


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
    max_seq_length: int | None = None
    """Tokens of the longest sequence, where sentence-transformers notes them apart; None where it does not."""
    image_pixels: int | None = None
    """Of the largest image that the model's processor makes; None where no file says it."""

    @property
    def architecture(self) -> str | None:
        """The class that the model is of, as its config names it."""
        names = self.config.get("architectures") or self._text.get("architectures")
        return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None

    @property
    def quantization_method(self) -> str | None:
        """How the weights are quantized, in the checkpoint's own word; None where it says nothing."""
        if self.quantization:  # hf_quant_config.json is ModelOpt's
            return "modelopt"
        said = self.config.get("quantization_config") or self._text.get("quantization_config")
        method = said.get("quant_method") if isinstance(said, dict) else None
        return method if isinstance(method, str) and method else None

    @property
    def _text(self) -> dict[str, Any]:
        """The part about text of a model that also sees or hears."""
        part = self.config.get("text_config")
        return part if isinstance(part, dict) else {}


_OF_MODULES = ("quantized_layers", "exclude_modules")


def encode(facts: Facts) -> str:
    """The message for a model that was read. Raises InspectionError where the config is larger than any is."""
    try:
        folded = fold({"config": _without_noise(facts.config), "quantization": _beside(facts)})
    except ValueError as error:
        raise InspectionError(Reason.UNREADABLE, f"config.json is none of a model: {error}") from error
    plain = json.dumps(folded, separators=(",", ":")).encode()
    content = zlib.compress(plain, level=9)
    message = json.dumps(
        {
            "commit": facts.commit,
            "weightsBytes": facts.weights_bytes,
            "chatTemplate": facts.chat_template,
            "maxSeqLength": facts.max_seq_length,
            "imagePixels": facts.image_pixels,
            "model": base64.b85encode(content).decode(),
        }
    )
    if len(plain) > limits.REPORT_BYTES:
        size = f"{len(plain):,} bytes, of {limits.REPORT_BYTES:,} at most"
        raise InspectionError(Reason.OVER_LIMIT, f"config.json is too large to keep ({size})")
    if len(message) > LONGEST_BYTES:
        size = f"{len(message):,} bytes packed, of {LONGEST_BYTES:,} at most"
        raise InspectionError(Reason.OVER_LIMIT, f"config.json is too large to hand over ({size})")
    return message


def encode_error(error: InspectionError) -> str:
    """The message for a model that could not be read."""
    return json.dumps({"reason": error.reason, "message": str(error)[: limits.ERROR_CHARACTERS]})


def decode(message: str) -> Facts:
    """What is in the message of an inspect Job. Raises InspectionError: what the Job says, or that it says neither."""
    return facts_in(content_in(message))[0]


def content_in(message: str) -> dict[str, Any]:
    """The JSON object that is kept of the message of an inspect Job; lists in it are folded. Raises as `decode`."""
    try:
        said = limits.parsed(message, "the report", limits.MESSAGE_BYTES)
        if "reason" in said:
            raise _told(said)
        plain = limits.unpacked(base64.b85decode(said["model"]), "the report", limits.REPORT_BYTES)
        model = limits.parsed(plain, "the report", limits.REPORT_BYTES, limits.REPORT_VALUES)
        content = {name: said.get(name) for name in ("commit", "weightsBytes", "chatTemplate")}
        # Only where there is one, as few models have it: what is kept of the others stays as it was.
        noted = {name: said[name] for name in ("maxSeqLength", "imagePixels") if said.get(name) is not None}
        return content | noted | {name: model[name] for name in ("config", "quantization")}
    except OverLimitError as error:
        raise InspectionError(Reason.OVER_LIMIT, str(error)) from error
    except (ValueError, KeyError, TypeError) as error:
        last = message[-limits.MESSAGE_BYTES :].strip().splitlines()[-1:] or ["nothing"]
        text = f"the inspect Job ended without a report; it said: {limits.text_of(last[0], _SHOWN)}"
        raise InspectionError(Reason.UNREADABLE, text) from error


def facts_in(content: Mapping[str, Any]) -> tuple[Facts, int]:
    """The facts in what is kept of a model, and about how many bytes they take in memory.

    Raises InspectionError where it is nothing of the kind, or over a limit.
    """
    unfolding = Unfolding()
    try:
        facts = _checked(
            Facts(
                unfolding.unfold(content["config"]),
                unfolding.unfold(content["quantization"]),
                content["weightsBytes"],
                content["commit"],
                content["chatTemplate"],
                content.get("maxSeqLength"),
                content.get("imagePixels"),
            )
        )
    except OverLimitError as error:
        raise InspectionError(Reason.OVER_LIMIT, f"what was found of the model is not looked at: {error}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        text = f"what was found of the model is no report of an inspection ({error})"
        raise InspectionError(Reason.UNREADABLE, text) from error
    return facts, unfolding.characters + _BYTES_OF_A_NAME * unfolding.names


def _checked(facts: Facts) -> Facts:
    """The facts, if each is of its type and in its range. Raises OverLimitError, ValueError or TypeError."""
    if not isinstance(facts.config, dict) or not isinstance(facts.quantization, dict | None):
        raise TypeError("config.json is no JSON object")
    if facts.weights_bytes is not None and limits.whole(facts.weights_bytes, limits.WEIGHTS_BYTES) is None:
        raise OverLimitError(f"the weights have no bytes from 0 to {limits.WEIGHTS_BYTES:,}")
    if facts.commit is not None and not _COMMIT.fullmatch(facts.commit):
        raise ValueError("the commit is none")
    if facts.max_seq_length is not None and not limits.whole(facts.max_seq_length, limits.MODEL_LENGTH):
        raise OverLimitError(f"the longest sequence has no tokens from 1 to {limits.MODEL_LENGTH:,}")
    if facts.image_pixels is not None and not limits.whole(facts.image_pixels, limits.IMAGE_PIXELS):
        raise OverLimitError(f"the largest image has no pixels from 1 to {limits.IMAGE_PIXELS:,}")
    if not isinstance(facts.chat_template, bool | None):
        raise TypeError("chatTemplate is neither true nor false")
    return facts


def _told(said: Mapping[str, Any]) -> InspectionError:
    """What the Job could not do. Raises ValueError for a reason that none has."""
    reason = Reason.named(str(said["reason"]))
    if ConditionType.FITS not in reason.types:
        raise ValueError(f"no inspection ends with {reason}")
    return InspectionError(reason, limits.text_of(said["message"], limits.ERROR_CHARACTERS))


def _beside(facts: Facts) -> dict[str, Any] | None:
    """What hf_quant_config.json says, without the modules where config.json, which wins, says of them as well."""
    said = facts.quantization
    if not said or not facts.config.get("quantization_config"):
        return said
    inner = said.get("quantization")
    kept = {key: value for key, value in inner.items() if key not in _OF_MODULES} if isinstance(inner, dict) else inner
    return {**said, "quantization": kept} if "quantization" in said else said


def _without_noise(config: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_noise(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in _NOISE
    }
