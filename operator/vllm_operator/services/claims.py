"""What is read of the claims that a service or a batch names. Judges none of them."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..again import Again

# Claims of others are not watched: what changes of one counts after so long.
CLAIMS_SECONDS = 60.0


class Claim(NamedTuple):
    """What counts of a claim."""

    labels: Mapping[str, str]
    access_modes: tuple[str, ...]


def labels_of(claims: Mapping[str, Claim | None]) -> dict[str, Mapping[str, str] | None]:
    """Labels of each claim; None of one that does not exist."""
    return {name: claim.labels if claim else None for name, claim in claims.items()}


@dataclass(slots=True)
class Claims:
    """What was read of one object's claims, and when."""

    read_claim: Callable[[str], Awaitable[Mapping[str, Any] | None]]
    clock: Callable[[], float]
    _known: dict[str, Claim | None] = field(default_factory=dict)
    _about: tuple[str, ...] = ()
    _read_at: float = 0.0

    async def read(self, names: Iterable[str]) -> Mapping[str, Claim | None]:
        """Each claim, as it was some time ago at most; None: there is none of that name. Raises what reading raises."""
        about = tuple(names)
        if about != self._about or self.clock() >= self._read_at + CLAIMS_SECONDS:
            self._known = {name: _claim(await self.read_claim(name)) for name in about}
            self._about, self._read_at = about, self.clock()
        return self._known

    def forget(self) -> None:
        """Nobody asks for the claims as things are: none is looked at again for the sake of what was read."""
        self._known, self._about = {}, ()

    def waits(self) -> Iterator[Again]:
        """Another look is due as long as there are claims to look at."""
        if self._about:
            yield Again(max(self._read_at + CLAIMS_SECONDS - self.clock(), 0.1), "the claims' labels are read again")


def _claim(body: Mapping[str, Any] | None) -> Claim | None:
    if body is None:
        return None
    modes = (body.get("spec") or {}).get("accessModes") or ()
    return Claim(body["metadata"].get("labels") or {}, tuple(modes))
