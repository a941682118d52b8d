"""A child of a service as the API server shows it. Memory is per object, and there may be ten thousand services.

Pure: a watch event's body in, a snapshot out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from sys import intern

from ..api import QUEUE_LABEL
from ..api.limits import count_of
from ..api.resource import Body, Key
from ..manifests import Packed
from ..manifests.kinds import AUTOSCALERS, BY_KIND, WORKLOADS
from ..manifests.metadata import Manifest
from ..manifests.names import (
    CLASS_LABEL,
    GROUP_KIND,
    INSTANCE_LABEL,
    RAY_KIND,
    REVISION_LABEL,
    group_name,
)
from ..manifests.packing import unpack_template
from ..manifests.privileges import Digests, digests
from .container import devices
from .owned import fields_of, owned_content, owned_fields, workload_content
from .revision import Kept
from .revision import kept as kept_in
from .workload import ConditionSnapshot, DeploymentSnapshot, conditions_in, workload


@dataclass(frozen=True, slots=True)
class AutoscalerSnapshot:
    """What a HorizontalPodAutoscaler, or KEDA's ScaledObject, says of itself."""

    conditions: tuple[ConditionSnapshot, ...]

    def condition(self, kind: str) -> ConditionSnapshot | None:
        """The condition of a type; None while there is none."""
        return next((entry for entry in self.conditions if entry.type == kind), None)


@dataclass(frozen=True, slots=True)
class ClaimSnapshot:
    """What cannot be changed of a PersistentVolumeClaim, and the size that it cannot be below."""

    storage: str
    storage_class: str | None
    access_mode: str


@dataclass(frozen=True, slots=True)
class Child:
    """A child as it stands. `owned_fields` changes exactly when somebody else edits a field that we applied.

    For both digests see snapshots/owned.py.
    """

    kind: str
    name: str
    owner_uid: str | None
    resource_version: int
    owned_fields: str
    # Of a ControllerRevision and a workload: the rendering that it keeps, or that its pods are of.
    revision: str | None = None
    revision_number: int = 0
    packed_template: bytes | None = None
    packed_resolved: str | None = None
    # Of a ControllerRevision that keeps what is known of a model: see inspection/kept.py.
    packed_model: bytes | None = None
    # Of a ControllerRevision that keeps nothing of ours: why. It is as if it were not there.
    odd: str = ""
    # What the fields hold that we own: tells after a restart that a child is as it was applied.
    owned_content: str = ""
    deployment: DeploymentSnapshot | None = None
    owns_replicas: bool = False
    autoscaler: AutoscalerSnapshot | None = None
    claim: ClaimSnapshot | None = None
    # Of what has pods, or no owner.
    uid: str = ""
    # Of a kept template: see manifests/hardening.py. Of a workload: see manifests/privileges.py.
    template_version: int = 0
    privileges: Digests = ()

    @property
    def template(self) -> Manifest:
        """The pod template that a ControllerRevision keeps."""
        if self.packed_template is None:
            raise ValueError(f"{self.kind} {self.name} keeps no pod template")
        return unpack_template(self.packed_template)

    @property
    def packed(self) -> Packed | None:
        """The rendering that a ControllerRevision keeps; None where it keeps none."""
        return None if self.packed_template is None else Packed(self.packed_template, self.packed_resolved)


# Children by kind and name.
ChildKey = tuple[str, str]
Live = Mapping[ChildKey, Child]


def owner_uid(metadata: Body) -> str | None:
    """The uid of the controlling owner."""
    return next((str(ref["uid"]) for ref in metadata.get("ownerReferences") or () if ref.get("controller")), None)


def child(body: Body) -> Child:
    """Snapshot of one of the children."""
    metadata = body["metadata"]
    kind = body["kind"]
    revision = kind == "ControllerRevision"
    kept = kept_in(body.get("data")) if revision else Kept()
    template = _pod_template(kind, body["spec"]) if kind in WORKLOADS else None
    # The pods of a RayService outlive what Serve is told: it says itself what it is of.
    rendered = template["metadata"] if template and kind != RAY_KIND else metadata
    fields, owner = owned_fields(metadata), owner_uid(metadata)
    return Child(
        kind=kind,
        name=metadata["name"],
        owner_uid=owner,
        resource_version=int(metadata["resourceVersion"]),
        owned_fields=fields,
        owned_content=workload_content(body, fields) if template else owned_content(body),
        revision=(rendered.get("labels") or {}).get(REVISION_LABEL),
        revision_number=int(body.get("revision", 0)) if revision else 0,
        packed_template=kept.template,
        packed_resolved=kept.resolved,
        packed_model=kept.model,
        odd=kept.odd,
        claim=_claim(body["spec"]) if kind == "PersistentVolumeClaim" else None,
        deployment=_deployment(body, template) if template else None,
        owns_replicas="f:replicas" in fields_of(metadata).get("f:spec", {}),
        autoscaler=AutoscalerSnapshot(conditions_in(body.get("status") or {})) if kind in AUTOSCALERS else None,
        uid=intern(str(metadata["uid"])) if BY_KIND[kind].pods or owner is None else "",
        template_version=kept.version,
        privileges=digests(_with_queue(template, metadata)) if template else (),
    )


