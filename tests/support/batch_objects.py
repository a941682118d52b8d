"""InferenceBatches, and the claims that they read and write, as manifests."""

from typing import Any

from cluster.control_plane import ControlPlane
from support.kube import Object


def claim(name: str, mode: str = "ReadWriteMany") -> Object:
    """A claim."""
    spec = {"accessModes": [mode], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def batch(name: str = "nightly", labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """A batch; what is None is left out of its spec."""
    given = {
        "template": {"model": {"uri": "hf://org/name"}, "accelerator": {"resource": "cpu"}},
        "input": {"uri": "pvc://data/in.jsonl"},
        "output": {"uri": "pvc://data/out"},
        **spec,
    }
    return {
        "apiVersion": "vllm-operator.dev/v1alpha1",
        "kind": "InferenceBatch",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {key: value for key, value in given.items() if value is not None},
    }


def add_volumes(plane: ControlPlane, count: int) -> None:
    """Volumes for claims without a class: nobody makes any here or gives one free again, and fake nodes mount none."""
    for number in range(count):
        spec = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "hostPath": {"path": "/nonexistent"},
        }
        volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"v{number}"}, "spec": spec}
        plane.api().create("/api/v1/persistentvolumes", volume)
