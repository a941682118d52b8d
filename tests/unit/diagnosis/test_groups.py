"""Which rank of a group is told: what brought the group down, and not what the others heard of it."""

from dataclasses import replace
from typing import Any

import pytest

from support.pod_status import SERVED, STARTED, failed, found, pod, unscheduled, waiting
from vllm_operator.api.reasons import Reason
from vllm_operator.diagnosis import container
from vllm_operator.snapshots.pod import PodSnapshot

GLOO = "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:538] Read error [10.0.0.3]:43112: reset by peer\n"
NCCL = "RuntimeError: NCCL error: remote process exited or there was a network error\n"
BROKEN = "torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered\n"
LATER = "2026-11-24T12:03:05Z"
RUNS = {"ready": True, "state": {"running": {"startedAt": STARTED}}}


def rank(number: int, shown: PodSnapshot, **fields: Any) -> PodSnapshot:
    """The pod as a rank of group 0, on a node of its own."""
    name = f"llama-g-0-{number}" if number else "llama-g-0"
    return replace(shown, name=name, node=f"gpu-{number}", group="0", rank=number, **fields)


LOST = pod(RUNS, ready_changed=SERVED)


@pytest.mark.parametrize("heard", [GLOO, NCCL, "ValueError: nobody knows this\n", ""])
@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (failed(BROKEN), Reason.GPU_ERROR),
        (failed(BROKEN, ended="2026-11-24T12:03:09Z"), Reason.GPU_ERROR),
        (unscheduled("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."), Reason.INSUFFICIENT_GPUS),
        (waiting("ErrImagePull", "x: not found"), Reason.IMAGE_PULL_FAILED),
        (LOST, Reason.NODE_LOST),
    ],
)
def test_what_a_rank_heard_of_another_is_not_the_cause(heard: str, cause: PodSnapshot, reason: Reason) -> None:
    leader, worker = rank(0, failed(heard, ended=LATER)), rank(1, cause)
    for pods in ((leader, worker), (worker, leader)):
        got, message = found(*pods)
        assert (got, "llama-g-0-1" in message) == (reason, True), message


def test_a_lost_node_is_told_before_all_that_the_other_ranks_say() -> None:
    reason, message = found(rank(0, failed(BROKEN)), rank(1, LOST))
    assert (reason, "nothing is heard of node gpu-1" in message) == (Reason.NODE_LOST, True)


def test_of_ranks_that_ended_the_first_is_told() -> None:
    leader, worker = rank(0, failed(BROKEN, ended=LATER)), rank(1, failed(BROKEN))
    assert "node gpu-1" in found(leader, worker)[1]
    assert "node gpu-0" in found(replace(leader, ending=worker.ending), replace(worker, ending=leader.ending))[1]


GATED = "Cannot access gated repo for url https://huggingface.co/x.\n"
UNPLACED = unscheduled("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")


@pytest.mark.parametrize(
    ("lasts", "reason"),
    [
        (waiting("CreateContainerConfigError", 'secret "hub" not found'), Reason.SECRET_MISSING),
        (waiting("ErrImagePull", "x: not found"), Reason.IMAGE_PULL_FAILED),
        (failed(GATED), Reason.MODEL_GATED),
    ],
)
@pytest.mark.parametrize("passes", [UNPLACED, waiting("ErrImagePull", "toomanyrequests"), failed(BROKEN)])
def test_what_passes_of_one_rank_hides_nothing_that_lasts_of_another(
    passes: PodSnapshot, lasts: PodSnapshot, reason: Reason
) -> None:
    for ranks in ((passes, lasts), (lasts, passes)):
        shown = [rank(number, one) for number, one in enumerate(ranks)]
        assert found(*shown)[0] == found(*reversed(shown))[0] == reason


@pytest.mark.parametrize(("cause", "reason"), [(failed(BROKEN), Reason.GPU_ERROR), (LOST, Reason.NODE_LOST)])
def test_a_cause_is_found_among_many_ranks_that_only_heard_of_it(cause: PodSnapshot, reason: Reason) -> None:
    groups = [[rank(0, failed(NCCL, ended=LATER)), rank(1, cause)] for _ in range(20)]
    pods = [replace(pod, group=str(at), name=f"{pod.name}-{at}") for at, ranks in enumerate(groups) for pod in ranks]
    leaders_first = sorted(pods, key=lambda pod: pod.rank)
    assert found(*leaders_first)[0] == reason
    large = [rank(at, failed(NCCL, ended=LATER)) for at in range(20)]
    assert found(*large, rank(20, cause))[0] == reason


def test_what_many_pods_tell_alike_is_not_read_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    def ended(pod: PodSnapshot, _: object) -> tuple[Reason, str]:
        looked.append(pod.name)
        return Reason.GPU_ERROR, "a GPU failed"

    monkeypatch.setattr(container, "ended", ended)
    found(*(replace(failed(BROKEN), name=f"llama-{at}") for at in range(100)))
    assert len(looked) == 8
    looked.clear()
    found(*(replace(rank(at % 16, failed(BROKEN)), group=str(at // 16)) for at in range(64)))
    assert len(looked) == 16


def test_of_several_groups_the_one_that_cannot_go_on_is_told() -> None:
    other = replace(rank(0, failed(GATED)), name="llama-g-1", group="1")
    assert found(rank(0, failed(BROKEN)), other)[0] == Reason.MODEL_GATED
