"""What Ray Serve says of an application that failed, in plain words."""

from support.snapshots import deployment, loading, pod
from vllm_operator.api.reasons import Reason
from vllm_operator.diagnosis import workload
from vllm_operator.snapshots.workload import APPLICATION, ConditionSnapshot, DeploymentSnapshot

UNKNOWN = """The deployment failed to start 3 times in a row. Error:
ray.exceptions.RayTaskError(ValueError): ray::ServeReplica:llm:LLMServer.initialize_and_get_metadata()
ValueError: Unknown engine argument: no_such"""
MEMORY = """The deployment failed to start 3 times in a row. Error:
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.25 GiB of \
which 1.18 GiB is free."""


def failed(message: str) -> DeploymentSnapshot:
    return deployment(1, (ConditionSnapshot(APPLICATION, "False", "DEPLOY_FAILED", message),))


def test_its_own_words_are_told_where_the_cause_is_not_known() -> None:
    found = workload(failed(UNKNOWN), [loading()])
    assert found is not None
    assert found[0] == Reason.RAY_APPLICATION_FAILED
    assert "Unknown engine argument: no_such" in found[1]


def test_what_vllm_is_known_to_say_has_its_reason() -> None:
    found = workload(failed(MEMORY), [loading()])
    assert found is not None
    assert found[0] == Reason.OUT_OF_GPU_MEMORY
    assert found[1].startswith("Ray Serve cannot start the model: ")


def test_a_pod_in_trouble_comes_first() -> None:
    waiting = loading("w", scheduled=False, started=False, reason="Unschedulable", message="0/1 nodes are available")
    found = workload(failed(UNKNOWN), [waiting])
    assert found is not None
    assert found[0] != Reason.RAY_APPLICATION_FAILED


def test_without_a_failure_nothing_is_told() -> None:
    assert workload(deployment(1), [pod()]) is None
