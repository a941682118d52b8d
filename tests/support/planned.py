"""Services of models that the inspect Jobs of fake nodes report on, and what is said of whether they fit."""

from typing import Any

from support.kube import Kube, Object, conditions
from support.services import service

H100 = {"resource": "nvidia.com/gpu", "product": "NVIDIA-H100-80GB-HBM3"}


def planned(model: str, **spec: Any) -> Object:
    """A service of a model that the fake nodes know."""
    return service(**{"model": {"uri": f"hf://{model}"}, "accelerator": H100, **spec})


def fits(kube: Kube) -> Object:
    """The condition; empty while there is none that is settled."""
    found = conditions(kube.get("vis", "llama") or {}).get("Fits", {})
    return found if found.get("reason") != "Inspecting" else {}
