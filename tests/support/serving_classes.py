"""Services and ServingClasses made by hand, for tests of what comes of them."""

from typing import Any

from vllm_operator.api.serving_class import ServingClass, ServingClassSpec
from vllm_operator.api.spec import InferenceServiceSpec


def spec(**fields: Any) -> InferenceServiceSpec:
    """The spec of a service with a model and these fields."""
    return InferenceServiceSpec.model_validate({"model": {"uri": "hf://org/model"}, **fields})


def serving_class(name: str = "h100", created: str = "2026-11-24T12:00:00Z", **fields: Any) -> ServingClass:
    """A class with these fields in its spec."""
    return ServingClass(name, "uid", 1, created, ServingClassSpec.model_validate(fields))
