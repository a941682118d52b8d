"""Which nodes a service's pods could be scheduled on, and what GPUs these have. Pure: snapshots and a spec in.

As the scheduler filters by what the pods ask for, without what is free now: a plan must not change with the load.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..api.pod import PodSettings
from ..api.scheduling import FieldRequirement, NodeSelectorTerm, Requirement, Toleration
from ..api.spec import InferenceServiceSpec
from ..manifests.names import PRODUCT_LABELS
from ..snapshots.node import Node, Taint
from ..vllm.argv import ranks


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of one product on the nodes that a service could be scheduled on."""

    product: str
    most: int
    """The most that one node has."""
    memory_mib: int | None
    """As GPU feature discovery labels it: nvidia-smi's total, which is more than CUDA has."""
    capability: str | None


def devices(spec: InferenceServiceSpec, nodes: Iterable[Node]) -> list[Devices]:
    """What the nodes have that the service could be scheduled on, by product; empty where no node is suitable."""
    resource = spec.accelerator.resource
    found: dict[str, Devices] = {}
    for node in nodes:
        count, labels = node.count(resource), dict(node.labels)
        product = labels.get(PRODUCT_LABELS.get(resource, ""))
        if not count or not product or not _suits(spec, node):
            continue
        before = found.get(product)
        found[product] = Devices(
            product, max(count, before.most if before else 0), _memory(labels), _capability(labels)
        )
    return [found[product] for product in sorted(found)]


def enough(spec: InferenceServiceSpec, found: Devices) -> bool:
    """Whether one node has a device for each rank of a pod."""
    return found.most >= ranks(spec)


def _memory(labels: Mapping[str, str]) -> int | None:
    text = labels.get("nvidia.com/gpu.memory", "")
    return int(text) if text.isdigit() else None


def _capability(labels: Mapping[str, str]) -> str | None:
    major = labels.get("nvidia.com/gpu.compute.major")
    return f"{major}.{labels.get('nvidia.com/gpu.compute.minor', '0')}" if major else None


def _suits(spec: InferenceServiceSpec, node: Node) -> bool:
    return is_selected(spec, node) and not untolerated(spec, node)


def untolerated(spec: InferenceServiceSpec, node: Node) -> list[Taint]:
    """The node's taints that keep the service's pods away."""
    tolerations = (spec.pod.tolerations if spec.pod else None) or []
    return [taint for taint in node.taints if not any(_tolerates(one, taint) for one in tolerations)]


def is_selected(spec: InferenceServiceSpec, node: Node) -> bool:
    """Whether the service's pods may be on the node by its labels: product, node selector and affinity."""
    pod = spec.pod or PodSettings.model_validate({})
    labels = dict(node.labels)
    wanted = dict(pod.node_selector or {})
    if spec.accelerator.product:
        wanted[PRODUCT_LABELS[spec.accelerator.resource]] = spec.accelerator.product
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    affinity = pod.affinity.node_affinity if pod.affinity else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    return required is None or any(_matches(term, node) for term in required.node_selector_terms)


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    """https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration"""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    return toleration.operator == "Exists" or (bool(toleration.key) and (toleration.value or "") == taint.value)


def _matches(term: NodeSelectorTerm, node: Node) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False  # an empty term matches nothing
    labels, fields = dict(node.labels), {"metadata.name": node.name}
    return all(holds(requirement, labels) for requirement in term.match_expressions or []) and all(
        holds(requirement, fields) for requirement in term.match_fields or []
    )


def holds(requirement: Requirement | FieldRequirement, labels: Mapping[str, str]) -> bool:
    """Whether a comparison holds for an object's labels."""
    value, values = labels.get(requirement.key), requirement.values or []
    match requirement.operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case comparison:
            try:
                left, right = int(value or ""), int(values[0])
            except (ValueError, IndexError):
                return False
            return left > right if comparison == "Gt" else left < right
