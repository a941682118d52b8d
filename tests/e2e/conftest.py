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
from e2e.kube import Kube, Object

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
OPERATOR_NAMESPACE = "vllm-operator-system"
NAMESPACE = "e2e"


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
    command = [tool("helm"), "upgrade", "--install", "vllm-operator", ROOT / "charts/vllm-operator", *image]
    where = [f"--kubeconfig={cluster.kubeconfig}", f"--namespace={OPERATOR_NAMESPACE}", "--create-namespace"]
    subprocess.run([str(part) for part in [*command, *where, "--wait", "--timeout=2m"]], check=True)
    return cluster


def _model_job(name: str, claim: str, *arguments: str) -> list[Object]:
    """The objects of examples/tiny-model, for another claim and with other arguments."""
    volume = yaml.safe_load((EXAMPLES / "tiny-model/claim.yaml").read_text())
    volume["metadata"]["name"] = claim
    job = yaml.safe_load((EXAMPLES / "tiny-model/job.yaml").read_text())
    job["metadata"]["name"] = name
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    container["image"] = "localhost/vllm-cpu:0.32.0"
    container["args"] = ["--output", "/models/tiny", *arguments]
    pod["volumes"][0]["persistentVolumeClaim"]["claimName"] = claim
    return [volume, job]


@pytest.fixture(scope="session")
def kube(operator: LocalCluster) -> Kube:
    """The namespace of the tests, with a claim for each tiny model: tiny-model, tiny-awq and tiny-gptq."""
    kube = Kube(operator.kubeconfig, NAMESPACE)
    kube.run("create", "namespace", NAMESPACE)
    script = (EXAMPLES / "tiny-model/make_tiny_model.py").read_text()
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "make-tiny-model"},
            "data": {"make_tiny_model.py": script},
        }
    )
    jobs = {"tiny-model": [], "tiny-awq": ["--quantization", "awq"], "tiny-gptq": ["--quantization", "gptq"]}
    for claim, arguments in jobs.items():
        kube.apply(*_model_job(claim, claim, *arguments))
    for job in jobs:
        kube.run("wait", f"job/{job}", "--for=condition=Complete", "--timeout=110s")
    return kube


def tiny(name: str, *, claim: str = "tiny-model", **spec: Any) -> Object:
    """examples/tiny.yaml under another name, with further fields of the spec."""
    service: Object = yaml.safe_load((EXAMPLES / "tiny.yaml").read_text())
    service["metadata"]["name"] = name
    service["spec"].update({**spec, "model": {"uri": f"pvc://{claim}/tiny"}})
    return service


KEY = "sk-of-the-tests"


@pytest.fixture(scope="session")
def fleet(kube: Kube) -> Kube:
    """All services that the tests talk to, applied at once: they start while the first tests run."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tiny-key"}, "stringData": {"key": KEY}}
    kube.apply(secret, tiny("tiny"), tiny("keyed", apiKeySecretRef={"name": "tiny-key", "key": "key"}))
    kube.ready("tiny")
    return kube
