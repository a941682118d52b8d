"""The download into a cache, through the loop: before any pod, told as it goes, and never in the way for good."""

from typing import Any

import pytest

from support.snapshots import service
from support.world import NAMESPACE, World
from vllm_operator.api.reasons import Reason
from vllm_operator.api.resource import Key
from vllm_operator.assess.download import NODE_SECONDS, START_SECONDS
from vllm_operator.cluster import path
from vllm_operator.inspection.progress import Progress, line
from vllm_operator.inspection.report import InspectionError, encode_error
from vllm_operator.loop.write import PROGRESS_SECONDS, SETTLE_SECONDS
from vllm_operator.manifests.download import download, download_key
from vllm_operator.services.first_status import FIRST_STATUS_SECONDS
from vllm_operator.settings import Images, Settings

COMMIT = "1" * 40
CACHE = {"claim": {"storage": "10Gi"}}
RUNS: dict[str, Any] = {"containerStatuses": [{"name": "download", "state": {"running": {}}}]}
DONE = {"phase": "Succeeded"}


def failed(message: str) -> dict[str, Any]:
    ended = {"message": message, "exitCode": 1}
    return {"phase": "Failed", "containerStatuses": [{"name": "download", "state": {"terminated": ended}}]}


def begun(world: World, **spec: Any) -> Key:
    """A service whose model is known, and whose first look at the download is done."""
    key = world.service(**{"cache": CACHE, **spec})
    world.reconcile(key)
    world.inspected(commit=COMMIT)
    world.reconcile(key)
    world.clock.now += FIRST_STATUS_SECONDS
    world.reconcile(key)
    return key


def job(world: World) -> dict[str, Any] | None:
    """The download Job."""
    names = [name for name in world.children("Job") if "-download-" in name]
    assert len(names) <= 1
    return world.api.objects[path("Job", NAMESPACE, names[0])] if names else None


def test_no_pod_is_made_before_the_model_is_there() -> None:
    world = World()
    key = begun(world)
    assert world.children("Deployment") == []
    assert world.children("PersistentVolumeClaim") == ["llama-cache"]
    assert world.reason() == world.reason("WorkloadAvailable") == "Downloading"
    assert world.reason("Reconciling") == "Progressing"
    assert "Downloading hf://a/b into the claim llama-cache: its Job starts" in world.message("Ready")
    found = job(world)
    assert found
    pod = found["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == [
        "download", "--hub=a/b", f"--revision={COMMIT}", "--output=/dev/termination-log",
    ]  # fmt: skip
    assert {"name": "cache", "persistentVolumeClaim": {"claimName": "llama-cache"}} in pod["volumes"]
    assert "nvidia.com/gpu" not in str(pod["containers"][0]["resources"])
    world.downloads(DONE)
    world.reconcile(key)
    assert world.children("Deployment") == ["llama"]
    assert job(world) is None
    world.reconcile(key)
    assert (job(world), world.children("Deployment")) == (None, ["llama"])


def test_the_job_is_not_made_again_before_the_watch_shows_the_deployment() -> None:
    world = World()
    key = begun(world)
    world.downloads(DONE)
    shown = dict(world.indices)
    world.reconcile(key, watched=False)
    world.indices |= {name: shown[name] for name in ("children",)}
    world.reconcile(key, watched=False)
    assert job(world) is None


@pytest.mark.parametrize(
    "spec",
    [
        {"cache": None},
        {"model": {"uri": "pvc://models/a"}},
        {"env": [{"name": "HF_HUB_OFFLINE", "value": "1"}]},
        {"model": {"uri": "hf://a/b", "loadFormat": "dummy"}},
        {"replicas": 0},
        {"suspend": True},
    ],
)
def test_what_needs_no_download_waits_for_none(spec: dict[str, Any]) -> None:
    world = World()
    key = world.service(**{"cache": CACHE, **spec})
    world.reconcile(key)
    if any("-inspect-" in name for name in world.children("Job")):
        world.inspected(commit=COMMIT)
    world.reconcile(key)
    assert job(world) is None
    if not str(spec.get("model", "")).count("pvc://"):
        assert world.children("Deployment") == ["llama"]


def test_a_variable_that_says_that_the_hub_is_asked_keeps_no_download_away() -> None:
    world = World()
    key = world.service(cache=CACHE, env=[{"name": "HF_HUB_OFFLINE", "value": "0"}])
    world.reconcile(key)
    world.inspected(commit=COMMIT)
    world.reconcile(key)
    assert job(world)


ASKED_NONE: dict[str, Any] = {"suspended": {"suspend": True}, "none": {"replicas": 0}}
ASKS: dict[str, Any] = {"fixed": {"replicas": 2}, "scaled": {"autoscaling": {"maxReplicas": 3}}}


