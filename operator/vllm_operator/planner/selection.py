"""Which modules a list of names and patterns means, as each quantization of vLLM reads its lists.

Patterns come from config.json files of strangers: RE2 runs them, in linear time. What RE2 cannot run (looking ahead,
for one) is not guessed: the selection is then `undecided`, and so is the plan.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any

MOST_CHARACTERS = 4000
"""Of all patterns of a list together; the longest real one has some hundreds."""
# Of one compiled pattern and what RE2 notes while it runs: some 4,000 instructions. A repetition counted up to a
# thousand makes as many of a few characters.
_PATTERN_BYTES = 64 << 10
MOST_PARTS = 128
# Where a model's text part is, in the names of checkpoints and of vLLM's own modules.
_LEADING = ("model.", "language_model.", "text_model.", "transformer.", "backbone.", "thinker.", "llm.", "decoder.")
_TEXT_PARTS = ("model.", "language_model.model.", "model.language_model.")
# What vLLM keeps in one tensor under another name.
_FUSED = {
    "q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj", "gate_proj": "gate_up_proj",
    "up_proj": "gate_up_proj", "in_proj_qkv": "in_proj_qkvz", "in_proj_z": "in_proj_qkvz",
    "q_a_proj": "fused_qkv_a_proj", "kv_a_proj_with_mqa": "fused_qkv_a_proj",
}  # fmt: skip
# An expert's first matrix, as checkpoints name it.
_FIRST_EXPERT = (".0.gate_proj", ".0.down_proj", ".0.up_proj", ".0.w1", ".gate_up_proj")
NAMES_OF_EXPERTS = 1 + len(_FIRST_EXPERT)
"""That patterns are tried on for a layer's routed experts."""


_IN_LAYER = re.compile(r"layers\.[0-9]+\.")


class Match(StrEnum):
    """How the entries of a list are meant."""

    NAMES = "names"
    """A module's name, or that of one that it is in (fp8, mxfp4)."""
    PARTS = "parts"
    """A part of a module's name (AWQ)."""
    WILDCARDS = "wildcards"
    """All of that, and `*` for anything (ModelOpt, Quark)."""
    PATTERNS = "patterns"
    """A module's name, or `re:` and a pattern for its start (compressed-tensors)."""


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Modules. Compares by identity: `of` gives the same one for the same list."""

    names: frozenset[str]
    parts: tuple[str, ...]
    starts: Mapping[str, tuple[str, ...]]
    """Starts of names within a layer, by the layer."""
    pattern: Any
    """All patterns in one, compiled; None: there is none."""
    prefixes: tuple[str, ...] = ("model.",)
    """What the names that patterns are tried on start with."""
    undecided: bool = False
    """Whether a pattern is among them that cannot be run."""

    @classmethod
    def of(cls, entries: tuple[str, ...], match: Match = Match.NAMES) -> "Selection":
        """From the entries of a list."""
        return _of(entries, match)

    @property
    def instructions(self) -> int:
        """What trying its patterns on one name takes, in RE2's instructions for each character at worst."""
        return 0 if self.pattern is None else int(self.pattern.programsize) * len(self.prefixes)

    def __bool__(self) -> bool:
        return bool(self.names or self.parts or self.starts or self.pattern is not None or self.undecided)

    def has(self, layer: str, name: str) -> bool:
        """Whether a module of a layer (`layers.3`, `mlp.down_proj`) is among them."""
        return bool(self) and (self._named(layer, name) or self._matched(layer, name))

    def has_experts(self, layer: str, name: str) -> bool:
        """The same for a layer's routed experts, which lists name as a whole or one by one."""
        if not self:
            return False
        return self.has(layer, name) or any(
            self._named(layer, name + one) or self._fits(layer, name + one) for one in _FIRST_EXPERT
        )

    def _named(self, layer: str, name: str) -> bool:
        if not self.names:
            return False
        stem, _, last = name.rpartition(".")
        fused = _FUSED.get(last)
        spellings = (name, f"{stem}.{fused}") if fused else (name,)
        for spelling in spellings:
            whole = f"{layer}.{spelling}"
            if whole in self.names or spelling in self.names:
                return True
        parents = stem.split(".")
        above = [".".join(parts) for parts in (parents[:end] for end in range(1, len(parents) + 1)) if parts[0]]
        return (
            last in self.names
            or layer in self.names
            or any(one in self.names or f"{layer}.{one}" in self.names for one in above)
        )

    def _matched(self, layer: str, name: str) -> bool:
        whole = f"model.{layer}.{name}"
        return any(part in whole for part in self.parts) or self._fits(layer, name)

    def _fits(self, layer: str, name: str) -> bool:
        if name.startswith(self.starts.get(layer, ())):
            return True
        return self.pattern is not None and any(self.pattern.match(f"{part}{layer}.{name}") for part in self.prefixes)


@lru_cache(maxsize=64)
def _of(entries: tuple[str, ...], match: Match) -> Selection:
    names, parts, sources, starts = set[str](), list[str](), list[str](), dict[str, list[str]]()
    for entry in entries:
        if ".experts." in entry and ".experts.0." not in entry and "*" not in entry and not entry.startswith("re:"):
            continue  # experts are stored alike: the first stands for all
        if entry.startswith("re:"):
            sources.append(entry[3:])
        elif _is_start(entry):
            layer, number, rest = short(entry)[:-1].split(".", 2)
            starts.setdefault(f"{layer}.{number}", []).append(rest)
        elif "*" in entry:
            sources.append(".*".join(_re2().escape(part) for part in entry.split("*")) + r"(\..*)?$")
        elif match in {Match.PARTS, Match.WILDCARDS} and not short(entry).startswith("layers."):
            parts.append(entry)
        else:
            names.add(short(entry))
    pattern, undecided = _together(sources)
    if len(parts) > MOST_PARTS:
        parts, undecided = [], True
    within = {layer: tuple(rest) for layer, rest in starts.items()}
    prefixes = _TEXT_PARTS if any("language" in source for source in sources) else _TEXT_PARTS[:1]
    return Selection(frozenset(names), tuple(parts), within, pattern, prefixes, undecided)


def _is_start(entry: str) -> bool:
    """Whether an entry is a start of names in one layer, like `model.layers.3.self_attn*`."""
    return entry.endswith("*") and entry.count("*") == 1 and _IN_LAYER.match(short(entry)) is not None


def _together(sources: list[str]) -> tuple[Any, bool]:
    """One pattern for all that can be run, and whether any cannot."""
    if not sources:
        return None, False
    if sum(map(len, sources)) <= MOST_CHARACTERS:
        runnable = [source for source in sources if _compiled(source) is not None]
        if runnable and (found := _compiled("|".join(f"(?:{source})" for source in runnable))) is not None:
            return found, len(runnable) < len(sources)
    return None, True


def short(name: str) -> str:
    """A module's name from its layer on: checkpoints and vLLM differ in what comes before."""
    at = 0
    while leading := next((part for part in _LEADING if name.startswith(part, at)), ""):
        at += len(leading)
    return name[at:]


@cache
def _re2() -> Any:
    """Imported with the first pattern: 2 MiB that an operator without such a model does without."""
    import re2  # noqa: PLC0415

    return re2


def _compiled(source: str) -> Any:
    re2 = _re2()
    options = re2.Options()
    options.log_errors = False
    # Names are ASCII: a dot is one byte and one instruction, and not the ten of UTF-8.
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _PATTERN_BYTES
    try:
        return re2.compile(source.encode(), options)
    except re2.error:
        return None
