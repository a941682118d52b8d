"""Which optional APIs and features the cluster has now. They come and go while the operator runs."""

import asyncio
from collections.abc import Callable

from ..cluster import Cluster
from ..manifests.image_volume import IMAGE_VOLUMES
from ..manifests.kinds import BY_KIND, OPTIONAL_KINDS
from .watches import Watches

LOOK_SECONDS = 30.0
# Since which version Kubernetes has a feature without being asked for it.
FEATURES = {IMAGE_VOLUMES: (1, 35)}


class OptionalApis:
    """Asks the API server now and then. `changed()` is called for another answer: it concerns everything."""

    def __init__(self, cluster: Cluster, watches: Watches, changed: Callable[[], None]) -> None:
        self._cluster, self._watches, self._changed = cluster, watches, changed
        self._served: frozenset[str] = frozenset()
        # Where the API server does not say, what it refuses will be told.
        self._features = frozenset(FEATURES)

    def served(self) -> frozenset[str]:
        """The optional kinds, and the features of Kubernetes, that the cluster has."""
        return self._served | self._features

    async def watch(self) -> None:
        """Looks until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Asks once. Where the API server does not say, what was known stands."""
        before, had = self._served, self._features
        answers = {kind: await self._cluster.serves(kind) for kind in OPTIONAL_KINDS}
        self._served = frozenset(
            kind for kind, answer in answers.items() if (kind in before if answer is None else answer)
        )
        for kind in OPTIONAL_KINDS:
            if kind in self._served:
                self._watches.expect(BY_KIND[kind].plural)
            elif answers[kind] is not None:
                self._watches.forget(BY_KIND[kind].plural)
        if version := await self._cluster.version():
            self._features = frozenset(name for name, since in FEATURES.items() if version >= since)
        if (self._served, self._features) != (before, had):
            self._changed()
