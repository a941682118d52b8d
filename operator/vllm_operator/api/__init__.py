"""The InferenceService API, group vllm-operator.dev: the one source of truth for fields, documentation and rules."""

from .spec import InferenceServiceSpec
from .status import Condition, EngineStatus, InferenceServiceStatus

GROUP = "vllm-operator.dev"
VERSION = "v1alpha1"
KIND = "InferenceService"
PLURAL = "inferenceservices"
API_VERSION = f"{GROUP}/{VERSION}"

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
    "PLURAL",
    "VERSION",
    "Condition",
    "EngineStatus",
    "InferenceServiceSpec",
    "InferenceServiceStatus",
]
