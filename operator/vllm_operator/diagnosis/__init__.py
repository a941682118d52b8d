"""Why the pods of a service do not serve, in plain words. Pure: snapshots in, reason and message out.

Messages are written to the status, so they hold no counter or time that changes while nothing else does.
"""

from collections.abc import Sequence
from datetime import datetime

from ..api.reasons import Finding, Reason
from ..assess.supply import Supply
from ..diagnosis import container, ray, refusals, scheduling
from ..snapshots.groups import ended_at
from ..snapshots.pod import PodSnapshot
from ..snapshots.workload import DeploymentSnapshot
from .autoscaling import Autoscaler, scaling
from .beside import beside
from .unstarted import unstarted, waits

__all__ = [
    "Autoscaler",
    "Finding",
    "asks_for_gpus",
    "is_held",
    "progress",
    "scaling",
    "unstarted",
    "waits",
    "wants_events",
    "wants_log",
    "workload",
]

wants_log, is_held = container.wants_log, scheduling.is_held
# Pods of one service fail alike, and each log takes its time.
_MOST_FINDINGS = 8
# What another rank may be behind: one that ends, or waits for its node, takes the others along.
_HEARSAY = (
    Reason.RANK_UNREACHABLE, Reason.CONTAINER_FAILED, Reason.ENGINE_DIED, Reason.STARTUP_TIMEOUT,
    Reason.LIVENESS_FAILED, Reason.NOT_ANSWERING,
)  # fmt: skip


def workload(
    deployment: DeploymentSnapshot | None, pods: Sequence[PodSnapshot], supply: Supply | None = None
) -> Finding | None:
    """The first trouble among the pods of the current spec, worst first; None where they only need time.

    Of a group of pods, what brought it down.

    `supply`: the GPUs that there are for them, where that is known.

    A pod that a node has given up (evicted, refused) stays as a record: it counts where no other took its place.
    """
    live = sorted([pod for pod in pods if not pod.failed] or pods, key=lambda pod: pod.group)
    if told := _troubles(live, supply):
        return min(_of_groups(told), key=lambda finding: bool(finding[0].passes))
    message = refusals.of_pods(deployment)
    return refusals.pods(message, supply) if message is not None else ray.application(deployment)


def _troubles(pods: Sequence[PodSnapshot], supply: Supply | None) -> list[tuple[PodSnapshot, Finding]]:
    """Of as many pods as are worth a look, those of a group together: of that all, as any may hold the cause."""
    told: list[tuple[PodSnapshot, Finding]] = []
    for pod in pods:
        if len(told) >= _MOST_FINDINGS and (not pod.group or pod.group != told[-1][0].group):
            break
        if finding := _pod(pod, supply):
            told.append((pod, finding))
    return told


def _of_groups(told: Sequence[tuple[PodSnapshot, Finding]]) -> list[Finding]:
    """One for each group, and for each pod of none."""
    groups: dict[str, list[tuple[PodSnapshot, Finding]]] = {}
    for pod, finding in told:
        groups.setdefault(f"group {pod.group}" if pod.group else f"pod {pod.name}", []).append((pod, finding))
    return [min(group, key=_first)[1] for group in groups.values()]


def _first(told: tuple[PodSnapshot, Finding]) -> tuple[bool, bool, datetime, bool]:
    """Order of what is told of a group's ranks: a lost node, what no other rank is behind, the one that ended first.

    Of ranks that did not end: before these, what lasts, as no other rank's end is behind it; after them, what passes.
    """
    pod, (reason, _) = told
    passes = bool(reason.passes)
    end = ended_at(pod) or (datetime.max if passes else datetime.min)
    return reason is not Reason.NODE_LOST, reason in _HEARSAY, end, passes


def asks_for_gpus(deployment: DeploymentSnapshot | None, pods: Sequence[PodSnapshot]) -> bool:
    """Whether what there is of GPUs tells why pods have no node, or are refused."""
    waits = any(pod.reason and not pod.scheduled and pod.asked.resource for pod in pods)
    return waits or "gpu" in (refusals.of_pods(deployment) or "")


def _pod(pod: PodSnapshot, supply: Supply | None) -> Finding | None:
    if pod.ready or pod.terminating:
        return None
    if pod.reason and not pod.scheduled:
        return scheduling.no_node(pod, supply)
    if finding := refusals.waiting(pod) or unstarted(pod):
        return finding
    if _is_given_up(pod):
        return refusals.given_up(pod)
    if pod.silent:
        return container.silent(pod)
    return container.ended(pod, pod.ending) if pod.ending else beside(pod)


def _is_given_up(pod: PodSnapshot) -> bool:
    """Whether a pod that ended did not end by itself. One of a Job does: no other container takes its place."""
    return pod.failed and bool(pod.reason or not (pod.ending or pod.other))


def wants_events(pod: PodSnapshot) -> bool:
    """Whether the pod's Events would tell more than its status: it waits on its node or to pull, or was killed."""
    if pod.ready or pod.terminating or _is_given_up(pod):
        return False
    return waits(pod) or is_held(pod) or pod.silent or refusals.pauses(pod) or container.wants_events(pod)


def progress(pods: Sequence[PodSnapshot]) -> str:
    """What the pods that do not serve yet are doing, for a message that changes only when that does."""
    waiting = [pod for pod in pods if not pod.ready and not pod.terminating and not pod.failed]
    if not waiting:
        return "waiting for the pods to be created"
    given_up = next((f"; before that, {refusals.given_up(pod)[1]}" for pod in pods if pod.failed), "")
    return _doing(waiting[0]) + given_up


def _doing(pod: PodSnapshot) -> str:
    if not pod.scheduled:
        return f"pod {pod.name} waits for a node"
    if pod.gated:
        return f"pod {pod.name} waits for its readiness gates: see kubectl describe pod"
    if pod.started:
        return f"pod {pod.name} loads the model"
    if not pod.sandboxed:
        needed = f" ({', '.join(mounted for _, mounted in pod.asked.mounts)})" if pod.asked.mounts else ""
        return f"pod {pod.name} waits for its volumes{needed} and network on node {pod.node}"
    return f"pod {pod.name} is being started"
