"""Why the pods of a batch end is told as for those of a service: while others are tried, and in the end."""

import gc
import json
import random
import tracemalloc

import pytest

from support.batch_world import KEY, MERGED, BatchWorld
from support.kube import Object
from support.world import NAMESPACE
from vllm_operator.cluster import path
from vllm_operator.loop.write import PROGRESS_SECONDS
from vllm_operator.manifests.batch import CAUSE_ANNOTATION
from vllm_operator.readers import logs
from vllm_operator.snapshots.batch import batch_pod, told
from vllm_operator.vllm.batch.faults import BAD_INPUT, BAD_OUTPUT

DIED = "vllm-batch: RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}\n"
NO_CACHE = f"""\
(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510] ValueError: No available memory for the cache blocks. \
Try increasing `gpu_memory_utilization` when initializing the engine.
{DIED}"""
LOW = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi."
PREEMPTED = "default-scheduler: preempting to accommodate a higher priority pod"
STOPPED = "vllm-batch: stopped before the engine was loaded"


def container(log: str = NO_CACHE, code: int = 1, seconds: str = "12:03:00", reason: str = "Error") -> Object:
    """How one ended that was started at 12:01."""
    times = {"startedAt": "2026-11-24T12:01:00Z", "finishedAt": f"2026-11-24T{seconds}Z"}
    return {"state": {"terminated": {"exitCode": code, "reason": reason, "message": log, **times}}}


def ends(world: BatchWorld, ended: Object, index: int = 0, number: int = 0, **status: object) -> None:
    """A pod of an index fails, the Job's try of that number."""
    world.pod("run", ended, index)
    body = world.api.objects.pop(path("Pod", NAMESPACE, f"{KEY.name}-run-{index}-x"))
    name = f"{KEY.name}-run-{index}-{number}"
    body["metadata"] |= {"name": name, "uid": f"uid-{name}", "creationTimestamp": f"2026-11-24T12:0{number}:00Z"}
    conditions = [*body["status"]["conditions"], *status.pop("conditions", [])]  # type: ignore[misc]
    body["spec"]["nodeName"] = "gpu-1"
    body["status"] |= {"phase": "Failed", "conditions": conditions, **status}
    world.api.objects[path("Pod", NAMESPACE, name)] = body
    world.watch()


def settled(world: BatchWorld) -> tuple[str, str, str]:
    """What is told of the pods once all is read."""
    world.reconcile(2)
    world.clock.now += 2 * PROGRESS_SECONDS
    world.reconcile()
    return *world.condition("Running"), world.message("Running")


def disrupted(reason: str, message: str) -> Object:
    """Kubernetes has ended a pod, not its program."""
    return {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}


ENDS = [
    (container(), {}, "KvCacheTooSmall", "does not start: nothing is left for the KV cache"),
    (container("torch.OutOfMemoryError: CUDA out of memory."), {}, "OutOfGpuMemory", "GPU memory ran out"),
    (container("", 137, reason="OOMKilled"), {}, "OutOfMemory", "set resources.requests.memory"),
    (container(STOPPED, 143, "13:01:01"), {}, "StartupTimeout", "raise startupTimeoutSeconds"),
    (container("ValueError: odd\n"), {}, "ContainerFailed", "does not start: ValueError: odd (exit code 1)"),
    (container("", 139), {}, "ContainerFailed", "kubectl logs nightly-run-0-0 shows more"),
    ({"state": {}}, {"reason": "Evicted", "message": LOW}, "Evicted", f"up (Evicted, {LOW}): set resources.requests"),
    (
        container(STOPPED, 143),
        {"conditions": [disrupted("PreemptionByScheduler", PREEMPTED)]},
        "Evicted",
        f"node gpu-1 gave pod nightly-run-0-0 up (PreemptionByScheduler, {PREEMPTED})",
    ),
]


@pytest.mark.parametrize(("ended", "status", "reason", "words"), ENDS)
def test_why_a_pod_ended_is_told_until_another_answers(ended: Object, status: Object, reason: str, words: str) -> None:
    world = BatchWorld()
    world.runs()
    ends(world, ended, **status)
    assert settled(world)[:2] == ("False", reason)
    world.pod("run", {"state": {"running": {}}})
    _, told_of, message = settled(world)
    assert (told_of, words in message) == (reason, True), message
    world.pod("run", {"state": {"running": {}}}, ready="True")
    assert settled(world)[:2] == ("True", "Answering")


@pytest.mark.parametrize(("ended", "status", "words"), [(ended, status, words) for ended, status, _, words in ENDS])
def test_pods_that_failed_too_often_end_it_with_why(ended: Object, status: Object, words: str) -> None:
    world = BatchWorld()
    world.runs()
    ends(world, ended, **status)
    world.fails("run")
    world.reconcile(2)
    world.ends("merge", {**MERGED, "done": 0, "unanswered": 10})
    world.reconcile()
    assert world.condition("Failed") == ("True", "RunFailed")
    assert world.message("Failed").startswith("its pods failed too often: ")
    assert words in world.message("Failed")


def test_what_the_kubelet_does_not_keep_of_a_log_is_read_before_the_batch_has_failed() -> None:
    world = BatchWorld()
    world.runs()
    ends(world, container(f"RuntimeError: Engine core initialization failed.\n{DIED}"))
    world.api.logs[f"{path('Pod', NAMESPACE, f'{KEY.name}-run-0-0')}/log"] = NO_CACHE
    world.fails("run")
    world.reconcile()
    assert "merge" not in world.steps()
    world.reconcile()
    assert "nothing is left for the KV cache" in str(world.job("merge")["metadata"]["annotations"])


