"""What pods of ours and their containers may do: Kubernetes' restricted standard, with a root that is read only."""

from typing import Any

from ..settings import PodSecurity

USER_ID = 1000
FOR_RDMA = ("IPC_LOCK",)
"""Capabilities that come with a device for RDMA: what it reads and writes is memory that stays where it is."""


def pod_security(fs_group: int | None, chosen: PodSecurity, resource: str = "cpu") -> dict[str, Any]:
    """A pod's securityContext. `fs_group` owns its volumes; None: the group that it runs as.

    Where the namespace says who its pods run as, as OpenShift's restricted-v2 does, a pod that says it itself is
    refused: then it only says that it is not root. `resource`: of its devices, whose files belong to groups.
    """
    group = fs_group if chosen.run_as_user == "fromNamespace" else fs_group or USER_ID
    groups = chosen.device_groups.get(resource, ())
    return {
        "runAsNonRoot": True,
        **({} if chosen.run_as_user == "fromNamespace" else {"runAsUser": USER_ID, "runAsGroup": USER_ID}),
        **({"fsGroup": group} if group else {}),
        # Also where the namespace gives the group: a cache of some terabytes is not walked at each start.
        "fsGroupChangePolicy": "OnRootMismatch",
        **({"supplementalGroups": list(groups)} if groups else {}),
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security(capabilities: tuple[str, ...] = ()) -> dict[str, Any]:
    """A container's securityContext; `capabilities` are those that it gets, of none."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], **({"add": list(capabilities)} if capabilities else {})},
    }
