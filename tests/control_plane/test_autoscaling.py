"""Who owns the number of pods, and that it never falls on the way from one owner to the next."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from control_plane.keda import SCALED_OBJECTS, install_api, remove_api
from control_plane.metrics_api import serving_metrics
from support.kube import Kube, Object, conditions
from support.operator_process import OperatorProcess
from support.services import children, ready, reason, recorded_replicas, replicas, service

pytestmark = pytest.mark.control_plane
HPA: Object = {"autoscaling": {"minReplicas": 1, "maxReplicas": 6}}
KEDA: Object = {"autoscaling": {**HPA["autoscaling"], "provider": "KEDA"}}
CRON = {"type": "cron", "metadata": {"timezone": "UTC", "start": "0 8 * * *", "end": "0 18 * * *"}}
TO_ZERO: Object = {"autoscaling": {**KEDA["autoscaling"], "minReplicas": 0, "triggers": [CRON]}}


@pytest.fixture
def keda(kube: Kube, operator: OperatorProcess) -> None:
    """KEDA's API, which the operator has known from its start."""
    if not kube.get("crd", SCALED_OBJECTS):
        install_api(kube)
        operator.restart()


def replace(kube: Kube, **spec: Any) -> None:
    """Puts another spec in the service's place, as GitOps tools do: what is left out is gone."""
    kube.apply(service(**spec))


def await_autoscalers(kube: Kube, expected: set[str]) -> None:
    """Waits until these kinds, and no others, scale the service."""

    def there() -> bool:
        kinds = set(children(kube)) & {"HorizontalPodAutoscaler"}
        found = kube.list(SCALED_OBJECTS, "app.kubernetes.io/instance=llama")
        return kinds | {item["kind"] for item in found} == expected

    kube.wait(f"{expected} scales", 20, there)


def scaled_object(kube: Kube) -> Object:
    found = kube.get(SCALED_OBJECTS, "llama")
    assert found
    return found


def owners(kube: Kube) -> set[str]:
    """The field managers that own the Deployment's replicas."""
    shown = kube.run("get", "deployment", "llama", "-o", "json", "--show-managed-fields")
    entries = json.loads(shown)["metadata"]["managedFields"]
    return {entry["manager"] for entry in entries if "f:replicas" in entry["fieldsV1"].get("f:spec", {})}


def scale(kube: Kube, count: int) -> None:
    """Scales the Deployment as an autoscaler does, and waits until the operator has seen it."""
    kube.run("scale", "deployment", "llama", f"--replicas={count}")
    kube.wait("the status says so", 20, lambda: (kube.get("vis", "llama") or {})["status"]["wantedReplicas"] == count)


def test_kedas_api_is_asked_for_where_it_is_missing_and_used_when_it_comes_and_goes(
    kube: Kube, operator: OperatorProcess
) -> None:
    """The first test here: those below need the API."""

    def repaired() -> bool:
        if operator.process and operator.process.poll() == 0:  # kopf has overlooked the API
            operator.restart()
        return bool(scaled_object(kube)["spec"]["maxReplicaCount"] == 6)

    ready(kube, **KEDA)
    assert reason(kube, "ScalingActive") == "KedaApiMissing"
    for _ in range(2):
        install_api(kube)
        kube.wait("it is used", 60, lambda: kube.get(SCALED_OBJECTS, "llama"))
        kube.merge(SCALED_OBJECTS, "llama", {"spec": {"maxReplicaCount": 50}})
        kube.wait("an edit is repaired", 240, repaired)
        kube.wait("its operator is missed", 30, lambda: reason(kube, "ScalingActive") == "AutoscalerStarting")
        scale(kube, 3)
        remove_api(kube)
        kube.wait("a condition says so", 60, lambda: reason(kube, "ScalingActive") == "KedaApiMissing")
        assert replicas(kube) == 3
        kube.ready("llama", 30)


@pytest.mark.usefixtures("keda")
def test_the_number_of_pods_is_kept_from_owner_to_owner(kube: Kube) -> None:
    ready(kube, replicas=3)
    steps: list[tuple[Object, set[str]]] = [
        (HPA, {"HorizontalPodAutoscaler"}),
        (KEDA, {"ScaledObject"}),
        (HPA, {"HorizontalPodAutoscaler"}),
        ({"replicas": 3}, set()),
        (KEDA, {"ScaledObject"}),
        ({"replicas": 3}, set()),
    ]
    with recorded_replicas(kube) as seen:
        for spec, expected in steps:
            replace(kube, **spec)
            await_autoscalers(kube, expected)
            kube.ready("llama", 30)
            assert ("vllm-operator" in owners(kube)) == (not expected)
    assert set(seen) == {3}


def test_the_number_of_pods_is_kept_when_the_spec_changes_faster_than_the_watch_shows(kube: Kube) -> None:
    ready(kube, replicas=3)
    with recorded_replicas(kube) as seen:
        for spec in (HPA, {"replicas": 3}) * 5:
            replace(kube, **spec)
        replace(kube, **HPA)
        kube.wait("the operator has let go", 20, lambda: "vllm-operator" not in owners(kube))
        kube.ready("llama", 30)
    assert set(seen) == {3}


