"""What the watches have shown, by service. watch/indices.py holds it; this gives them names and types."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..api.resource import Key
from ..api.revision import made_claim_name
from ..api.serving_class import ServingClass
from ..assess.classes import Classes
from ..assess.lessons import Report
from ..settings import matches
from ..snapshots.child import Child, ChildKey, Live
from ..snapshots.download_pod import DownloadPod
from ..snapshots.inspection_pod import InspectionPod
from ..snapshots.node import Node
from ..snapshots.own import ObjectSnapshot
from ..snapshots.owners import Link, is_link, pod_owners
from ..snapshots.pod import PodSnapshot
from ..snapshots.serving_class import UnreadClass
from ..watch.sources import Indices

SERVICES, CHILDREN, PODS, INSPECTIONS, NODES = "services", "children", "pods", "inspections", "nodes"
CLASSES, NAMESPACES, POD_LINKS, DOWNLOADS = "classes", "namespaces", "links", "downloads"
REPORTS, DELETED = "reports", "deleted children"
# One that failed may have been put in place by another.
_FURTHEST = {"succeeded": 3, "runs": 2, "waits": 1, "failed": 0}
_UNREADABLE = (
    "the operator may not read ServingClasses; a cluster role with list and watch on servingclasses.vllm-operator.dev "
    "gives it that (value servingClasses.read of the chart)"
)


@dataclass(frozen=True, slots=True)
class View:
    """Read-only, and always the newest that the watches have shown."""

    indices: Indices

    def service(self, key: Key) -> ObjectSnapshot | None:
        """The service, or None after it was deleted."""
        return next(iter(self.indices[SERVICES].get(key, ())), None)

    def reports(self, namespace: str, others: Sequence[str]) -> Iterator[Report]:
        """What engines got, of a namespace and of those that match one of the patterns; of services that tell it."""
        names = (one for one in self.indices[REPORTS] if one == namespace or matches(others, one))
        for name in names if others else (namespace,):
            yield from self.indices[REPORTS].get(name, ())

    def children(self, key: Key) -> Live:
        """The service's children."""
        return {(child.kind, child.name): child for child in self.indices[CHILDREN].get(key, ())}

    def has_shared_cache(self, key: Key) -> bool:
        """Whether the operator has made a claim for the service that pods on several nodes can mount."""
        made = self.children(key).get(("PersistentVolumeClaim", made_claim_name(key.name)))
        return bool(made and made.claim and made.claim.access_mode == "ReadWriteMany")

    def deleted(self, key: Key, child: ChildKey) -> int:
        """The version at which a child of the service was deleted last; 0: none was lately."""
        return next(iter(self.indices.get(DELETED, {}).get((key, *child), ())), 0)

    def pods(self, key: Key, *, ending: bool = False) -> list[PodSnapshot]:
        """The service's own pods, by name; those that are being deleted only where `ending`."""
        owners = self._owners(key)
        pods: Iterable[PodSnapshot] = self.indices[PODS].get(key, ())
        found = (pod for pod in pods if (ending or not pod.terminating) and pod.owner in owners)
        return sorted(found, key=lambda pod: pod.name)

    def ending(self, key: Key) -> list[PodSnapshot]:
        """The service's own pods that finish their requests, which may take a day; what controlled them may be gone.

        Of a Deployment some older ReplicaSets are kept, whether they have such pods or not.
        """
        pods: Iterable[PodSnapshot] = self.indices[PODS].get(key, ())
        leave = [pod for pod in pods if pod.terminating and not pod.failed]
        service, owners = self.service(key), self._owners(key) if leave else frozenset()
        return [pod for pod in leave if pod.owner in owners or (service and pod.service_uid == service.uid)]

    def all_pods(self) -> Iterator[tuple[Key, PodSnapshot]]:
        """The pods of all services, those that are being deleted too: they hold their GPUs until they have ended.

        By then their owners may be gone.
        """
        for key, pods in self.indices[PODS].items():
            owners = self._owners(key)
            for pod in pods:
                if pod.terminating or pod.owner in owners:
                    yield key, pod

    def has_of_class(self, key: Key, name: str) -> bool:
        """Whether a pod or a workload with the labels of a service was made of a ServingClass: looked up at once."""
        children: Iterable[Child] = self.indices[CHILDREN].get(key, ())
        workloads = (child.deployment for child in children if child.deployment)
        return any(one.serving_class == name for one in (*self.indices[PODS].get(key, ()), *workloads))

    def left(self, namespace: str, of_class: str) -> Counter[Key]:
        """GPUs of a class that are held for services that are gone, or may come to be: by their key.

        Pods take a day to finish their requests. And a service that was deleted alone leaves all its children behind:
        Kubernetes takes its name off them, and they may still be scaled.
        """
        taken, made = Counter[Key](), Counter[Key]()
        for key in {key for index in (PODS, CHILDREN) for key in self.indices[index] if key.namespace == namespace}:
            service = self.service(key)
            own = ("", service.uid) if service else ()
            pods: Iterable[PodSnapshot] = self.indices[PODS].get(key, ())
            left = (pod for pod in pods if pod.serving_class == of_class and not pod.failed)
            taken[key] = sum(pod.asked.count for pod in left if pod.service_uid not in own)
            children: Iterable[Child] = self.indices[CHILDREN].get(key, ())
            orphans = (child.deployment for child in children if child.owner_uid is None)
            made[key] = sum(one.most_gpus for one in orphans if one and one.serving_class == of_class)
        return taken | made  # of each the larger one

    def inspection(self, key: Key, inspected: str) -> InspectionPod | None:
        """The pod of an inspect Job of the service that is about `inspected`; None before it exists."""
        pods: Iterable[InspectionPod] = self.indices[INSPECTIONS].get(key, ())
        about = [pod for pod in pods if pod.key == inspected]
        owners = self._owners(key, of_jobs=True) if about else frozenset()
        return max((pod for pod in about if pod.owner in owners), key=lambda pod: pod.ended, default=None)

    def download(self, key: Key) -> DownloadPod | None:
        """The pod of a download Job of the service; of several the one that is furthest. None before there is one."""
        found: Iterable[DownloadPod] = self.indices[DOWNLOADS].get(key, ())
        owners = self._owners(key, of_jobs=True) if found else frozenset()
        return max((pod for pod in found if pod.owner in owners), key=lambda pod: _FURTHEST[pod.state], default=None)

    def _owners(self, key: Key, *, of_jobs: bool = False) -> frozenset[str]:
        """Uids of what controls the service's own pods."""
        service = self.service(key)
        if service is None:
            return frozenset()
        children: Iterable[Child] = self.indices[CHILDREN].get(key, ())
        links: list[Link] = [*self.indices[POD_LINKS].get(key, ())]
        if is_link("Pod", children):
            links += [Link("Pod", pod.uid, pod.owner) for pod in self.indices[PODS].get(key, ())]
        return pod_owners(children, links, service.uid, of_jobs=of_jobs)

    @property
    def sees_nodes(self) -> bool:
        """Whether the operator may see nodes."""
        return NODES in self.indices

    def nodes(self) -> list[Node]:
        """All nodes with GPUs; none where the operator may not see nodes."""
        return [node for nodes in self.indices.get(NODES, {}).values() for node in nodes]

    def classes(self, namespace: str) -> Classes:
        """The ServingClasses, and what is known of who may use them."""
        if CLASSES not in self.indices:
            return Classes(unreadable=_UNREADABLE)
        shown = [one for found in self.indices[CLASSES].values() for one in found]
        labels = next(iter(self.indices.get(NAMESPACES, {}).get(namespace, ())), None)
        return Classes(
            {one.name: one for one in shown if isinstance(one, ServingClass)},
            {one.name: one.fault for one in shown if isinstance(one, UnreadClass)},
            namespace_labels=labels,
        )

    def known(self) -> list[Key]:
        """All services."""
        return list(self.indices[SERVICES])
