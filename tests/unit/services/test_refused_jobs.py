"""A Job that the API server refuses keeps no service from running: it is told, and asked for again now and then."""

from typing import Any

import pytest

from support.fake_api import FakeApi, refusal
from support.world import NAMESPACE, World
from unit.services.choices import READY
from vllm_operator.api.resource import Key
from vllm_operator.assess.download import START_SECONDS
from vllm_operator.cluster import path
from vllm_operator.loop.write import PROGRESS_SECONDS
from vllm_operator.readers.inspection import PATIENCE_SECONDS
from vllm_operator.services.rules import REFUSED_RETRY_SECONDS

COMMIT = "1" * 40
QUOTA = (
    'jobs.batch "llama" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=0, '
    "limited: count/jobs.batch=0"
)
DENIED = 'admission webhook "validate.kyverno.svc" denied the request: images of registry "operator" are not allowed'
FAILS = 'Internal error occurred: failed calling webhook "w": context deadline exceeded'
REFUSALS = [
    (403, QUOTA, "exceeded quota: q"),
    (400, DENIED, "denied the request: images of registry"),
    (500, FAILS, "failed calling webhook"),
]


class WithoutJobs(FakeApi):
    """Refuses to make Jobs whose names have a word, as long as there is one."""

    word, status, said = "", 403, QUOTA

    async def request(self, verb: str, url: str, **options: Any) -> Any:
        """As the API server in memory."""
        if verb == "patch" and "/jobs/" in url and self.word and self.word in url:
            self.requests.append((verb, url))
            raise refusal(self.status, self.said)
        return await super().request(verb, url, **options)


def without(word: str, status: int = 403, said: str = QUOTA) -> World:
    """A namespace in which such Jobs are refused."""
    api = WithoutJobs()
    api.word, api.status, api.said = word, status, said
    return World(api=api)


def loops(world: World, key: Key, seconds: float) -> int:
    """The operator looks at a service whenever that is due. Returns how often it asked for a Job."""
    end, asked = world.clock.now + seconds, 0
    while world.clock.now < end:
        again = world.reconcile(key)
        asked += sum(verb == "patch" and "/jobs/" in url for verb, url in world.api.requests)
        world.clock.now += seconds if again is None else max(again, 0.1)
    return asked


def types(world: World) -> set[str]:
    """The conditions that are there."""
    return {entry["type"] for entry in world.status()["conditions"]}


@pytest.mark.parametrize(("status", "said", "told"), REFUSALS)
def test_without_an_inspection_the_pods_are_made_and_serve(status: int, said: str, told: str) -> None:
    world = without("-inspect-", status, said)
    key = world.service()
    world.reconcile(key)
    assert world.children("Deployment") == []
    loops(world, key, PATIENCE_SECONDS + REFUSED_RETRY_SECONDS)
    assert world.children("Deployment") == ["llama"]
    world.pod(status={**READY, "podIP": "10.0.0.1"})
    loops(world, key, PROGRESS_SECONDS)
    assert (world.reason(), world.reason("WorkloadAvailable")) == ("Available", "Available")
    assert not {"Reconciling", "Stalled"} & types(world)
    assert world.reason("Fits") == "NotInspected"
    assert "as the API server refuses the inspect Job: " in world.message("Fits")
    assert told in world.message("Fits")


