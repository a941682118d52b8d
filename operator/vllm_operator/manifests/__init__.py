"""What a service is made of. kinds.py is the table of contents; each kind has its builder in a file of its own.

Everything here is pure: spec, kept pod template and settings in, manifests out. No name of ours is decided elsewhere.
"""

from collections.abc import Collection

from ..api.resource import InferenceService
from .autoscaling import Scaling
from .inspection import inspection, inspection_name, kept_model, kept_model_name, model_claim
from .kinds import CHILD_KINDS, OPTIONAL_KINDS, Parts
from .metadata import Manifest
from .packing import Packed, pack
from .pod import Rendering, pod_template
from .revision import Rendered, controller_revision

__all__ = [
    "OPTIONAL_KINDS",
    "Manifest",
    "Packed",
    "Rendered",
    "Rendering",
    "Scaling",
    "controller_revision",
    "desired",
    "inspection",
    "inspection_name",
    "kept_model",
    "kept_model_name",
    "model_claim",
    "pack",
    "pod_template",
]

_SCALING = Scaling()


def desired(
    owner: InferenceService,
    template: Manifest | None,
    *,
    served: Collection[str],
    scaling: Scaling = _SCALING,
    pod_uids: Collection[str] = (),
) -> list[Manifest]:
    """The children that a service should have, in the order in which they are applied.

    `template` is the kept pod template, or None while there must be no pods; `served` the optional kinds that the
    cluster knows; `pod_uids` as in Parts. The kept template itself, and the inspect Job, come at times of their own.
    """
    parts = Parts(owner, template, scaling, pod_uids)
    rows = [row for row in CHILD_KINDS if not row.optional or row.kind in served]
    children = [row.build(parts) for row in rows if row.build]
    return [child for child in children if child is not None]
