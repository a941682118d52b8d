"""How long pods that are deleted take requests, and how long those in flight get: the hook, and Kubernetes' limit."""

from typing import Any

import pytest

from support.snapshots import service
from vllm_operator.manifests import pod_template
from vllm_operator.manifests.group import leader_worker_set
from vllm_operator.settings import Settings
from vllm_operator.vllm.hangs import LIVENESS_SECONDS
from vllm_operator.vllm.paths import MIDDLEWARE_PATH

ON_RAY = {"runtime": "RayServe", "image": "vllm-ray"}


@pytest.mark.parametrize(
    ("spec", "seconds", "hook"),
    [
        ({}, 160, ["120"]),
        ({"rollout": {"drainTimeoutSeconds": 300}}, 340, ["300"]),
        ({"rollout": {"drainDelaySeconds": 10}}, 160, ["120"]),
        ({"rollout": {"drainDelaySeconds": 40}}, 190, ["120", "40"]),
        ({"rollout": {"drainDelaySeconds": 0, "drainTimeoutSeconds": 60}}, 90, ["60", "0"]),
        ({"rollout": {"drainDelaySeconds": 40}, **ON_RAY}, 160, ["120"]),  # no server of vLLM's, and so no hook
    ],
)
def test_a_pod_has_the_time_that_its_hook_takes(spec: dict[str, Any], seconds: int, hook: list[str]) -> None:
    pod = pod_template(service(**spec), Settings())["spec"]
    (container,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] == seconds
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["python3", "-I", MIDDLEWARE_PATH, "8000", *hook]


def test_the_leader_of_a_group_waits_as_long() -> None:
    owner = service(nodesPerReplica=2, rollout={"drainDelaySeconds": 40})
    pods = leader_worker_set(owner, pod_template(owner, Settings()))["spec"]["leaderWorkerTemplate"]
    leader, worker = (pods[name]["spec"] for name in ("leaderTemplate", "workerTemplate"))
    assert (leader["terminationGracePeriodSeconds"], worker["terminationGracePeriodSeconds"]) == (190, 30)
    assert leader["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-2:] == ["120", "40"]


def test_a_pod_that_is_deleted_waits_for_an_engine_that_hangs_as_long_as_its_liveness_probe_would() -> None:
    (container,) = pod_template(service(), Settings())["spec"]["containers"]
    probe = container["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == LIVENESS_SECONDS
