"""Nobody is believed by labels alone: pods that others forge do not count, are not read, and tell of no model."""

import copy
from typing import Any

import pytest

from support.kube import Object
from support.world import CONFIG, NAMESPACE, World, serving
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.inspection.report import Facts, encode
from vllm_operator.manifests.hardening import VERSION_ANNOTATION
from vllm_operator.manifests.names import MIDDLEWARE_ANNOTATION, SERVICE_UID_LABEL
from vllm_operator.services.kind import SOURCES
from vllm_operator.services.view import View

READY: Object = {"podIP": "10.244.0.7", "conditions": [{"type": "Ready", "status": "True"}]}
FORGED: dict[str, list[Object] | None] = {
    "no owner": None,
    "the service itself": [{"uid": "uid-llama", "controller": True}],
    "an owner that does not control": [{"uid": f"uid-of-{path('ReplicaSet', NAMESPACE, 'llama-5d8')}"}],
    "an owner that is not there": [{"uid": "guessed", "controller": True}],
    "the Deployment": [{"uid": f"uid-of-{path('Deployment', NAMESPACE, 'llama')}", "controller": True}],
}


def names(world: World, key: Key) -> list[str]:
    return [pod.name for pod in View(world.indices).pods(key)]


@pytest.mark.parametrize("owners", FORGED.values(), ids=FORGED.keys())
def test_a_forged_pod_is_not_counted(owners: list[Object] | None) -> None:
    world, key = serving()
    real = world.pod(status=READY)
    body = world.api.objects[real]
    meta = {**body["metadata"], "name": "forged", "uid": "f", "ownerReferences": owners}
    world.api.objects[path("Pod", NAMESPACE, "forged")] = {**body, "metadata": meta}
    world.watch()
    world.reconcile(key)
    assert names(world, key) == ["llama-1"]
    assert [(key, pod.name) for key, pod in View(world.indices).all_pods()] == [(key, "llama-1")]
    assert world.message("WorkloadAvailable") == "1 of 1 pods serve"


def test_a_pod_counts_once_its_replica_set_is_seen_and_that_event_brings_the_service_back() -> None:
    world, key = serving()
    world.pod(status=READY)
    url = path("ReplicaSet", NAMESPACE, "llama-5d8")
    replica_set = world.api.objects.pop(url)
    world.watch()
    assert names(world, key) == []
    world.api.objects[url] = replica_set
    world.watch()
    assert names(world, key) == ["llama-1"]
    (source,) = [source for source in SOURCES if source.resource.plural == "replicasets"]
    assert [item.key for item in source.concerns(replica_set, world.indices)] == [key]


def test_pods_that_end_hold_their_gpus_after_their_owners_are_gone() -> None:
    world, key = serving()
    url = world.pod(status=READY)
    world.api.objects[url]["metadata"]["deletionTimestamp"] = "2026-11-27T12:00:00Z"
    for kind, name in (("ReplicaSet", "llama-5d8"), ("Deployment", "llama"), ("InferenceService", "llama")):
        world.api.objects.pop(path(kind, NAMESPACE, name))
    world.watch()
    assert names(world, key) == []
    assert [pod.name for _, pod in View(world.indices).all_pods()] == ["llama-1"]


@pytest.mark.parametrize("owner", [None, f"uid-of-{path('Deployment', NAMESPACE, 'llama')}"])
def test_a_forged_report_is_not_taken(owner: str | None) -> None:
    world = World()
    key = world.service()
    world.reconcile(key)
    world.inspected()
    (url,) = [url for url in world.api.objects if "/pods/" in url]
    forged: dict[str, Any] = world.api.objects[url]
    forged["status"]["containerStatuses"][0]["state"]["terminated"]["message"] = encode(Facts(CONFIG, commit="f" * 40))
    forged["metadata"]["ownerReferences"] = [{"uid": owner, "controller": True}] if owner else []
    world.watch()
    world.reconcile(key)
    assert "commit" not in world.status().get("model", {})
    assert world.children("ControllerRevision") == []
    world.inspected()
    world.reconcile(key)
    assert len(world.children("ControllerRevision")) == 2


def selector(world: World) -> Object:
    found: Object = world.api.objects[path("Service", NAMESPACE, "llama")]["spec"]["selector"]
    return found