def test_what_the_autoscaler_sets_outlives_changes_of_the_spec_and_of_the_operator(
    kube: Kube, operator: OperatorProcess
) -> None:
    ready(kube, replicas=3)
    replace(kube, **HPA)
    kube.wait("the autoscaler is there", 20, lambda: "HorizontalPodAutoscaler" in children(kube))
    scale(kube, 5)
    with recorded_replicas(kube) as seen:
        replace(kube, **HPA, maxModelLen=1024)
        kube.ready("llama", 30)
        operator.restart()
        replace(kube, **HPA, maxModelLen=2048)
        kube.ready("llama", 30)
        replace(kube, replicas=2)
        kube.wait("two are wanted", 20, lambda: replicas(kube) == 2)
    assert set(seen) == {5, 2}


def test_a_new_deployment_starts_with_the_fewest_pods_and_one_made_again_with_the_last_count(kube: Kube) -> None:
    ready(kube, autoscaling={"minReplicas": 2, "maxReplicas": 6})
    assert replicas(kube) == 2
    assert "vllm-operator" not in owners(kube)
    scale(kube, 4)
    with recorded_replicas(kube) as seen:
        kube.run("delete", "deployment", "llama")
        kube.wait("it is made again", 20, lambda: replicas(kube) == 4)
        kube.ready("llama", 30)
    assert set(seen) == {4}
    assert "vllm-operator" not in owners(kube)


@pytest.mark.usefixtures("keda")
def test_a_deployment_without_pods_gets_some_when_an_hpa_takes_over(kube: Kube) -> None:
    """At 0 a HorizontalPodAutoscaler does nothing."""
    ready(kube, replicas=0)
    replace(kube, **HPA)
    kube.wait("one is wanted", 20, lambda: replicas(kube) == 1)
    replace(kube, **TO_ZERO)
    await_autoscalers(kube, {"ScaledObject"})
    scale(kube, 0)
    replace(kube, autoscaling={**HPA["autoscaling"], "minReplicas": 2})
    kube.wait("two are wanted", 20, lambda: replicas(kube) == 2)
    scale(kube, 3)
    kube.run("scale", "deployment", "llama", "--replicas=0")
    kube.wait("two are wanted again", 20, lambda: replicas(kube) == 2)
    kube.ready("llama", 30)
    assert "vllm-operator" not in owners(kube)


@pytest.mark.usefixtures("keda")
@pytest.mark.parametrize(("spec", "least"), [(HPA, 1), (KEDA, 1), (TO_ZERO, 0)], ids=["hpa", "keda", "zero"])
def test_a_suspended_service_starts_with_the_fewest_pods(kube: Kube, spec: Object, least: int) -> None:
    ready(kube, **spec)
    kind = "HorizontalPodAutoscaler" if spec is HPA else "ScaledObject"
    await_autoscalers(kube, {kind})
    scale(kube, 4)
    replace(kube, **spec, suspend=True)
    await_autoscalers(kube, set())
    kube.wait("it says so", 20, lambda: (reason(kube), replicas(kube)) == ("Suspended", 0))
    assert "ScalingActive" not in conditions(kube.get("vis", "llama") or {})
    with recorded_replicas(kube) as seen:
        replace(kube, **spec)
        await_autoscalers(kube, {kind})
        kube.ready("llama", 30)
    assert set(seen) == {0, least}
    assert "vllm-operator" not in owners(kube)


def test_without_a_metrics_api_a_condition_says_so_and_ready_does_not_mind(kube: Kube) -> None:
    ready(kube, **HPA)
    kube.wait("it says so", 60, lambda: reason(kube, "ScalingActive") == "MetricsApiMissing")
    found = conditions(kube.ready("llama", 30))
    assert found["ScalingActive"]["status"] == "False"
    assert "install prometheus-adapter" in found["ScalingActive"]["message"]
    assert found["Ready"]["status"] == "True"


@pytest.mark.usefixtures("keda")
def test_at_zero_the_service_is_ready(kube: Kube) -> None:
    ready(kube, **TO_ZERO)
    scale(kube, 0)
    found = conditions(kube.ready("llama", 30))
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("True", "ScaledToZero")
    replace(kube, **TO_ZERO, maxModelLen=1024)
    kube.ready("llama", 30)
    assert replicas(kube) == 0
    # What KEDA's operator says of it, which is not here.
    said = [{"type": "Ready", "status": "True", "reason": "ScaledObjectReady", "message": "is ready"}]
    patch = json.dumps({"status": {"conditions": said}})
    kube.run("patch", SCALED_OBJECTS, "llama", "--subresource=status", "--type=merge", "-p", patch)
    kube.wait("it says so", 20, lambda: reason(kube, "ScalingActive") == "ScaledToZero")


