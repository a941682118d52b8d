"""What is there already when the operator starts. Lists are taken as they come, before kopf sees them.

kopf would make a task for each listed object, and where it indexes, keep tasks and objects until all others are listed,
too: of 10,000 services that is 2 GiB. It is shown an empty list, and watches from there.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

# What `kopf.operator` takes has no public name.
from kopf._cogs.structs.references import Insights
from yarl import URL

from ..api.encoding import Page
from .informer import Informer

# The API server may lie below a path of its own.
_PATH = re.compile(r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/[^/]+)?/(?P<plural>[^/]+)$")


class Lists:
    """The lists of one operator. `on_all()` is called once all have been taken, and where one tells what is gone."""

    def __init__(self, on_all: Callable[[], None]) -> None:
        self._on_all = on_all
        self.insights = Insights()
        """What kopf watches: it says so here."""
        self.informers: Mapping[tuple[str, str], Informer] = {}
        """By API version and plural."""
        # The uids of what has come, by the path of the list; and of what came in the list before.
        self._taken: dict[str, set[str]] = {}
        self._before: dict[str, set[str]] = {}
        self._ended: set[str] = set()
        # Plurals of what the cluster does not serve at present.
        self._gone: set[str] = set()
        self.complete = False
        """Whether all that was there is known."""

    def takes(self, url: URL) -> bool:
        """Whether lists from there are taken."""
        return self._informer(url.path)[1] is not None

    def take(self, url: URL, page: Page) -> dict[str, Any]:
        """Takes a list, or a part of it, and returns what kopf is to see of it. Raises KeyError where it takes none."""
        path, informer = self._informer(url.path)
        if informer is None:
            raise KeyError(url.path)
        self._gone.discard(url.name)
        if "continue" not in url.query:
            self._before.setdefault(path, set()).update(self._taken.get(path, ()))
            self._taken[path] = set()
        for item in page.objects():
            informer.note(None, item, tell=self.complete)
            self._taken[path].add(item["metadata"]["uid"])
        if not page.metadata.get("continue"):
            self._end(path, informer)
        return {"kind": page.kind, "apiVersion": page.api_version, "metadata": page.metadata, "items": []}

    def _end(self, path: str, informer: Informer) -> None:
        gone = self._before.pop(path) - self._taken[path]
        for uid in gone:
            informer.forget(uid)
        self._ended.add(path)
        if gone and self.complete:
            self._on_all()
        self._look()

    def forget(self, plural: str) -> None:
        """The cluster does not serve these objects: nobody waits for their list."""
        self._gone.add(plural)
        self._look()

    def missing(self) -> list[str]:
        """The paths of lists that are still to come; empty also where it is not known yet what there is."""
        return sorted(self._wanted()) if self._kopf_knows() and not self.complete else []

    def _look(self) -> None:
        if not self.complete and self._kopf_knows() and next(self._wanted(), None) is None:
            self.complete = True
            self._on_all()

    def _kopf_knows(self) -> bool:
        return self.insights.ready_resources.is_set() and self.insights.ready_namespaces.is_set()

    def _wanted(self) -> Iterator[str]:
        """The paths of what kopf watches, and has not been listed."""
        for one in self.insights.watched_resources:
            if one.plural not in self._gone:
                paths = {one.get_url(namespace=space if one.namespaced else None) for space in self.insights.namespaces}
                yield from paths - self._ended

    def _informer(self, path: str) -> tuple[str, Informer | None]:
        """The path as kopf's resources name it, and whose it is."""
        parts = _PATH.search(path)
        if not parts:
            return path, None
        group, version, plural = parts.groups()
        return parts[0], self.informers.get((f"{group}/{version}" if group else version, plural))

    def moved(self, path: str) -> bool:
        """Whether events have come beside the list of a path, so that another list does not tell all that is gone."""
        _, informer = self._informer(path)
        return informer is None or informer.moved
