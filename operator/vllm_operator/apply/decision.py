"""What one child needs: nothing, an apply, a look first, or a refusal. An ordered list of rules, and why. Pure.

A child is applied when its manifest differs from the one applied last, when somebody edited a field of ours (the API
server then takes that field off our managedFields entry), or when it is gone. After a restart nothing is known of what
was applied: a child that holds what its manifest says is left. Somebody else's object is never adopted.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from ..api.encoding import canonical
from ..api.resource import InferenceService
from ..manifests import Manifest
from ..manifests.kinds import BY_KIND, SCALED, Proof
from ..snapshots.child import Child, ChildKey
from ..snapshots.owned import content
from .ledger import Applied


class Act(StrEnum):
    """What is done about one child."""

    KEEP = "keep"
    CREATE = "create"
    """Applied as an object that is not there yet; where it is, it is looked at first."""
    LOOK = "look at"
    """Read, and then decided on anew."""
    APPLY = "apply"
    DELETE = "delete"
    """With a manifest: only where the API server would make that, which takes its place."""
    REFUSE = "refuse"
    """Somebody else's object has the name."""
    WAIT = "wait for"
    """The object of a deleted service of the same name is not gone yet."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """What an apply that leaves a workload's replicas out has to see to: the API server resets what nobody owns."""

    start: int
    """The replicas that a new one starts with, and the least that is handed over."""
    exists: bool
    held: bool
    """Whether we own its replicas now."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one child needs, and why."""

    act: Act
    key: ChildKey
    why: str
    manifest: Manifest | None = None
    sharing: Sharing | None = None
    """Of a workload whose replicas an autoscaler decides."""

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.act} {' '.join(self.key)}: {self.why}"


def digest(manifest: Manifest) -> str:
    """Short hash of a manifest."""
    return hashlib.sha256(canonical(manifest)).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Sight:
    """A child as it stands: what the watch shows (or a read), and what was applied last. Times in seconds."""

    child: Child | None
    last: Applied | None
    now: float
    looked: bool = False
    """Whether `child` was read just now, so that None means that there is none."""


def decide(service: InferenceService, manifest: Manifest, sight: Sight, start_replicas: int) -> Change:
    """What a child needs. `start_replicas`: of a new workload whose manifest has none."""
    key = (manifest["kind"], manifest["metadata"]["name"])
    child, last = sight.child, sight.last
    # Whatever the watch shows: a workload that is there must not get the replicas of a new one.
    shared = key[0] in SCALED and "replicas" not in manifest["spec"]
    off = shared and _is_switched_off(service, child)
    reason = _reason(manifest, sight)
    if not reason and not off and not sight.looked:
        return Change(Act.KEEP, key, "as it was applied", manifest)
    if child is None and not sight.looked and (shared or not (last and not last.seen)):
        return Change(Act.LOOK if shared else Act.CREATE, key, reason, manifest)
    if child and (foreign := _foreign(service, child, last)):
        return Change(*foreign)
    why = reason or ("an autoscaler does nothing at 0 pods" if off else "the watch does not show it")
    if not shared:
        return Change(Act.APPLY, key, why, manifest)
    held = off or _owns_replicas(child, last)
    return Change(Act.APPLY, key, why, manifest, Sharing(start_replicas, child is not None, held))


def _reason(manifest: Manifest, sight: Sight) -> str:
    """Why a child needs an apply; empty where it does not."""
    child, last = sight.child, sight.last
    if last is None:
        if child is None:
            return "is not there"
        return "" if child.owned_content == content(manifest) else "is there, and is not known to be as it should"
    if last.manifest != hash(digest(manifest)):
        return "its manifest has changed"
    if child is None:
        return "" if last.may_come(sight.now) else "is gone"
    return "somebody has edited it" if last.is_edited(child) else ""


def _owns_replicas(child: Child | None, last: Applied | None) -> bool:
    """Whether we own a workload's replicas. While the watch lags behind our own apply, it cannot tell."""
    return child is not None and (child.owns_replicas or bool(last and last.lags(child)))


def _is_switched_off(service: InferenceService, child: Child | None) -> bool:
    """Whether a workload is at 0, after a suspension or under KEDA: there a HorizontalPodAutoscaler does nothing."""
    scaling = service.spec.autoscaling
    by_hpa = scaling is not None and scaling.provider == "HPA"
    return by_hpa and child is not None and child.deployment is not None and child.deployment.wanted == 0


def _foreign(service: InferenceService, child: Child, last: Applied | None) -> tuple[Act, ChildKey, str] | None:
    """What a child that is not this service's own is told by; None where the proof holds that its kind asks for.

    One that lost its owner by hand is ours where we have applied that very object: it gets its owner back.
    """
    key = (child.kind, child.name)
    proven = BY_KIND[child.kind].proof is Proof.OWNER_OR_LABELS or bool(last and last.made(child.uid))
    if child.owner_uid == service.uid or (proven and child.owner_uid is None):
        return None
    if child.owner_uid is None:
        text = f"{child.kind} {child.name} has no owner any more: delete it, and the operator makes it again"
        return Act.REFUSE, key, text
    return Act.WAIT, key, f"{child.kind} {child.name} belongs to a deleted service of this name and is not gone yet"
