"""Every flag of the pinned vLLM and every one that is gone, with what becomes of it here. It reads no command line.

Facts come from vLLM's parser (facts.py), fields from the spec, the rest from allowed.py and standings.py.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic import BaseModel

from ..fields import fields
from .allowed import CHOICES, LOG_LEVEL, REQUEST_LOGS, SWITCHES, VALUES
from .facts import Fact, Kind, facts
from .standings import GONE, GONE_JSON, GONE_SWITCHES, GONE_WORDS, MEANT_BY_FIELD, OWNED, REFUSED, VERSION


class Standing(StrEnum):
    """What becomes of a flag."""

    FIELD = "field"
    """A field of the spec sets it."""
    ALLOWED = "allowed"
    """extraArgs passes it on."""
    OWNED = "owned"
    """The operator, Kubernetes or nobody but vLLM's command line sets it."""
    REFUSED = "refused"
    """It is for nobody here."""
    GONE = "gone"
    """An older vLLM had it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One flag, and what becomes of it."""

    name: str
    """Its full name: --max-num-seqs."""
    negative: str | None
    """What turns it off: --no-enable-prefix-caching; None where there is no such flag."""
    also: tuple[str, ...]
    """Other spellings: -tp."""
    kind: Kind
    """What follows it, or followed it, in vLLM."""
    default: Any
    """vLLM's own, as JSON; None also where vLLM works it out when it starts."""
    choices: tuple[str, ...]
    """The values that it may have: of an allowed flag ours, else the parser's; empty for any."""
    standing: Standing
    field: str | None = None
    """The field that sets it: kvCache.blockSize."""
    says: str = ""
    """Of a flag that is owned, refused or gone: the sentence as it follows the name, with what to do."""
    setting: str | None = None
    """Of an allowed flag: the operator's setting without which it is refused all the same, or some words of it are."""

    @property
    def spellings(self) -> tuple[str, ...]:
        """All full spellings, the name first."""
        return (self.name, *([self.negative] if self.negative else []), *self.also)


def said(spelled: str, entry: Entry) -> str:
    """Why extraArgs does not pass a flag on, as a user wrote it, and what to do; empty where it does."""
    if entry.standing == Standing.ALLOWED:
        return ""
    if entry.standing == Standing.FIELD:
        return f"{spelled} is set by spec.{entry.field}: use that field"
    if entry.standing == Standing.GONE:
        return f"{spelled} is gone from vLLM {VERSION}: {entry.says}"
    return f"{spelled} {entry.says}"


def _grouped(groups: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return {f"--{name}": says for says, names in groups.items() for name in names}


OWNED_SAYS, REFUSED_SAYS, GONE_SAYS = (_grouped(groups) for groups in (OWNED, REFUSED, GONE))
ALLOWED = frozenset(f"--{name}" for name in (*VALUES, *CHOICES, *SWITCHES))


def fields_by_flag(spec: type[BaseModel]) -> dict[str, str]:
    """The field that sets each flag, by the flag's full name: --block-size -> kvCache.blockSize."""
    carried = {f"--{flag.name}": field.path for field in fields(spec) for flag in field.flags if not flag.shared}
    return carried | {f"--{name}": path for name, path in MEANT_BY_FIELD.items()}


def field_of_flag(spec: type[BaseModel]) -> dict[str, str]:
    """As `fields_by_flag`, with the forms that turn a flag off and its other long spellings."""
    known = facts()
    carried: dict[str, str] = {}
    for name, path in fields_by_flag(spec).items():
        long = [other for other in known[name].also if other.startswith("--")]
        carried |= dict.fromkeys([one for one in (name, known[name].negative, *long) if one], path)
    return dict(sorted(carried.items()))


def standings(spec: type[BaseModel], name: str) -> list[Standing]:
    """What is said to become of a flag; a test wants exactly one answer."""
    places = {
        Standing.FIELD: fields_by_flag(spec),
        Standing.ALLOWED: ALLOWED,
        Standing.OWNED: OWNED_SAYS,
        Standing.REFUSED: REFUSED_SAYS,
        Standing.GONE: GONE_SAYS,
    }
    return [standing for standing, place in places.items() if name in place]


@cache
def entries(spec: type[BaseModel]) -> dict[str, Entry]:
    """Every flag by its full name. Raises ValueError where nobody has said what becomes of one."""
    carried = fields_by_flag(spec)
    known = {name: _entry(fact, standings(spec, name), carried.get(name)) for name, fact in facts().items()}
    return known | {name: _gone(name.removeprefix("--"), says) for name, says in GONE_SAYS.items()}


def _gone(bare: str, says: str) -> Entry:
    kinds: dict[Kind, tuple[str, ...]] = {"switch": GONE_SWITCHES, "words": GONE_WORDS, "JSON": GONE_JSON}
    kind: Kind = next((kind for kind, names in kinds.items() if bare in names), "value")
    negative = f"--no-{bare}" if kind == "switch" else None
    return Entry(f"--{bare}", negative, (), kind, None, (), Standing.GONE, says=says)


def _entry(fact: Fact, found: list[Standing], field: str | None) -> Entry:
    if not found:
        raise ValueError(f"{fact.name}: say in api/flags/ what becomes of it")
    bare = fact.name.removeprefix("--")
    ours = CHOICES.get(bare, ()) if found[0] == Standing.ALLOWED else ()
    says = {**OWNED_SAYS, **REFUSED_SAYS}.get(fact.name, "") if found[0] in (Standing.OWNED, Standing.REFUSED) else ""
    return Entry(
        name=fact.name,
        negative=fact.negative,
        also=fact.also,
        kind=fact.kind,
        default=fact.default,
        choices=ours or fact.choices,
        standing=found[0],
        field=field,
        says=says,
        setting="allowRequestLogs" if fact.name in (*REQUEST_LOGS, LOG_LEVEL) else None,
    )