def test_the_autoscaler_adds_pods_up_to_its_maximum_and_conditions_say_what_it_lacks(
    kube: Kube, operator: OperatorProcess
) -> None:
    """The HorizontalPodAutoscaler's own controller, with metrics that are made up."""
    values: dict[str, str] = {}
    scaling = {"maxReplicas": 3, "targets": {"kvCacheUtilizationPercent": 0}}
    with serving_metrics(operator.control_plane, values):
        ready(kube, autoscaling=scaling)
        kube.wait("the metric is missed", 90, lambda: reason(kube, "ScalingActive") == "NoMetricYet")
        values["vllm:num_requests_waiting"] = "4"
        kube.wait("the load is followed", 60, lambda: reason(kube, "ScalingActive") == "Scaling")
        with recorded_replicas(kube) as seen:
            values["vllm:num_requests_waiting"] = "20"
            kube.wait("the most are asked for", 60, lambda: reason(kube, "ScalingActive") == "AtMaximum")
            kube.ready("llama", 30)
        assert set(seen) == {1, 3}
        values["vllm:num_requests_waiting"] = "4"
        kube.wait("the load is followed", 60, lambda: reason(kube, "ScalingActive") == "Scaling")


def test_a_target_that_is_never_passed_is_named(kube: Kube) -> None:
    ready(kube, autoscaling={"maxReplicas": 3, "targets": {"runningRequests": 64}}, maxNumSeqs=64)
    kube.wait("it says so", 20, lambda: reason(kube, "ScalingActive") == "TargetUnreachable")


def test_a_used_up_quota_is_named(kube: Kube) -> None:
    hard = {"requests.nvidia.com/gpu": "4"}
    kube.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "gpus"}, "spec": {"hard": hard}})
    kube.apply(service(**HPA, accelerator={"resource": "nvidia.com/gpu"}, tensorParallelSize=4))
    kube.ready("llama", 60)
    scale(kube, 3)
    kube.wait("it says so", 30, lambda: reason(kube, "ScalingActive") == "QuotaExceeded")
    found = conditions(kube.get("vis", "llama") or {})
    assert found["ScalingActive"]["message"].startswith("2 of 3 wanted pods are missing: ResourceQuota gpus")


def test_missing_gpus_are_counted(kube: Kube) -> None:
    kube.apply(service(**HPA, accelerator={"resource": "nvidia.com/gpu"}, tensorParallelSize=8))
    kube.ready("llama", 60)
    scale(kube, 4)

    def told() -> bool:  # 3 of 4 while the second pod is being bound
        found = conditions(kube.get("vis", "llama") or {}).get("ScalingActive", {})
        return found.get("reason") == "InsufficientGpus" and "2 of 4 wanted pods are missing: " in found["message"]

    kube.wait("it says so", 30, told)


def test_the_time_that_pods_take_to_start_sets_the_pace(kube: Kube) -> None:
    ready(kube, **HPA)
    kube.wait("it is known", 20, lambda: (kube.get("vis", "llama") or {})["status"].get("startupSeconds") == 15)

    def pace() -> int:
        behavior = children(kube)["HorizontalPodAutoscaler"]["spec"]["behavior"]
        return int(behavior["scaleUp"]["policies"][0]["periodSeconds"])

    kube.wait("the autoscaler has it", 20, lambda: pace() == 15)


@contextmanager
def no_room(kube: Kube) -> Iterator[None]:
    """No node takes new pods."""
    nodes = [node["metadata"]["name"] for node in kube.list("nodes")]
    kube.run("cordon", *nodes)
    try:
        yield
    finally:
        kube.run("uncordon", *nodes)


def evict(kube: Kube, operator: OperatorProcess, name: str) -> int:
    """What the API that a drain uses answers: 201, or 429 where a budget says no. kubectl would ask again by itself."""
    path = f"/api/v1/namespaces/{kube.namespace}/pods/{name}/eviction"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    return operator.control_plane.api().request("POST", path, eviction)[0]


def test_a_drain_takes_one_pod_of_four_and_the_only_one(kube: Kube, operator: OperatorProcess) -> None:
    ready(kube, **HPA)
    scale(kube, 4)
    found = kube.ready("llama", 60)
    assert found["status"]["readyReplicas"] == 4

    def allowed(count: int) -> bool:
        status = children(kube)["PodDisruptionBudget"].get("status", {})
        return (status.get("expectedPods"), status.get("disruptionsAllowed")) == (count, 1)

    kube.wait("its budget has seen all four", 30, lambda: allowed(4))
    names = [pod["metadata"]["name"] for pod in kube.list("pods")]
    with no_room(kube):  # or the pod that is evicted would be replaced at once: fake nodes start pods in no time
        assert [evict(kube, operator, name) for name in names] == [201, 429, 429, 429]
    kube.wait("the pod is replaced, and the next may go", 60, lambda: allowed(4))
    scale(kube, 1)
    kube.wait("its budget has seen that one is left", 60, lambda: allowed(1) and len(kube.list("pods")) == 1)
    assert evict(kube, operator, kube.list("pods")[0]["metadata"]["name"]) == 201
