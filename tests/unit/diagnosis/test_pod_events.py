"""What Kubernetes Events add to what is said of a pod: missing volumes, and the probes that ended a container."""

from dataclasses import replace

import pytest

from support.pod_status import CREATING, ENDED, NOT_SET_UP, SERVED, STARTED, failed, found, pod, waiting
from vllm_operator.api.reasons import Reason
from vllm_operator.diagnosis import wants_events, wants_log
from vllm_operator.snapshots.pod import PodSnapshot
from vllm_operator.snapshots.pod_event import PodEvent


def told(of: PodSnapshot, *messages: tuple[str, str], last: str = ENDED) -> PodSnapshot:
    """The pod with Events: reason and message of each."""
    return PodSnapshot(
        **{name: getattr(of, name) for name in PodSnapshot.__slots__ if name != "events"},
        events=tuple(PodEvent(reason, message, last) for reason, message in messages),
    )


def unmounted(*messages: tuple[str, str]) -> PodSnapshot:
    return told(pod(CREATING, conditions=NOT_SET_UP), *messages)


@pytest.mark.parametrize(
    ("event", "message", "reason", "words"),
    [
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "chat-template" : configmap "chat" not found',
            Reason.CONFIG_MAP_MISSING,
            "ConfigMap chat does not exist: create it; pod llama-0 waits",
        ),
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "certificates" : secret "tls" not found',
            Reason.SECRET_MISSING,
            "Secret tls does not exist",
        ),
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "chat-template" : configmap references non-existent config key: a.b',
            Reason.CONFIG_MAP_MISSING,
            "ConfigMap chat has no key a.b: add it",
        ),
        (
            "FailedAttachVolume",
            'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) llama-1',
            Reason.VOLUME_IN_USE,
            "volume pvc-1 is attached to another node, and pod llama-0 is on gpu-1 (Volume is already used by pod(s) "
            "llama-1): use a ReadWriteMany claim",
        ),
        (
            "FailedMount",
            "Unable to attach or mount volumes: unmounted volumes=[models-0], unattached volumes=[], failed to "
            "process volumes=[]: timed out waiting for the condition",
            Reason.VOLUME_NOT_MOUNTED,
            "node gpu-1 does not mount PersistentVolumeClaim weights for pod llama-0",
        ),
        (
            "FailedMount",
            'MountVolume.MountDevice failed for volume "pvc-1" : rpc error: code = Internal desc = no such disk',
            Reason.VOLUME_NOT_MOUNTED,
            "cannot mount PersistentVolumeClaim weights for pod llama-0: MountVolume.MountDevice failed : no such disk",
        ),
        (
            "FailedPrepareDynamicResources",
            "Failed to prepare dynamic resources: prepare dynamic resources: NodePrepareResources: rpc error: code = "
            "DeadlineExceeded desc = context deadline exceeded",
            Reason.SANDBOX_FAILED,
            "node gpu-1 cannot give pod llama-0 the devices of its claim: Failed to prepare dynamic resources: prepare "
            "dynamic resources: NodePrepareResources: context deadline exceeded; check the driver of the device class",
        ),
        (
            "FailedCreatePodSandBox",
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime "
            'for "nvidia" is configured',
            Reason.SANDBOX_FAILED,
            "node gpu-1 has no container runtime nvidia: check pod.runtimeClassName",
        ),
        (
            "FailedCreatePodSandBox",
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network: no addresses",
            Reason.SANDBOX_FAILED,
            "cannot set pod llama-0 up: Failed to create pod sandbox: failed to setup network: no addresses",
        ),
    ],
)
def test_a_pod_that_is_not_started_on_its_node_is_told_with_the_cause(
    event: str, message: str, reason: Reason, words: str
) -> None:
    got, text = found(unmounted(("Scheduled", "assigned"), (event, message)))
    assert (got, words in text) == (reason, True), text


@pytest.mark.parametrize(
    ("message", "reason", "words"),
    [
        ('Error: secret "nobody" not found', Reason.SECRET_MISSING, "Secret nobody does not exist"),
        ("Error: couldn't find key key in Secret e2e/half", Reason.SECRET_MISSING, "Secret half has no key key"),
        (
            'Failed to pull image "registry/vllm:1": rpc error: code = NotFound desc = registry/vllm:1: not found',
            Reason.IMAGE_PULL_FAILED,
            "image registry/vllm:1 cannot be pulled for pod llama-0: it does not exist",
        ),
    ],
)
def test_events_tell_what_stands_in_the_status_only_later(message: str, reason: Reason, words: str) -> None:
    got, text = found(told(pod(CREATING), ("Pulling", "x"), ("Failed", message), ("Failed", "Error: ErrImagePull")))
    assert (got, words in text) == (reason, True), text