def test_a_service_of_an_earlier_version_selects_by_uid_once_its_pods_have_rolled() -> None:
    world, key = serving()
    assert selector(world)[SERVICE_UID_LABEL] == "uid-llama"
    for url, body in world.api.objects.items():  # as that version left it
        if "/controllerrevisions/" in url and "template" in body["data"]:
            del body["data"]["template"]["metadata"]["labels"][SERVICE_UID_LABEL]
    world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"]["metadata"]["labels"].pop(
        SERVICE_UID_LABEL
    )
    del selector(world)[SERVICE_UID_LABEL]
    old = world.pod("old", status=READY)
    world.begin()
    world.reconcile(key)
    assert SERVICE_UID_LABEL not in selector(world)
    world.service(maxModelLen=64)
    world.reconcile(key)
    world.pod("new", status=READY)
    world.reconcile(key)
    assert [pod.service_uid for pod in View(world.indices).pods(key)] == ["uid-llama", ""]
    assert SERVICE_UID_LABEL not in selector(world)
    del world.api.objects[old]
    world.watch()
    world.reconcile(key)
    assert selector(world)[SERVICE_UID_LABEL] == "uid-llama"
    world.service()  # back to what the kept template of that version has
    world.reconcile(key)
    written = [write for write in world.writes() if "services/llama" in write or "deployments/" in write]
    assert written[:2] == ["patch services/llama", "patch deployments/llama"]
    assert SERVICE_UID_LABEL not in selector(world)


def template_of(world: World) -> Object:
    """What the ControllerRevision of the current spec keeps."""
    (url,) = [url for url in kept(world) if "template" in world.api.objects[url]["data"]]
    found: Object = world.api.objects[url]["data"]["template"]
    return found


def kept(world: World) -> list[str]:
    return [url for url in world.api.objects if "/controllerrevisions/" in url]


def roll(world: World, key: Key, **spec: Any) -> None:
    """What the messages say to do."""
    world.service(rollout={"restartedAt": "2026-11-27T12:00:00Z"}, **spec)
    world.reconcile(key)
    world.inspected()
    for _ in range(3):
        world.clock.now += 60
        world.reconcile(key)


def forge(template: Object) -> None:
    """Somebody puts a volume into a kept template, which takes a ControllerRevision in the place of ours."""
    template["spec"]["volumes"].append({"name": "node", "hostPath": {"path": "/"}})


def test_a_forged_template_of_what_is_deployed_is_not_applied_and_what_runs_stays() -> None:
    world, key = serving(replicas=2)
    deployment = path("Deployment", NAMESPACE, "llama")
    forge(copied := copy.deepcopy(template_of(world)))
    template_of(world)["spec"] = copied["spec"]
    before = copy.deepcopy(world.api.objects[deployment]["spec"])
    world.api.edit(deployment)
    world.begin()
    world.clock.now += 60
    world.reconcile(key)
    assert world.api.objects[deployment]["spec"] == before
    assert world.reason() == "TemplateNotAllowed"
    assert "keeps must not be applied: its volume node is of a kind" in world.message("Ready")
    assert "the pods stay as they are, and rollout.restartedAt" in world.message("Ready")
    assert world.children("PodDisruptionBudget") == ["llama"]
    roll(world, key, replicas=2)
    assert world.reason() != "TemplateNotAllowed"
    assert "hostPath" not in str(world.api.objects[deployment])