def test_a_batch_that_has_failed_keeps_no_log_in_memory() -> None:
    world = BatchWorld()
    world.runs()
    ends(world, container(f"RuntimeError: Engine core initialization failed.\n{DIED}"))
    log = f"{random.Random(1).randbytes(30_000).hex(chr(10), 30)}\n{DIED}"
    world.api.logs[f"{path('Pod', NAMESPACE, f'{KEY.name}-run-0-0')}/log"] = log
    world.fails("run")
    tracemalloc.start()
    try:
        world.reconcile(2)
        before = held_of_logs()
        world.ends("merge", {**MERGED, "done": 0, "unanswered": 10})
        world.reconcile(2)
        assert world.condition("Failed") == ("True", "RunFailed")
        assert held_of_logs() < before - 10_000
    finally:
        tracemalloc.stop()


def held_of_logs() -> int:
    """Bytes that are held of logs that were read: packed by readers, and few texts by the diagnosis."""
    gc.collect()
    of_logs = tracemalloc.Filter(inclusive=True, filename_pattern=logs.__file__)
    found = tracemalloc.take_snapshot().filter_traces([of_logs]).statistics("filename")
    return sum(one.size for one in found)


def test_only_the_last_try_of_an_index_counts_and_none_that_has_answered_all() -> None:
    world = BatchWorld()
    world.runs(parallelism=2)
    ends(world, container(), 0, 0)
    ends(world, container("{}", 0, reason="Completed"), 0, 1, phase="Succeeded")
    ends(world, container(), 1, 0)
    ends(world, container("ValueError: odd\n"), 1, 1)
    _, reason, message = settled(world)
    assert (reason, "odd" in message) == ("ContainerFailed", True)


@pytest.mark.parametrize("code", [BAD_INPUT, BAD_OUTPUT])
@pytest.mark.parametrize(
    ("before", "status"),
    [(container("", 137, reason="OOMKilled"), {}), ({"state": {}}, {"reason": "Evicted", "message": LOW})],
    ids=["killed", "evicted"],
)
@pytest.mark.parametrize("stops", [False, True], ids=["gone", "stopping"])
def test_the_pod_that_ends_the_job_tells_the_cause_and_none_that_was_tried_again(
    before: Object, status: Object, code: int, *, stops: bool
) -> None:
    world = BatchWorld()
    world.runs(parallelism=2)
    ends(world, before, 1, 0, **status)
    said = "vllm-batch: cannot open /data/out: Permission denied"
    ends(world, container(said, code), 0, 0)
    if stops:  # the next try of the other index, which the Job controller takes away
        ends(world, container(STOPPED, 143), 1, 1)
    world.fails("run")
    world.reconcile(2)
    kept = json.loads(world.job("merge")["metadata"]["annotations"][CAUSE_ANNOTATION])
    assert kept == ["RunFailed", f"its pods failed too often: {said}"]


def test_an_exit_status_of_somebody_elses_ends_no_step() -> None:
    world = BatchWorld()
    world.runs(parallelism=2)
    ends(world, container("ValueError: odd\n", BAD_OUTPUT))
    world.fails("run")
    world.reconcile(2)
    kept = world.job("merge")["metadata"]["annotations"][CAUSE_ANNOTATION]
    assert "does not start: ValueError: odd (exit code 4)" in kept


def test_what_requests_hold_is_no_cause() -> None:
    """The runner's own lines tell what vLLM says of a request; the engine's say why it ended."""
    asked = "ERROR 11-29 11:39:28 [hf.py:9] jinja2.TemplateError: No available memory for the cache blocks. x"
    engine = "(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1] torch.AcceleratorError: CUDA error: misaligned"
    world = BatchWorld()
    world.runs()
    ready = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-24T12:02:00Z"}
    for log, reason in ((f"cut\n{asked}\n{DIED}", "ContainerFailed"), (f"cut\n{asked}\n{engine}\n{DIED}", "GpuError")):
        ends(world, container(log))
        body = world.api.objects[path("Pod", NAMESPACE, f"{KEY.name}-run-0-0")]
        body["status"]["conditions"] = [ready, {"type": "PodScheduled", "status": "True"}]
        world.api.logs[f"{path('Pod', NAMESPACE, f'{KEY.name}-run-0-0')}/log"] = log
        world.watch()
        assert settled(world)[1] == reason
        assert told(log, served=True) == (engine if engine in log else "")
        assert batch_pod(body).failed


def test_a_pod_that_its_startup_probe_ended_is_told_by_the_event_of_that() -> None:
    """The kubelet counts failed probes, not seconds."""
    world = BatchWorld()
    world.runs()
    ends(world, container(STOPPED, 143, "12:30:56"))
    world.api.events.append(
        {
            "reason": "Killing",
            "message": "Container vllm failed startup probe, will be restarted",
            "involvedObject": {"kind": "Pod", "uid": f"uid-{KEY.name}-run-0-0"},
            "lastTimestamp": "2026-11-24T12:30:55Z",
        }
    )
    assert settled(world)[1] == "StartupTimeout"
