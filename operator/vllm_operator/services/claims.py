"""Labels of the claims that a service names, where the platform team allows only some claims. Judges none of them."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..again import Again

# Claims of others are not watched: a label that is added, or taken away, counts after so long.
CLAIMS_SECONDS = 60.0


def labels_of(claim: Mapping[str, Any] | None) -> Mapping[str, str] | None:
    """Labels of a claim as it was read; None of one that does not exist."""
    return (claim["metadata"].get("labels") or {}) if claim else None


@dataclass(slots=True)
class Claims:
    """What was read of one service's claims, and when."""

    read_claim: Callable[[str], Awaitable[Mapping[str, Any] | None]]
    clock: Callable[[], float]
    _known: dict[str, Mapping[str, str] | None] = field(default_factory=dict)
    _about: tuple[str, ...] = ()
    _read_at: float = 0.0

    async def labels(self, names: Iterable[str]) -> Mapping[str, Mapping[str, str] | None]:
        """Labels of each claim; None of one that does not exist. Raises what reading raises."""
        about = tuple(names)
        if about != self._about or self.clock() >= self._read_at + CLAIMS_SECONDS:
            found = {name: await self.read_claim(name) for name in about}
            self._known = {name: labels_of(claim) for name, claim in found.items()}
            self._about, self._read_at = about, self.clock()
        return self._known

    def forget(self) -> None:
        """Nobody asks for the claims as things are: none is looked at again for the sake of what was read."""
        self._known, self._about = {}, ()

    def waits(self) -> Iterator[Again]:
        """Another look is due as long as there are claims to look at."""
        if self._about:
            yield Again(max(self._read_at + CLAIMS_SECONDS - self.clock(), 0.1), "the claims' labels are read again")