@pytest.mark.parametrize("before", ASKED_NONE.values(), ids=ASKED_NONE)
@pytest.mark.parametrize("spec", ASKS.values(), ids=ASKS)
def test_what_asked_for_no_pods_downloads_its_model_before_the_first_one(
    before: dict[str, Any], spec: dict[str, Any]
) -> None:
    world = World()
    key = begun(world, **before)
    assert (job(world), world.children("Deployment")) == (None, ["llama"])
    deployment = world.api.objects[path("Deployment", NAMESPACE, "llama")]
    world.service(cache=CACHE, **spec)
    for _ in range(2):
        world.reconcile(key)
        deployment = world.api.objects[path("Deployment", NAMESPACE, "llama")]
        assert (bool(job(world)), deployment["spec"]["replicas"]) == (True, 0)
        assert world.children("HorizontalPodAutoscaler") == []
        world.clock.now += SETTLE_SECONDS
    assert (world.reason(), world.reason("Reconciling")) == ("Downloading", "Progressing")
    assert world.status()["wantedReplicas"] == spec.get("replicas", world.status()["wantedReplicas"])
    world.downloads(DONE)
    world.reconcile(key)
    deployment = world.api.objects[path("Deployment", NAMESPACE, "llama")]
    assert (job(world), deployment["spec"].get("replicas", 1)) == (None, spec.get("replicas", 1))
    world.reconcile(key)
    assert (job(world), len(world.children("HorizontalPodAutoscaler"))) == (None, "autoscaling" in spec)


@pytest.mark.parametrize("stops", [{"suspend": True}, {"replicas": 0}])
def test_what_served_before_it_was_stopped_starts_again_at_once(stops: dict[str, Any]) -> None:
    world = World()
    key = begun(world)
    world.downloads(DONE)
    world.reconcile(key)
    url = world.pod(status={"conditions": [{"type": "Ready", "status": "True"}], "podIP": "10.0.0.1"})
    for _ in range(2):
        world.reconcile(key)
        world.clock.now += FIRST_STATUS_SECONDS
    world.service(cache=CACHE, **stops)
    world.reconcile(key)
    del world.api.objects[url]
    world.begin()
    world.service(cache=CACHE)
    world.reconcile(key)
    assert (job(world), world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["replicas"]) == (None, 1)


def look(world: World, key: Key, progress: Progress) -> None:
    """The pod's log is read, and the status is written when it is due."""
    url = path("Pod", NAMESPACE, world.children("Pod")[-1], "log")
    world.api.logs[url] = f"noise\n{line(progress)}\n"
    for _ in range(3):
        world.clock.now += PROGRESS_SECONDS
        world.reconcile(key)


def test_progress_is_told_as_the_log_says_it() -> None:
    world = World()
    key = begun(world)
    world.downloads(RUNS)
    look(world, key, Progress(43_210_000_000, 100_000_000_000, 850_000_000))
    assert world.status()["download"] == {
        "progress": "43 %",
        "bytes": 43_210_000_000,
        "totalBytes": 100_000_000_000,
        "bytesPerSecond": 850_000_000,
        "secondsLeft": 66,
    }
    assert "Downloading 43 % (43.2 GB of 100.0 GB, 850.0 MB/s, 2 min left)" in world.message("Ready")
    world.downloads(DONE)
    world.reconcile(key)
    assert "download" not in world.status()


def test_the_status_is_written_once_in_ten_seconds_at_most() -> None:
    world = World()
    key = begun(world)
    world.downloads(RUNS)
    look(world, key, Progress(1, 100_000))
    written = 0
    for second in range(60):
        url = next(url for url in world.api.logs)
        world.api.logs[url] = line(Progress(1000 * (second + 1), 100_000, 1000))
        world.clock.now += 1
        world.reconcile(key)
        written += sum(one.startswith("patch") and "status" in one for one in world.writes())
    assert 4 <= written <= 60 / PROGRESS_SECONDS + 1
    assert SETTLE_SECONDS < PROGRESS_SECONDS


def test_why_a_download_failed_is_told_and_no_gpu_is_taken() -> None:
    world = World()
    key = begun(world)
    world.downloads(failed(encode_error(InspectionError(Reason.NO_SPACE_LEFT, "the model takes 9 GB more"))))
    world.reconcile(key)
    assert world.children("Deployment") == []
    assert world.reason() == world.reason("Stalled") == "NoSpaceLeft"
    assert "cannot be downloaded: the model takes 9 GB more" in world.message("Ready")
    world.downloads(failed("Killed"))
    world.reconcile(key)
    assert world.reason() == "DownloadFailed"
    assert "the download Job ended early; it said: Killed" in world.message("Ready")


