"""What the pinned vLLM's own parser says of its flags: vllm.json, written by `make engine-flags`. It judges none."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Kind = Literal["switch", "value", "JSON", "words"]


@dataclass(frozen=True, slots=True)
class Fact:
    """A flag of `vllm serve` as the parser has it."""

    name: str
    """Its full name: --max-num-seqs."""
    negative: str | None
    """What turns it off, where there is such a flag: --no-enable-prefix-caching."""
    also: tuple[str, ...]
    """Other spellings: -tp, --device-memory-utilization."""
    kind: Kind
    """What follows it: nothing, one value, one value of JSON, or several words."""
    default: Any
    """As JSON; None also where vLLM works it out when it starts."""
    choices: tuple[str, ...]
    """The values that the parser takes; empty where it checks none."""


@cache
def facts() -> dict[str, Fact]:
    """All flags, by their full names."""
    text = files(__package__).joinpath("vllm.json").read_text()
    rows = ({**row, "also": tuple(row["also"]), "choices": tuple(row["choices"])} for row in json.loads(text))
    return {row["name"]: Fact(**row) for row in rows}
