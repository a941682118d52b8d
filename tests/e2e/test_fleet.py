"""A fleet with a real vLLM: what `kubectl vllm status` and `logs` show of it, and what Argo CD and Flux make of it."""

import json
from concurrent.futures import ThreadPoolExecutor

from support.end_to_end import chat
from support.fleet_command import vllm
from support.gitops import DEGRADED, HEALTHY, PROGRESSING, read
from support.kube import Kube, Object
from support.services import reason
from support.serving import tiny

# More than maxNumSeqs of examples/tiny.yaml, so that some wait, and long enough to be seen.
REQUESTS = 24
LONG = {"max_tokens": 1500, "ignore_eos": True}


def row(kube: Kube, name: str) -> Object:
    """What `status` says of a service."""
    status, text, said = vllm(kube.kubeconfig, "status", "-n", kube.namespace, name, "-o", "json")
    assert status == 0, said
    (found,) = json.loads(text)["services"]
    return dict(found)


def explained(kube: Kube, name: str) -> str:
    """What `logs` says of a service."""
    status, text, said = vllm(kube.kubeconfig, "logs", name, "-n", kube.namespace)
    assert status == 0, said
    return text


def live(kube: Kube, name: str) -> Object:
    """A service as it stands."""
    found = kube.get("vis", name)
    assert found
    return found


def busy(kube: Kube) -> Object | None:
    """The row of a service while some requests run and others wait."""
    found = row(kube, "tiny")
    requests = found["requests"] or {}  # none while a busy pod does not answer
    return found if requests.get("running") and requests.get("waiting") else None


def test_the_table_has_what_vllm_counts(fleet: Kube) -> None:
    idle = {"ready": 1, "wanted": 1, "podsUnasked": 0, "kvCacheTokens": 32768, "requests": {"running": 0, "waiting": 0}}
    fleet.wait("it has what is known", 120, lambda: idle.items() <= row(fleet, "tiny").items())
    with ThreadPoolExecutor(REQUESTS) as pool:
        for _ in range(REQUESTS):
            pool.submit(chat, fleet.url("tiny"), "tiny", **LONG)
        found = fleet.wait("requests run and wait", 120, lambda: busy(fleet))
    assert found["requests"]["running"] <= 16
    fleet.wait("none is left", 120, lambda: idle.items() <= row(fleet, "tiny").items())

    def cells() -> list[str]:
        status, text, said = vllm(fleet.kubeconfig, "status", "-n", fleet.namespace, "tiny")
        assert status == 0, said
        return text.splitlines()[1].split()[3:]

    fleet.wait("so has the table", 60, lambda: cells() == ["1/1", "0", "0", "32,768", "0", "0", "Available"])


def test_a_service_that_serves_is_explained_without_its_requests(fleet: Kube) -> None:
    assert chat(fleet.url("tiny"), "tiny", messages=[{"role": "user", "content": "my-secret-diagnosis"}])[0] == 200
    text = fleet.wait(
        "vLLM reports on itself", 120, lambda: found if "Engine 0" in (found := explained(fleet, "tiny")) else ""
    )
    assert text.startswith("e2e/tiny, pvc://tiny-model/tiny: ready (Available)\n")
    assert "serves" in text
    assert read(live(fleet, "tiny")) == HEALTHY
    assert "my-secret-diagnosis" not in text


def test_a_service_that_fails_is_explained_with_the_words_of_its_log(fleet: Kube) -> None:
    fleet.apply(tiny("wrong", maxModelLen=1_000_000, planPolicy="Warn"))
    fleet.wait("it starts", 120, lambda: reason(fleet, name="wrong") == "Starting")
    assert read(live(fleet, "wrong")) == PROGRESSING
    fleet.wait("it has failed", 480, lambda: reason(fleet, name="wrong") not in ("Starting", "Inspecting"))
    found, text = live(fleet, "wrong"), explained(fleet, "wrong")
    fleet.run("delete", "vis", "wrong", "--wait=false")
    assert read(found) == DEGRADED
    assert "not ready" in text.splitlines()[0]
    assert "From the log of pod wrong-" in text
    assert "max_model_len (1000000)" in text.partition("From the log")[2]
