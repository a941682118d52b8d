"""Which nodes a service's pods could be scheduled on, and what GPUs these have. Pure: snapshots and a spec in.

As the scheduler filters by what the pods ask for, without what is free now: a plan must not change with the load.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ..api.scheduling import FieldRequirement, NodeSelector, NodeSelectorTerm, Requirement, Toleration
from ..api.spec import InferenceServiceSpec
from ..manifests.names import device_taints, is_slice, product_label
from ..planner.slices import SHARED_SUFFIX
from ..snapshots.node import Node, Taint
from ..vllm.argv import devices_of, ranks_of_replica

# As GPU feature discovery labels nodes, and the labeller of AMD's device plugin.
_MEMORY, _MAJOR, _MINOR = "nvidia.com/gpu.memory", "nvidia.com/gpu.compute.major", "nvidia.com/gpu.compute.minor"
_REPLICAS, _STRATEGY = "nvidia.com/gpu.replicas", "nvidia.com/gpu.sharing-strategy"
_AMD_MEMORY = "amd.com/gpu.vram"
UNKNOWN_REPLICAS = 0
_MOST_DIGITS = 9
# Comparisons that take as long as the rest of a look at a node; and taints that a node may have.
_COMPARED, _TAINTS = 8, 4


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of one product on the nodes that a service could be scheduled on."""

    product: str
    most: int
    """The most that one node has."""
    memory_mib: int | None
    """As GPU feature discovery labels it: nvidia-smi's total, which is more than CUDA has."""
    capability: str | None
    replicas: int = 1
    """Devices that pods are offered of each GPU: more than 1 where pods share it by time slicing or MPS.

    UNKNOWN_REPLICAS: it is shared, and nothing tells how often.
    """


def devices(spec: InferenceServiceSpec, nodes: Iterable[Node]) -> list[Devices]:
    """What the nodes have that the service could be scheduled on, by product; empty where no node is suitable."""
    resource = spec.accelerator.resource
    found: dict[str, Devices] = {}
    for node in equipped(spec, nodes):
        count, labels = node.count(resource), dict(node.labels)
        product = labels.get(product_label(resource))
        if not product:
            continue
        before = found.get(product)
        most, replicas = (before.most, before.replicas) if before else (0, 1)
        found[product] = Devices(
            product,
            max(count, most),
            _memory(resource, labels),
            _capability(labels),
            _more_shared(replicas, _replicas(resource, labels)),
        )
    return [found[product] for product in sorted(found)]


def equipped(spec: InferenceServiceSpec, nodes: Iterable[Node]) -> list[Node]:
    """The nodes with devices that the pods could be on: those in a domain of groups, or all where none is in one."""
    resource = spec.accelerator.resource
    found = [node for node in nodes if node.count(resource) and is_selected(spec, node) and not untolerated(spec, node)]
    return [node for node in found if in_domain(spec, node)] or found


class Demand(NamedTuple):
    """What a spec asks of nodes, whatever product it names. Equal demands are met by the same nodes."""

    resource: str
    node_selector: tuple[tuple[str, str], ...]
    affinity: str
    tolerations: str
    topology: str
    """The label of nodes that tells the domains of groups; empty: none."""
    group: int
    """Pods of a replica: so many nodes of a kind can count."""
    whole: int
    """Devices of a replica over several nodes, all of which one node may have; 0: it is on one."""


class NodeKind(NamedTuple):
    """What of a node counts for a demand. As long as the same kinds are there, no plan of such a spec changes."""

    suits: bool
    product: str
    devices: int
    memory_mib: int | None
    capability: str | None
    replicas: int
    domain: str | None
    """Of groups, where the spec asks for one and the node is in one."""


def demand_of(spec: InferenceServiceSpec) -> Demand:
    """What the spec asks of nodes."""
    pod, affinity = spec.pod, _required(spec)
    return Demand(
        spec.accelerator.resource,
        tuple(sorted((pod.node_selector or {}).items())) if pod else (),
        affinity.model_dump_json() if affinity else "",
        " ".join(one.model_dump_json() for one in (pod.tolerations if pod else None) or ()),
        topology_of(spec) or "",
        spec.nodes,
        ranks_of_replica(spec) if spec.nodes > 1 else 0,
    )


def topology_of(spec: InferenceServiceSpec) -> str | None:
    """The label of nodes that tells the domains which groups have to themselves; None for none.

    LeaderWorkerSet makes an affinity of it, and the scheduler places no such pod on a node without the label.
    """
    return spec.pod.exclusive_topology if spec.pod and spec.nodes > 1 else None


def in_domain(spec: InferenceServiceSpec, node: Node) -> bool:
    """Whether the node is in a domain of groups, or none is asked for."""
    return topology_of(spec) is None or _domain(spec, node) is not None


def most(spec: InferenceServiceSpec, kind: NodeKind) -> int:
    """How many nodes of a kind can count for a plan: one that has the devices of a whole replica does for all."""
    return 1 if kind.devices >= ranks_of_replica(spec) else spec.nodes


def _domain(spec: InferenceServiceSpec, node: Node) -> str | None:
    topology = topology_of(spec)
    return dict(node.labels).get(topology) if topology else None


