"""Which optional APIs and features the cluster has now. They come and go while the operator runs; ours may be late."""

import asyncio
import logging
from collections.abc import Callable

from ..api import API_VERSION
from ..cluster import Cluster, UnavailableError
from ..manifests.image_volume import IMAGE_VOLUMES
from ..manifests.kinds import OPTIONAL_KINDS
from ..manifests.names import RAY_CLUSTER, RAY_KIND
from ..resources import RESOURCES
from .watches import Watches

LOOK_SECONDS = 30.0
# What is watched besides where the cluster has a kind: what its operator makes of it.
_MADE_OF = {RAY_KIND: (RAY_CLUSTER,)}
# Our own kinds: their CRDs are installed, perhaps by others, and perhaps later.
OURS = tuple(kind for kind, resource in RESOURCES.items() if resource.api_version == API_VERSION)
# Since which version Kubernetes has a feature without being asked for it.
FEATURES = {IMAGE_VOLUMES: (1, 35)}

log = logging.getLogger(__name__)


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

    async def look(self) -> bool:
        """Asks once; returns whether there was an answer for each kind. Of what has none, what was known stands."""
        before, had = self._served, self._features
        silent = set[str]()
        said = await asyncio.gather(*(self._ask(kind, silent) for kind in OPTIONAL_KINDS))
        answers = dict(zip(OPTIONAL_KINDS, said, strict=True))
        self._served = frozenset(
            kind for kind, answer in answers.items() if (kind in before if answer is None else answer)
        )
        for kind in OPTIONAL_KINDS:
            for plural in (RESOURCES[one].plural for one in (kind, *_MADE_OF.get(kind, ()))):
                if kind in self._served:
                    self._watches.expect(plural)
                elif answers[kind] is not None:
                    self._watches.forget(plural)
        await self._expect_ours()
        if version := await self._cluster.version():
            self._features = frozenset(name for name, since in FEATURES.items() if version >= since)
        if (self._served, self._features) != (before, had):
            self._changed()
        return not silent

    async def _expect_ours(self) -> None:
        """kopf leaves out a kind that has no API when it begins. Where not the whole cluster is watched, for good."""
        for kind in OURS:
            resource = RESOURCES[kind]
            is_watched = (resource.api_version, resource.plural) in self._watches.lists.informers
            if is_watched and await self._ask(kind, set()):
                self._watches.expect(resource.plural)

    async def _ask(self, kind: str, silent: set[str]) -> bool | None:
        """Whether the cluster serves a kind; None where the API server does not say; `silent`: nor answers."""
        try:
            return await self._cluster.serves(kind)
        except UnavailableError as error:
            log.warning("cannot tell whether the cluster serves %s: %s", kind, error)
            silent.add(kind)
            return None
