"""Where pods may be: what their service says of nodes, and the GPU products that the plan keeps them to."""

from ..api.pod import PodSettings
from ..api.spec import InferenceServiceSpec
from .metadata import Manifest
from .names import product_label


def node_affinity(spec: InferenceServiceSpec, pod: PodSettings, products: tuple[str, ...]) -> Manifest | None:
    """The affinity that the service asks for, with those products as the only ones; None for none."""
    affinity = pod.affinity.to_manifest() if pod.affinity else None
    if not products:
        return affinity
    key = product_label(spec.accelerator.resource)
    pinned = {"key": key, "operator": "In", "values": list(products)}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    nodes = (affinity or {}).get("nodeAffinity", {})
    # The terms are alternatives, so each has to name the products.
    terms = [
        {**term, "matchExpressions": [*term.get("matchExpressions", []), pinned]}
        for term in nodes.get(required, {}).get("nodeSelectorTerms", [{}])
    ]
    return {**(affinity or {}), "nodeAffinity": {**nodes, required: {"nodeSelectorTerms": terms}}}
