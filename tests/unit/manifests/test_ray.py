"""The RayService: workers and head, who reaches them, and how many there are."""

from typing import Any

import pytest
import yaml

from support.snapshots import service
from vllm_operator.api.resource import InferenceService
from vllm_operator.manifests import Manifest, Parts, Peers, desired, pod_template
from vllm_operator.settings import Settings

ON_RAY: dict[str, Any] = {"runtime": "RayServe", "image": "vllm-ray:1"}
PEERS = Peers("operators", ("kuberay-system",))
OF_SERVER = {"command", "args", "lifecycle", "startupProbe"}


def children(owner: InferenceService) -> dict[str, Manifest]:
    """The children by kind."""
    parts = Parts(owner, pod_template(owner, Settings()), peers=PEERS)
    made = desired(parts, ("RayService", "ServiceMonitor", "ScaledObject"))
    return {child["kind"]: child for child in made}


def cluster(owner: InferenceService) -> Manifest:
    return dict(children(owner)["RayService"]["spec"]["rayClusterConfig"])


def pods(owner: InferenceService) -> tuple[Manifest, Manifest]:
    """Head and worker."""
    made = cluster(owner)
    return made["headGroupSpec"]["template"], made["workerGroupSpecs"][0]["template"]


def application(owner: InferenceService) -> Manifest:
    config = yaml.safe_load(children(owner)["RayService"]["spec"]["serveConfigV2"])
    (one,) = config["applications"]
    return dict(one)


def app(owner: InferenceService) -> Manifest:
    """What the application is told of its model."""
    return dict(application(owner)["args"]["llm_configs"][0])


def name(owner: InferenceService) -> str:
    return str(children(owner)["RayService"]["metadata"]["name"])


def test_it_takes_the_place_of_the_deployment_and_of_autoscalers() -> None:
    made = children(service(**ON_RAY, autoscaling={"maxReplicas": 2, "targets": {"runningRequests": 9}}))
    assert {"Deployment", "HorizontalPodAutoscaler", "LeaderWorkerSet"}.isdisjoint(made)
    assert "RayService" in made


@pytest.mark.parametrize("changed", [{"maxModelLen": 64}, {"extraArgs": ["--seed=7"]}, {"maxQueuedRequests": 9}])
def test_what_serve_is_told_changes_in_place(changed: dict[str, Any]) -> None:
    before, after = service(**ON_RAY), service(**ON_RAY, **changed)
    assert name(before) == name(after)
    assert children(before)["RayService"]["spec"] != children(after)["RayService"]["spec"]
    assert [pod["metadata"]["labels"] for pod in pods(before)] == [pod["metadata"]["labels"] for pod in pods(after)]


@pytest.mark.parametrize(
    "changed",
    [
        {"image": "vllm-ray:2"},
        {"tensorParallelSize": 2},
        {"replicas": 3},
        {"env": [{"name": "VLLM_LOGGING_LEVEL", "value": "WARNING"}]},
        {"rollout": {"restartedAt": "2026-11-24T12:00:00Z"}},
        {"autoscaling": {"maxReplicas": 2, "targets": {"runningRequests": 9}}},
    ],
)
def test_other_pods_are_another_rayservice(changed: dict[str, Any]) -> None:
    assert name(service(**ON_RAY)) != name(service(**{**ON_RAY, **changed}))


def test_the_revision_of_its_pods_is_its_name_and_its_own_that_of_the_spec() -> None:
    owner = service(**ON_RAY)
    label = "vllm-operator.dev/revision"
    assert {pod["metadata"]["labels"][label] for pod in pods(owner)} == {name(owner)}
    assert children(owner)["RayService"]["metadata"]["labels"][label] == owner.revision


def test_it_is_gone_where_there_are_to_be_no_pods() -> None:
    assert "RayService" not in children(service(**ON_RAY, suspend=True))
    assert "RayService" not in children(service(**ON_RAY, replicas=0))


def test_kuberay_never_replaces_a_cluster_by_itself() -> None:
    assert children(service(**ON_RAY))["RayService"]["spec"]["upgradeStrategy"] == {"type": "None"}


