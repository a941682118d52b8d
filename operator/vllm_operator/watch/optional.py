"""Which optional APIs the cluster serves now. They come and go while the operator runs."""

import asyncio
from collections.abc import Callable

from ..cluster import Cluster
from ..manifests.kinds import BY_KIND, OPTIONAL_KINDS
from .watches import Watches

LOOK_SECONDS = 30.0


class OptionalApis:
    """Asks the API server now and then. `changed()` is called for another answer: it concerns everything."""

    def __init__(self, cluster: Cluster, watches: Watches, changed: Callable[[], None]) -> None:
        self._cluster, self._watches, self._changed = cluster, watches, changed
        self._served: frozenset[str] = frozenset()

    def served(self) -> frozenset[str]:
        """The optional kinds that the cluster knows."""
        return self._served

    async def watch(self) -> None:
        """Looks until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Asks once. Where the API server does not say, what was known stands."""
        before = self._served
        answers = {kind: await self._cluster.serves(kind) for kind in OPTIONAL_KINDS}
        self._served = frozenset(
            kind for kind, answer in answers.items() if (kind in before if answer is None else answer)
        )
        for kind in OPTIONAL_KINDS:
            tell = self._watches.expect if kind in self._served else self._watches.forget
            tell(BY_KIND[kind].plural)
        if self._served != before:
            self._changed()
