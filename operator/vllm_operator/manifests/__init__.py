"""What a service is made of. `desired` is the table of contents; each kind has its builder in a file of its own.

Everything here is pure: spec, kept pod template and settings in, manifests out. No name of ours is decided elsewhere.
"""

from ..api.resource import InferenceService
from .autoscaling import AUTOSCALERS, Scaling, autoscaler
from .availability import disruption_budget
from .claim import cache_claim
from .deployment import deployment
from .inspection import inspection, inspection_key, kept_model, kept_model_name, model_claim
from .metadata import Manifest
from .monitoring import service_monitor
from .network import network_policy, service
from .pod import Rendering, pod_template
from .revision import controller_revision

__all__ = [
    "AUTOSCALERS",
    "Manifest",
    "Rendering",
    "Scaling",
    "controller_revision",
    "desired",
    "inspection",
    "inspection_key",
    "kept_model",
    "kept_model_name",
    "model_claim",
    "pod_template",
]

_SCALING = Scaling()


def desired(
    owner: InferenceService, template: Manifest | None, *, monitoring: bool, scaling: Scaling = _SCALING
) -> list[Manifest]:
    """The children that a service should have, in the order in which they are applied.

    `template` is the kept pod template, or None while there must be no pods; `monitoring` whether the cluster knows
    ServiceMonitors.
    """
    children = [
        cache_claim(owner),
        network_policy(owner),
        service(owner),
        deployment(owner, template) if template else None,
        disruption_budget(owner) if template else None,
        autoscaler(owner, scaling) if template else None,
        service_monitor(owner) if monitoring else None,
    ]
    return [child for child in children if child is not None]