def test_a_worker_is_the_kept_pod_with_ray_in_place_of_the_server() -> None:
    owner = service(**ON_RAY, tensorParallelSize=2, startupTimeoutSeconds=600)
    kept = pod_template(owner, Settings())["spec"]["containers"][0]
    _, worker = pods(owner)
    (container,) = worker["spec"]["containers"]
    assert OF_SERVER.isdisjoint(container)
    assert container["resources"] == kept["resources"]
    assert container["securityContext"] == kept["securityContext"]
    assert {"name": "RAYLLM_ENGINE_START_TIMEOUT_S", "value": "600"} in container["env"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/-/healthz", "port": "http"}
    assert "middleware" not in [volume["name"] for volume in worker["spec"]["volumes"]]
    assert not [key for key in worker["metadata"]["annotations"] if key.endswith("/middleware")]


def test_exactly_one_replica_has_room_on_a_worker() -> None:
    (group,) = cluster(service(**ON_RAY, tensorParallelSize=2, replicas=3))["workerGroupSpecs"]
    assert group["rayStartParams"] == {"num-cpus": "3", "num-gpus": "2"}
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (3, 3, 3)
    (on_cpu,) = cluster(service(**ON_RAY, accelerator={"resource": "cpu"}))["workerGroupSpecs"]
    assert on_cpu["rayStartParams"] == {"num-cpus": "2", "num-gpus": "0"}


def test_the_head_has_no_gpu_no_model_and_no_token() -> None:
    owner = service(**{**ON_RAY, "model": {"uri": "pvc://models/llama"}}, cache={"existingClaim": "cache"})
    head, _ = pods(owner)
    (container,) = head["spec"]["containers"]
    assert "nvidia.com/gpu" not in str(container["resources"])
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"} in container["env"]
    volumes = {volume["name"]: volume for volume in head["spec"]["volumes"]}
    assert set(volumes) == {"home", "tmp", "shm", "cache"}
    assert "emptyDir" in volumes["cache"]
    assert head["spec"]["automountServiceAccountToken"] is False
    assert cluster(owner)["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_rays_own_autoscaler_gets_a_token_and_bounds() -> None:
    scaling = {
        "minReplicas": 1,
        "maxReplicas": 4,
        "targets": {"runningRequests": 50},
        "scaleUp": {"stabilizationSeconds": 5},
        "scaleDown": {"stabilizationSeconds": 60},
    }
    owner = service(**ON_RAY, autoscaling=scaling)
    made = cluster(owner)
    (group,) = made["workerGroupSpecs"]
    assert made["enableInTreeAutoscaling"] is True
    beside, (head,) = made["autoscalerOptions"], made["headGroupSpec"]["template"]["spec"]["containers"]
    assert beside["securityContext"] == head["securityContext"]
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"} in beside["env"]
    assert [mount["mountPath"] for mount in beside["volumeMounts"]] == ["/home/vllm", "/tmp"]
    assert made["headGroupSpec"]["template"]["spec"]["automountServiceAccountToken"] is True
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (1, 1, 4)
    (deployment,) = application(owner)["deployments"]
    assert deployment["name"] == "LLMServer:llama"
    assert deployment["autoscaling_config"] == {
        "min_replicas": 1,
        "max_replicas": 4,
        "target_ongoing_requests": 50,
        "upscale_delay_s": 5,
        "downscale_delay_s": 60,
    }


def test_what_serve_does_in_another_way_is_told_to_it() -> None:
    owner = service(**ON_RAY, replicas=2, maxQueuedRequests=500, rollout={"drainTimeoutSeconds": 300})
    told = {"max_queued_requests": 500, "graceful_shutdown_timeout_s": 300}
    assert app(owner)["deployment_config"] == told


def test_a_limit_on_requests_limits_those_that_a_replica_takes() -> None:
    """Beside `args`, so that replicas which run are not started anew for it."""
    scaling = {"autoscaling": {"maxReplicas": 2, "targets": {"runningRequests": 9}}}
    for spec in (ON_RAY, {**ON_RAY, **scaling}):
        (free,), (limited,) = (
            application(owner)["deployments"] for owner in (service(**spec), service(**spec, maxQueuedRequests=500))
        )
        assert limited == {**free, "max_ongoing_requests": 500}
    assert "max_ongoing_requests" not in app(service(**ON_RAY, maxQueuedRequests=500))["deployment_config"]


def test_the_number_of_replicas_stands_beside_what_starts_them_anew() -> None:
    """Serve starts all replicas anew where the application has other arguments."""
    named = {**ON_RAY, "model": {"uri": "hf://org/model", "servedModelNames": ["org/model-1.5"]}}
    one, two = application(service(**named)), application(service(**named, replicas=2))
    assert one["args"] == two["args"]
    assert one["deployments"] == [{"name": "LLMServer:org--model-1_5", "num_replicas": 1}]


def test_a_dollar_arrives_as_it_is() -> None:
    owner = service(**ON_RAY, extraArgs=["--response-role=$(HF_TOKEN)"])
    assert app(owner)["engine_kwargs"]["response_role"] == "$(HF_TOKEN)"


def test_rays_ports_are_for_its_own_pods_and_kuberay() -> None:
    api, of_kuberay, own = children(service(**ON_RAY))["NetworkPolicy"]["spec"]["ingress"]
    assert [port["port"] for port in api["ports"]] == [8000, 8080]
    assert [port["port"] for port in of_kuberay["ports"]] == [8265, 8000]
    assert of_kuberay["from"] == [
        {
            "namespaceSelector": {
                "matchExpressions": [
                    {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["kuberay-system"]}
                ]
            },
            "podSelector": {"matchLabels": {"app.kubernetes.io/component": "kuberay-operator"}},
        }
    ]
    assert own["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "llama"
    assert "ports" not in own


def test_requests_reach_workers_and_metrics_have_vllms_names() -> None:
    made = children(service(**ON_RAY))
    front = made["Service"]["spec"]
    assert front["selector"]["ray.io/node-type"] == "worker"
    assert [(port["name"], port["port"]) for port in front["ports"]] == [("http", 8000), ("metrics", 8080)]
    (endpoint,) = made["ServiceMonitor"]["spec"]["endpoints"]
    assert endpoint["port"] == "metrics"
    assert endpoint["metricRelabelings"][0]["replacement"] == "vllm:$1"


@pytest.mark.parametrize("runtime", [None, "Deployment"])
def test_without_ray_nothing_of_it_is_there(runtime: str | None) -> None:
    made = children(service(runtime=runtime))
    assert "RayService" not in made
    assert "NetworkPolicy" not in made
    assert [port["name"] for port in made["Service"]["spec"]["ports"]] == ["http"]
