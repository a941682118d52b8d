"""How the pods are reached: the Service, and who may use it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..api.resource import InferenceService
from ..vllm.argv import EVENT_PORTS, PORT
from .metadata import Manifest, identity, metadata
from .names import (
    INSTANCE_LABEL,
    KUBERAY_LABELS,
    METRICS_PORT,
    METRICS_PORT_NAME,
    NAMESPACE_NAME_LABEL,
    OPERATOR_LABELS,
    PORT_NAME,
    RANK_LABEL,
    RAY_NODE_LABEL,
    RAY_WORKER,
    SERVICE_UID_LABEL,
)
from .pod import server_ports


def selects_by_uid(owner: InferenceService, template: Manifest | None, pod_uids: Iterable[str]) -> bool:
    """Whether the Service may select the pods by the uid of their service as well: only if it loses none of them.

    Pods of an earlier version of the operator have no such label, and neither does the template that was kept for them;
    the Service is applied before the Deployment, so that it has the pods that come next as well. `pod_uids`: the label
    of each pod that serves or may come to; empty where it has none.
    """
    return _carries(owner, template) and all(uid == owner.uid for uid in pod_uids)


def _carries(owner: InferenceService, template: Manifest | None) -> bool:
    labels = template["metadata"].get("labels", {}) if template else {SERVICE_UID_LABEL: owner.uid}
    return bool(owner.uid) and labels.get(SERVICE_UID_LABEL) == owner.uid


class Front(Enum):
    """Which of the pods have a server."""

    ALL = "all"
    LEADERS = "of groups of pods, one of each"
    WORKERS = "the workers of a Ray cluster"


LABELS_OF: dict[Front, dict[str, str]] = {
    Front.ALL: {},
    Front.LEADERS: {RANK_LABEL: "0"},
    Front.WORKERS: {RAY_NODE_LABEL: RAY_WORKER},
}


def service(owner: InferenceService, *, by_uid: bool, front: Front = Front.ALL) -> Manifest:
    """The Service in front of the pods, named after the InferenceService. `by_uid`: see `selects_by_uid`."""
    # `protocol` is part of the list's key: left out, server-side apply cannot merge the port.
    ports = [{"name": PORT_NAME, "port": PORT, "targetPort": PORT_NAME, "protocol": "TCP"}]
    if front is Front.WORKERS:
        ports.append({"name": METRICS_PORT_NAME, "port": METRICS_PORT, "targetPort": METRICS_PORT, "protocol": "TCP"})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(owner),
        "spec": {
            "type": "ClusterIP",
            "selector": identity(owner) | ({SERVICE_UID_LABEL: owner.uid} if by_uid else {}) | LABELS_OF[front],
            "ports": ports,
        },
    }


@dataclass(frozen=True, slots=True)
class Peers:
    """The namespaces of those who have to reach the pods of every service.

    A label alone would let in whoever gives it to a pod of theirs; the API server gives namespaces their names.
    """

    operator: str = ""
    """This operator's, which asks pods for vLLM's version, KV cache, hangs and changed keys; empty: not known."""
    kuberay: tuple[str, ...] = ()
    """Where KubeRay's operator may run, which deploys applications through Ray's dashboard."""


NO_PEERS = Peers()
_RAY_DASHBOARD = 8265
# An empty `from` would let everybody in. No rule at all would be no field of ours, so that a rule which somebody adds
# would stay; an empty list of rules is dropped by the API server, and applied anew at each restart.
_NOBODY = {
    "podSelector": {
        "matchExpressions": [
            {"key": INSTANCE_LABEL, "operator": "Exists"},
            {"key": INSTANCE_LABEL, "operator": "DoesNotExist"},
        ]
    }
}


def network_policy(
    owner: InferenceService, front: Front = Front.ALL, peers: Peers = NO_PEERS, templates: Sequence[Manifest] = ()
) -> Manifest | None:
    """The NetworkPolicy of the pods' ports, when the spec asks for one, and always where pods work together.

    `templates`: of the pods that there are or may come, whatever the spec says by now; none: of those of the spec.

    Ranks run what the others send them, on ports that nobody knows before, and so do the pods of a Ray cluster: these
    are for the service's own pods. KubeRay reaches the dashboard of the head, through which it deploys the app, and the
    port of the app, which it asks whether it answers. Where the spec says who may ask, this operator may, too.
    """
    policy, together = owner.spec.network_policy, front is not Front.ALL
    if not policy and not together:
        return None
    users = {"from": [peer.to_manifest() for peer in policy.allow_from] or [_NOBODY]} if policy else {}
    pods = [(one["spec"].get("containers") or [{}])[0].get("ports") for one in templates] or [server_ports(owner.spec)]
    rules: list[Manifest] = [{**users, "ports": [{"port": PORT, "protocol": "TCP"}, *_of_events(pods)]}]
    if front is Front.WORKERS:
        rules[0]["ports"].append({"port": METRICS_PORT, "protocol": "TCP"})
        reached = [{"port": port, "protocol": "TCP"} for port in (_RAY_DASHBOARD, PORT)]
        if peers.kuberay:
            rules.append({"from": [_pods_of(peers.kuberay, KUBERAY_LABELS)], "ports": reached})
    elif policy and peers.operator:
        rules.append(
            {"from": [_pods_of([peers.operator], OPERATOR_LABELS)], "ports": [{"port": PORT, "protocol": "TCP"}]}
        )
    if together:
        own = identity(owner) | ({SERVICE_UID_LABEL: owner.uid} if owner.uid else {})
        rules.append({"from": [{"podSelector": {"matchLabels": own}}]})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(owner),
        "spec": {
            "podSelector": {"matchLabels": identity(owner)},
            "policyTypes": ["Ingress"],
            "ingress": rules,
        },
    }


def _of_events(pods: Iterable[Any]) -> list[Manifest]:
    """The ports of KV cache events, of the ports of each kind of pods; of several engines they are in a row."""
    found: list[Manifest] = []
    for ports in pods:
        for kind in EVENT_PORTS:
            numbers = sorted(_numbers(ports, kind))
            last = {"endPort": numbers[-1]} if len(numbers) > 1 else {}
            found += [{"port": numbers[0], "protocol": "TCP", **last}] if numbers else []
    return [one for at, one in enumerate(found) if one not in found[:at]]


def _numbers(ports: Any, kind: str) -> Iterator[int]:
    """Of one kind of ports. A kept template that nobody holds against anything yet may have anything there."""
    for port in ports if isinstance(ports, list) else ():
        name, number = (port.get("name"), port.get("containerPort")) if isinstance(port, dict) else (None, None)
        if isinstance(name, str) and isinstance(number, int) and (name == kind or name.startswith(f"{kind}-")):
            yield number


def _pods_of(namespaces: Iterable[str], labels: dict[str, str]) -> Manifest:
    named = {"key": NAMESPACE_NAME_LABEL, "operator": "In", "values": list(namespaces)}
    return {"namespaceSelector": {"matchExpressions": [named]}, "podSelector": {"matchLabels": labels}}
