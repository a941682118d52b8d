"""The InferenceService API, group vllm-operator.dev: the one source of truth for fields, documentation and rules.

The models load when they are asked for: the inspect Job reads reasons.py, and has no use for pydantic.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .spec import InferenceServiceSpec
    from .status import InferenceServiceStatus

GROUP = "vllm-operator.dev"
VERSION = "v1alpha1"
KIND = "InferenceService"
PLURAL = "inferenceservices"
CLASS_KIND = "ServingClass"
CLASS_PLURAL = "servingclasses"
BATCH_KIND = "InferenceBatch"
BATCH_PLURAL = "inferencebatches"
PLURALS = (PLURAL, CLASS_PLURAL, BATCH_PLURAL)
API_VERSION = f"{GROUP}/{VERSION}"
# Kueue's: which queue a Job, a pod or a LeaderWorkerSet waits in. See https://kueue.sigs.k8s.io/docs/tasks/run/
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"

__all__ = [
    "API_VERSION",
    "BATCH_KIND",
    "BATCH_PLURAL",
    "CLASS_KIND",
    "CLASS_PLURAL",
    "GROUP",
    "KIND",
    "PLURAL",
    "PLURALS",
    "QUEUE_LABEL",
    "VERSION",
    "InferenceServiceSpec",
    "InferenceServiceStatus",
]

_MODULES = {"InferenceServiceSpec": ".spec", "InferenceServiceStatus": ".status"}


def __getattr__(name: str) -> Any:
    """A model of the API. Raises AttributeError."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name], __name__), name)
