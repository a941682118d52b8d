"""What pods with devices, and the pods of Jobs that go where those are, say of nodes. Decides nothing else."""

from ..api.pod import PodSettings
from ..api.spec import InferenceServiceSpec
from .metadata import Manifest
from .names import device_taints, product_label


def node_selector(spec: InferenceServiceSpec) -> dict[str, str] | None:
    """Labels that a node must have: the service's own, and its product."""
    own = (spec.pod.node_selector if spec.pod else None) or {}
    accelerator = spec.accelerator
    product = {product_label(accelerator.resource): accelerator.product} if accelerator.product else {}
    return {**own, **product} or None


def tolerations(spec: InferenceServiceSpec) -> list[Manifest] | None:
    """The service's own; and the taint of nodes with its GPUs, which is there to keep away what needs none.

    The API server adds it to pods that ask for GPUs where it is told to, and so not to those of Jobs:
    https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#extendedresourcetoleration
    """
    pod = spec.pod or PodSettings.model_validate({})
    own = [toleration.to_manifest() for toleration in pod.tolerations or ()]
    added = [{"key": key, "operator": "Exists"} for key in device_taints(spec.accelerator.resource)]
    return [*(one for one in added if one not in own), *own] or None