LIMITED = "rpc error: code = Unknown desc = toomanyrequests: You have reached your pull rate limit"
NO_SUCH = "rpc error: code = NotFound desc = registry/vllm:1: not found"
PAUSE = waiting("ImagePullBackOff", 'Back-off pulling image "registry/vllm:1"')


def tried(message: str, image: str = "registry/vllm:1") -> tuple[str, str]:
    return "Failed", f'Failed to pull image "{image}": {message}'


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (LIMITED, Reason.IMAGE_PULL_DELAYED),
        (NO_SUCH, Reason.IMAGE_PULL_FAILED),
        ("something odd", Reason.IMAGE_PULL_FAILED),
    ],
)
def test_why_an_image_was_not_pulled_is_told_in_the_pauses_between_the_tries_too(message: str, reason: Reason) -> None:
    """As the kubelet of Kubernetes 1.30 and 1.31 shows them."""
    assert wants_events(PAUSE)
    others = (("Failed", "Error: ErrImagePull"), ("BackOff", PAUSE.message), ("Failed", "Error: ImagePullBackOff"))
    between = told(PAUSE, tried(NO_SUCH if message == LIMITED else LIMITED), tried(message), tried("x", "b"), *others)
    assert found(between) == found(waiting("ErrImagePull", message))
    assert found(between)[0] == reason


def test_a_pull_whose_cause_nobody_told_is_no_lasting_failure() -> None:
    for pauses in (PAUSE, told(PAUSE, tried(NO_SUCH, "registry/sidecar:1"), ("Failed", "Error: ErrImagePull"))):
        reason, message = found(pauses)
        assert (reason, "no cause given" in message) == (Reason.IMAGE_PULL_DELAYED, True), message


def test_a_cause_is_told_before_a_time_out() -> None:
    why = ("FailedMount", 'MountVolume.SetUp failed for volume "chat-template" : configmap "chat" not found')
    late = ("FailedMount", "Unable to attach or mount volumes: unmounted volumes=[chat-template]: timed out")
    assert found(unmounted(why, late))[0] == Reason.CONFIG_MAP_MISSING
    assert Reason.VOLUME_NOT_MOUNTED.passes


NO_CONFIG = ("FailedMount", 'MountVolume.SetUp failed for volume "chat-template" : configmap "chat" not found')
NO_DISK = ("FailedAttachVolume", 'AttachVolume.Attach failed for volume "pvc-1" : rpc error: code = Internal: no disk')
NO_DEVICE = ("FailedPrepareDynamicResources", "Failed to prepare dynamic resources: no such driver")
NO_NETWORK = ("FailedCreatePodSandBox", "Failed to create pod sandbox: no addresses")


def late(*volumes: str) -> tuple[str, str]:
    """That volumes were not mounted in time."""
    return "FailedMount", f"Unable to attach or mount volumes: unmounted volumes=[{' '.join(volumes)}]: timed out"


@pytest.mark.parametrize(
    ("events", "reason", "told"),
    [
        # A mount that failed at first, and what came after.
        ([("12:00:00", NO_CONFIG), ("12:05:00", NO_NETWORK)], Reason.SANDBOX_FAILED, "no addresses"),
        ([("12:00:00", NO_CONFIG), ("12:05:00", NO_DEVICE)], Reason.SANDBOX_FAILED, "no such driver"),
        ([("12:00:00", NO_NETWORK), ("12:05:00", NO_CONFIG)], Reason.CONFIG_MAP_MISSING, "ConfigMap chat"),
        ([("12:00:00", NO_CONFIG), ("12:05:00", NO_DISK)], Reason.VOLUME_NOT_MOUNTED, "no disk"),
        # A time-out, with what was said of the volume, of another one, and long before.
        ([("12:00:00", NO_DISK), ("12:02:00", late("models-0"))], Reason.VOLUME_NOT_MOUNTED, "no disk"),
        ([("12:00:00", NO_DISK), ("12:02:00", late("cache"))], Reason.VOLUME_NOT_MOUNTED, "no disk"),
        ([("12:00:00", NO_DISK), ("12:09:00", late("models-0"))], Reason.VOLUME_NOT_MOUNTED, "do not say why"),
        ([("12:00:00", NO_DISK), ("12:02:00", late("chat-template"))], Reason.VOLUME_NOT_MOUNTED, "do not say why"),
        ([("12:00:00", NO_CONFIG), ("12:02:00", late("models-0"))], Reason.VOLUME_NOT_MOUNTED, "do not say why"),
        ([("12:00:00", NO_CONFIG), ("12:02:00", late("models-0", "chat-template"))], Reason.CONFIG_MAP_MISSING, "chat"),
        (
            [("12:00:00", NO_DISK), ("12:00:30", NO_CONFIG), ("12:02:00", late("models-0"))],
            Reason.VOLUME_NOT_MOUNTED,
            "no disk",
        ),
    ],
)
def test_what_keeps_a_pod_now_is_told_and_not_what_did_before(
    events: list[tuple[str, tuple[str, str]]], reason: Reason, told: str
) -> None:
    said = tuple(PodEvent(*event, f"2026-11-24T{time}Z") for time, event in events)
    got, message = found(replace(unmounted(), events=said))
    assert (got, told in message) == (reason, True), message