def test_a_name_that_somebody_elses_job_has_keeps_no_service_from_running() -> None:
    world = without("-inspect-")
    key = world.service()
    world.reconcile(key)
    asked = next(url for verb, url in world.api.requests if "/jobs/" in url)
    assert isinstance(world.api, WithoutJobs)
    world.api.word = ""
    name = asked.rpartition("/")[2]
    world.api.put(asked, {"kind": "Job", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": {}})
    loops(world, key, PATIENCE_SECONDS + REFUSED_RETRY_SECONDS)
    assert world.children("Deployment") == ["llama"]
    assert world.reason() == "Starting"
    assert f"the Job {name} in namespace {NAMESPACE} does not belong to this service" in world.message("Fits")


def test_what_the_spec_asks_for_no_more_goes_though_a_job_is_refused() -> None:
    world = without("-inspect-")
    policy: dict[str, Any] = {"networkPolicy": {"allowFrom": []}}
    key = world.service(**policy)
    loops(world, key, PATIENCE_SECONDS + REFUSED_RETRY_SECONDS)
    assert world.children("NetworkPolicy") == ["llama"]
    world.service()
    world.reconcile(key)
    assert world.children("NetworkPolicy") == []


def test_a_refused_job_is_asked_for_now_and_then_and_made_once_it_may_be() -> None:
    world = without("-inspect-")
    key = world.service()
    loops(world, key, PATIENCE_SECONDS + REFUSED_RETRY_SECONDS)
    world.pod(status={**READY, "podIP": "10.0.0.1"})
    loops(world, key, PROGRESS_SECONDS)
    assert 0 < loops(world, key, 10 * REFUSED_RETRY_SECONDS) <= 12
    assert isinstance(world.api, WithoutJobs)
    world.api.word = ""
    loops(world, key, REFUSED_RETRY_SECONDS)
    world.inspected()
    loops(world, key, PROGRESS_SECONDS)
    assert world.reason("Fits") == "Fits"


def downloads(status: int = 403, said: str = QUOTA) -> tuple[World, Key]:
    """A service whose model is known, and whose download is refused."""
    world = without("-download-", status, said)
    key = world.service(cache={"claim": {"storage": "10Gi"}})
    world.reconcile(key)
    world.inspected(commit=COMMIT)
    world.reconcile(key)
    return world, key


@pytest.mark.parametrize(("status", "said", "told"), REFUSALS)
def test_without_a_download_the_pods_are_made_after_a_while(status: int, said: str, told: str) -> None:
    world, key = downloads(status, said)
    loops(world, key, REFUSED_RETRY_SECONDS + 2 * PROGRESS_SECONDS)
    assert world.children("Deployment") == []
    assert world.reason() == "Downloading"
    assert "its Job starts (refused so far: " in world.message("Ready")
    assert told in world.message("Ready")
    assert "Stalled" not in types(world)
    loops(world, key, START_SECONDS)
    assert world.children("Deployment") == ["llama"]
    world.pod(status={**READY, "podIP": "10.0.0.1"})
    loops(world, key, PROGRESS_SECONDS)
    assert world.reason() == "Available"
    assert loops(world, key, 10 * REFUSED_RETRY_SECONDS) == 0, "nothing waits for it any more"


def test_a_refused_download_that_is_allowed_in_time_comes_before_the_pods() -> None:
    world, key = downloads()
    loops(world, key, START_SECONDS / 2)
    assert isinstance(world.api, WithoutJobs)
    world.api.word = ""
    loops(world, key, REFUSED_RETRY_SECONDS)
    world.downloads({"containerStatuses": [{"name": "download", "state": {"running": {}}}]})
    loops(world, key, 2 * START_SECONDS)
    assert world.children("Deployment") == []
    world.downloads({"phase": "Succeeded"})
    world.reconcile(key)
    assert world.children("Deployment") == ["llama"]


def test_a_download_is_not_late_before_it_was_wanted() -> None:
    world = without("-download-")
    key = world.service(cache={"claim": {"storage": "10Gi"}}, suspend=True)
    world.reconcile(key)
    world.inspected(commit=COMMIT)
    loops(world, key, 2 * START_SECONDS)
    world.service(cache={"claim": {"storage": "10Gi"}}, env=[{"name": "VLLM_LOGGING_LEVEL", "value": "WARNING"}])
    world.reconcile(key)
    loops(world, key, START_SECONDS / 2)
    deployment = world.api.objects[path("Deployment", NAMESPACE, "llama")]
    assert "WARNING" not in str(deployment["spec"]["template"])
    loops(world, key, START_SECONDS)
    assert "WARNING" in str(world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"])


def test_a_watch_that_lags_does_not_ask_for_the_download_again() -> None:
    world, key = downloads()
    loops(world, key, REFUSED_RETRY_SECONDS)
    world.clock.now += START_SECONDS
    world.reconcile(key, watched=False)
    assert world.children("Deployment") == ["llama"]
    world.reconcile(key, watched=False)
    assert world.writes() == []
