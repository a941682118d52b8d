"""One cluster with a real node for all end-to-end tests: the operator installed by its chart, and three tiny models.

Everything slow is shared: a vLLM pod takes half a minute to start on two cores.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.node import LocalCluster
from support.end_to_end import KEY, NAMESPACE, REGISTRY_PORT, hub_address
from support.kube import Kube, conditions
from support.metrics_stack.install import MetricsStack
from support.serving import install_operator, make_models, start, tiny


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
        f"--set=settings.hubEndpoint=http://{hub_address(cluster.kubeconfig)}",
        f"--set=settings.allowedImages={{localhost:{REGISTRY_PORT}/**}}",
        f"--set=settings.prometheusUrl=http://{MetricsStack(cluster).prometheus}:9090",
    )
    return cluster


@pytest.fixture(scope="session")
def kube(operator: LocalCluster) -> Kube:
    """The namespace of the tests, with a claim that holds tiny, tiny-awq and tiny-gptq."""
    kube = Kube(operator.kubeconfig, NAMESPACE)
    make_models(kube, "awq", "gptq")
    return kube


@pytest.fixture(scope="session")
def monitoring(cluster: LocalCluster, kube: Kube) -> MetricsStack:
    """The Prometheus Operator and a Prometheus by it. Their API comes after the operator and a service."""
    stack = MetricsStack(cluster)
    stack.load()

    def available(status: str) -> bool:
        found = conditions(kube.get("vis", "monitored") or {}).get("MonitoringAvailable", {})
        return bool(found.get("status") == status)

    kube.apply(tiny("monitored", suspend=True))
    kube.wait("there is nothing that would monitor a service", 90, lambda: available("False"))
    stack.serve_prometheus_apis()
    kube.wait("a service is monitored", 180, lambda: available("True") and kube.get("servicemonitor", "monitored"))
    kube.run("delete", "vis", "monitored")
    install_operator(cluster, "--reuse-values", "--set=serviceMonitor.enabled=true,prometheusRule.enabled=true")
    stack.start_prometheus()
    return stack


@pytest.fixture(scope="session")
def fleet(kube: Kube) -> Kube:
    """All services that the tests talk to, applied at once: they start while the first tests run."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tiny-key"}, "stringData": {"key": KEY}}
    kube.apply(secret, tiny("tiny"), tiny("keyed", apiKeySecretRef={"name": "tiny-key", "key": "key"}))
    kube.ready("tiny")
    return kube
