"""Which Workload of Kueue's stands for a pod or a Job, whose Events say why it is held back. Decides nothing."""

import hashlib

# A Workload's name is as long as this at most.
_LONGEST = 253
_HASH = 5

_GROUPS = {"Pod": "", "Job": "batch"}


def about_workload(kind: str, name: str, uid: str) -> str:
    """The Events about the Workload of a Pod or a Job, as a field selector.

    Source of its name: Kueue v0.17, pkg/controller/jobframework/workload_names.go.
    """
    owner = f"{kind}\n{_GROUPS[kind]}\n{name}\n{uid}"
    digest = hashlib.sha1(owner.encode(), usedforsecurity=False).hexdigest()
    return about_named(f"{f'{kind.lower()}-{name}'[: _LONGEST - 1 - _HASH]}-{digest[:_HASH]}")


def about_named(workload: str) -> str:
    """The Events about a Workload, as a field selector."""
    return f"involvedObject.kind=Workload,involvedObject.name={workload}"