def room(spec: InferenceServiceSpec, nodes: Iterable[Node], products: Collection[str] = ()) -> int | None:
    """How many pods of one replica find GPUs in one domain of groups, were all nodes empty; None: no node is known.

    `products`: to which the pods are kept, where they are.
    """
    there = [] if spec.accelerator.device_class else equipped(spec, nodes)
    if not there:
        return None
    resource = spec.accelerator.resource
    held: Counter[str | None] = Counter()
    for node in there:
        if in_domain(spec, node) and (not products or dict(node.labels).get(product_label(resource)) in products):
            held[_domain(spec, node)] += node.count(resource) // devices_of(spec)
    return min(max(held.values(), default=0), spec.nodes)


def labels_that_count(spec: InferenceServiceSpec) -> frozenset[str]:
    """The labels by which a node can be of another kind for the spec's demand."""
    selector = (spec.pod.node_selector if spec.pod else None) or {}
    affinity = _required(spec)
    terms = affinity.node_selector_terms if affinity else ()
    compared = (one.key for term in terms for one in term.match_expressions or ())
    resource = spec.accelerator.resource
    told = (product_label(resource), _memory_label(resource), _MAJOR, _MINOR, _REPLICAS, _STRATEGY)
    topology = topology_of(spec)
    return frozenset([*told, *selector, *compared, *([topology] if topology else [])])


def kind_of(spec: InferenceServiceSpec, node: Node) -> NodeKind:
    """The node's kind for the spec's demand."""
    labels, resource = dict(node.labels), spec.accelerator.resource
    suits = _is_selected(spec, node, labels, product=None) and not untolerated(spec, node)
    product = labels.get(product_label(resource), "")
    memory, replicas = _memory(resource, labels), _replicas(resource, labels)
    return NodeKind(suits, product, node.count(resource), memory, _capability(labels), replicas, _domain(spec, node))


def _memory_label(resource: str) -> str:
    if resource == "amd.com/gpu":
        return _AMD_MEMORY
    return f"{resource}.memory" if is_slice(resource) else _MEMORY


def _memory(resource: str, labels: Mapping[str, str]) -> int | None:
    """In MiB. AMD's labeller writes GiB, as in 192G."""
    text = labels.get(_memory_label(resource), "")
    if resource == "amd.com/gpu":
        text = text.removesuffix("G")
        return int(text) * 1024 if _is_number(text) else None
    return int(text) if _is_number(text) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def _replicas(resource: str, labels: Mapping[str, str]) -> int:
    """By https://github.com/NVIDIA/k8s-device-plugin/tree/main/docs/gpu-feature-discovery."""
    if not resource.startswith("nvidia.com/gpu"):
        return 1
    told = labels.get(_REPLICAS, "")
    if _is_number(told) and int(told) > 1:
        return int(told)
    product, strategy = labels.get(product_label(resource), ""), labels.get(_STRATEGY, "none")
    shared = product.endswith(SHARED_SUFFIX) or strategy != "none" or resource != "nvidia.com/gpu"
    return UNKNOWN_REPLICAS if shared else 1


def _more_shared(one: int, other: int) -> int:
    """Of two nodes with one product, what holds on both: the smaller share."""
    return UNKNOWN_REPLICAS if UNKNOWN_REPLICAS in (one, other) else max(one, other)


def _capability(labels: Mapping[str, str]) -> str | None:
    major = labels.get(_MAJOR)
    return f"{major}.{labels.get(_MINOR, '0')}" if major else None


def untolerated(spec: InferenceServiceSpec, node: Node) -> list[Taint]:
    """The node's taints that keep the service's pods away."""
    tolerations = (spec.pod.tolerations if spec.pod else None) or []
    of_devices = device_taints(spec.accelerator.resource)  # which the pods tolerate in any case: manifests/placement.py
    others = [taint for taint in node.taints if taint.key not in of_devices]
    return [taint for taint in others if not any(_tolerates(one, taint) for one in tolerations)]


def is_selected(spec: InferenceServiceSpec, node: Node) -> bool:
    """Whether the service's pods may be on the node by its labels: product, node selector and affinity."""
    return _is_selected(spec, node, dict(node.labels), spec.accelerator.product)


def _is_selected(spec: InferenceServiceSpec, node: Node, labels: Mapping[str, str], product: str | None) -> bool:
    if product and labels.get(product_label(spec.accelerator.resource)) != product:
        return False
    selector = (spec.pod.node_selector if spec.pod else None) or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    required = _required(spec)
    return required is None or any(_matches(term, node.name, labels) for term in required.node_selector_terms)


def _required(spec: InferenceServiceSpec) -> NodeSelector | None:
    """The nodes that the pods need by their affinity; None: any."""
    affinity = spec.pod.affinity.node_affinity if spec.pod and spec.pod.affinity else None
    return affinity.required_during_scheduling_ignored_during_execution if affinity else None


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    """https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration"""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    return toleration.operator == "Exists" or (bool(toleration.key) and (toleration.value or "") == taint.value)


def _matches(term: NodeSelectorTerm, name: str, labels: Mapping[str, str]) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False  # an empty term matches nothing
    fields = {"metadata.name": name}
    return all(holds(requirement, labels) for requirement in term.match_expressions or []) and all(
        holds(requirement, fields) for requirement in term.match_fields or []
    )


def looks_at(spec: InferenceServiceSpec) -> int:
    """How many times as long it takes to look at a node for a spec as for one that asks nothing of nodes: roughly."""
    affinity = _required(spec)
    compared = sum(len(term.match_expressions or ()) for term in affinity.node_selector_terms) if affinity else 0
    tolerations = len((spec.pod.tolerations if spec.pod else None) or ())
    return 1 + (compared + _TAINTS * tolerations) // _COMPARED


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