def test_what_others_add_to_a_workload_of_an_earlier_version_keeps_nobody_from_scaling_it() -> None:
    world, key = serving()
    template_of(world)["metadata"]["annotations"][MIDDLEWARE_ANNOTATION] = "of the version before"
    deployed = world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]
    deployed["template"] = copy.deepcopy(template_of(world))
    deployed["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = "2026-11-27T12:00:00Z"
    world.begin()
    world.service(replicas=3)
    world.reconcile(key)
    assert world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["replicas"] == 3
    assert world.reason() != "TemplateNotAllowed"
    world.service(suspend=True)
    world.reconcile(key)
    assert world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["replicas"] == 0


def edited_while_a_pod_of_an_earlier_version_serves() -> tuple[World, Key, str]:
    """Then the spec is put back: the world, the service, and what keeps the template of that version."""
    world, key = serving()
    (url,) = [url for url in kept(world) if "template" in world.api.objects[url]["data"]]
    template_of(world)["metadata"]["annotations"][MIDDLEWARE_ANNOTATION] = "of the version before"
    earlier = copy.deepcopy(template_of(world))
    world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"] = earlier
    pod = world.api.objects[world.pod(status=READY)]
    pod["metadata"]["annotations"] = {**earlier["metadata"]["annotations"], "policy.example.com/checked": "yes"}
    sidecar = {"name": "mesh", "image": "mesh:1"}
    pod["spec"] = {**earlier["spec"], "containers": [sidecar, *earlier["spec"]["containers"]]}
    world.begin()
    world.service(maxModelLen=64)
    world.reconcile(key)
    world.reconcile(key)
    deployed = world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"]
    assert "--max-model-len=64" in deployed["spec"]["containers"][0]["args"]
    world.service()
    return world, key, url


def test_a_spec_that_is_put_back_rolls_no_pods_of_an_earlier_version_that_still_serve() -> None:
    world, key, url = edited_while_a_pod_of_an_earlier_version_serves()
    earlier = copy.deepcopy(world.api.objects[url]["data"]["template"])
    world.reconcile(key)
    assert f"delete controllerrevisions/{url.rpartition('/')[2]}" not in world.writes()
    assert world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"] == earlier


def test_a_program_that_no_pod_has_is_not_put_back() -> None:
    world, key, url = edited_while_a_pod_of_an_earlier_version_serves()
    world.api.objects[url]["data"]["template"]["metadata"]["annotations"][MIDDLEWARE_ANNOTATION] = "evil"
    world.watch()
    world.reconcile(key)
    assert "evil" not in str(world.api.objects[path("Deployment", NAMESPACE, "llama")])


def test_a_forged_template_of_what_nothing_runs_of_is_rendered_anew() -> None:
    world, key = serving()
    first = copy.deepcopy(template_of(world))
    (url,) = [url for url in kept(world) if "template" in world.api.objects[url]["data"]]
    world.service(maxModelLen=64)
    world.reconcile(key)
    forge(world.api.objects[url]["data"]["template"])
    world.begin()
    world.service()
    world.reconcile(key)
    assert f"delete controllerrevisions/{url.rpartition('/')[2]}" in world.writes()
    assert world.api.objects[url]["data"]["template"] == first
    assert world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"] == first


def test_what_a_stricter_setting_forbids_runs_on() -> None:
    world, key = serving()
    template_of(world)["spec"]["containers"][0]["image"] = "registry.example.com/earlier:1"
    world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"] = copy.deepcopy(template_of(world))
    world.begin()
    world.reconcile(key)
    assert "patch deployments/llama" in world.writes()
    assert world.reason() == "Starting"
    world.api.objects.pop(path("Deployment", NAMESPACE, "llama"))
    world.begin()
    world.reconcile(key)
    made = world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"]
    assert made["spec"]["containers"][0]["image"] == world.settings.images.gpu


def test_pods_without_a_security_fix_are_told_and_roll_at_the_users_word() -> None:
    world, key = serving()
    assert "Outdated" not in {entry["type"] for entry in world.status()["conditions"]}
    del template_of(world)["metadata"]["annotations"][VERSION_ANNOTATION]
    template = copy.deepcopy(template_of(world))
    world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"] = template
    world.begin()
    world.clock.now += 60
    world.reconcile(key)
    assert world.reason("Outdated") == "TemplateOutdated"
    assert "an empty API key opens the service" in world.message("Outdated")
    assert "set rollout.restartedAt" in world.message("Outdated")
    assert world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"] == template
    roll(world, key)
    assert "Outdated" not in {entry["type"] for entry in world.status()["conditions"]}


def test_values_that_somebody_forges_beside_a_template_are_not_taken() -> None:
    world, key = serving()
    (url,) = [url for url in kept(world) if "template" in world.api.objects[url]["data"]]
    forged = {"field": "pod.serviceAccountName", "value": "admin", "from": "ServingClass h100"}
    world.api.objects[url]["data"]["resolved"] = [forged]
    world.begin()
    world.clock.now += 60
    world.reconcile(key)
    assert [one for one in world.status()["resolved"] if one["field"] == "pod.serviceAccountName"] == []
