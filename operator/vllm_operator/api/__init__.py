"""The InferenceService API, group vllm-operator.dev: the one source of truth for fields, documentation and rules."""

from .spec import InferenceServiceSpec
from .status import Condition, EngineStatus, InferenceServiceStatus

GROUP = "vllm-operator.dev"
VERSION = "v1alpha1"
KIND = "InferenceService"
PLURAL = "inferenceservices"
CLASS_KIND = "ServingClass"
CLASS_PLURAL = "servingclasses"
PLURALS = (PLURAL, CLASS_PLURAL)
API_VERSION = f"{GROUP}/{VERSION}"

__all__ = [
    "API_VERSION",
    "CLASS_KIND",
    "CLASS_PLURAL",
    "GROUP",
    "KIND",
    "PLURAL",
    "PLURALS",
    "VERSION",
    "Condition",
    "EngineStatus",
    "InferenceServiceSpec",
    "InferenceServiceStatus",
]
