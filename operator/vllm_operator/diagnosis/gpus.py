"""What there is of the GPUs that a pod waits for, in words: counts, and which services hold them. Pure."""

from collections.abc import Iterable, Sequence

from ..api.reasons import Finding, Reason
from ..api.resource import Key
from ..assess.supply import Supply

_MOST = 5


def shortage(resource: str, count: int, supply: Supply) -> Finding:
    """Why no node has `count` GPUs free, though some would if they were empty; the counts, and what to do."""
    total, free = sum(node.total for node in supply.nodes), sum(max(0, node.free) for node in supply.nodes)
    most = max((node.free for node in supply.nodes), default=0)
    where = _listed(f"{node.name} {max(0, node.free)} of {node.total}" for node in supply.nodes)
    counts = f"{free} of {total} {resource} are free ({where})"
    others = [f"services of other namespaces ({supply.elsewhere})"] if supply.elsewhere else []
    held = _held(supply.holders, others)
    if free >= count > most:
        return (
            Reason.GPUS_FRAGMENTED,
            f"{counts}{held}: enough together, but a pod needs {count} on one node: scale a service down on one of "
            "them, or lower tensorParallelSize",
        )
    rest = "; pods that are no InferenceService's hold the rest" if most >= count else ""
    counts = f"at most {counts}" if rest else counts
    return (
        Reason.INSUFFICIENT_GPUS,
        f"{counts}{held}{rest}: all {count} must be free on one node: wait until others end, scale a service down, "
        "or add nodes",
    )


def largest(resource: str, supply: Supply) -> str:
    """The most GPUs that one node has."""
    most = max(supply.nodes, key=lambda node: node.total, default=None)
    return f" (the largest, {most.name}, has {most.total} {resource})" if most else ""


def names(supply: Supply, count: int) -> str:
    """The nodes that suit the pods, and are large enough for one."""
    names = [node.name for node in supply.nodes if node.total >= count]
    return f" ({_listed(names)})" if names else ""


def products(supply: Supply) -> str:
    """The products that there are."""
    products = _listed(f"{product} on {nodes} node{'s' if nodes > 1 else ''}" for product, nodes in supply.products)
    return f" (the cluster has {products})" if products else " (no node of the cluster tells of any)"


def taints(supply: Supply) -> str:
    """The taints that keep the pods off nodes with GPUs."""
    return f" ({_listed(supply.taints)})" if supply.taints else ""


def in_namespace(supply: Supply) -> str:
    """Who uses up the namespace's quota of GPUs."""
    return _held(supply.in_namespace, (), " in this namespace")


def _held(holders: Iterable[tuple[Key, int]], others: Sequence[str], where: str = "") -> str:
    """Who holds them, as the end of a sentence; those whose names are not told come first. Empty where nobody does."""
    words = [*others, *(f"{namespace}/{name} ({count})" for (namespace, name), count in holders)]
    return f"; held{where} by {_listed(words)}" if words else ""


def _listed(words: Iterable[str]) -> str:
    listed = list(words)
    return ", ".join(listed[:_MOST]) + (f" and {len(listed) - _MOST} more" if len(listed) > _MOST else "")
