"""What is told while the inspect Job has said nothing: that it is refused, or why its pod waits."""

import asyncio
from dataclasses import replace
from functools import partial

from support.clock import Clock
from support.snapshots import service
from vllm_operator.again import soonest
from vllm_operator.api.reasons import Reason
from vllm_operator.api.resource import InferenceService
from vllm_operator.assess.fits import Inspection
from vllm_operator.manifests import inspection_name
from vllm_operator.manifests.metadata import Manifest
from vllm_operator.readers.inspection import PATIENCE_SECONDS, InspectionReader
from vllm_operator.readers.said import Events
from vllm_operator.readers.together import Together
from vllm_operator.settings import Images, Settings
from vllm_operator.snapshots.child import Child
from vllm_operator.snapshots.inspection_pod import InspectionPod, snapshot
from vllm_operator.snapshots.pod_event import PodEvent
from vllm_operator.status.evidence import Evidence
from vllm_operator.turns.few import Few

OWNER = service()
JOB = Child("Job", inspection_name(OWNER), "uid", 1, "", uid="job-uid")
QUOTA = 'pods "x" is forbidden: exceeded quota: q, requested: cpu=1, used: cpu=2, limited: cpu=2'


class Bench:
    """A reader whose Events and clock the test decides."""

    def __init__(self, said: str, reason: str = "FailedCreate") -> None:
        self.clock, self.said, self.reason, self.asked = Clock(), said, reason, list[str]()
        together = Together(Settings(images=Images(operator="operator:1")), lambda _: None, self.clock)
        events = Events(self._events, partial(Few(1).do, "team-a"), lambda: None)
        self.reader = InspectionReader(self._claim, events, self.clock, together)

    async def _claim(self, _: str) -> Manifest | None:
        return None

    async def _events(self, about: str) -> tuple[PodEvent, ...]:
        self.asked.append(about)
        return (PodEvent(self.reason, self.said, "2026-11-28T00:00:00Z"),) if self.said else ()

    def look(self, pod: InspectionPod | None = None, owner: InferenceService = OWNER) -> Inspection:
        """A look at a service whose Job is there, and one after what was read meanwhile."""
        evidence = Evidence(owner, live={("Job", JOB.name): JOB}, inspection_pod=pod)

        async def look() -> Inspection:
            await self.reader.read(evidence)
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
            return (await self.reader.read(evidence)).inspection

        return asyncio.run(look())


def test_a_refusal_that_lasts_is_told_at_once_in_the_api_servers_words() -> None:
    bench = Bench('pods "x" is forbidden: maximum cpu usage per Container is 500m, but limit is 1')
    assert bench.look().pending
    assert bench.asked == []
    again = soonest(bench.reader.waits())
    assert again
    assert again.seconds <= 4
    bench.clock.now += again.seconds
    found = bench.look()
    assert bench.asked == ["involvedObject.uid=job-uid"]
    assert found.error
    assert found.error.reason is Reason.NOT_INSPECTED
    assert str(found.error).startswith("the pod of the inspect Job is refused: pods ")
    assert "maximum cpu usage per Container is 500m" in str(found.error)


def test_a_refusal_that_may_pass_is_waited_for_and_then_told() -> None:
    bench = Bench(QUOTA)
    bench.look()
    bench.clock.now += 4
    assert bench.look().pending
    bench.clock.now += PATIENCE_SECONDS
    assert "exceeded quota" in str(bench.look().error)
    pod = InspectionPod(OWNER.inspected, ended=False, message="", waits="", owner="job-uid")
    assert "exceeded" not in str(bench.look(pod).error), "its pod is there by now"


def test_a_job_that_a_queue_holds_is_told_in_the_queues_words() -> None:
    bench = Bench("insufficient unused quota for cpu", reason="Pending")
    owner = service(pod={"labels": {"kueue.x-k8s.io/queue-name": "team"}})
    bench.look(owner=owner)
    bench.clock.now += 4
    assert bench.look(owner=owner).pending
    assert bench.asked[1].startswith(f"involvedObject.kind=Workload,involvedObject.name=job-{JOB.name}-")
    bench.clock.now += PATIENCE_SECONDS
    words = "as the inspect Job waits in its queue: insufficient unused quota for cpu"
    assert str(bench.look(owner=owner).error).endswith(words)


def test_why_a_pod_waits_is_told() -> None:
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes fit"}]
    body = {"metadata": {"labels": {"l": OWNER.inspected}}, "status": {"phase": "Pending", "conditions": conditions}}
    pod = snapshot(body, "l")
    assert pod
    bench = Bench("")
    assert bench.look(pod).pending
    bench.clock.now += PATIENCE_SECONDS
    assert str(bench.look(pod).error).endswith("within 120 s, as its pod waits: 0/3 nodes fit")
    waiting = {"name": "inspect", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "back-off pulling"}}}
    pulling = snapshot({**body, "status": {"phase": "Pending", "containerStatuses": [waiting]}}, "l")
    assert pulling
    assert pulling.waits == "back-off pulling"
    assert replace(pulling, waits="", reason="") == snapshot({**body, "status": {"phase": "Pending"}}, "l")


def test_an_image_that_is_never_pulled_is_told_at_once_and_forgotten_once_it_is() -> None:
    image = "registry.example.com/llama:none"
    owner = service(model={"uri": f"oci://{image}"})
    said = f'failed to resolve reference "{image}": not found'
    waits = InspectionPod(owner.inspected, False, "", said, "job-uid", "ErrImagePull", "node")
    bench = Bench("")
    found = bench.look(waits, owner)
    assert found.error
    assert found.error.reason is Reason.IMAGE_PULL_FAILED
    assert str(found.error).startswith(f"the model's image {image} cannot be pulled: it does not exist")
    assert bench.look(replace(waits, waits="", reason=""), owner).pending


def test_other_pull_secrets_are_another_inspection_of_an_image_and_no_other() -> None:
    secrets = {"imagePullSecrets": [{"name": "registry"}]}
    for uri, same in (("oci://registry.example.com/llama:1", False), ("hf://org/name", True)):
        without, given = service(model={"uri": uri}), service(model={"uri": uri}, pod=secrets)
        assert (without.inspected == given.inspected) is same
