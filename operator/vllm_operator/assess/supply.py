"""Which GPUs the nodes have that suit a service, and which services hold them. Pure.

What is known is what the pods of InferenceServices hold; pods of others can hold more.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..api.resource import Key
from ..api.spec import InferenceServiceSpec
from ..manifests.names import product_label
from ..snapshots.node import Node
from ..snapshots.pod import PodSnapshot
from .nodes import is_selected, untolerated


@dataclass(frozen=True, slots=True)
class NodeGpus:
    """The GPUs of one node, used or not, and how many of them no InferenceService holds."""

    name: str
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Supply:
    """GPUs for the pods of one service."""

    nodes: tuple[NodeGpus, ...]
    """Nodes that the pods select and tolerate; the one with the most free GPUs first."""
    holders: tuple[tuple[Key, int], ...]
    """Services of the namespace with GPUs on these nodes, and how many; the largest first."""
    elsewhere: int
    """GPUs of these nodes that services of other namespaces hold: their names are not for everybody."""
    taints: tuple[str, ...]
    """Taints of nodes that the pods select and do not tolerate."""
    products: tuple[tuple[str, int], ...]
    """Every product of the cluster, and the number of its nodes."""
    in_namespace: tuple[tuple[Key, int], ...]
    """Services of the namespace with such GPUs anywhere: they use up its quota."""


@dataclass(frozen=True, slots=True)
class Held:
    """The GPUs that the pods of all InferenceServices hold."""

    on_nodes: Mapping[tuple[str, str], int]
    """By resource and node."""
    of_namespaces: Mapping[tuple[str, str], Sequence[tuple[Key, PodSnapshot]]]
    """The pods that hold them, by resource and namespace, with their service."""


def held_by(pods: Iterable[tuple[Key, PodSnapshot]]) -> Held:
    """What pods hold: those of all InferenceServices, with their service."""
    on_nodes: Counter[tuple[str, str]] = Counter()
    of_namespaces: dict[tuple[str, str], list[tuple[Key, PodSnapshot]]] = {}
    for key, pod in pods:
        if pod.node and not pod.failed:
            on_nodes[pod.asked.resource, pod.node] += pod.asked.count
            of_namespaces.setdefault((pod.asked.resource, key.namespace), []).append((key, pod))
    return Held(on_nodes, of_namespaces)


Barred = tuple[str, ...]
"""Taints that the pods do not tolerate, of a node that they select."""


def barred(spec: InferenceServiceSpec, node: Node) -> Barred | None:
    """What bars the pods from a node; empty where nothing does, and None where they do not select it."""
    return tuple(map(str, untolerated(spec, node))) if is_selected(spec, node) else None


def supply(
    namespace: str, spec: InferenceServiceSpec, nodes: Sequence[tuple[Node, Barred | None]], held: Held
) -> Supply:
    """What there is for a service of the namespace. `nodes`: all that have such devices, with what bars its pods."""
    resource = spec.accelerator.resource
    suitable = {node.name: node for node, taints in nodes if taints == ()}
    own = held.of_namespaces.get((resource, namespace), ())
    label = product_label(resource)
    products = Counter(product for node, _ in nodes if (product := dict(node.labels).get(label)))
    near = [(key, pod) for key, pod in own if pod.node in suitable]
    taken = {name: held.on_nodes.get((resource, name), 0) for name in suitable}
    found = [
        NodeGpus(name, node.count(resource), node.count(resource) - taken[name]) for name, node in suitable.items()
    ]
    return Supply(
        nodes=tuple(sorted(found, key=lambda node: (-node.free, node.name))),
        holders=_holders(near),
        elsewhere=sum(taken.values()) - sum(pod.asked.count for _, pod in near),
        taints=tuple(sorted({taint for _, taints in nodes for taint in taints or ()})),
        products=tuple(sorted(products.items())),
        in_namespace=_holders(own),
    )


def _holders(pods: Iterable[tuple[Key, PodSnapshot]]) -> tuple[tuple[Key, int], ...]:
    held: Counter[Key] = Counter()
    for key, pod in pods:
        held[key] += pod.asked.count
    return tuple(sorted(held.items(), key=lambda entry: (-entry[1], entry[0])))
