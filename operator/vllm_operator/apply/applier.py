"""Brings the children of one service to what is desired, with as few requests as possible.

A child is applied when its manifest differs from the one applied last, when somebody edited a field of ours (the API
server then takes that field off our managedFields entry), or when it is gone. Somebody else's object is never adopted.
"""

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

from ..api.resource import InferenceService
from ..cluster import Cluster
from ..manifests.kinds import BY_KIND, Proof, Pruned
from ..manifests.metadata import Manifest
from ..manifests.names import INSTANCE_LABEL, MANAGED_BY, MANAGED_BY_LABEL
from ..snapshots.child import Child, ChildKey, Live, owner_uid
from ..snapshots.child import child as child_of

# How long the watch may lag behind our own apply before a missing child counts as deleted.
WATCH_LAG_SECONDS = 15.0


class NameTakenError(Exception):
    """Somebody else's object has the name of a child."""


class StillDeletingError(Exception):
    """A child of a deleted service of the same name is not gone yet: try again soon."""


@dataclass(slots=True)
class _Applied:
    manifest: str
    owned_fields: str
    resource_version: int
    at: float
    seen: bool = False


def digest(manifest: Manifest) -> str:
    """Short hash of a manifest."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]


class Applier:
    """What was applied last, for the children of one service. After a restart each child is applied once more."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._applied: dict[ChildKey, _Applied] = {}

    def note(self, live: Live) -> None:
        """Takes in what the watch shows, before anything is applied: what was seen and is missing now was deleted."""
        for key, last in self._applied.items():
            child = live.get(key)
            last.seen = last.seen or (child is not None and child.resource_version >= last.resource_version)

    async def apply(self, service: InferenceService, manifest: Manifest, live: Live, replicas: int = 1) -> None:
        """Applies one child if it needs it. `replicas` is for a new Deployment whose manifest has none.

        Raises NameTakenError, StillDeletingError, and what Cluster.apply raises.
        """
        key = (manifest["kind"], manifest["metadata"]["name"])
        child, last, want = live.get(key), self._applied.get(key), digest(manifest)
        # Whatever the watch shows: a Deployment that is there must not get the replicas of a new one.
        shared = key[0] == "Deployment" and "replicas" not in manifest["spec"]
        off = shared and _is_switched_off(service, child)
        if last and last.manifest == want and self._is_current(child, last) and not off:
            return
        if child is None and (shared or not (last and not last.seen)):
            if not shared and (made := await self._cluster.apply_new(manifest)):
                self._note_applied(key, want, made)
                return
            child = await self._read(service, key)
        if child:
            _refuse_foreign(service, child)
        if shared:
            owned = off or _owns_replicas(child, last)
            await self._share_replicas(manifest, replicas, exists=child is not None, owned=owned)
        self._note_applied(key, want, await self._cluster.apply(manifest))

    async def _read(self, service: InferenceService, key: ChildKey) -> Child | None:
        """What has the name of a child that the watch does not show. Raises NameTakenError for somebody else's."""
        found = await self._cluster.read(key[0], service.namespace, key[1])
        if found and not _has_our_labels(service, found):
            raise NameTakenError(
                f"the {key[0]} {key[1]} in namespace {service.namespace} does not belong to this service:"
                " rename the service, or delete that object"
            )
        return child_of(found) if found else None

    def _note_applied(self, key: ChildKey, manifest: str, result: Manifest) -> None:
        child = child_of(result)
        self._applied[key] = _Applied(manifest, child.owned_fields, child.resource_version, time.monotonic())

    async def _share_replicas(self, manifest: Manifest, replicas: int, *, exists: bool, owned: bool) -> None:
        """Sees to it that we are not the only owner of a Deployment's replicas when our apply leaves them out."""
        if not exists and replicas != 1:  # 1 is what a new Deployment has by default
            await self._cluster.apply({**manifest, "spec": {**manifest["spec"], "replicas": replicas}})
            owned = True
        if owned:
            meta = manifest["metadata"]
            await self._cluster.hold_replicas(meta["namespace"], meta["name"], replicas)

    def _is_current(self, child: Child | None, last: _Applied) -> bool:
        if child is None:
            return not last.seen and time.monotonic() - last.at < WATCH_LAG_SECONDS
        # An older version is the watch lagging behind our own apply.
        return child.resource_version < last.resource_version or child.owned_fields == last.owned_fields

    def unseen(self) -> bool:
        """Whether the watch has yet to show something that was applied: worth another look after WATCH_LAG_SECONDS."""
        return any(not applied.seen for applied in self._applied.values())

    async def prune(self, service: InferenceService, wanted: Iterable[Manifest], live: Live, when: Pruned) -> None:
        """Deletes what is no longer desired, of the kinds that go at this time. What has no owner stays."""
        names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in wanted}
        for key, child in live.items():
            if BY_KIND[child.kind].pruned is when and key not in names and child.owner_uid == service.uid:
                await self.delete(service, key)

    async def delete(self, service: InferenceService, key: ChildKey) -> None:
        """Deletes one child."""
        await self._cluster.delete(key[0], service.namespace, key[1])
        self._applied.pop(key, None)


def _owns_replicas(child: Child | None, last: _Applied | None) -> bool:
    """Whether we own a Deployment's replicas. While the watch lags behind our own apply, it cannot tell."""
    return child is not None and (child.owns_replicas or bool(last and child.resource_version < last.resource_version))


def _is_switched_off(service: InferenceService, child: Child | None) -> bool:
    """Whether a Deployment is at 0, after a suspension or under KEDA: there a HorizontalPodAutoscaler does nothing."""
    scaling = service.spec.autoscaling
    by_hpa = scaling is not None and scaling.provider == "HPA"
    return by_hpa and child is not None and child.deployment is not None and child.deployment.wanted == 0


def _has_our_labels(service: InferenceService, found: Manifest) -> bool:
    labels = found["metadata"].get("labels", {})
    owned = owner_uid(found["metadata"]) == service.uid
    return owned or (labels.get(MANAGED_BY_LABEL) == MANAGED_BY and labels.get(INSTANCE_LABEL) == service.name)


def _refuse_foreign(service: InferenceService, child: Child) -> None:
    """Raises where a child is not this service's own, by the proof that its kind asks for."""
    by_labels = BY_KIND[child.kind].proof is Proof.OWNER_OR_LABELS
    if child.owner_uid == service.uid or (by_labels and child.owner_uid is None):
        return
    if child.owner_uid is None:
        raise NameTakenError(
            f"{child.kind} {child.name} has no owner any more: delete it, and the operator makes it again"
        )
    raise StillDeletingError(f"{child.kind} {child.name} belongs to a deleted service of this name and is not gone yet")
