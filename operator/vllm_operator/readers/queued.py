"""Which Workload of Kueue's stands for a pod, whose Events say why the pod is held back. Decides nothing."""

import hashlib

# A Workload's name is as long as this at most.
_LONGEST = 253
_HASH = 5


def workload_of(pod: str, uid: str) -> str:
    """The name that Kueue gives the Workload of a pod.

    Source: Kueue v0.17, pkg/controller/jobframework/workload_names.go.
    """
    digest = hashlib.sha1(f"Pod\n\n{pod}\n{uid}".encode(), usedforsecurity=False).hexdigest()
    return f"{f'pod-{pod}'[: _LONGEST - 1 - _HASH]}-{digest[:_HASH]}"
