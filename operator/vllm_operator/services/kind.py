"""InferenceService, as the loop knows it: its watches, and its reconciler."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..api import CLASS_KIND, KIND
from ..api.resource import Body, Key
from ..api.serving_class import ServingClass
from ..assess.lessons import Report, report_of
from ..loop.kinds import Kind
from ..manifests.kinds import CHILD_KINDS, LINKS, ChildKind
from ..manifests.names import DOWNLOAD_LABEL, INSPECTION_LABEL, RAY_CLUSTER, SET_LABEL, service_of_group
from ..resources import RESOURCES
from ..snapshots import download_pod, inspection_pod
from ..snapshots.batch import of_batch
from ..snapshots.child import Child, child, instance
from ..snapshots.node import Node
from ..snapshots.node import snapshot as node
from ..snapshots.own import ObjectSnapshot, is_edited, key_of, snapshot
from ..snapshots.owners import Link, link
from ..snapshots.pod import PodSnapshot, is_ready, pod
from ..snapshots.serving_class import UnreadClass, serving_class
from ..status.figures import fleet
from ..status.schema import conform
from ..watch.sources import Indices, Item, Source
from .claimants import ServiceClaimants
from .reconcile import NODES_CHANGED, ServiceReconciler
from .view import (
    CHILDREN,
    CLASSES,
    DELETED,
    DOWNLOADS,
    INSPECTIONS,
    NAMESPACES,
    NODES,
    POD_LINKS,
    PODS,
    REPORTS,
    SERVICES,
)

# Several events of a rollout come at once; they are worth one look.
CHILD_EVENT_DELAY_SECONDS = 0.5
# What comes before all else of a namespace, the larger number first.
EDITED, SERVES = 1, 2
# Nodes come in groups.
NODE_EVENT_DELAY_SECONDS = 2.0


def _service(body: Body) -> Mapping[Key, ObjectSnapshot]:
    # Whoever may edit the status, or another version of the operator, may have left there what is none.
    status, _ = conform(body.get("status") or {})
    return {key_of(body): snapshot({**body, "status": status})}


def _report(body: Body) -> Mapping[str, Report]:
    """What its engine got, by namespace: each new service asks for those of its own."""
    status = body.get("status") or {}
    if "engine" not in status:
        return {}
    found = report_of(key_of(body), body["spec"], conform(status)[0])
    return {found.key.namespace: found} if found else {}


def _child(body: Body) -> Mapping[Key, Child]:
    return {} if of_batch(body) else {instance(body): child(body)}


def _pod(body: Body) -> Mapping[Key, PodSnapshot]:
    of_jobs = {INSPECTION_LABEL, DOWNLOAD_LABEL} & set(body["metadata"].get("labels") or {})
    return {} if of_jobs or of_batch(body) else {instance(body): pod(body)}


def _inspection(body: Body) -> Mapping[Key, inspection_pod.InspectionPod]:
    kept = None if of_batch(body) else inspection_pod.snapshot(body, INSPECTION_LABEL)
    return {instance(body): kept} if kept else {}


def _download(body: Body) -> Mapping[Key, download_pod.DownloadPod]:
    kept = download_pod.snapshot(body, DOWNLOAD_LABEL)
    return {instance(body): kept} if kept else {}


def _node(body: Body) -> Mapping[str, Node]:
    kept = node(body)
    return {kept.name: kept} if kept.devices else {}


def _itself(body: Body, _: Indices) -> Iterable[Item]:
    return [Item(KIND, key_of(body))]


def _owner(body: Body, _: Indices) -> Iterable[Item]:
    return [] if of_batch(body) else [Item(KIND, instance(body))]


def _nodes(_: Body, __: Indices) -> Iterable[Item]:
    """One look for all nodes that change within the delay: whom that concerns, it finds out."""
    return [Item(KIND, NODES_CHANGED)]


def _class(body: Body) -> Mapping[str, ServingClass | UnreadClass]:
    return {body["metadata"]["name"]: serving_class(body)}


def _namespace(body: Body) -> Mapping[str, Mapping[str, str]]:
    return {body["metadata"]["name"]: dict(body["metadata"].get("labels") or {})}


def _edited(body: Body, _: str | None) -> int:
    return EDITED if is_edited(body) else 0


def _serves(body: Body, change: str | None) -> int:
    """That a pod serves, its users wait for; that one of a Job has ended, the pods of its service.

    After a restart of the operator it is no news, nor is it of one that goes.
    """
    comes = change in ("ADDED", "MODIFIED") and "deletionTimestamp" not in body["metadata"]
    return SERVES if comes and _has_come_to(body) else 0


def _has_come_to(body: Body) -> bool:
    of_jobs = {INSPECTION_LABEL, DOWNLOAD_LABEL} & set(body["metadata"].get("labels") or {})
    ended = (body.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return ended if of_jobs else is_ready(body)


def _of_class(body: Body, indices: Indices) -> Iterable[Item]:
    """Services that name a class, or that have no other: it may be the default, or have been."""
    wanted = (None, body["metadata"]["name"])
    shown = ((key, next(iter(found), None)) for key, found in indices[SERVICES].items())
    return [Item(KIND, key) for key, one in shown if one and one.spec.get("servingClassName") in wanted]


def _in_namespace(body: Body, indices: Indices) -> Iterable[Item]:
    name = body["metadata"]["name"]
    return [Item(KIND, key) for key in indices[SERVICES] if key.namespace == name]


def _child_source(row: ChildKind) -> Source:
    indices: dict[str, Any] = {CHILDREN: _child}
    delay = CHILD_EVENT_DELAY_SECONDS
    return Source(RESOURCES[row.kind], indices, _owner, KIND, DELETED, delay, labelled=True, optional=row.optional)


def _link_source(kind: str) -> Source:
    """Who controls it is said when it is made; it is written at every step of a rollout."""
    of_groups = kind == "StatefulSet"
    whose = _of_group if of_groups else instance

    def keep(body: Body) -> Mapping[Key, Link]:
        kept = link(body, kind)
        return {whose(body): kept} if kept else {}

    return Source(
        RESOURCES[kind],
        {POD_LINKS: keep},
        lambda body, _: [Item(KIND, whose(body))],
        KIND,
        delay=CHILD_EVENT_DELAY_SECONDS,
        labelled=not of_groups,
        optional=kind == RAY_CLUSTER,
        label=SET_LABEL if of_groups else "",
        by_snapshot=True,
    )


def _of_group(body: Body) -> Key:
    """The service of a StatefulSet that LeaderWorkerSet has made: it has no label of ours."""
    meta = body["metadata"]
    return Key(meta["namespace"], service_of_group((meta.get("labels") or {}).get(SET_LABEL, "")))


SOURCES = (
    Source(RESOURCES[KIND], {SERVICES: _service, REPORTS: _report}, _itself, urgency=_edited),
    *map(_child_source, CHILD_KINDS),
    *map(_link_source, LINKS),
    Source(
        RESOURCES["Pod"],
        {PODS: _pod, INSPECTIONS: _inspection, DOWNLOADS: _download},
        _owner,
        KIND,
        delay=CHILD_EVENT_DELAY_SECONDS,
        labelled=True,
        urgency=_serves,
    ),
    Source(RESOURCES["Node"], {NODES: _node}, _nodes, delay=NODE_EVENT_DELAY_SECONDS, by_snapshot=True),
    Source(RESOURCES[CLASS_KIND], {CLASSES: _class}, _of_class, by_snapshot=True),
    Source(RESOURCES["Namespace"], {NAMESPACES: _namespace}, _in_namespace, by_snapshot=True),
)
INFERENCE_SERVICE = Kind(KIND, SOURCES, ServiceReconciler, (fleet,), ServiceClaimants)
