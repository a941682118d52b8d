"""Services for the tests of behaviour: without GPUs, so that there is always room."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cluster.tools import tool
from support.kube import Kube, Object, conditions
from support.operator_process import version
from vllm_operator.manifests.kinds import CHILD_KINDS

LABEL = "app.kubernetes.io/instance"
# The waits are for a machine that has nothing else to do; what is promised within a time is asserted by itself.
PATIENCE = 4
# What every cluster serves.
CHILDREN = ",".join(row.plural for row in CHILD_KINDS if not row.optional)


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


def seen(kube: Kube, name: str = "llama") -> None:
    """Makes an edit that changes no pod, and waits until the operator has seen it, and so whatever came before it.

    What has not come about by then does not come late.
    """
    before = kube.get("vis", name)
    assert before
    kube.merge("vis", name, {"spec": {"rollout": {"maxUnavailable": before["metadata"]["generation"] + 1}}})

    def observed() -> bool:
        status = (kube.get("vis", name) or before)["status"]
        return bool(status["observedGeneration"] > before["metadata"]["generation"])

    kube.wait(f"an edit of {name} is seen", 30, observed)


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


@contextmanager
def recorded_replicas(kube: Kube, name: str = "llama") -> Iterator[list[int]]:
    """Every value that a Deployment's replicas have while the block runs, from a watch; filled when it ends."""
    seen: list[int] = []
    shown = r"jsonpath={.spec.replicas} {.metadata.annotations.example\.com/end}{'\n'}"
    command = [str(tool("kubectl")), f"--kubeconfig={kube.kubeconfig}", f"--namespace={kube.namespace}"]
    command += ["get", "deployment", name, "--watch", "-o", shown]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout
        try:
            seen.append(int(watch.stdout.readline().split()[0]))
            yield seen
            # A watch shows writes in order: once it shows this one, it has shown all before.
            end = f"at-{time.monotonic_ns()}"
            kube.run("annotate", "--overwrite", "deployment", name, f"example.com/end={end}")
            for line in watch.stdout:
                count, _, shown_end = line.strip().partition(" ")
                seen.append(int(count))
                if shown_end == end:
                    break
        finally:
            watch.terminate()


def await_garbage_collection(kube: Kube) -> None:
    """Wait until the garbage collector has learned of our CRD: it looks for new APIs every 30 s."""
    kube.apply(service("owner"))
    owner = kube.get("vis", "owner")
    assert owner
    reference = {key: owner[key] for key in ("apiVersion", "kind")} | {
        key: owner["metadata"][key] for key in ("name", "uid")
    }
    meta = {"name": "owned", "ownerReferences": [reference]}
    kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    kube.run("delete", "vis", "owner")
    kube.wait("the garbage collector works", 90, lambda: not kube.get("configmap", "owned"))


def forge_revision(kube: Kube, kept: Object) -> None:
    """Puts a ControllerRevision with these data in the place of the one that was read: the API lets none be changed."""
    meta = {key: kept["metadata"][key] for key in ("name", "labels", "ownerReferences")}
    kube.run("delete", "controllerrevision", meta["name"])
    kube.apply({**kept, "metadata": meta})
