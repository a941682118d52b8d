"""How the pods are reached: the Service, and who may use it."""

from ..api.resource import InferenceService
from ..vllm.argv import PORT
from .metadata import Manifest, identity, metadata
from .names import INSTANCE_LABEL, PORT_NAME


def service(owner: InferenceService) -> Manifest:
    """The Service in front of the pods, named after the InferenceService."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(owner),
        "spec": {
            "type": "ClusterIP",
            "selector": identity(owner),
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
    """The NetworkPolicy of the pods' port, when the spec asks for one."""
    policy = owner.spec.network_policy
    if not policy:
        return None
    peers = [peer.to_manifest() for peer in policy.allow_from] or [_NOBODY]
    rule = {"from": peers, "ports": [{"port": PORT, "protocol": "TCP"}]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(owner),
        "spec": {
            "podSelector": {"matchLabels": identity(owner)},
            "policyTypes": ["Ingress"],
            "ingress": [rule],
        },
    }
