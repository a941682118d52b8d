"""Who has Kubernetes' role `edit` in a namespace can lie about that namespace, and about nothing else."""

import json
from typing import Any

import pytest

from hostile.attacks import MODELS, model
from hostile.lying_pods import ANSWERS, LyingPods
from hostile.tenants import Honest, Tenant, Watched
from support.kube import Object
from support.services import forge_revision, reason, service

pytestmark = [pytest.mark.control_plane, pytest.mark.slow]


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_her_pods_answer_harms_nobody(watched: Watched, honest: Honest, edith: Tenant, answer: str) -> None:
    """Pods of an image of her own, which the operator asks for its version and metrics once they are ready."""
    with LyingPods(ANSWERS[answer]) as lying:
        assert not edith.tries("create", service("liar", replicas=2))
        edith.kube.ready("liar", 30)
        edith.kube.wait("they were asked", 60, lambda: lying.asked)
        honest.goes_on()
        watched.unharmed()
    assert reason(edith.kube, name="liar") == "Available"


def forged(labels: dict[str, str], **status: Any) -> Object:
    """A pod that nobody owns, with these labels."""
    container = {"name": "vllm", "image": "evil", "args": ["--hub", "--hub=org/name"]}
    meta = {"name": "forged", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}, **status}


def test_a_pod_with_our_labels_is_none_of_ours(watched: Watched, honest: Honest, edith: Tenant) -> None:
    assert not edith.tries("create", service("real", replicas=1))
    edith.kube.ready("real", 30)
    pods = edith.kube.list("pods", "app.kubernetes.io/instance=real")
    # With the hash it would be the ReplicaSet's, which adopts it.
    labels = {key: value for key, value in pods[0]["metadata"]["labels"].items() if key != "pod-template-hash"}
    assert not edith.tries("create", forged(labels))
    edith.kube.run("wait", "pod/forged", "--for=condition=Ready", "--timeout=60s")
    edith.kube.merge("vis", "real", {"spec": {"maxModelLen": 2048}})
    found = edith.kube.ready("real", 60)
    assert found["status"]["replicas"] == 1
    honest.goes_on()
    watched.unharmed()


def test_a_kept_template_of_hers_is_not_run(watched: Watched, honest: Honest, edith: Tenant) -> None:
    """Who may write ControllerRevisions, which is more than `edit`, puts another template where ours was kept."""
    assert not edith.tries("create", service("kept", replicas=1))
    edith.kube.ready("kept", 30)
    revisions = edith.kube.list("controllerrevisions", "app.kubernetes.io/instance=kept")
    revision = next(one for one in revisions if "template" in one["data"])
    evil = revision["data"]["template"]
    evil["spec"] |= {"hostNetwork": True, "volumes": [{"name": "root", "hostPath": {"path": "/"}}]}
    evil["spec"]["containers"][0] |= {"image": "evil", "securityContext": {"privileged": True}}
    watched.operator.stop()
    try:
        edith.kube.run("delete", "deployment", "kept", *edith.identity)
        forge_revision(edith.kube, revision)
    finally:
        watched.operator.start(**watched.settings)
    edith.kube.wait("it was looked at", 60, lambda: "Progressing" not in edith.told("kept", "Ready"))
    honest.goes_on()
    assert "evil" not in json.dumps(edith.kube.get("deployment", "kept"))
    watched.unharmed()


def test_what_she_does_to_children_is_undone(watched: Watched, honest: Honest, edith: Tenant) -> None:
    assert not edith.tries("create", service("mended", replicas=1))
    edith.kube.ready("mended", 30)
    payload = {"name": "payload", "image": "evil"}
    patch = json.dumps({"spec": {"template": {"spec": {"containers": [payload]}}}})
    edith.kube.run("patch", "deployment", "mended", "--type=strategic", "-p", patch, *edith.identity)
    edith.kube.run("delete", "service", "mended", *edith.identity)
    edith.kube.wait("the Service is back", 30, lambda: edith.kube.get("service", "mended"))
    honest.goes_on()
    watched.unharmed()


def test_her_models_are_bounded_too(watched: Watched, honest: Honest, edith: Tenant) -> None:
    listed = [service(name, **model(name)) for name in MODELS]
    assert not edith.tries("create", {"apiVersion": "v1", "kind": "List", "items": listed})
    edith.kube.wait("all are told", 60, lambda: all(edith.told(name, "Fits") for name in MODELS))
    honest.goes_on()
    watched.unharmed()
