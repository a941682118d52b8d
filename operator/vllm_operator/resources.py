"""Every resource that the operator touches, where it lives in the API, and what the operator may do with it.

The chart's rules of RBAC are written from here (`make generated`): exactly what is used, which a test compares with
the API server's audit log. Kinds of children stand in manifests/kinds.py.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .api import API_VERSION, BATCH_KIND, BATCH_PLURAL, CLASS_KIND, CLASS_PLURAL, KIND, PLURAL
from .manifests.kinds import CHILD_KINDS

# The only Lease that versions up to 0.1 know: in this namespace for the cluster, else in the watched one.
OLD_LEASE, OLD_CLUSTER_NAMESPACE = "vllm-operator", "default"
_WATCH = ("list", "watch")


class Resource(NamedTuple):
    """Where a kind lives in the API, and what the operator does with it."""

    api_version: str
    plural: str
    verbs: tuple[str, ...]
    # Verbs by subresource.
    subresources: Mapping[str, tuple[str, ...]] = {}
    # Only objects that are named where the right is given.
    by_name: bool = False
    # Belongs to no namespace: out of reach of an operator that has rights in some namespaces only.
    cluster_scoped: bool = False
    # Of such ones: that operator may be given the right to read them all the same.
    granted: bool = False
    # Nothing but its metadata is asked for.
    metadata_only: bool = False

    @property
    def group(self) -> str:
        """The API group; empty for the core one."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """URL path of an object, or of the kind in a namespace, or in all: empty, as of cluster-scoped ones."""
        scope = f"namespaces/{namespace}" if namespace else ""
        parts = ("/apis" if self.group else "/api", self.api_version, scope, self.plural, name, subresource)
        return "/".join(filter(None, parts))


RESOURCES = {
    KIND: Resource(API_VERSION, PLURAL, _WATCH, {"status": ("patch",)}),
    # Delete: those that ended, after the time that they ask for.
    BATCH_KIND: Resource(API_VERSION, BATCH_PLURAL, (*_WATCH, "delete"), {"status": ("patch",)}),
    **{row.kind: Resource(row.api_version, row.plural, row.verbs) for row in CHILD_KINDS},
    # Which Deployment a pod is of.
    "ReplicaSet": Resource("apps/v1", "replicasets", _WATCH, metadata_only=True),
    # Which LeaderWorkerSet a pod is of.
    "StatefulSet": Resource("apps/v1", "statefulsets", _WATCH, metadata_only=True),
    # Which RayService a pod is of.
    "RayCluster": Resource("ray.io/v1", "rayclusters", _WATCH, metadata_only=True),
    # Logs: of failed containers.
    "Pod": Resource("v1", "pods", _WATCH, {"log": ("get",)}),
    # List: those about pods in trouble.
    "Event": Resource("v1", "events", ("create", "list")),
    # Why Kueue holds a batch, where there is Kueue.
    "Workload": Resource("kueue.x-k8s.io/v1beta2", "workloads", ("list",)),
    # What devices a DeviceClass has, for the memory plan of services that name one.
    "DeviceClass": Resource("resource.k8s.io/v1", "deviceclasses", ("get",), cluster_scoped=True),
    "ResourceSlice": Resource("resource.k8s.io/v1", "resourceslices", ("list",), cluster_scoped=True),
    # Of operators: only the one that holds them acts.
    "Lease": Resource("coordination.k8s.io/v1", "leases", ("get", "create", "update"), by_name=True),
    # Which GPUs there are, for the memory plan.
    "Node": Resource("v1", "nodes", _WATCH, cluster_scoped=True),
    # Classes, and the labels of namespaces, which say who may use them.
    CLASS_KIND: Resource(API_VERSION, CLASS_PLURAL, _WATCH, {"status": ("patch",)}, cluster_scoped=True, granted=True),
    "Namespace": Resource("v1", "namespaces", _WATCH, cluster_scoped=True, granted=True),
    # kopf looks for CRDs that come and go.
    "CustomResourceDefinition": Resource(
        "apiextensions.k8s.io/v1", "customresourcedefinitions", _WATCH, cluster_scoped=True
    ),
}


def lease_of(namespace: str | None) -> str:
    """The name of the Lease for a namespace, or for the whole cluster."""
    return f"vllm-operator-in-{namespace}" if namespace else "vllm-operator-all"


def lease_of_shard(index: int) -> str:
    """The name of the Lease for a part of the cluster's namespaces."""
    return f"vllm-operator-shard-{index}"


def rules(resources: Mapping[str, Resource] = RESOURCES) -> dict[str, list[dict[str, Any]]]:
    """The rules of RBAC that the operator needs: `namespaced` wherever it looks after services, the others once.

    Where it may only see some namespaces it does without `cluster`, and tells services what it misses of `granted`.
    Those `named` are for objects whose names stand in the chart. They hold for `create` as well, where an object is
    made by a PUT, which names it, as a Lease is.
    """
    places: dict[str, list[dict[str, Any]]] = {"namespaced": [], "granted": [], "cluster": [], "named": []}
    for resource in resources.values():
        own, *parts = _rules(resource)
        place = "cluster" if resource.cluster_scoped else "named" if resource.by_name else "namespaced"
        places["granted" if resource.granted else place].append(own)
        places[place] += parts
    return places


def _rules(resource: Resource) -> Iterator[dict[str, Any]]:
    parts = {resource.plural: resource.verbs}
    parts |= {f"{resource.plural}/{name}": verbs for name, verbs in resource.subresources.items()}
    for part, verbs in parts.items():
        yield {"apiGroups": [resource.group], "resources": [part], "verbs": list(verbs)}
