"""Which of several troubles is told, what is said of pods that only need time, and how long a message may be."""

import pytest

from support.pod_status import CREATING, NOT_SET_UP, failed, found, pod, unscheduled
from vllm_operator.api.reasons import Reason
from vllm_operator.api.status import Condition
from vllm_operator.diagnosis import progress, workload

EVICTED = "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 900Mi. "
GATED = "Cannot access gated repo for url https://huggingface.co/meta-llama/Llama-3.1-8B/resolve/main/config.json."


def test_a_pod_that_its_node_gave_up_counts_only_until_another_takes_its_place() -> None:
    gone = pod({}, phase="Failed", reason="Evicted", message=EVICTED)
    loading = pod({"state": {"running": {}}})
    reason, message = found(gone)
    assert reason == Reason.EVICTED
    assert "node gpu-1 gave pod llama-0 up (Evicted, The node was low on resource: ephemeral-storage" in message
    assert "set cache.claim" in message
    assert workload(None, [gone, loading]) is None
    assert progress([gone, loading]).startswith("pod llama-0 loads the model; before that, node gpu-1 gave pod")


def test_a_node_without_healthy_gpus_is_named() -> None:
    said = (
        "Allocate failed due to requested number of devices unavailable for nvidia.com/gpu. Requested: 4, Available: 3"
    )
    reason, message = found(pod({}, phase="Failed", reason="UnexpectedAdmissionError", message=said))
    assert reason == Reason.GPU_UNAVAILABLE
    assert "node gpu-1 could not give pod llama-0 its GPUs" in message


@pytest.mark.parametrize(
    "said",
    [
        "not enough cpus available to satisfy request: requested=8, available=4",
        "[memorymanager] failed to get memory affinity",
        "requested number of devices unavailable for rdma/hca. Requested: 1, Available: 0",
    ],
)
def test_a_node_that_gives_no_cpus_has_not_lost_its_gpus(said: str) -> None:
    said = f"Pod was rejected: Allocate failed due to {said}, which is unexpected"
    reason, message = found(pod({}, phase="Failed", reason="UnexpectedAdmissionError", message=said))
    assert (reason, said in message, "Xid" in message) == (Reason.EVICTED, True, False)


@pytest.mark.parametrize("resource", ["memory", "cpu", "ephemeral-storage", "nvidia.com/gpu"])
def test_a_node_that_has_too_little_left_is_not_told_to_get_what_it_has(resource: str) -> None:
    said = f"Pod was rejected: Node didn't have enough resource: {resource}, requested: 8, used: 4, capacity: 9"
    reason, message = found(pod({}, phase="Failed", reason=f"OutOf{resource}", message=said))
    assert reason == Reason.EVICTED
    assert "lower what resources asks for, or free the node" in message
    assert ": set " not in message


def test_what_the_service_cannot_go_on_without_is_told_before_what_passes() -> None:
    unplaced = unscheduled("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    assert found(unplaced, failed(GATED))[0] == Reason.MODEL_GATED
    assert Reason.INSUFFICIENT_GPUS.passes


def test_a_pod_that_only_needs_time_says_what_it_does() -> None:
    unmounted = pod(CREATING, conditions=NOT_SET_UP)
    assert workload(None, [unmounted]) is None
    assert progress([unmounted]) == (
        "pod llama-0 waits for its volumes (ConfigMap chat, PersistentVolumeClaim weights) and network on node gpu-1"
    )
    assert progress([pod(CREATING)]) == "pod llama-0 is being started"
    assert progress([pod({"state": {"running": {}}})]) == "pod llama-0 loads the model"
    assert progress([]) == "waiting for the pods to be created"


def test_no_message_is_longer_than_a_condition_may_be() -> None:
    limit = next(item.max_length for item in Condition.model_fields["message"].metadata if hasattr(item, "max_length"))
    for text in (f"ValueError: {'x ' * 3000}", f"No adapter found for {'y' * 3000}"):
        assert len(found(failed(text, restarts=1000))[1]) < 1000 < limit
    assert (
        len(
            found(unscheduled(f"0/9 nodes are available: {', '.join(f'1 node(s) are odd {n}' for n in range(999))}"))[1]
        )
        < 1000
    )