def names_of(world: World) -> list[str]:
    return [name for name in world.children("Job") if "-download-" in name]


def test_what_failed_by_the_users_settings_is_tried_at_once_with_others() -> None:
    """A network that lets the hub through and not Xet's stores."""
    world = World()
    key = begun(world)
    world.downloads(failed(encode_error(InspectionError(Reason.HUB_UNREACHABLE, "no way to Xet"))))
    world.reconcile(key)
    before = names_of(world)
    world.service(cache=CACHE, env=[{"name": "HF_HUB_DISABLE_XET", "value": "1"}])
    world.reconcile(key)
    assert len(names_of(world)) == 1
    assert names_of(world) != before
    found = job(world)
    assert found
    assert {"name": "HF_HUB_DISABLE_XET", "value": "1"} in found["spec"]["template"]["spec"]["containers"][0]["env"]
    world.pods_of_jobs_go()
    world.downloads(DONE)
    world.reconcile(key)
    assert world.children("Deployment") == ["llama"]


FROM_ELSEWHERE = {"configMapKeyRef": {"name": "settings", "key": "xet"}}


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ({"name": "HF_HUB_DOWNLOAD_TIMEOUT", "value": "60"}, True),
        ({"name": "HF_HUB_ETAG_TIMEOUT", "value": "60"}, True),
        ({"name": "HF_XET_NUM_CONCURRENT_RANGE_GETS", "value": "4"}, True),
        ({"name": "HF_XET_HIGH_PERFORMANCE", "value": "1"}, False),
        ({"name": "HF_HUB_DISABLE_TELEMETRY", "value": "0"}, False),
        ({"name": "HF_HUB_DISABLE_XET", "valueFrom": FROM_ELSEWHERE}, False),
        ({"name": "VLLM_LOGGING_LEVEL", "value": "DEBUG"}, False),
    ],
)
def test_the_job_and_its_name_have_what_the_user_has_fetched_by(variable: dict[str, Any], told: bool) -> None:  # noqa: FBT001
    without, settings = service(cache=CACHE), Settings(images=Images(operator="vllm-operator:1"))
    one, other = (download(owner, COMMIT, (), settings) for owner in (without, service(cache=CACHE, env=[variable])))
    (container,) = other["spec"]["template"]["spec"]["containers"]
    names = [given["name"] for given in container["env"]]
    assert len(names) == len(set(names))
    assert (variable in container["env"], one["metadata"]["name"] != other["metadata"]["name"]) == (told, told)


def test_downloads_of_a_fleet_keep_their_names() -> None:
    assert download_key(service(cache=CACHE), COMMIT) == "986ceae0"


@pytest.mark.parametrize(
    ("status", "seconds"),
    [
        ({}, START_SECONDS),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]},
            NODE_SECONDS,
        ),
    ],
)
def test_a_job_that_does_not_start_keeps_no_pod_from_running(status: dict[str, Any], seconds: float) -> None:
    world = World()
    key = begun(world)
    world.downloads(status)
    world.reconcile(key)
    if status:
        world.clock.now += PROGRESS_SECONDS
        world.reconcile(key)
        assert "(0/3 nodes are available)" in world.message("Ready")
    world.clock.now += seconds - 2 * PROGRESS_SECONDS
    world.reconcile(key)
    assert world.children("Deployment") == []
    world.clock.now += 3 * PROGRESS_SECONDS
    world.reconcile(key)
    assert world.children("Deployment") == ["llama"]


def test_an_edit_that_changes_no_file_waits_for_no_download() -> None:
    world = World()
    key = begun(world)
    world.downloads(DONE)
    world.reconcile(key)
    world.pod(status={"conditions": [{"type": "Ready", "status": "True"}], "podIP": "10.0.0.1"})
    world.reconcile(key)
    world.service(cache=CACHE, maxModelLen=64)
    world.begin()
    world.reconcile(key)
    assert job(world) is None
    template = world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"]
    assert "--max-model-len=64" in template["spec"]["containers"][0]["args"]


def test_another_model_is_there_before_the_pods_of_the_old_one_go() -> None:
    world = World()
    key = begun(world)
    world.downloads(DONE)
    world.reconcile(key)
    before = world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"]
    world.pods_of_jobs_go()
    world.service(cache=CACHE, model={"uri": "hf://a/other"})
    world.reconcile(key)
    world.inspected(commit="2" * 40)
    world.reconcile(key)
    assert job(world)
    assert world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"] == before
    world.downloads(DONE)
    world.reconcile(key)
    args = world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"]["spec"]["containers"][0][
        "args"
    ]
    assert args[0] == "a/other"
