"""What was applied last, for the children of one service. Empty after a restart: then what a child holds decides.

Pure but for the memory: times are seconds of the caller's clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..manifests import Manifest
from ..snapshots.child import Child, ChildKey, Live
from ..snapshots.owned import owned_fields

# How long the watch may lag behind our own apply before a missing child counts as deleted.
WATCH_LAG_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Applied:
    """One child as our last apply left it. Of texts that are only compared there are hashes, which take half of it."""

    manifest: int
    content: int
    """What its manifest says; once seen, what the fields held as they were applied: a webhook may have changed that.
    0 where the watch did not show that."""
    owned_fields: int
    resource_version: int
    at: float
    object: int = 0
    """Its uid: with another one, it is another object of the name."""
    seen: bool = False
    """Whether the watch has shown it: what was seen and is missing now was deleted."""

    def lags(self, child: Child) -> bool:
        """Whether the watch shows a version from before our apply."""
        return child.resource_version < self.resource_version

    def is_edited(self, child: Child) -> bool:
        """Whether somebody has changed a field of ours since: as another manager, who owns it then, or in our name."""
        if self.lags(child):
            return False
        in_our_name = self.seen and self.content and hash(child.owned_content) != self.content
        return bool(in_our_name) or hash(child.owned_fields) != self.owned_fields

    def shown(self, child: Child) -> "Applied":
        """The same, once the watch has shown it: what it holds then is as it should be, if nobody wrote it since."""
        held = hash(child.owned_content)
        as_applied = self.content == held or child.resource_version == self.resource_version
        return replace(self, seen=True, content=held if as_applied else 0)

    def made(self, uid: str) -> bool:
        """Whether this is the very object that we applied, whoever owns it now."""
        return bool(uid) and hash(uid) == self.object

    def may_come(self, now: float) -> bool:
        """Whether a child that the watch does not show may still be on its way."""
        return not self.seen and now - self.at < WATCH_LAG_SECONDS


class Ledger:
    """The children of one service, by kind and name."""

    def __init__(self) -> None:
        self._applied: dict[ChildKey, Applied] = {}

    def note(self, live: Live, deleted: Callable[[ChildKey], int] = lambda _: 0) -> None:
        """Takes in what the watch shows, before anything is applied. `deleted`: at which version a child last was."""
        for key, last in self._applied.items():
            child = live.get(key)
            if last.seen:
                continue
            if child is None:
                # It may have come and gone between two looks.
                self._applied[key] = replace(last, seen=deleted(key) >= last.resource_version)
            elif not last.lags(child):
                self._applied[key] = last.shown(child)

    def get(self, key: ChildKey) -> Applied | None:
        """What was applied last; None where nothing was, or it was deleted."""
        return self._applied.get(key)

    def lags(self, child: Child | None) -> bool:
        """Whether the watch has yet to show what the last apply made of a child that it shows."""
        last = self.get((child.kind, child.name)) if child else None
        return bool(child and last and last.lags(child))

    def record(self, key: ChildKey, digests: tuple[str, str], result: Manifest, now: float) -> None:
        """Notes what the API server made of an apply. `digests`: of the manifest, and of its content (`content`)."""
        manifest, content = map(hash, digests)
        meta = result["metadata"]
        owned, version = hash(owned_fields(meta)), int(meta["resourceVersion"])
        self._applied[key] = Applied(manifest, content, owned, version, now, hash(meta["uid"]))

    def forget(self, key: ChildKey) -> None:
        """The child is being deleted."""
        self._applied.pop(key, None)

    def unseen(self) -> bool:
        """Whether the watch has yet to show something that was applied."""
        return any(not applied.seen for applied in self._applied.values())
