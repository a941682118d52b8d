"""Rollouts under load, what a pod does while it ends, and every route without a key. With the real vLLM."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from support.end_to_end import KEY, call
from support.kube import Kube, Object, conditions
from support.load import Load
from support.serving import tiny
from vllm_operator.vllm.middleware import CLOSED, OPEN

NAME, LABEL = "rolled", "app.kubernetes.io/instance=rolled"
REFERENCE = {"name": "rolled-key", "key": "key"}


def pods(kube: Kube) -> dict[str, Object]:
    """The service's pods by name, those that end included."""
    return {pod["metadata"]["name"]: pod for pod in kube.list("pods", LABEL)}


def connect(pod: Object) -> http.client.HTTPConnection:
    """A connection to a pod itself, that stays open over several requests."""
    return http.client.HTTPConnection(pod["status"]["podIP"], 8000, timeout=120)


@pytest.fixture(scope="module")
def rolled(kube: Kube) -> Iterator[Kube]:
    """Two pods that serve, and one more while they roll."""
    kube.apply(tiny(NAME, replicas=2, rollout={"maxSurge": 1}))
    kube.ready(NAME, 600)
    yield kube
    kube.run("delete", "vis", NAME)


def test_a_rolling_update_fails_no_request(rolled: Kube) -> None:
    old = pods(rolled)
    with Load(rolled.url(NAME), NAME, rate=1, least=200, tokens=4) as load:
        time.sleep(5)
        rolled.merge("vis", NAME, {"spec": {"maxModelLen": 1024}})
        rolled.wait("the old pods are gone", 600, lambda: old.keys().isdisjoint(pods(rolled)))
        rolled.ready(NAME, 300)
        time.sleep(5)
    assert load.tally.failures == []
    assert (load.tally.sent >= 200, load.tally.aborted) == (True, 0)


def test_a_pod_that_ends_finishes_what_it_began_and_sends_clients_away(rolled: Kube) -> None:
    name, pod = next(iter(pods(rolled).items()))
    with closing(connect(pod)) as connection, closing(connect(pod)) as other:
        body = {"model": NAME, "prompt": "Once", "max_tokens": 900, "ignore_eos": True, "stream": True}
        body["stream_options"] = {"include_usage": True}
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.headers["connection"] != "close"
        rolled.run("delete", "pod", name, "--wait=false")

        def asked_to_leave() -> bool:
            other.request("GET", "/v1/models")
            found = other.getresponse()
            found.read()
            assert found.status == 200
            return found.headers["connection"] == "close"

        rolled.wait("answers say so", 30, asked_to_leave)
        assert call(f"http://{pod['status']['podIP']}:8000/-/ready")[0] == 503
        assert call(f"http://{pod['status']['podIP']}:8000/health")[0] == 200
        events = [line for line in answer.read().decode().splitlines() if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]"
    # An event may hold several tokens.
    assert json.loads(events[-2].removeprefix("data: "))["usage"]["completion_tokens"] == 900
    rolled.wait("the pod is gone", 200, lambda: name not in pods(rolled))
    rolled.ready(NAME, 600)


def test_a_pod_that_loads_its_model_frees_its_place_at_once(kube: Kube) -> None:
    """vLLM ignores SIGTERM then, and the pod's grace of 160 s is for one that serves."""
    label = "app.kubernetes.io/instance=given-up,app.kubernetes.io/name=vllm"
    kube.apply(tiny("given-up"))

    def loads() -> bool:
        states = [pod["status"].get("containerStatuses", [{}])[0] for pod in kube.list("pods", label)]
        return any("running" in state.get("state", {}) for state in states)

    kube.wait("vLLM has started", 120, loads)
    kube.run("delete", "vis", "given-up")
    kube.wait("its pod is gone", 140, lambda: not kube.list("pods", label))


def secret(key: str) -> Object:
    """The Secret of the service that wants a key."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rolled-key"}, "stringData": {"key": key}}


@pytest.fixture(scope="module")
def keyed(kube: Kube) -> Iterator[str]:
    """Root URL of a service that wants a key."""
    kube.apply(secret(KEY), tiny("guarded", apiKeySecretRef=REFERENCE))
    kube.ready("guarded", 600)
    yield kube.url("guarded").removesuffix("/v1")
    kube.run("delete", "vis", "guarded")


def test_every_route_wants_the_key(keyed: str) -> None:
    status, text = call(f"{keyed}/openapi.json", key=KEY)
    assert status == 200
    routes = [(path, method.upper()) for path, methods in json.loads(text)["paths"].items() for method in methods]
    routes += [("/docs", "GET"), ("/openapi.json", "GET"), ("/pooling", "POST"), ("/score", "POST"), ("/", "GET")]
    assert {"/invocations", "/v1/chat/completions", "/tokenize"} <= {path for path, _ in routes}
    host = urlsplit(keyed).netloc
    for path, method in routes:
        with closing(http.client.HTTPConnection(host, timeout=60)) as connection:
            connection.request(method, path, "{}", {"Content-Type": "application/json"})
            status = connection.getresponse().status
        expected = 200 if path in OPEN else 403 if path.endswith(CLOSED) else 401
        assert status == expected, f"{method} {path} without a key: {status}"


def test_what_probes_and_prometheus_ask_needs_no_key(keyed: str) -> None:
    for path in sorted(OPEN):
        assert call(f"{keyed}{path}")[0] == 200, path


def test_a_changed_key_is_told_until_the_pods_are_rolled(kube: Kube, keyed: str) -> None:
    def outdated() -> str:
        return str(conditions(kube.get("vis", "guarded") or {}).get("Outdated", {}).get("message", ""))

    assert not outdated()
    kube.apply(secret("sk-new"))
    kube.wait("it says so", 240, lambda: "Secret rolled-key changed" in outdated())
    assert call(f"{keyed}/v1/models", key="sk-new")[0] == 401
    kube.merge("vis", "guarded", {"spec": {"rollout": {"restartedAt": "2026-11-24T12:00:00Z"}}})
    kube.wait("it is no longer so", 600, lambda: not outdated())
    kube.ready("guarded", 600)
    assert call(f"{keyed}/v1/models", key="sk-new")[0] == 200
