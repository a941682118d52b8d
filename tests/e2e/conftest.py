"""One cluster with a real node for all end-to-end tests: the operator installed by its chart, and three tiny models.

Everything slow is shared: a vLLM pod takes half a minute to start on two cores.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.node import LocalCluster
from kube import Kube
from serving import EXAMPLES, OPERATOR_NAMESPACE, install_operator, make_models, start, tiny

__all__ = ["EXAMPLES", "HUB_ADDRESS", "KEY", "NAMESPACE", "OPERATOR_NAMESPACE", "tiny"]
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
    running = start("test-e2e")
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def operator(cluster: LocalCluster) -> LocalCluster:
    """The operator as users install it: by the chart, as a pod with the chart's rights."""
    install_operator(
        cluster,
        f"--set=settings.hubEndpoint=http://{HUB_ADDRESS}",
        f"--set=settings.allowedImages={{localhost:{REGISTRY_PORT}/*}}",
    )
    return cluster


@pytest.fixture(scope="session")
def kube(operator: LocalCluster) -> Kube:
    """The namespace of the tests, with a claim that holds tiny, tiny-awq and tiny-gptq."""
    kube = Kube(operator.kubeconfig, NAMESPACE)
    make_models(kube, "awq", "gptq")
    return kube


KEY = "sk-of-the-tests"


@pytest.fixture(scope="session")
def fleet(kube: Kube) -> Kube:
    """All services that the tests talk to, applied at once: they start while the first tests run."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tiny-key"}, "stringData": {"key": KEY}}
    kube.apply(secret, tiny("tiny"), tiny("keyed", apiKeySecretRef={"name": "tiny-key", "key": "key"}))
    kube.ready("tiny")
    return kube
