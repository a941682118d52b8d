"""Scaling by what vLLM feels: with the real vLLM, Prometheus, prometheus-adapter, KEDA and HorizontalPodAutoscaler.

In the order of the file. One service goes from one pod to three and back while it answers; another one, without any
request at first, goes to zero and back meanwhile.
"""

import time
from collections.abc import Iterator

import pytest

from cluster.program_image import image_name
from support.end_to_end import chat
from support.kube import Kube, Object, conditions
from support.load import Crowd
from support.metrics_stack.install import MetricsStack
from support.services import recorded_replicas
from support.serving import tiny

NAME, IDLE = "scaled", "idle"
# More than the two that one pod runs at once, by so much that three pods are not enough either.
MANY, FEW = 16, 2
# Two pods load the model on the cores that serve.
START_SECONDS = 900
SMALL: Object = {
    "maxNumSeqs": 2,
    "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
}
SCALING: Object = {
    "minReplicas": 1,
    "maxReplicas": 3,
    "targets": {"waitingRequests": 2, "kvCacheUtilizationPercent": 0},
    "scaleDown": {"stabilizationSeconds": 60},
}
# Pods of this label are the work that brings pods to the idle service.
WORK = {"work": "here"}
TO_ZERO: Object = {
    **SCALING,
    "minReplicas": 0,
    "provider": "KEDA",
    "triggers": [{"type": "kubernetes-workload", "metadata": {"podSelector": "work=here", "value": "1"}}],
}


def autoscaled(name: str, scaling: Object) -> Object:
    """A tiny service under an autoscaler."""
    service = tiny(name, **SMALL, autoscaling=scaling)
    del service["spec"]["replicas"]
    return service


def condition(kube: Kube, kind: str = "ScalingActive", name: str = NAME) -> Object:
    """A condition of a service."""
    return conditions(kube.get("vis", name) or {}).get(kind, {})


def await_scaling(kube: Kube, reason: str, seconds: float, name: str = NAME) -> Object:
    """Waits until the service gives this reason for how it scales, and returns the condition."""

    def found() -> Object | None:
        # Read once: under load a scrape may come too late, and then the autoscaler has no figures for a moment.
        said = condition(kube, name=name)
        return said if said.get("reason") == reason else None

    return dict(kube.wait(f"{name}: {reason}", seconds, found))


def replicas(kube: Kube, name: str = NAME) -> tuple[int, int]:
    """Pods that are asked for, and that are ready."""
    found = kube.get("deployment", name)
    assert found, f"no Deployment {name}"
    return found["spec"]["replicas"], found["status"].get("readyReplicas", 0)


def switch(kube: Kube, provider: str) -> list[int]:
    """Has somebody else scale the service; returns every number of pods that was asked for meanwhile."""
    theirs, ours = ("hpa", NAME), ("hpa", f"keda-hpa-{NAME}")
    new, old = (ours, theirs) if provider == "KEDA" else (theirs, ours)
    with recorded_replicas(kube, NAME) as seen:
        kube.merge("vis", NAME, {"spec": {"autoscaling": {"provider": provider}}})

        def active() -> bool:
            found = conditions(kube.get(*new) or {}).get("ScalingActive", {})
            return found.get("status") == "True" and not kube.get(*old)

        kube.wait(f"{provider} scales", 180, active)
        kube.wait("it says so", 90, lambda: condition(kube).get("reason") in {"Scaling", "AtMaximum"})
    return seen


@pytest.fixture(scope="module")
def scaled(kube: Kube) -> Iterator[Kube]:
    """Both services; they start while the tests begin."""
    kube.apply(autoscaled(NAME, SCALING), autoscaled(IDLE, TO_ZERO))
    yield kube
    kube.run("delete", "vis", NAME, IDLE, "--ignore-not-found")
    kube.run("delete", "pods", "-l", "work=here", "--wait=false")


@pytest.fixture(scope="module")
def stack(scaled: Kube, monitoring: MetricsStack) -> MetricsStack:
    """The metrics APIs, after the services and the operator."""
    monitoring.start_adapter()
    monitoring.start_keda()
    return monitoring


@pytest.fixture(scope="module")
def crowd(scaled: Kube, stack: MetricsStack) -> Iterator[Crowd]:
    """Clients from the first ready pod to the last test of the service."""
    scaled.ready(NAME)
    with Crowd(scaled.url(NAME), NAME, FEW, tokens=16) as crowd:
        yield crowd


