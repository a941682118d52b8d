"""One cluster with a real node for all end-to-end tests: the operator installed by its chart, and three tiny models.

Everything slow is shared: a vLLM pod takes half a minute to start on two cores.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.images import build
from cluster.node import LocalCluster
from cluster.tools import tool
from kube import Kube, Object

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
OPERATOR_NAMESPACE = "vllm-operator-system"
NAMESPACE = "e2e"
# Of the Service of a hub that the tests run as a pod: there is no DNS.
HUB_ADDRESS = "10.96.77.77"
# Of a registry that the tests run on the node: the runtime asks one of this name without TLS.
REGISTRY_PORT = 5055


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the node."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    """The cluster, with the project's images loaded."""
    archives = [build("operator")[1], build("vllm-cpu")[1]]
    running = LocalCluster.start("test-e2e")
    try:
        for archive in archives:
            running.load(archive)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def operator(cluster: LocalCluster) -> LocalCluster:
    """The operator as users install it: by the chart, as a pod with the chart's rights."""
    image = ["--set", "image.repository=localhost/vllm-operator", "--set", "image.tag=dev"]
    image += ["--set", f"settings.hubEndpoint=http://{HUB_ADDRESS}"]
    image += ["--set", f"settings.allowedImages={{localhost:{REGISTRY_PORT}/*}}"]
    command = [tool("helm"), "upgrade", "--install", "vllm-operator", ROOT / "charts/vllm-operator", *image]
    where = [f"--kubeconfig={cluster.kubeconfig}", f"--namespace={OPERATOR_NAMESPACE}", "--create-namespace"]
    subprocess.run([str(part) for part in [*command, *where, "--wait", "--timeout=2m"]], check=True)
    return cluster


@pytest.fixture(scope="session")
def kube(operator: LocalCluster) -> Kube:
    """The namespace of the tests, with a claim that holds tiny, tiny-awq and tiny-gptq."""
    kube = Kube(operator.kubeconfig, NAMESPACE)
    kube.run("create", "namespace", NAMESPACE)
    # A Job's template cannot be changed later, so kubectl's own kustomize puts the arguments in before it is applied.
    objects = list(yaml.safe_load_all(kube.run("kustomize", str(EXAMPLES / "tiny-model"))))
    for job in (item for item in objects if item["kind"] == "Job"):
        job["spec"]["template"]["spec"]["containers"][0]["args"] += ["--quantization", "awq", "gptq"]
    kube.apply(*objects)
    kube.run("wait", "job/tiny-model", "--for=condition=Complete", "--timeout=300s", timeout=310)
    return kube


def tiny(name: str, *, checkpoint: str = "tiny", **spec: Any) -> Object:
    """examples/tiny.yaml under another name, with further fields of the spec."""
    service: Object = yaml.safe_load((EXAMPLES / "tiny.yaml").read_text())
    service["metadata"]["name"] = name
    service["spec"].update({**spec, "model": {"uri": f"pvc://tiny-model/{checkpoint}"}})
    return service


KEY = "sk-of-the-tests"


@pytest.fixture(scope="session")
def fleet(kube: Kube) -> Kube:
    """All services that the tests talk to, applied at once: they start while the first tests run."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tiny-key"}, "stringData": {"key": KEY}}
    kube.apply(secret, tiny("tiny"), tiny("keyed", apiKeySecretRef={"name": "tiny-key", "key": "key"}))
    kube.ready("tiny")
    return kube
