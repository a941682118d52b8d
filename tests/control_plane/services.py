"""Services for the tests of behaviour: without GPUs, so that there is always room."""

from typing import Any

from kube import Kube, Object, conditions
from operator_process import version
from vllm_operator.manifests.kinds import KINDS

LABEL = "app.kubernetes.io/instance"
# What every cluster serves.
CHILDREN = ",".join(row.plural for row in KINDS if not row.optional)


def service(name: str = "llama", **spec: Any) -> Object:
    """An InferenceService."""
    return {
        "apiVersion": "vllm-operator.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"model": {"uri": "hf://org/name"}, "accelerator": {"resource": "cpu"}, **spec},
    }


def ready(kube: Kube, name: str = "llama", **spec: Any) -> Object:
    """Applies a service and waits until it is Ready."""
    kube.apply(service(name, **spec))
    return kube.ready(name, 30)


def children(kube: Kube, name: str = "llama") -> dict[str, Object]:
    """The children of a service by kind; of revisions, the last that is listed."""
    return {item["kind"]: item for item in kube.list(CHILDREN, f"{LABEL}={name}")}


def versions(kube: Kube, kinds: str = f"vis,{CHILDREN}") -> set[tuple[str, str, str]]:
    """What changes with every write to a service or a child of one."""
    return {version(item) for item in kube.list(kinds)}


def reason(kube: Kube, kind: str = "Ready", name: str = "llama") -> str:
    """The reason of a condition; empty while there is none."""
    return str(conditions(kube.get("vis", name) or {}).get(kind, {}).get("reason", ""))


def args(kube: Kube, name: str = "llama") -> list[str]:
    """vLLM's arguments in the Deployment."""
    deployment = kube.get("deployment", name)
    assert deployment
    arguments: list[str] = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    return arguments


def replicas(kube: Kube, name: str = "llama") -> int:
    """The wanted replicas of the Deployment; -1 while there is none."""
    deployment = kube.get("deployment", name)
    return int(deployment["spec"]["replicas"]) if deployment else -1