def test_without_a_metrics_api_it_says_what_to_install(scaled: Kube) -> None:
    message = await_scaling(scaled, "MetricsApiMissing", 120)["message"]
    assert "prometheus-adapter" in message
    assert await_scaling(scaled, "KedaApiMissing", 60, IDLE)["status"] == "False"
    assert replicas(scaled)[0] == replicas(scaled, IDLE)[0] == 1


def test_with_one_it_scales(scaled: Kube, crowd: Crowd) -> None:
    found = await_scaling(scaled, "Scaling", 90)
    assert (found["status"], found["message"]) == ("True", "between 1 and 3 pods, by waitingRequests")
    assert replicas(scaled)[0] == 1


def test_requests_that_wait_bring_pods(scaled: Kube, crowd: Crowd) -> None:
    crowd.clients = MANY
    scaled.wait("three pods are asked for", 240, lambda: replicas(scaled)[0] == 3)
    scaled.wait("three pods serve", START_SECONDS, lambda: replicas(scaled) == (3, 3))
    found = await_scaling(scaled, "AtMaximum", 60)
    assert found["status"] == "False"
    assert "maxReplicas (3)" in found["message"]
    # On two cores three busy pods may answer a probe too late.
    scaled.wait("it is Ready", 120, lambda: condition(scaled, "Ready")["status"] == "True")


def test_keda_takes_over_what_is_there_and_gives_it_back(scaled: Kube, crowd: Crowd) -> None:
    assert set(switch(scaled, "KEDA")) == {3}
    assert set(switch(scaled, "HPA")) == {3}


def test_the_end_of_the_load_takes_pods_away_one_by_one_by_either(scaled: Kube, crowd: Crowd) -> None:
    crowd.clients = FEW
    scaled.wait("one pod less is asked for", 300, lambda: replicas(scaled)[0] == 2)
    assert set(switch(scaled, "KEDA")) == {2}
    scaled.wait("one pod is asked for", 300, lambda: replicas(scaled)[0] == 1)
    label = f"app.kubernetes.io/instance={NAME}"
    scaled.wait("one pod is left", 120, lambda: len(scaled.list("pods", label)) == 1)
    await_scaling(scaled, "Scaling", 60)


def test_no_request_failed(scaled: Kube, crowd: Crowd) -> None:
    crowd.clients = 0
    time.sleep(3)
    assert "\n".join(crowd.tally.failures) == ""
    assert (crowd.tally.aborted, crowd.tally.sent > 100) == (0, True)


def scaled_object(kube: Kube) -> dict[str, str]:
    """The status of each condition of KEDA's object for the idle service."""
    found = conditions(kube.get("scaledobject", IDLE) or {})
    return {kind: entry["status"] for kind, entry in found.items()}


def test_without_work_the_idle_service_goes_to_zero(scaled: Kube, stack: MetricsStack) -> None:
    scaled.wait("no pod is asked for", 300, lambda: replicas(scaled, IDLE)[0] == 0)
    expected = ("True", "ScaledToZero")

    def said() -> bool:
        ready = condition(scaled, "Ready", IDLE)
        return (ready.get("status"), ready.get("reason")) == expected

    scaled.wait("it says so", 60, said)
    await_scaling(scaled, "ScaledToZero", 120, IDLE)
    assert (scaled.get("vis", IDLE) or {})["status"]["wantedReplicas"] == 0


def test_work_brings_a_pod_which_stays_while_it_loads_and_while_it_answers(scaled: Kube, stack: MetricsStack) -> None:
    container = {"name": "work", "image": image_name("pause")}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "work", "labels": WORK}}
    scaled.apply({**pod, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}})
    scaled.wait("a pod is asked for", 60, lambda: replicas(scaled, IDLE)[0] == 1)
    up = f'up{{namespace="{scaled.namespace}",inferenceservice="{IDLE}"}}'
    scaled.wait("Prometheus knows of the pod", 120, lambda: stack.query(up))
    scaled.run("delete", "pod", "work")
    # Now only vLLM's pod itself speaks for the service.
    deadline = time.monotonic() + START_SECONDS
    while (asked := replicas(scaled, IDLE)) != (1, 1):
        assert (asked[0], time.monotonic() < deadline) == (1, True)
        # Prometheus may see sooner than the Deployment that it has loaded the model, and has no requests.
        assert scaled_object(scaled)["Active"] != "False" or stack.query(f"{up} == 1")
        time.sleep(2)
    body = {"max_tokens": 200, "ignore_eos": True}
    assert chat(scaled.url(IDLE), IDLE, **body)[0] == 200
    scaled.wait("KEDA knows of the request", 60, lambda: scaled_object(scaled).get("Active") == "True")
    assert replicas(scaled, IDLE) == (1, 1)
