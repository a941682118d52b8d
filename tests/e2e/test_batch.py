"""A batch with the real vLLM: requests in a ConfigMap, answers on a claim, each once, and errors beside them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.node import LocalCluster
from support.fleet_command import vllm
from support.kube import Kube, Object, conditions
from support.object_store import BUCKET, KEYS, ObjectStore, serving
from support.tiny_batch import REQUESTS, batch, files, line, node

# Of pods that may start vLLM twice on a busy machine.
SECONDS = 600


@pytest.fixture(scope="module", name="files")
def _files(kube: Kube) -> Iterator[Kube]:
    """The inputs, and a claim for the outputs."""
    kube.apply(*files())
    yield kube
    kube.run("delete", "vib", "--all", "--wait=true")


def reason(kube: Kube, name: str, kind: str = "Ready") -> str:
    return str(conditions(kube.get("vib", name) or {}).get(kind, {}).get("reason", ""))


def message(kube: Kube, name: str) -> str:
    """What is said of its input."""
    return str(conditions(kube.get("vib", name) or {}).get("InputValid", {}).get("message", ""))


def output(kube: Kube, path: str) -> list[Object]:
    """The lines of a file on the claim, as a pod sees it."""
    container = {"name": "cat", "image": "localhost/vllm-cpu:0.32.0", "command": ["cat", f"/answers/{path}"]}
    volume = {"name": "answers", "persistentVolumeClaim": {"claimName": "answers"}}
    spec = {
        "restartPolicy": "Never",
        "containers": [{**container, "volumeMounts": [{"name": "answers", "mountPath": "/answers"}]}],
        "volumes": [volume],
    }
    name = path.replace("/", "-").replace(".", "-")
    kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    kube.run("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    text = kube.run("logs", name)
    kube.run("delete", "pod", name, "--wait=false")
    return [json.loads(one) for one in text.splitlines()]


def test_each_request_is_answered_once(files: Kube) -> None:
    files.apply(batch(node(files), "good", "good.jsonl", parallelism=2))
    files.wait("it is complete", SECONDS, lambda: reason(files, "good") == "Merged")
    found = files.get("vib", "good")
    assert found
    status = found["status"]
    assert (status["total"], status["done"], status["failed"]) == (REQUESTS, REQUESTS, 0)
    assert status["outputTokens"] > 0
    answers = output(files, "good/good.jsonl")
    assert sorted(one["custom_id"] for one in answers) == sorted(f"request-{number}" for number in range(REQUESTS))
    assert all(one["response"]["status_code"] == 200 for one in answers)
    files.wait("it leaves no pods", 60, lambda: not files.list("pods", "vllm-operator.dev/batch=good"))


@pytest.fixture
def store(cluster: LocalCluster, tmp_path: Path) -> Iterator[ObjectStore]:
    """A store on this machine, as pods of the node reach it."""
    network = cluster.nodes[0].enclosure.network
    assert network
    with serving(tmp_path, network.machine) as running:
        yield running


def test_requests_and_answers_lie_in_a_bucket(files: Kube, store: ObjectStore) -> None:
    store.put("requests/good.jsonl", "\n".join(map(line, range(REQUESTS))).encode())

    def asked(name: str, source: str = "requests/", secret: str = "s3-keys") -> Object:
        at = {"objectStore": {"endpoint": store.endpoint, "credentialsSecretName": secret}}
        places = {"input": {"uri": f"s3://{BUCKET}/{source}", **at}, "output": {"uri": f"s3://{BUCKET}/answers", **at}}
        return batch(node(files), name, "", **places)

    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3-keys"}, "stringData": KEYS}
    files.apply(secret, asked("buckets"), asked("nothing", "nothing.jsonl"), asked("keyless", secret="no-keys"))
    files.wait("a Secret is missed", 120, lambda: "Secret no-keys does not exist" in message(files, "keyless"))
    files.wait("there is no input", 120, lambda: reason(files, "nothing") == "InputInvalid")
    assert f"there is no object s3://{BUCKET}/nothing.jsonl at {store.endpoint}" in message(files, "nothing")
    files.wait("it is complete", SECONDS, lambda: reason(files, "buckets") == "Merged")
    answers = [json.loads(one) for one in store.get("answers/good.jsonl").splitlines()]
    assert sorted(one["custom_id"] for one in answers) == sorted(f"request-{number}" for number in range(REQUESTS))
    assert all(one["response"]["status_code"] == 200 for one in answers)
    assert store.get("answers/good.errors.jsonl") == b""
    assert not [key for key in store.keys("answers") if ".journal/" in key]


def test_a_wrong_line_takes_no_engine_unless_it_is_to_be_skipped(files: Kube) -> None:
    files.apply(batch(node(files), "refused", "bad.jsonl"), batch(node(files), "skips", "bad.jsonl", onInvalid="Skip"))
    files.wait("it is refused", 120, lambda: reason(files, "refused") == "InputInvalid")
    assert files.get("job", "refused-run") is None
    files.wait("the other is complete", SECONDS, lambda: reason(files, "skips") == "Merged")
    assert len(output(files, "skips/bad.jsonl")) == REQUESTS
    assert output(files, "skips/bad.errors.jsonl")


def test_the_command_line_brings_the_answers(files: Kube, tmp_path: Path) -> None:
    lends = batch(node(files), "lends", "good.jsonl")["spec"]["template"]
    files.apply(
        {
            "apiVersion": "vllm-operator.dev/v1alpha1",
            "kind": "InferenceService",
            "metadata": {"name": "lends"},
            "spec": {**lends, "replicas": 0},
        }
    )
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join([*(line(number) for number in range(REQUESTS)), "{"]))
    options = ["-n", files.namespace, "-o", str(target)]
    words = ["batch", "run", "-f", str(source), "--service", "lends", "--skip-invalid", "--name", "ran", *options]
    status, _, said = vllm(files.kubeconfig, *words, seconds=SECONDS)
    assert status == 3, said
    assert len(target.read_text().splitlines()) == REQUESTS
    assert len((tmp_path / "out.errors.jsonl").read_text().splitlines()) == 1
    assert "100% of" in said
    target.unlink()
    status, _, said = vllm(files.kubeconfig, "batch", "fetch", "ran", *options, seconds=SECONDS)
    assert status == 3, said
    assert len(target.read_text().splitlines()) == REQUESTS
    files.run("delete", "vis/lends", "vib/ran")
    files.wait(
        "its input and its claim go with it",
        60,
        lambda: not (files.get("cm", "ran-input") or files.get("pvc", "ran-output")),
    )


def test_what_was_answered_is_kept_when_it_is_suspended(files: Kube) -> None:
    files.apply(batch(node(files), "pauses", "good.jsonl"))
    files.wait("pods are there", SECONDS, lambda: reason(files, "pauses", "Running") in ("Answering", "RunEnded"))
    files.merge("vib", "pauses", {"spec": {"suspend": True}})
    files.wait("it is suspended", 90, lambda: reason(files, "pauses") in ("Suspended", "Merged"))
    files.merge("vib", "pauses", {"spec": {"suspend": False}})
    files.wait("it is complete", SECONDS, lambda: reason(files, "pauses") == "Merged")
    assert len(output(files, "pauses/good.jsonl")) == REQUESTS
