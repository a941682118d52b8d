"""Over how many nodes each replica lies that is too large for one, where its spec leaves that open. Pure.

Layers are never split over nodes by a choice: that is for nodesPerReplica to ask for. What is chosen is kept with the
pod template, as a chosen tensor parallel size is: nothing here may be asked again while that holds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ..api.groups import MOST_NODES
from ..api.reasons import Reason
from ..api.spec import InferenceServiceSpec
from ..snapshots.node import Node
from ..vllm.argv import ranks_of_replica
from .consistency import broken
from .fits import Assessment
from .limits import Bounds
from .nodes import devices
from .resolution import NODES, PLAN, Resolved


def is_open(spec: InferenceServiceSpec) -> bool:
    """Whether there may be a choice: the number of nodes is left out, and there is more than one rank to place.

    Not on Ray, where each replica is one pod, and not with planPolicy: Warn, which makes the pods that the spec asks
    for, whatever the plan says.
    """
    own = spec.nodes_per_replica is None and not spec.on_ray
    return own and ranks_of_replica(spec) > 1 and spec.plan_policy != "Warn"


def over(spec: InferenceServiceSpec, nodes: int) -> InferenceServiceSpec:
    """The spec with its replicas on so many nodes."""
    return spec.model_copy(update={"nodes_per_replica": nodes})


def spread(
    spec: InferenceServiceSpec,
    nodes_there: Sequence[Node],
    assess: Callable[[InferenceServiceSpec], Assessment],
    bounds: Bounds,
) -> Assessment:
    """The verdict on the spec; where no node has the GPUs of a replica, that on the fewest nodes which have them."""
    found = assess(spec)
    if not is_open(spec) or not _lacks(spec, 1, found, nodes_there):
        return found
    for nodes in _numbers(spec):
        verdict = assess(over(spec, nodes))
        if _lacks(spec, nodes, verdict, nodes_there):
            continue
        if limit := bounds.refuses(over(spec, nodes)):
            return replace(found, message=f"{found.message}; and over {nodes} nodes it may not be: {limit}")
        return _chosen(spec, nodes, verdict)
    return found


def _lacks(spec: InferenceServiceSpec, nodes: int, verdict: Assessment, nodes_there: Sequence[Node]) -> bool:
    """Whether no node has the GPUs of a pod, of so many in a replica.

    Without a plan, as the model could not be inspected, the GPUs of the nodes alone tell.
    """
    if verdict.reason in (Reason.GPUS_PER_NODE, Reason.TOO_FEW_NODES):
        return True
    if verdict.plan is not None or verdict.pending or spec.accelerator.device_class:
        return False
    most = max((one.most for one in devices(spec, nodes_there)), default=None)
    return most is not None and ranks_of_replica(spec) // nodes > most


def _numbers(spec: InferenceServiceSpec) -> Iterator[int]:
    """Numbers of nodes that each have as many ranks, and whole layers, from the smallest."""
    for nodes in range(2, MOST_NODES + 1):
        each, rest = divmod(ranks_of_replica(spec), nodes)
        if not rest and each % spec.tensor_size == 0 and not broken(over(spec, nodes)):
            yield nodes


def _chosen(spec: InferenceServiceSpec, nodes: int, verdict: Assessment) -> Assessment:
    if verdict.fits is False:
        return verdict
    total = ranks_of_replica(spec)
    why = f"no node has the {total} GPUs of a replica: each of {nodes} nodes has {total // nodes}"
    chosen = (Resolved(NODES, nodes, PLAN, why),)
    return replace(verdict, message=f"{verdict.message}; {why}", chosen=chosen)
