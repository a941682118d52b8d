"""The operator on a cluster with a real node, and tiny models for it to serve: for end-to-end tests and benches."""

import subprocess
from typing import Any

import yaml

from cluster.host import REPOSITORY
from cluster.images import build
from cluster.node import LocalCluster
from cluster.tools import tool
from support.kube import Kube, Object

EXAMPLES = REPOSITORY / "examples"
OPERATOR_NAMESPACE = "vllm-operator-system"
# What vLLM finds out about the architecture of a model, which takes it a third of its start-up, it keeps in its cache.
CACHE: Object = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "tiny-cache"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
}
# So little that all that the tests run at once finds room on one node.
RESOURCES: Object = {"requests": {"cpu": "200m", "memory": "100Mi"}, "limits": {"memory": "4Gi"}}


def start(name: str, nodes: int = 1) -> LocalCluster:
    """A cluster of at least these nodes, with the project's images loaded."""
    archives = [build("operator")[1], build("vllm-cpu")[1]]
    running = LocalCluster.start(name, nodes)
    for archive in archives:
        running.load(archive)
    return running


def install_operator(cluster: LocalCluster, *words: str) -> None:
    """Installs the operator as users do: by the chart, as a pod with the chart's rights. `words` are helm's own."""
    image = ["--set", "image.repository=localhost/vllm-operator", "--set", "image.tag=dev"]
    command = [tool("helm"), "upgrade", "--install", "vllm-operator", REPOSITORY / "charts/vllm-operator", *image]
    where = [f"--kubeconfig={cluster.kubeconfig}", f"--namespace={OPERATOR_NAMESPACE}", "--create-namespace"]
    subprocess.run([str(part) for part in [*command, *words, *where, "--wait", "--timeout=2m"]], check=True)


def make_models(kube: Kube, *quantizations: str) -> None:
    """Makes the namespace, a claim in it with the tiny model, plain and quantized, and one for caches."""
    kube.run("create", "namespace", kube.namespace)
    # A Job's template cannot be changed later, so kubectl's own kustomize puts the arguments in before it is applied.
    objects = list(yaml.safe_load_all(kube.run("kustomize", str(EXAMPLES / "tiny-model"))))
    for job in (item for item in objects if item["kind"] == "Job" and quantizations):
        job["spec"]["template"]["spec"]["containers"][0]["args"] += ["--quantization", *quantizations]
    kube.apply(*objects, CACHE)
    kube.run("wait", "job/tiny-model", "--for=condition=Complete", "--timeout=300s", timeout=310)


def tiny(name: str, *, checkpoint: str = "tiny", **spec: Any) -> Object:
    """examples/tiny.yaml under another name, with further fields of the spec."""
    service: Object = yaml.safe_load((EXAMPLES / "tiny.yaml").read_text())
    service["metadata"]["name"] = name
    common = {"cache": {"existingClaim": CACHE["metadata"]["name"]}, "resources": RESOURCES}
    service["spec"].update({**common, **spec, "model": {"uri": f"pvc://tiny-model/{checkpoint}"}})
    return service
