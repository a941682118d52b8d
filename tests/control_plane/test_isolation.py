"""Pods that somebody gives a service's labels: what they say is not counted, not read, and reaches nobody."""

import asyncio
import json
import logging
from dataclasses import replace
from functools import partial
from typing import Any

import kopf
import pytest

from support.kube import Kube, Object, conditions
from support.model_reports import LLAMA_8B, REPORTS
from support.operator_process import OperatorProcess
from support.services import LABEL, forge_revision, ready, reason, seen, service
from vllm_operator.inspection.report import decode, encode
from vllm_operator.manifests.hardening import VERSION_ANNOTATION
from vllm_operator.manifests.names import INSPECTION_LABEL, SERVICE_UID_LABEL
from vllm_operator.watch.watches import Watches

pytestmark = pytest.mark.control_plane
POD: Object = {"apiVersion": "v1", "kind": "Pod"}
NODE = {"path": "/", "type": "Directory"}


def forged(real: Object, name: str, owners: list[Object]) -> Object:
    """A pod as another one is, with other owners."""
    meta = {"name": name, "labels": real["metadata"]["labels"], "ownerReferences": owners}
    meta["labels"].pop("pod-template-hash", None)  # or its ReplicaSet would delete one of the two
    container = {key: real["spec"]["containers"][0][key] for key in ("name", "image", "args")}
    return {**POD, "metadata": meta, "spec": {"containers": [container], "automountServiceAccountToken": False}}


def is_ready(kube: Kube, name: str) -> bool:
    """Whether a pod is."""
    return conditions(kube.get("pod", name) or {}).get("Ready", {}).get("status") == "True"


def test_a_forged_pod_is_not_counted(kube: Kube) -> None:
    live = ready(kube, replicas=2)
    real, _ = kube.list("pods", f"{LABEL}=llama")
    mine = {"apiVersion": live["apiVersion"], "kind": live["kind"], "name": "llama", "uid": live["metadata"]["uid"]}
    for name, owners in (("no-owner", []), ("claims-the-service", [{**mine, "controller": True}])):
        kube.apply(forged(real, name, owners))
        kube.wait(f"{name} is ready", 30, partial(is_ready, kube, name))
    kube.merge("vis", "llama", {"spec": {"replicas": 3}})
    kube.wait("three are ready", 60, lambda: (kube.get("vis", "llama") or {})["status"].get("readyReplicas") == 3)
    seen(kube)
    found = kube.get("vis", "llama")
    assert found
    assert conditions(found)["WorkloadAvailable"]["message"] == "3 of 3 pods serve"


def test_a_forged_report_of_a_model_is_not_taken(kube: Kube, operator: OperatorProcess) -> None:
    operator.restart(images={"operator": "vllm-operator:test"})
    try:
        nowhere = {"resource": "nvidia.com/gpu", "product": "NVIDIA-A100-SXM4-80GB"}  # the Job's own pod waits for ever
        kube.apply(service(model={"uri": f"hf://{LLAMA_8B}"}, accelerator=nowhere))
        kube.wait("the Job has its pod", 30, lambda: bool(kube.list("pods", INSPECTION_LABEL)))
        (real,) = kube.list("pods", INSPECTION_LABEL)
        labels = {key: value for key, value in real["metadata"]["labels"].items() if "job" not in key}
        labels = {key: value for key, value in labels.items() if "controller-uid" not in key}
        body = {**POD, "metadata": {"name": "forged", "labels": labels}}
        kube.apply({**body, "spec": {"containers": [{"name": "inspect", "image": "i"}], "schedulerName": "none"}})
        say(kube, "forged", encode(replace(decode(REPORTS[f"--hub={LLAMA_8B}"]), commit="f" * 40)))
        seen(kube)
        assert kube.list("controllerrevisions", INSPECTION_LABEL) == []
        assert "commit" not in (kube.get("vis", "llama") or {})["status"].get("model", {})
        assert reason(kube, "Fits") == "Inspecting"
    finally:
        operator.restart()


