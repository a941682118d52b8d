"""How the pods are reached: the Service, and who may use it."""

from collections.abc import Iterable

from ..api.resource import InferenceService
from ..vllm.argv import PORT, engines, event_ports
from .metadata import Manifest, identity, metadata
from .names import INSTANCE_LABEL, PORT_NAME, RANK_LABEL, SERVICE_UID_LABEL


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


def service(owner: InferenceService, *, by_uid: bool, grouped: bool = False) -> Manifest:
    """The Service in front of the pods, named after the InferenceService. `by_uid`: see `selects_by_uid`.

    `grouped`: whether replicas are groups of pods, of which only leaders have a server.
    """
    leaders = {RANK_LABEL: "0"} if grouped else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(owner),
        "spec": {
            "type": "ClusterIP",
            "selector": identity(owner) | ({SERVICE_UID_LABEL: owner.uid} if by_uid else {}) | leaders,
            # `protocol` is part of the list's key: left out, server-side apply cannot merge the port.
            "ports": [{"name": PORT_NAME, "port": PORT, "targetPort": PORT_NAME, "protocol": "TCP"}],
        },
    }


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


def network_policy(owner: InferenceService) -> Manifest | None:
    """The NetworkPolicy of the pods' ports, when the spec asks for one, and always where replicas are groups of pods.

    Ranks run what the others send them, on ports that nobody knows before: these are for the service's own pods.
    """
    policy, grouped = owner.spec.network_policy, owner.spec.nodes > 1
    if not policy and not grouped:
        return None
    peers = {"from": [peer.to_manifest() for peer in policy.allow_from] or [_NOBODY]} if policy else {}
    last = engines(owner.spec) - 1
    of_events = [
        {"port": first, "protocol": "TCP", **({"endPort": first + last} if last else {})}
        for first in event_ports(owner.spec).values()
    ]
    rules: list[Manifest] = [{**peers, "ports": [{"port": PORT, "protocol": "TCP"}, *of_events]}]
    if grouped:
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
