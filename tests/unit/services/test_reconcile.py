"""The loop over one service, in milliseconds: what it asks of the API server, when it writes, when it comes back."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from support.fake_api import FakeApi, refusal
from support.services import service
from support.world import CONFIG, LARGE, NAMESPACE, World, serving
from vllm_operator.cli.render import service_of
from vllm_operator.cluster import UnavailableError, path
from vllm_operator.inspection.cache import SizedCache
from vllm_operator.inspection.report import Facts, encode
from vllm_operator.loop.write import PROGRESS_SECONDS, SETTLE_SECONDS
from vllm_operator.manifests import Rendered, controller_revision, pod_template
from vllm_operator.manifests.names import REVISION_LABEL
from vllm_operator.readers.logs import LogReader
from vllm_operator.services import reconcile
from vllm_operator.services.claims import CLAIMS_SECONDS
from vllm_operator.services.first_status import FIRST_STATUS_SECONDS, GIVE_WAY_SECONDS
from vllm_operator.services.rules import PREDECESSOR_SECONDS, REFUSED_RETRY_SECONDS
from vllm_operator.snapshots import owned


def test_a_new_service_gets_its_children_without_a_read_and_no_pods_before_the_inspection() -> None:
    world = World()
    again = world.reconcile(world.service())
    assert [verb for verb, _ in world.api.requests] == ["patch"] * 2
    assert world.children("Service") == ["llama"]
    assert len(world.children("Job")) == 1
    assert not world.children("Deployment")
    assert again == FIRST_STATUS_SECONDS


def test_an_inspected_service_gets_its_pods_and_keeps_their_template() -> None:
    world, _ = serving()
    assert world.children("Deployment") == ["llama"]
    assert len(world.children("ControllerRevision")) == 2, "the template, and what is known of the model"
    assert not world.children("Job"), "the model is known: the Job is deleted"
    assert world.reason() == "Starting"


def test_a_second_look_writes_nothing() -> None:
    world, key = serving()
    world.reconcile(key)
    assert world.reconcile(key) is None
    assert world.api.requests == []


def test_a_restarted_operator_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # Objects of other tests have the same uids.
    monkeypatch.setattr(owned, "_CONTENTS", SizedCache[str](1 << 20))
    world, key = serving()
    world.reconcile(key)
    after = World()
    after.api.objects = world.api.objects
    after.clock.now = 5.0
    after.watch()
    for _ in range(2):
        after.reconcile(key)
        assert after.writes() == []


def test_the_first_status_waits_for_the_deployment_controller_for_some_seconds() -> None:
    world = World()
    key = world.service()
    assert world.reconcile(key) == FIRST_STATUS_SECONDS
    assert world.status() == {}
    world.clock.now += FIRST_STATUS_SECONDS
    world.reconcile(key)
    assert world.reason("Fits") == "Inspecting"


def test_a_plan_that_does_not_fit_is_told_at_once_and_keeps_pods_away() -> None:
    world = World()
    key = world.service()
    world.reconcile(key)
    world.inspected(config=LARGE)
    world.reconcile(key)
    assert not world.children("Deployment")
    assert world.reason("WorkloadAvailable") == "Withheld"


def test_a_spec_that_no_longer_fits_takes_no_pod_away() -> None:
    world, key = serving()
    before = world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]
    world.service(kvCache={"memoryPerGPU": "2Ti"})
    world.reconcile(key)
    assert world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"] == before


def test_the_watch_that_lags_makes_nothing_twice() -> None:
    world = World()
    key = world.service()
    world.reconcile(key, watched=False)
    world.reconcile(key, watched=False)
    assert world.writes() == []


def test_what_was_seen_and_is_gone_is_made_again() -> None:
    world, key = serving()
    world.api.objects.pop(path("Service", NAMESPACE, "llama"))
    world.watch()
    world.reconcile(key)
    assert world.writes() == ["patch services/llama"]


def test_what_somebody_edited_is_applied_again_and_nothing_else() -> None:
    world, key = serving()
    world.api.edit(path("Service", NAMESPACE, "llama"))
    world.watch()
    world.reconcile(key)
    assert world.writes() == ["patch services/llama"]


def test_a_kept_template_is_put_back_as_it_was() -> None:
    world, key = serving()
    name = next(one for one in world.children("ControllerRevision") if "-model-" not in one)
    url = path("ControllerRevision", NAMESPACE, name)
    kept = world.api.objects[url]["data"]
    world.api.edit(url)
    world.watch()
    world.reconcile(key)
    assert world.writes() == [f"patch controllerrevisions/{name}"], "somebody edited its metadata"
    world.reconcile(key)
    assert world.writes() == []
    world.api.objects.pop(url)
    world.watch()
    world.reconcile(key)
    assert world.writes() == [f"patch controllerrevisions/{name}"], "somebody deleted it"
    assert world.api.objects[url]["data"] == kept


def test_a_status_that_somebody_has_spoilt_is_written_anew() -> None:
    world, key = serving()
    world.reconcile(key)
    before = world.status()
    url = path("InferenceService", NAMESPACE, "llama")
    world.api.objects[url]["status"] = {**before, "replicas": "many", "conditions": [7, *before["conditions"][1:]]}
    world.watch()
    world.reconcile(key)
    assert world.status()["replicas"] == before["replicas"]
    assert world.reason() == "Starting"


def test_an_object_of_somebody_else_is_never_adopted() -> None:
    world = World()
    url = path("Service", NAMESPACE, "llama")
    world.api.put(url, {"kind": "Service", "metadata": {"name": "llama", "namespace": NAMESPACE}, "spec": {"own": 1}})
    again = world.reconcile(world.service())
    assert world.api.objects[url]["spec"] == {"own": 1}
    assert world.reason() == "NameTaken"
    assert again == REFUSED_RETRY_SECONDS


def test_what_the_api_server_refuses_becomes_a_condition_and_is_tried_again_later() -> None:
    world = World()
    key = world.service()
    world.api.refuse["patch", path("Service", NAMESPACE, "llama")] = refusal(403, "exceeded quota")
    assert world.reconcile(key) == REFUSED_RETRY_SECONDS
    assert world.reason() == "Refused"


@pytest.mark.parametrize(
    ("status", "said", "reason"),
    [
        (403, 'deployments.apps "llama" is forbidden: exceeded quota: q, requested: count/deployments.apps=1, used: '
         "count/deployments.apps=1, limited: count/deployments.apps=1", "QuotaExceeded"),
        (500, 'Internal error occurred: failed calling webhook "w": context deadline exceeded', "AdmissionFailed"),
        (503, 'admission webhook "w" denied the request: come back later', "AdmissionFailed"),
    ],
)  # fmt: skip
def test_what_may_pass_is_told_and_does_not_stall(status: int, said: str, reason: str) -> None:
    world = World()
    key = world.service()
    url = path("Service", NAMESPACE, "llama")
    world.api.refuse["patch", url] = refusal(status, said)
    assert world.reconcile(key) == REFUSED_RETRY_SECONDS
    types = {entry["type"]: entry["reason"] for entry in world.status()["conditions"]}
    assert types["Ready"] == reason
    assert ("Stalled" in types, types["Reconciling"]) == (False, "Progressing")
    del world.api.refuse["patch", url]
    world.reconcile(key)
    assert world.reason() != reason


def test_claims_that_the_cluster_does_not_know_are_told_and_nothing_is_made() -> None:
    world = World()
    world.reconcile(world.service(accelerator={"deviceClass": "gpu.example.com"}))
    assert world.reason("SpecValid") == "DeviceClaimsUnserved"
    assert "Kubernetes 1.34 or newer" in world.message("SpecValid")
    assert world.children("Deployment") == []


def test_an_api_server_that_cannot_now_is_raised_for_the_queue() -> None:
    world = World()
    key = world.service()
    world.api.refuse["patch", path("Service", NAMESPACE, "llama")] = refusal(503, "busy", {"Retry-After": "7"})
    with pytest.raises(UnavailableError) as raised:
        world.reconcile(key)
    assert raised.value.retry_after == 7


@pytest.mark.parametrize("watched", [True, False])
def test_children_of_a_deleted_service_of_this_name_are_waited_for_and_told(*, watched: bool) -> None:
    cache = {"claim": {"storage": "10Gi", "retain": False}}
    world, key = serving(cache=cache)
    url = path("InferenceService", NAMESPACE, "llama")
    world.api.objects.pop(url)
    world.service(cache=cache)
    world.api.objects[url]["metadata"]["uid"] = "uid-of-another"
    claim = path("PersistentVolumeClaim", NAMESPACE, "llama-cache")  # a pod that drains still has it mounted
    for one in [one for one in world.api.objects if one not in (url, claim)]:
        world.api.objects.pop(one)
    world.watch()
    if not watched:
        world.indices["children"] = {}
    assert world.reconcile(key) == PREDECESSOR_SECONDS
    assert world.reason() == "Starting"
    told = "PersistentVolumeClaim llama-cache belongs to a deleted service of this name and is not gone yet"
    assert world.message("Ready") == told
    assert world.reason("Reconciling") == "Progressing"
    assert world.status()["observedGeneration"] == world.api.objects[url]["metadata"]["generation"]
    assert "post events" in world.writes()
    for _ in range(5):
        world.clock.now += PREDECESSOR_SECONDS
        assert world.reconcile(key) == PREDECESSOR_SECONDS
        assert world.writes() == []
    world.api.objects.pop(claim)
    world.watch()
    world.reconcile(key)
    assert world.children("Service") == world.children("Deployment") == ["llama"], "what the first one found is fresh"
    world.clock.now += PROGRESS_SECONDS
    world.reconcile(key)
    assert "not gone yet" not in world.message("Ready")


def test_a_message_that_only_tells_progress_settles_and_waits() -> None:
    world, key = serving()
    world.pod()
    assert world.reconcile(key) == max(PROGRESS_SECONDS, SETTLE_SECONDS)
    assert world.writes() == []
    world.clock.now += PROGRESS_SECONDS
    world.reconcile(key)
    assert world.writes() == ["patch inferenceservices/llama/status"]


def test_a_wrong_spec_writes_the_status_and_touches_no_child() -> None:
    world, key = serving()
    world.service(image="elsewhere/vllm:1")
    world.reconcile(key)
    assert world.writes() == ["patch inferenceservices/llama/status", "post events"]
    assert world.reason() == "ImageNotAllowed"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": {"uri": "hf://a/b", "trustRemoteCode": True}}, "RemoteCodeNotAllowed"),
        ({"pod": {"priorityClassName": "system-node-critical"}}, "PriorityClassNotAllowed"),
        ({"pod": {"labels": {"app": "payments"}}}, "PodLabelNotAllowed"),
        ({"env": [{"name": "Https_proxy", "value": "http://mine"}]}, "Invalid"),
    ],
)
def test_what_the_platform_does_not_allow_is_told_and_a_running_service_keeps_its_pods(
    change: dict[str, Any], reason: str
) -> None:
    world, key = serving()
    before = world.children("Deployment")
    world.service(**change)
    world.reconcile(key)
    assert world.writes() == ["patch inferenceservices/llama/status", "post events"]
    assert world.reason() == reason
    assert world.children("Deployment") == before == ["llama"]


def test_a_claim_without_the_labels_is_refused_until_it_has_them() -> None:
    world = World(inspects=False, allowed_claims={"llm": "yes"})
    claim: dict[str, Any] = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models", "namespace": NAMESPACE, "labels": {}},
        "spec": {"resources": {"requests": {"storage": "1Gi"}}, "accessModes": ["ReadOnlyMany"]},
    }
    key = world.service(model={"uri": "pvc://models/one"})
    again = world.reconcile(key)
    assert "claim models, which does not exist, is not allowed" in world.message("Ready")
    assert world.children("Deployment") == []
    assert again == CLAIMS_SECONDS
    world.api.put(path("PersistentVolumeClaim", NAMESPACE, "models"), claim)
    world.clock.now += CLAIMS_SECONDS
    world.reconcile(key)
    assert world.reason() == "ClaimNotAllowed"
    assert world.children("Deployment") == []
    world.api.objects[path("PersistentVolumeClaim", NAMESPACE, "models")]["metadata"]["labels"] = {"llm": "yes"}
    world.clock.now += CLAIMS_SECONDS
    world.reconcile(key)
    assert world.children("Deployment") == ["llama"]


def test_claims_of_a_service_that_is_refused_for_something_else_are_not_looked_at() -> None:
    world = World(inspects=False, allowed_claims={"llm": "yes"}, allowed_images=("mine/*",))
    key = world.service(model={"uri": "pvc://models/one"})
    assert world.reconcile(key) == CLAIMS_SECONDS
    world.service(model={"uri": "pvc://models/one"}, image="others/vllm:1")
    for _ in range(3):
        world.clock.now += 2 * CLAIMS_SECONDS
        again = world.reconcile(key)
    assert world.reason() == "ImageNotAllowed"
    assert again is None or again >= 1


def test_first_statuses_give_way_to_services_that_come_in_and_pods_do_not() -> None:
    world = World(inspects=False)
    first, second = world.service("first"), world.service("second")

    async def both() -> list[float | None]:
        return await asyncio.gather(*map(world.reconciler.reconcile, (first, second)))

    assert asyncio.run(both()) == [GIVE_WAY_SECONDS, FIRST_STATUS_SECONDS]
    assert world.children("Deployment") == ["first", "second"]


def test_a_service_that_is_gone_is_forgotten() -> None:
    world, key = serving()
    world.api.objects.pop(path("InferenceService", NAMESPACE, "llama"))
    world.watch()
    assert world.reconcile(key) is None
    assert world.api.requests == []


def test_what_is_known_of_the_model_is_kept_and_the_status_tells_people() -> None:
    world, _ = serving()
    (name,) = [name for name in world.children("ControllerRevision") if "-model-" in name]
    kept = world.api.objects[path("ControllerRevision", NAMESPACE, name)]
    assert kept["data"]["model"]["config"] == CONFIG
    assert world.status()["model"] == {"inspected": name.rpartition("-")[2], "architecture": "LlamaForCausalLM"}


def test_a_restarted_operator_knows_the_model_from_what_is_kept() -> None:
    world, key = serving()
    after = World()
    after.api.objects = world.api.objects
    after.watch()
    after.reconcile(key)
    assert not after.children("Job")
    assert after.reason("Fits") == "Fits"


def test_what_is_kept_of_the_model_and_deleted_by_hand_is_inspected_anew_and_rolls_nothing() -> None:
    world, key = serving()
    (name,) = [name for name in world.children("ControllerRevision") if "-model-" in name]
    template = world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"]
    world.api.objects.pop(path("ControllerRevision", NAMESPACE, name))
    world.pods_of_jobs_go()
    world.reconcile(key)
    (job,) = world.children("Job")
    assert world.writes()[0] == f"patch jobs/{job}"
    assert "model" in world.status(), "it is what it was until that is known"
    world.inspected()
    world.reconcile(key)
    assert name in world.children("ControllerRevision")
    assert not world.children("Job")
    assert world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"] == template


def test_another_model_is_inspected_and_what_was_kept_of_the_first_goes() -> None:
    world, key = serving()
    world.service(model={"uri": "hf://a/other"})
    world.reconcile(key)
    assert not [name for name in world.children("ControllerRevision") if "-model-" in name]
    world.inspected()
    world.reconcile(key)
    assert len([name for name in world.children("ControllerRevision") if "-model-" in name]) == 1


def test_a_report_in_the_status_of_the_first_versions_is_taken_over_with_one_write() -> None:
    world, key = serving()
    (name,) = [name for name in world.children("ControllerRevision") if "-model-" in name]
    kept = world.api.objects.pop(path("ControllerRevision", NAMESPACE, name))
    old = {"inspected": name.rpartition("-")[2], "report": encode(Facts(CONFIG))}
    world.status()["model"] = old
    after = World()
    after.api.objects = world.api.objects
    after.clock.now = 50.0
    after.watch()
    template = world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"]
    statuses = []
    for _ in range(4):
        after.reconcile(key)
        statuses += [write for write in after.writes() if write.endswith("/status")]
        assert not after.children("Job")
        after.clock.now += PROGRESS_SECONDS
    assert len(statuses) == 1
    assert "report" not in after.status()["model"]
    assert after.api.objects[path("ControllerRevision", NAMESPACE, name)]["data"] == kept["data"]
    assert after.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"] == template


def test_what_was_found_stands_while_the_watch_lags_behind_its_keeping() -> None:
    world = World()
    key = world.service()
    world.reconcile(key)
    world.inspected()
    world.reconcile(key, watched=False)
    world.indices["inspections_by_key"] = {}  # the pod goes with its Job
    world.reconcile(key, watched=False)
    assert [write for write in world.writes() if "revisions/" in write or "patch jobs/" in write] == []
    assert not world.children("Job")


STATUS = path("InferenceService", NAMESPACE, "llama", "status")


class PickyApi(FakeApi):
    """Refuses a status that has one of these values."""

    picky: tuple[str, ...] = ()

    async def request(self, verb: str, url: str, **options: Any) -> Any:
        """As the API server in memory, and pickier."""
        if url == STATUS and set(self.picky) & set(options["body"]["status"]):
            self.requests.append((verb, url))
            raise refusal(422, "status.selector: Invalid value")
        return await super().request(verb, url, **options)


def test_a_status_that_the_api_server_refuses_is_written_in_outline_and_says_so() -> None:
    world = World(api=PickyApi())
    key = world.service()
    assert isinstance(world.api, PickyApi)
    world.api.picky = ("selector",)
    world.clock.now += FIRST_STATUS_SECONDS
    world.reconcile(key)
    world.clock.now += FIRST_STATUS_SECONDS
    world.reconcile(key)
    assert set(world.status()) == {"observedGeneration", "conditions"}
    assert world.reason("Incomplete") == "PartUnreadable"
    assert "status.selector: Invalid value" in world.message("Incomplete")
    assert world.reason()
    world.clock.now += PROGRESS_SECONDS
    world.reconcile(key)
    assert world.writes() == ["patch inferenceservices/llama/status"], "it is tried, and not written a second time"
    world.api.picky = ()
    world.clock.now += PROGRESS_SECONDS
    world.reconcile(key)
    assert "selector" in world.status()


@pytest.mark.parametrize("error", [TypeError, RecursionError, KeyError])
def test_a_fault_of_the_operator_itself_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fails(*_: object) -> None:
        raise error

    world, key = serving()
    monkeypatch.setattr(reconcile, "plan_changes", fails)
    assert world.reconcile(key) == REFUSED_RETRY_SECONDS
    assert world.reason("WorkloadAvailable") == "OperatorFailed"
    assert f"the operator fails at this service ({error.__name__})" in world.message("WorkloadAvailable")
    assert world.reason("SpecValid") == "Valid"


def test_a_reader_that_fails_costs_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise TypeError

    world, key = serving()
    monkeypatch.setattr(LogReader, "fill", fails)
    world.reconcile(key)
    assert world.reason("Incomplete") == "PartUnreadable"
    assert "LogReader" in world.message("Incomplete")
    assert world.reason() == "Starting"


def test_a_kept_template_that_somebody_has_spoilt_is_told_and_rendered_anew() -> None:
    world, key = serving()
    before = {}
    for name in world.children("ControllerRevision"):
        url = path("ControllerRevision", NAMESPACE, name)
        before[url] = world.api.objects[url]["data"]
        world.api.objects[url]["data"] = {"template": {"spec": "spoilt"}}
    world.watch()
    world.reconcile(key)
    assert world.writes().count("patch inferenceservices/llama/status") <= 1
    world.clock.now += PROGRESS_SECONDS
    world.reconcile(key)
    assert {url: world.api.objects[url]["data"] for url in before} == before
    world.clock.now += PROGRESS_SECONDS
    world.reconcile(key)
    assert "Incomplete" not in {entry["type"] for entry in world.status()["conditions"]}


def test_an_odd_status_is_read_as_far_as_it_is_one() -> None:
    world, key = serving()
    world.api.objects[path("InferenceService", NAMESPACE, "llama")]["status"] = {
        "conditions": [{"type": "Fits"}, 7, {"type": "Outdated", "status": "True"}],
        "model": [],
        "engine": "x",
        "wantedReplicas": "many",
    }
    world.watch()
    world.clock.now += PROGRESS_SECONDS
    world.reconcile(key)
    assert world.reason()


def test_after_a_restart_one_that_was_edited_meanwhile_comes_first() -> None:
    world, key = serving()
    others = [world.service(name) for name in ("a", "b")]
    others_first = dict(sorted(world.api.objects.items(), key=lambda one: one[1]["metadata"]["name"] == key.name))
    world.api.objects = others_first
    world.begin()
    assert world.reconciler.known()[1:] == [*others, key]
    world.service(maxModelLen=1024)
    world.begin()
    assert world.reconciler.known()[1:] == [key, *others]


def test_nothing_is_decided_while_the_api_server_does_not_tell_what_the_devices_are() -> None:
    """A model that does not fit its class of devices gets no pods because one read failed."""
    world = World()
    world.served = frozenset({"ResourceClaimTemplate"})
    key = world.service(accelerator={"deviceClass": "gpus"}, planPolicy="Enforce")
    rule = {"cel": {"expression": "device.driver == 'gpu.example.com'"}}
    where = path("DeviceClass", "", "gpus")
    world.api.put(where, {"kind": "DeviceClass", "metadata": {"name": "gpus"}, "spec": {"selectors": [rule]}})
    world.api.refuse["get", where] = refusal(503, "etcd has no leader")
    with pytest.raises(UnavailableError):
        world.reconcile(key)
    assert world.writes() == []
    del world.api.refuse["get", where]
    world.reconcile(key)
    assert world.writes()


def test_a_spec_that_is_larger_than_any_is_told_and_not_kept() -> None:
    world = World()
    trigger = {"type": "cron", "metadata": {f"k{number}": "x" * 4096 for number in range(32)}}
    key = world.service(autoscaling={"maxReplicas": 2, "triggers": [trigger] * 8})
    world.reconcile(key)
    assert world.reason("SpecValid") == "Invalid"
    assert "spec: it has 1," in world.message("SpecValid")
    assert "bytes, of 131,072 at most" in world.message("SpecValid")
    assert len(str(world.indices)) < 50_000


def test_a_template_that_somebody_forged_for_a_spec_to_come_is_not_applied() -> None:
    """He keeps it under the name that the next spec's rendering will have, and edits the spec."""
    world = World(inspects=False)
    key = world.service()
    world.reconcile(key)
    spec = {"model": {"uri": "hf://a/b"}, "accelerator": {"product": "NVIDIA-L4"}, "maxModelLen": 64}
    owner = replace(service_of(service("llama", **spec)), uid=f"uid-{key.name}", namespace=NAMESPACE)
    template = pod_template(owner, world.settings)
    template["spec"]["containers"][0]["args"][0] = "evil/backdoor"
    forged = controller_revision(owner, 2, Rendered(template))
    world.api.put(path("ControllerRevision", NAMESPACE, forged["metadata"]["name"]), forged)
    world.service(maxModelLen=64)
    world.begin()
    for _ in range(3):
        world.reconcile(key)
    (deployed,) = (body for url, body in world.api.objects.items() if "/deployments/" in url)
    labels = deployed["spec"]["template"]["metadata"]["labels"]
    assert labels[REVISION_LABEL] == owner.revision
    assert deployed["spec"]["template"]["spec"]["containers"][0]["args"][0] == "a/b"
