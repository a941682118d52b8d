"""kopf with its memory switched off. We keep no state on objects and compare none, so nothing is built for that.

kopf otherwise copies the essence of each object at each event, which was more than half of the operator's work, and
keeps a record of 1 KB of each, for daemons, timers and handlers that are tried again.
"""

from typing import Any, cast

import kopf

# What `kopf.operator` takes has no public name.
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory


class NoDiffBase(kopf.DiffBaseStorage):
    """Remembers no object as it was last handled, and sees no difference."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing of the object."""
        return cast("kopf.BodyEssence", {})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Nothing was stored."""
        return None

    def store(self, **_: Any) -> None:
        """Stores nothing."""


class NoProgress(kopf.ProgressStorage):
    """Keeps no progress: our handlers are called for each event, and never again."""

    def fetch(self, **_: Any) -> None:
        """Nothing was stored."""

    def store(self, **_: Any) -> None:
        """Stores nothing."""

    def purge(self, **_: Any) -> None:
        """Removes nothing: no progress is kept."""

    def touch(self, **_: Any) -> None:
        """Touches nothing: no progress is kept."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """As it is: nothing of ours is in it."""
        return essence


class NoMemories(ResourceMemories):
    """A new record for each event: there is nothing in it from the one before."""

    async def recall(self, raw_body: Any, **options: Any) -> ResourceMemory:
        """A record that nobody keeps."""
        return await super().recall(raw_body, **{**options, "ephemeral": True})
