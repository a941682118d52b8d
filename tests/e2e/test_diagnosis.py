"""Failures that a CPU can have, provoked with a real kubelet and a real vLLM: each is told within 10 s of its evidence.

All services are applied at once, and each goes as soon as its failure was told, so that it takes no time from others.
"""

import http.client
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from support.end_to_end import REGISTRY_PORT, call, chat
from support.kube import Kube, Object, conditions
from support.serving import tiny

TOLD_WITHIN_SECONDS = 10
# So small that all of them find room on the node beside what serves.
SMALL = {"requests": {"cpu": "10m", "memory": "100Mi"}, "limits": {"memory": "4Gi"}}
REGISTRY = f"localhost:{REGISTRY_PORT}"
# Name -> further fields of the spec, the reason, and what the message must say.
CASES: dict[str, tuple[Object, str, str]] = {
    "wrong-value": (
        # The API takes None of every number, as vLLM does of most: not of this one.
        {"extraArgs": ["--seed=None"]},
        "InvalidArguments",
        r"refuses its arguments: vllm serve: error: argument --seed: invalid int value: \*\*\*",
    ),
    "no-model": (
        {"model": {"uri": "pvc://tiny-model/nothing"}},
        "ModelNotFound",
        "no folder (/models/tiny-model/)?nothing",
    ),
    "no-tokenizer": (
        {"model": {"uri": "pvc://tiny-model/no-tokenizer"}},
        "TokenizerMissing",
        "set model.tokenizer.uri to the model that it was made from",
    ),
    "no-adapter": (
        {"lora": {"adapters": [{"name": "extra", "uri": "pvc://tiny-model/nothing"}]}},
        "AdapterNotFound",
        "there is no LoRA adapter at /models/tiny-model/nothing: check the uri in lora.adapters",
    ),
    "slow": (
        {"startupTimeoutSeconds": 60, "resources": {**SMALL, "limits": {"cpu": "100m", "memory": "4Gi"}}},
        "StartupTimeout",
        "not ready within 60 s.*: raise startupTimeoutSeconds",
    ),
    "no-image": (
        {"image": f"{REGISTRY}/vllm:none"},
        "ImagePullFailed",
        f"image {REGISTRY}/vllm:none cannot be pulled .* does not exist: check name and tag",
    ),
    "refused-image": ({"image": f"{REGISTRY}/private/vllm:1"}, "ImagePullFailed", "pod.imagePullSecrets"),
    "no-secret": (
        {"apiKeySecretRef": {"name": "nobody", "key": "key"}},
        "SecretMissing",
        "Secret nobody does not exist: create it",
    ),
    "no-key": (
        {"apiKeySecretRef": {"name": "half", "key": "key"}},
        "SecretMissing",
        "Secret half has no key key: add it",
    ),
    "no-configmap": (
        {"chatTemplate": {"configMapKeyRef": {"name": "nothing", "key": "chat.jinja"}}},
        "ConfigMapMissing",
        "ConfigMap nothing does not exist: create it",
    ),
    "no-template-key": (
        {"chatTemplate": {"configMapKeyRef": {"name": "empty", "key": "chat.jinja"}}},
        "ConfigMapMissing",
        "ConfigMap empty has no key chat.jinja: add it",
    ),
    "no-claim": (
        {"model": {"uri": "pvc://nowhere/tiny"}},
        "ClaimMissing",
        "PersistentVolumeClaim nowhere does not exist",
    ),
    "no-runtime": ({"pod": {"runtimeClassName": "nvidia"}}, "PodSandboxFailed", "no container runtime nvidia"),
}


def failing(name: str, fields: Object) -> Object:
    """The tiny service with what makes it fail."""
    service = tiny(name, **{"resources": SMALL, "planPolicy": "Warn", **fields})
    service["spec"]["model"] = fields.get("model", service["spec"]["model"])
    return service


