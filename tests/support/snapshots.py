"""Services and snapshots for tests of decisions: each with what is usual, and what the test is about said by name."""

from dataclasses import replace
from typing import Any

from vllm_operator.api.resource import InferenceService
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.snapshots.pod import Ending, PodSnapshot
from vllm_operator.snapshots.workload import ConditionSnapshot, DeploymentSnapshot

_SERVES = PodSnapshot(
    name="p",
    revision="r",
    ip="10.244.0.7",
    ready=True,
    terminating=False,
    scheduled=True,
    restarts=0,
    started=True,
    image="vllm:1",
)


def spec(**fields: Any) -> InferenceServiceSpec:
    """A spec with a model and these fields, in the names of the API."""
    return InferenceServiceSpec.model_validate({"model": {"uri": "hf://org/model"}, **fields})


def service(**fields: Any) -> InferenceService:
    """The service team-a/llama of generation 3 with these fields of the spec."""
    return InferenceService("team-a", "llama", "uid", 3, spec(**fields))


def deployment(replicas: int, conditions: tuple[ConditionSnapshot, ...] = ()) -> DeploymentSnapshot:
    """A Deployment that has all the replicas that it wants."""
    return DeploymentSnapshot(1, observed_generation=1, replicas=replicas, wanted=replicas, conditions=conditions)


def pod(name: str = "p", **fields: Any) -> PodSnapshot:
    """A pod that serves, but for these fields of the snapshot."""
    return replace(_SERVES, name=name, **fields)


def loading(name: str = "p", **fields: Any) -> PodSnapshot:
    """A pod whose container runs and does not serve yet."""
    return pod(name, ready=False, **fields)


def unscheduled(name: str, message: str) -> PodSnapshot:
    """A pod that the scheduler found no node for, in the scheduler's words."""
    return loading(name, scheduled=False, started=False, reason="Unschedulable", message=message)


def failing(name: str, log: str) -> PodSnapshot:
    """A pod whose container ended after 12 s with this at the end of its log, and runs again."""
    return loading(name, restarts=2, ending=Ending("Error", 1, 12, served=False, log=log))
