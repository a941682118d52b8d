"""What is there already when the operator starts. Lists are taken as they come, before kopf sees them.

kopf would make a task for each listed object, and keep them and the whole objects until all others have been listed: of
10,000 services that is 2 GiB, and the tasks wake each other. It is shown an empty list, and watches from there.
"""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

# What `kopf.operator` takes has no public name.
from kopf._cogs.structs.references import Insights
from yarl import URL

from .informer import Informer

log = logging.getLogger(__name__)

# Objects of one answer: their bodies are in memory at once, 0.1 MB each with what Python makes of them.
CHUNK = 250
_PATH = re.compile(r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/[^/]+)?/(?P<plural>[^/]+)")


class Lists:
    """The lists of one operator. `on_all()` is called once all have been taken, `on_gap()` where one comes again."""

    def __init__(self, on_all: Callable[[], None], on_gap: Callable[[], None]) -> None:
        self._on_all, self._on_gap = on_all, on_gap
        self.insights = Insights()
        """What kopf watches: it says so here."""
        self.informers: Mapping[tuple[str, str], Informer] = {}
        """By API version and plural."""
        self._begun: set[str] = set()
        self._ended: set[str] = set()
        self.complete = False
        """Whether all that was there is known."""

    def take(self, url: URL, answer: dict[str, Any]) -> dict[str, Any]:
        """Takes a list, or a part of it, and returns what kopf is to see of it."""
        informer = self._informer(url.path)
        if informer is None:
            return answer
        if "continue" not in url.query:
            if url.path in self._begun:
                # What was deleted since is still known.
                log.warning("%s are listed again: starting again", url.path)
                self._on_gap()
            self._begun.add(url.path)
        for item in answer["items"]:
            item.setdefault("kind", answer["kind"].removesuffix("List"))
            item.setdefault("apiVersion", answer["apiVersion"])
            informer.note(None, item, tell=self.complete)
        if not answer["metadata"].get("continue"):
            self._ended.add(url.path)
            self.look()
        return {**answer, "items": []}

    def look(self) -> None:
        """Looks whether all that kopf watches has been listed: an API may have gone before it was."""
        found = self.insights
        if self.complete or not (found.ready_resources.is_set() and found.ready_namespaces.is_set()):
            return
        wanted = {
            one.get_url(namespace=namespace if one.namespaced else None)
            for one in found.watched_resources
            for namespace in found.namespaces
        }
        if wanted <= self._ended:
            self.complete = True
            self._on_all()

    def _informer(self, path: str) -> Informer | None:
        parts = _PATH.fullmatch(path)
        if not parts:
            return None
        group, version, plural = parts.groups()
        return self.informers.get((f"{group}/{version}" if group else version, plural))
