"""When a key is to be looked at again though no event asks for it: every rule says how soon, and why."""

from collections.abc import Iterable
from typing import NamedTuple


class Again(NamedTuple):
    """One reason to come back."""

    seconds: float
    why: str
    holds_status: bool = False
    """Whether what is waited for is worth keeping the status unwritten until then."""


def soonest(waits: Iterable[Again]) -> Again | None:
    """The first that is due; None: only an event brings the key back."""
    return min(waits, key=lambda wait: wait.seconds, default=None)
