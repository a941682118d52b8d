"""Verdicts that objects have in common: those of one namespace that ask the same. Judges nothing.

A thousand services of one model need one plan, and where the kinds of nodes change, one of them finds out whether it
still holds: the others are looked at only where it does not.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..api.resource import Key
from ..assess.fits import Assessment


@dataclass(slots=True)
class Verdict:
    """What one question came to."""

    keys: set[Key] = field(default_factory=set)
    """Who asks it."""
    assessment: Assessment | None = None
    kinds: object = None
    """The kinds of nodes that it was made of."""
    working: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while it is worked out: whoever asks meanwhile waits for that."""
    doubted_by: Key | None = None
    """Who finds out whether it still holds."""


class _Asking(NamedTuple):
    told: object
    """What the question was made of."""
    question: tuple[str, str]
    verdict: Verdict


class Verdicts:
    """Of all objects. `requeue(key)` has one looked at."""

    def __init__(self, requeue: Callable[[Key], None]) -> None:
        self._requeue = requeue
        self._asking: dict[Key, _Asking] = {}
        # By namespace and question: nobody waits for what another namespace has asked.
        self._verdicts: dict[tuple[str, str], Verdict] = {}

    def of(self, key: Key, told: object) -> Verdict | None:
        """The verdict that an object has a part in; None where it was told something else when it asked."""
        asking = self._asking.get(key)
        return asking.verdict if asking and asking.told == told else None

    def join(self, key: Key, told: object, question: str) -> Verdict:
        """The verdict on a question, which the object asks from now on; `question` is the same for the same `told`."""
        self.leave(key)
        name = (key.namespace, question)
        verdict = self._verdicts.setdefault(name, Verdict())
        verdict.keys.add(key)
        self._asking[key] = _Asking(told, name, verdict)
        return verdict

    def leave(self, key: Key) -> None:
        """The object asks nothing any more. What it was to find out, another one does."""
        asking = self._asking.pop(key, None)
        if asking is None:
            return
        verdict = asking.verdict
        verdict.keys.discard(key)
        if not verdict.keys:
            del self._verdicts[asking.question]
        elif verdict.doubted_by == key:
            self._doubt(verdict)

    def give_up(self, key: Key) -> None:
        """The object could not find out whether its verdict still holds: another one does, where there is one."""
        asking = self._asking.get(key)
        if asking and asking.verdict.doubted_by == key:
            self.leave(key)

    def doubt(self, keys: Iterable[Key]) -> None:
        """The kinds of nodes have changed for these: one of each verdict is looked at, and those that have none."""
        for key in keys:
            asking = self._asking.get(key)
            if asking is None:
                self._requeue(key)
            elif asking.verdict.doubted_by is None:
                self._doubt(asking.verdict)

    def _doubt(self, verdict: Verdict) -> None:
        verdict.doubted_by = min(verdict.keys)
        self._requeue(verdict.doubted_by)

    def settle(self, key: Key, verdict: Verdict, assessment: Assessment, kinds: object) -> None:
        """What an object found. Where it is another verdict than before, the others hear of it."""
        before, verdict.assessment, verdict.kinds = verdict.assessment, assessment, kinds
        if before is not None and before != assessment:
            for other in verdict.keys - {key}:
                self._requeue(other)