def script(name: str, *arguments: str, **pod: Any) -> Object:
    """A pod that runs a file of this folder, with the claim that holds the models."""
    container = {
        "name": name,
        "image": "localhost/vllm-operator:dev",
        "command": ["python", "-c", (Path(__file__).parent / f"{name}.py").read_text(), *arguments],
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    volumes = [{"name": "models", "persistentVolumeClaim": {"claimName": "tiny-model"}}]
    spec = {"containers": [container], "volumes": volumes, "restartPolicy": "Never", **pod}
    spec["securityContext"] = {"runAsUser": 1000}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def broken(kube: Kube) -> Iterator[Kube]:
    """All failing services, and some that serve until something happens to them."""
    kube.apply(script("registry", str(REGISTRY_PORT), hostNetwork=True), script("spoil", "/models"))
    kube.run("wait", "pod/spoil", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=110s")
    kube.run("wait", "pod/registry", "--for=condition=Ready", "--timeout=110s")
    runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}}
    kube.apply({**runtime, "handler": "nvidia"})
    half = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "half"}, "stringData": {"other": "x"}}
    empty = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "empty"}, "data": {"other": "x"}}
    kube.apply(half, empty)
    kube.apply(*(failing(name, fields) for name, (fields, *_) in CASES.items()))
    # The engine is a process of its own only where vLLM is left to it.
    kube.apply(failing("dies", {"env": []}), failing("hangs", {"env": []}), failing("stops", {}))
    kube.apply(failing("no-memory", {"resources": {**SMALL, "limits": {"memory": "700Mi"}}}))
    kube.apply(*(failing(name, {"model": {"uri": f"pvc://tiny-model/{name}"}}) for name in ("foreign", "no-template")))
    yield kube
    own = [*CASES, "dies", "hangs", "no-memory", "stops", "foreign", "no-template"]
    kube.run("delete", "vis", *own, "--ignore-not-found", "--wait=false")
    kube.run("delete", "pod", "registry", "spoil", "--wait=false")
    kube.run("delete", "runtimeclass", "nvidia")


def told(kube: Kube, name: str, reason: str, seconds: float) -> str:
    """Waits until Ready has a reason, and returns its message."""

    def found() -> str | None:
        ready = conditions(kube.get("vis", name) or {}).get("Ready", {})
        return str(ready["message"]) if ready.get("reason") == reason else None

    return str(kube.wait(f"{name} says {reason}", seconds, found))


def epoch(when: str) -> float:
    """Seconds since 1970 of one of Kubernetes' times."""
    return datetime.fromisoformat(when).timestamp()


def pods(kube: Kube, name: str) -> list[Object]:
    """vLLM's pods of a service."""
    return kube.list("pods", f"app.kubernetes.io/instance={name},app.kubernetes.io/name=vllm")


def evidence(kube: Kube, name: str, since: float = 0) -> float:
    """When the cluster first showed, after a time, that something is wrong: a container ended, or an Event warns."""
    found = []
    for pod in pods(kube, name):
        for container in pod["status"].get("containerStatuses", []):
            states = (container["state"], container["lastState"])
            found += [state["terminated"]["finishedAt"] for state in states if "terminated" in state]
        about = kube.run("get", "events", "-o", "json", f"--field-selector=involvedObject.uid={pod['metadata']['uid']}")
        for event in json.loads(about)["items"]:
            # A pod may have to wait for room before it can fail.
            other = event["reason"] in ("Unhealthy", "BackOff") or "Insufficient" in event["message"]
            if event["type"] == "Warning" and not other:
                found.append(event["firstTimestamp"] or event["eventTime"])
    # Kubernetes' times have no fractions.
    return min((at for when in found if (at := epoch(when)) >= int(since)), default=time.time())


def announced(kube: Kube, name: str, reason: str) -> float:
    """When the operator's Event told the reason first."""

    def times() -> list[float]:
        return [
            epoch(event["firstTimestamp"])
            for event in kube.list("events")
            if (event["involvedObject"]["kind"], event["involvedObject"]["name"]) == ("InferenceService", name)
            and event["reason"] == reason
        ]

    return float(min(kube.wait(f"an Event says {reason}", 30, times)))


@pytest.mark.parametrize("name", CASES)
def test_a_failure_is_told_with_its_cause(broken: Kube, name: str) -> None:
    _, reason, words = CASES[name]
    message = told(broken, name, reason, 600)
    print(f"{name}: {message}")
    late = announced(broken, name, reason) - evidence(broken, name)
    broken.run("delete", "vis", name, "--wait=false")
    assert re.search(words, message), message
    assert late <= TOLD_WITHIN_SECONDS, f"told after {late:.0f} s"


def process(kube: Kube, name: str, words: str) -> int:
    """The process of a service's pod, as this machine numbers it, whose title has these words."""
    (pod,) = pods(kube, name)
    for entry in Path("/proc").iterdir():
        try:
            ours = entry.name.isdigit() and f"pod{pod['metadata']['uid']}" in (entry / "cgroup").read_text()
            if ours and words in (entry / "cmdline").read_text().replace("\0", " "):
                return int(entry.name)
        except OSError:
            continue  # it has ended
    raise AssertionError(f"no process {words} in the pod of {name}")


