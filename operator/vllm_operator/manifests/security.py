"""What pods of ours and their containers may do: Kubernetes' restricted standard, with a root that is read only."""

from typing import Any

USER_ID = 1000


def pod_security(fs_group: int | None) -> dict[str, Any]:
    """A pod's securityContext. `fs_group` owns its volumes; None: the group that it runs as."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        "fsGroup": fs_group or USER_ID,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Any]:
    """A container's securityContext."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