def say(kube: Kube, name: str, message: str) -> None:
    """Ends a pod with a message, as a kubelet would."""
    ended: Object = {"exitCode": 0, "message": message, "reason": "Completed"}
    status: dict[str, Any] = {"name": "inspect", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    body = {"status": {"phase": "Succeeded", "containerStatuses": [{**status, "state": {"terminated": ended}}]}}
    kube.run("patch", "pod", name, "--subresource=status", "--type=merge", "-p", json.dumps(body))


def test_of_replica_sets_only_metadata_are_read(
    kube: Kube, operator: OperatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(kube)
    monkeypatch.setenv("KUBECONFIG", str(operator.kubeconfig))

    async def listed() -> Object:
        watches = Watches(lambda: None, metadata_only=("replicasets",))
        session = await watches.login(logger=logging.getLogger(), settings=kopf.OperatorSettings())
        assert session
        async with session.aiohttp_session as http, http.get(f"{session.server}/apis/apps/v1/replicasets") as answer:
            found: Object = await answer.json()
            return found

    found = asyncio.run(listed())
    assert found["kind"] == "PartialObjectMetadataList"
    assert {key for item in found["items"] for key in item} <= {"apiVersion", "kind", "metadata"}
    assert [item for item in found["items"] if item["metadata"]["namespace"] == kube.namespace]


def test_a_forged_template_reaches_no_pod(kube: Kube, operator: OperatorProcess) -> None:
    ready(kube)
    (kept,) = kube.list("controllerrevisions", f"{LABEL}=llama")
    pods = {pod["metadata"]["uid"] for pod in kube.list("pods")}
    operator.stop()  # it would put back what it has kept
    template = kept["data"]["template"]
    template["spec"] |= {
        "hostNetwork": True,
        "volumes": [*template["spec"]["volumes"], {"name": "x", "hostPath": NODE}],
    }
    forge_revision(kube, kept)
    operator.start()
    kube.wait("it is told", 30, lambda: reason(kube) == "TemplateNotAllowed")
    kube.merge("deployment", "llama", {"spec": {"template": {"metadata": {"labels": {"mine": "yes"}}}}})
    seen(kube)
    deployment = kube.get("deployment", "llama")
    assert deployment
    assert deployment["spec"]["template"]["spec"].get("hostNetwork") is None
    kube.merge("deployment", "llama", {"spec": {"template": {"metadata": {"labels": {"mine": None}}}}})
    kube.merge("vis", "llama", {"spec": {"rollout": {"restartedAt": "2026-11-27T12:00:00Z"}}})
    kube.ready("llama", 60)
    assert "hostPath" not in json.dumps(kube.get("deployment", "llama"))
    assert not pods & {
        pod["metadata"]["uid"] for pod in kube.list("pods") if "deletionTimestamp" not in pod["metadata"]
    }


def test_a_template_without_a_security_fix_is_told_and_stays(kube: Kube, operator: OperatorProcess) -> None:
    ready(kube)
    (kept,) = kube.list("controllerrevisions", f"{LABEL}=llama")
    operator.stop()
    template = kept["data"]["template"]["metadata"]
    del template["labels"][SERVICE_UID_LABEL], template["annotations"][VERSION_ANNOTATION]
    forge_revision(kube, kept)
    operator.start()
    kube.wait("it is told", 30, lambda: reason(kube, "Outdated") == "TemplateOutdated")
    kube.merge("vis", "llama", {"spec": {"rollout": {"restartedAt": "2026-11-27T12:00:00Z"}}})
    kube.wait("it has rolled", 60, lambda: not reason(kube, "Outdated"))
    kube.ready("llama", 60)
    selector = (kube.get("service", "llama") or {})["spec"]["selector"]
    assert selector[SERVICE_UID_LABEL] == (kube.get("vis", "llama") or {})["metadata"]["uid"]