def test_a_server_that_no_longer_answers_is_told_before_and_after_it_is_killed(broken: Kube) -> None:
    broken.ready("stops")
    os.kill(process(broken, "stops", "vllm serve"), signal.SIGSTOP)
    stopped = time.time()
    message = told(broken, "stops", "NotAnswering", 40)
    print(message)
    # Two probes of 5 s each must have failed before the kubelet says so.
    assert announced(broken, "stops", "NotAnswering") - stopped <= 15 + TOLD_WITHIN_SECONDS
    message = told(broken, "stops", "LivenessFailed", 120)
    print(message)
    assert re.search(r"Kubernetes killed it .* after its start, as it no longer answered its liveness probe", message)
    assert announced(broken, "stops", "LivenessFailed") - evidence(broken, "stops", stopped) <= TOLD_WITHIN_SECONDS
    broken.run("delete", "vis", "stops", "--wait=false")


def stuck(url: str) -> None:
    """A request that gets no answer within the client's timeout of a minute."""
    with suppress(OSError):
        call(f"{url}/completions", {"model": "hangs", "prompt": "a"}, timeout=60)


def test_an_engine_that_hangs_is_told_within_a_minute(broken: Kube) -> None:
    broken.ready("hangs")
    os.kill(process(broken, "hangs", "EngineCore"), signal.SIGSTOP)
    hung = time.time()
    threading.Thread(target=stuck, args=(broken.url("hangs"),), daemon=True).start()
    message = told(broken, "hangs", "EngineHung", 120)
    print(message)
    assert "requests wait, and its engine has made no step for 35 s or more; it gets no requests now" in message
    assert announced(broken, "hangs", "EngineHung") - hung <= 60


def test_a_container_that_takes_more_memory_than_its_limit_is_told_by_it(broken: Kube) -> None:
    """What fills /dev/shm counts: the limit is that of the spec and all that /dev/shm can hold."""
    broken.ready("no-memory")
    (pod,) = pods(broken, "no-memory")
    leak = "dd if=/dev/zero of=/dev/shm/leak bs=1M count=1000"
    began = time.time()
    broken.run("exec", pod["metadata"]["name"], "--", "sh", "-c", leak, check=False)
    message = told(broken, "no-memory", "OutOfMemory", 120)
    print(message)
    assert "more host memory than its limit of 1724Mi (with /dev/shm and what GPUs keep in it)" in message
    assert announced(broken, "no-memory", "OutOfMemory") - evidence(broken, "no-memory", began) <= TOLD_WITHIN_SECONDS
    broken.run("delete", "vis", "no-memory", "--wait=false")


def test_an_engine_that_goes_on_hanging_is_started_anew(broken: Kube) -> None:
    found = "its engine hung (1 requests waited, no step for 120 s), and it was started anew"
    broken.wait("that is told", 240, lambda: found in told(broken, "hangs", "EngineHung", 240))
    broken.run("delete", "vis", "hangs", "--wait=false")


def test_a_token_that_the_model_does_not_have_is_told_by_the_log_of_the_engine_that_died_of_it(broken: Kube) -> None:
    broken.ready("foreign")
    began = time.time()
    with suppress(OSError, http.client.HTTPException):
        call(f"{broken.url('foreign')}/completions", {"model": "foreign", "prompt": "<|foreign-199|>", "max_tokens": 2})
    message = told(broken, "foreign", "TokenizerMismatch", 240)
    print(message)
    assert announced(broken, "foreign", "TokenizerMismatch") - evidence(broken, "foreign", began) <= TOLD_WITHIN_SECONDS
    assert "set model.tokenizer to the one that the model was made with" in message
    assert "foreign-199" not in message
    broken.run("delete", "vis", "foreign", "--wait=false")


def test_a_model_without_a_chat_template_serves_and_says_what_it_does_not(broken: Kube) -> None:
    service = broken.ready("no-template")
    status, text = chat(broken.url("no-template"), "no-template")
    assert (status, "chat template" in text) == (400, True), text
    status, text = call(f"{broken.url('no-template')}/completions", {"model": "no-template", "prompt": "a"})
    assert status == 200, text
    found = conditions(service)["ChatAvailable"]
    assert (found["status"], found["reason"]) == ("False", "ChatTemplateMissing")
    assert "set chatTemplate, or model.tokenizer.uri" in found["message"]
    broken.run("delete", "vis", "no-template", "--wait=false")


def test_an_engine_that_dies_is_told_although_vllm_exits_with_0(broken: Kube) -> None:
    broken.ready("dies")
    began = time.time()
    os.kill(process(broken, "dies", "EngineCore"), signal.SIGKILL)
    message = told(broken, "dies", "EngineDied", 240)
    print(message)
    assert announced(broken, "dies", "EngineDied") - evidence(broken, "dies", began) <= TOLD_WITHIN_SECONDS
    assert "its engine died" in message
    (pod,) = pods(broken, "dies")
    (container,) = pod["status"]["containerStatuses"]
    ended = container["lastState"].get("terminated") or container["state"]["terminated"]
    assert ended["exitCode"] == 0