KILLED = ("Killing", "Container vllm failed liveness probe, will be restarted")
UNHEALTHY = (
    "Unhealthy",
    'Liveness probe failed: Get "http://10.244.0.8:8000/health": context deadline exceeded (Client.Timeout exceeded)',
)


def test_the_probe_that_ended_a_container_is_named() -> None:
    late = {"ended": "2026-11-24T14:00:00Z", "ready_changed": SERVED}
    reason, message = found(told(failed(code=137, **late), UNHEALTHY, KILLED))
    assert reason == Reason.LIVENESS_FAILED
    assert "stopped: Kubernetes killed it 119 min after its start" in message
    assert "probe (/health) (context deadline exceeded (Client.Timeout exceeded)); kubectl logs" in message
    # It was told to end, and did; this is no death of its engine.
    assert found(told(failed(code=0, reason="Completed", **late), KILLED))[0] == Reason.LIVENESS_FAILED
    assert found(failed(code=0, reason="Completed", **late))[0] == Reason.ENGINE_DIED
    startup = ("Killing", "Container vllm failed startup probe, will be restarted")
    assert found(told(failed(code=137), startup))[0] == Reason.STARTUP_TIMEOUT


def test_a_server_that_no_longer_answers_is_not_taken_for_one_that_loads() -> None:
    silent = pod({"state": {"running": {"startedAt": STARTED}}}, ready_changed=SERVED)
    reason, message = found(told(silent, UNHEALTHY))
    assert reason == Reason.NOT_ANSWERING
    assert "no longer answers its probes (/health) (context deadline exceeded (Client.Timeout exceeded))" in message
    assert wants_events(silent)
    assert not pod({"state": {"running": {"startedAt": STARTED}}}).silent


def test_an_earlier_kill_explains_no_later_end() -> None:
    earlier = told(failed(code=137), KILLED, last="2026-11-24T12:00:30Z")
    assert earlier.ending
    assert earlier.ending.started == STARTED
    assert found(earlier)[0] == Reason.CONTAINER_FAILED


@pytest.mark.parametrize(
    ("of", "events_tell", "log_tells"),
    [
        (failed("ValueError: x"), False, True),
        (failed(code=137), True, True),
        (failed(code=137, reason="OOMKilled"), False, False),
        (failed(code=0, reason="Completed", ready_changed=SERVED), True, True),
        (told(failed(code=137), KILLED), True, False),
        (pod(CREATING, conditions=NOT_SET_UP), True, False),
        (pod(CREATING), True, False),
        (waiting("ErrImagePull"), False, False),
        (waiting("ImagePullBackOff", 'Back-off pulling image "registry/vllm:1"'), True, False),
        (waiting("ImagePullBackOff", 'Back-off pulling image "registry/vllm:1": ErrImagePull: x'), False, False),
    ],
)
def test_only_what_can_tell_more_is_read(of: PodSnapshot, *, events_tell: bool, log_tells: bool) -> None:
    assert (wants_events(of), wants_log(of)) == (events_tell, log_tells)


def test_an_engine_that_died_of_gpu_memory_is_told_so_by_its_log() -> None:
    """vLLM exits with 0 then, and the kubelet keeps nothing of such a container's log."""
    died = failed(code=0, reason="Completed", ready_changed=SERVED)
    assert wants_log(died)


def test_a_hang_is_told_with_what_the_middleware_saw() -> None:
    hung = failed("vllm-operator: engine hung: 3 requests running, no step for 60 s\n", code=137, ready_changed=SERVED)
    reason, message = found(hung)
    assert reason == Reason.ENGINE_HUNG
    assert "stopped: its engine hung (3 requests running, no step for 60 s), and it was started anew" in message


def test_a_hang_is_told_before_the_container_is_killed_for_it() -> None:
    silent = pod({"state": {"running": {"startedAt": STARTED}}}, ready_changed=SERVED)
    probe = ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 504")
    reason, message = found(told(silent, probe))
    assert reason == Reason.ENGINE_HUNG
    assert "hangs: requests wait, and its engine has made no step for 35 s or more" in message
