"""Which flag of vLLM a user means: by any spelling that vLLM's own parser takes. It judges no value."""

from dataclasses import dataclass

from ..spec import InferenceServiceSpec
from .catalogue import Entry, Standing, entries
from .standings import VERSION

CATALOGUE = entries(InferenceServiceSpec)
"""Every flag of the pinned vLLM and every one that is gone, by its full name."""

MOST_SHOWN = 6
_SPELLINGS = {spelling: entry for entry in CATALOGUE.values() for spelling in entry.spellings}


@dataclass(frozen=True, slots=True)
class Found:
    """A flag as it was written."""

    entry: Entry
    spelled: str
    """The full spelling that it stands for: --no-enable-lora for --no-enable-lor, --tensor-parallel-size for -tp."""
    off: bool
    """Whether it is the form that turns a switch off."""
    keys: tuple[str, ...] = ()
    """What follows in dots: ("method",) of --speculative-config.method."""
    adds: bool = False
    """Whether it adds to a list: --compilation-config.custom_ops+."""
    value: str | None = None
    """What the spelling itself says of the value, without an equals sign: 3 of -O3."""


class UnknownFlagError(LookupError):
    """No flag, or more than one, is meant. Its text is a sentence for users."""


def find(spelling: str) -> Found:
    """The flag that a spelling means: the part before the equals sign, as in --max_num_seqs, -tp or --max-num-s.

    Underscores stand for dashes, a beginning for the one flag that begins like it, and dots lead into its JSON, as
    vLLM's FlexibleArgumentParser and argparse have it. Raises UnknownFlagError where none or more than one is meant.
    """
    head, *keys = spelling.split(".")
    adds = bool(keys) and keys[-1].endswith("+")
    keys = [*keys[:-1], keys[-1].removesuffix("+")] if keys else []
    level = _level(head)
    if level is not None:
        return Found(CATALOGUE["--optimization-level"], "--optimization-level", off=False, value=level or None)
    name = f"--{head[2:].replace('_', '-')}" if head.startswith("--") else head
    spelled = name if name in _SPELLINGS else _abbreviated(name)
    entry = _SPELLINGS[spelled]
    off = spelled == entry.negative
    return Found(entry, entry.name if spelled in entry.also else spelled, off, tuple(keys), adds)


def _level(head: str) -> str | None:
    """The value of -O, -O3 or -O.mode, which vLLM turns into --optimization-level; None for anything else."""
    return head[2:] if head.startswith("-O") and head[2:] in ("", "0", "1", "2", "3") else None


def _abbreviated(name: str) -> str:
    """The one full spelling that begins like this; of flags that are gone only where vLLM has none."""
    found = [spelling for spelling in _SPELLINGS if name.startswith("--") and spelling.startswith(name)]
    there = [one for one in found if _SPELLINGS[one].standing != Standing.GONE] or found
    if len(there) == 1 and len(name) > len("--"):
        return there[0]
    if not there or len(name) <= len("--"):
        raise UnknownFlagError(f"{name} is not a flag of vLLM {VERSION}: see docs/flags.md for those that there are")
    shown = f"one of {len(there)} flags" if len(there) > MOST_SHOWN else " or ".join(there)
    raise UnknownFlagError(f"{name} could be {shown}: write the full name")
