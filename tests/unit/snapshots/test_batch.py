"""What is kept of a batch's pods, and of those of Jobs: of our own container, whatever stands beside it."""

from typing import Any

import pytest

from support.kube import Object
from vllm_operator.manifests.batch import INSPECT
from vllm_operator.manifests.names import DOWNLOAD_LABEL, INSPECTION_LABEL, STEP_LABEL
from vllm_operator.snapshots import download_pod, inspection_pod
from vllm_operator.snapshots.batch import batch_pod
from vllm_operator.vllm.batch import CHECK, MERGE, RUN

SIDECAR = {"name": "consul-dataplane", "ready": True, "restartCount": 0}
RUNS: Object = {"running": {"startedAt": "2026-11-24T12:00:00Z"}}
LABELS = {INSPECTION_LABEL: "a", DOWNLOAD_LABEL: "b"}


def ended(message: str, code: int = 0) -> Object:
    return {"terminated": {"exitCode": code, "message": message}}


def pod(name: str, own: Object, beside: Object, step: str = "") -> dict[str, Any]:
    """A pod with a sidecar that somebody has injected; the kubelet sorts statuses by name."""
    statuses: list[dict[str, Any]] = [{**SIDECAR, "name": name, "state": own}, {**SIDECAR, "state": beside}]
    return {
        "metadata": {"name": "p", "namespace": "team-a", "uid": "u", "labels": {**LABELS, STEP_LABEL: step}},
        "spec": {"containers": [{"name": name, "image": "i"}, {"name": "consul-dataplane", "image": "j"}]},
        "status": {"phase": "Running", "containerStatuses": sorted(statuses, key=lambda one: str(one["name"]))},
    }


@pytest.mark.parametrize("beside", [RUNS, ended("the proxy drained", 137)], ids=["runs", "ended"])
@pytest.mark.parametrize(("step", "name"), [(CHECK, "vllm"), (RUN, "vllm"), (MERGE, "vllm"), (INSPECT, "inspect")])
def test_how_a_step_ended_its_own_container_says(step: str, name: str, beside: Object) -> None:
    found = batch_pod(pod(name, ended("said", 3), beside, step))
    assert (found.ended, found.exit_code, found.message) == (True, 3, "said")
    assert not batch_pod(pod(name, RUNS, beside, step)).ended


@pytest.mark.parametrize("beside", [RUNS, ended("the proxy drained", 137)], ids=["runs", "ended"])
def test_what_an_inspection_left_its_own_container_says(beside: Object) -> None:
    found = inspection_pod.snapshot(pod("inspect", RUNS, beside), INSPECTION_LABEL)
    assert found
    assert not found.ended
    found = inspection_pod.snapshot(pod("inspect", ended("said"), beside), INSPECTION_LABEL)
    assert found
    assert (found.ended, found.message) == (True, "said")


@pytest.mark.parametrize("beside", [RUNS, ended("the proxy drained", 137)], ids=["runs", "ended"])
def test_how_far_a_download_is_its_own_container_says(beside: Object) -> None:
    for own, state in ((RUNS, "runs"), (ended("no space left", 1), "failed")):
        found = download_pod.snapshot(pod("download", own, beside), DOWNLOAD_LABEL)
        assert found
        assert found.state == state


def test_one_whose_container_has_no_status_yet_has_not_ended() -> None:
    none = pod("vllm", RUNS, RUNS, RUN)
    for statuses in (None, [], [{**SIDECAR, "state": ended("", 1)}]):
        none["status"]["containerStatuses"] = statuses
        assert not batch_pod(none).ended
