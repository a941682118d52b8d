"""What a service is made of. kinds.py is the table of contents; each kind has its builder in a file of its own.

Everything here is pure: spec, kept pod template and settings in, manifests out. No name of ours is decided elsewhere.
"""

from collections.abc import Collection

from .autoscaling import Scaling
from .inspection import inspection, inspection_name, kept_model, kept_model_name, model_claim
from .kinds import CHILD_KINDS, OPTIONAL_KINDS, Parts
from .metadata import Manifest
from .network import Peers
from .packing import Packed, pack
from .pod import Rendering, pod_template
from .revision import Rendered, controller_revision

__all__ = [
    "OPTIONAL_KINDS",
    "Manifest",
    "Packed",
    "Parts",
    "Peers",
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


def desired(parts: Parts, served: Collection[str] = ()) -> list[Manifest]:
    """The children that a service should have, in the order in which they are applied.

    `served`: the optional kinds that the cluster knows. The kept template itself, and the inspect Job, come at times of
    their own.
    """
    rows = [row for row in CHILD_KINDS if not row.optional or row.kind in served]
    children = [row.build(parts) for row in rows if row.build]
    return [child for child in children if child is not None]