def _with_queue(template: Body, metadata: Body) -> Body:
    """With the queue of a set as the template is kept: in the set itself it is not on pods (manifests/group.py)."""
    queue = {key: value for key, value in (metadata.get("labels") or {}).items() if key == QUEUE_LABEL}
    meta = template["metadata"]
    return {**template, "metadata": {**meta, "labels": {**(meta.get("labels") or {}), **queue}}} if queue else template


def _deployment(body: Body, template: Body) -> DeploymentSnapshot:
    """With what each of its replicas takes."""
    pods = count_of(body["spec"]["leaderWorkerTemplate"].get("size", 1)) if body["kind"] == GROUP_KIND else 1
    own = (template["metadata"].get("labels") or {}).get(CLASS_LABEL, "")
    return replace(workload(body), gpus=pods * devices(template)[1], serving_class=intern(own))


def _claim(spec: Body) -> ClaimSnapshot:
    return ClaimSnapshot(spec["resources"]["requests"]["storage"], spec.get("storageClassName"), spec["accessModes"][0])


def _pod_template(kind: str, spec: Body) -> Body:
    """The pod template of a Deployment; that of a LeaderWorkerSet's leaders or a RayService's workers.

    Those of the others follow from it.
    """
    if kind == "Deployment":
        return dict(spec["template"])
    if kind == RAY_KIND:
        return dict(spec["rayClusterConfig"]["workerGroupSpecs"][0]["template"])
    groups = spec["leaderWorkerTemplate"]
    return dict(groups.get("leaderTemplate") or groups["workerTemplate"])


def instance(body: Body) -> Key:
    """The service that a child or a pod belongs to."""
    metadata = body["metadata"]
    return Key(metadata["namespace"], (metadata.get("labels") or {}).get(INSTANCE_LABEL, ""))


def deployment_of(live: Live, name: str, uid: str) -> DeploymentSnapshot | None:
    """What became of the workload of the very service with this name and uid."""
    child = workload_of(live, name, uid)
    return child.deployment if child else None


def workload_of(live: Live, name: str, uid: str) -> Child | None:
    """The Deployment, the LeaderWorkerSet or the RayService of the very service with this name and uid.

    For a moment there may be two, as one takes the place of the other: the one that was rendered last counts.
    """
    keys = {("Deployment", name), (GROUP_KIND, group_name(name))}
    found = [child for key, child in live.items() if child.owner_uid == uid and (key in keys or child.kind == RAY_KIND)]
    numbers = {child.revision: child.revision_number for child in revisions(live, uid)}
    return max(found, key=lambda child: numbers.get(child.revision, 0), default=None)


def revisions(live: Live, uid: str) -> list[Child]:
    """The kept pod templates of the very service with this uid."""
    return [child for child in live.values() if child.packed_template is not None and child.owner_uid == uid]


def kept_of(live: Live, uid: str, revision: str | None) -> Child | None:
    """What keeps the pod template of a revision of the very service with this uid; None where nothing does."""
    return next((child for child in revisions(live, uid) if child.revision == revision), None)


def kept_last(live: Live, uid: str) -> Child | None:
    """What keeps the pod template that was rendered last; None where nothing does."""
    return max(revisions(live, uid), key=lambda child: child.revision_number, default=None)


def kept_deployed(live: Live, name: str, uid: str) -> Child | None:
    """What keeps the pod template that a service's workload has; None where nothing does."""
    workload = workload_of(live, name, uid)
    return kept_of(live, uid, workload.revision) if workload else None


def odd_revisions(live: Live, uid: str) -> list[Child]:
    """ControllerRevisions of the very service with this uid that keep nothing of ours."""
    return [child for child in live.values() if child.odd and child.owner_uid == uid]


def kept_models(live: Live, uid: str) -> list[Child]:
    """What is kept of the models of the very service with this uid."""
    return [child for child in live.values() if child.packed_model is not None and child.owner_uid == uid]
