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
# The API server may lie below a path of its own.
_PATH = re.compile(r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/[^/]+)?/(?P<plural>[^/]+)$")


class Lists:
    """The lists of one operator. `on_all()` is called once all have been taken, `on_gap()` where one comes again."""

    def __init__(self, on_all: Callable[[], None], on_gap: Callable[[], None]) -> None:
        self._on_all, self._on_gap = on_all, on_gap
        self.insights = Insights()
        """What kopf watches: it says so here."""
        self.informers: Mapping[tuple[str, str], Informer] = {}
        """By API version and plural."""
        # The uids of those that have come, by the path of a list that is not yet whole.
        self._begun: dict[str, list[str]] = {}
        self._ended: set[str] = set()
        self.complete = False
        """Whether all that was there is known."""

    def take(self, url: URL, answer: dict[str, Any]) -> dict[str, Any]:
        """Takes a list, or a part of it, and returns what kopf is to see of it."""
        path, informer = self._informer(url.path)
        if informer is None:
            return answer
        if "continue" not in url.query:
            self._begin(path, informer)
        for item in answer["items"]:
            item.setdefault("kind", answer["kind"].removesuffix("List"))
            item.setdefault("apiVersion", answer["apiVersion"])
            informer.note(None, item, tell=self.complete)
            self._begun[path].append(item["metadata"]["uid"])
        if not answer["metadata"].get("continue"):
            del self._begun[path]
            self._ended.add(path)
            self.look()
        return {**answer, "items": []}

    def _begin(self, path: str, informer: Informer) -> None:
        if path in self._ended:
            # What was deleted since is still known.
            log.warning("%s are listed again: starting again", path)
            self._on_gap()
        # Of a list that broke off, what has come may be gone by now.
        for uid in self._begun.get(path, ()):
            informer.forget(uid)
        self._begun[path] = []

    def forget(self, plural: str) -> None:
        """The cluster does not serve these objects any more; should they come back, their list is the first one."""
        self._ended = {path for path in self._ended if path.rpartition("/")[2] != plural}
        self.look()

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

    def _informer(self, path: str) -> tuple[str, Informer | None]:
        """The path as kopf's resources name it, and whose it is."""
        parts = _PATH.search(path)
        if not parts:
            return path, None
        group, version, plural = parts.groups()
        return parts[0], self.informers.get((f"{group}/{version}" if group else version, plural))
