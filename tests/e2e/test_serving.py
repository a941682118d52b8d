"""The main job: an InferenceService answers OpenAI requests from a real vLLM, and follows its spec.

In the order of the file: each test leaves the service serving.
"""

import json

import pytest

from support.end_to_end import KEY, call, chat
from support.kube import Kube, Object, conditions


def test_chat_answers_through_the_service(fleet: Kube) -> None:
    status, text = chat(fleet.url("tiny"), "tiny")
    assert status == 200, text
    assert json.loads(text)["usage"]["completion_tokens"] > 0


def test_a_stream_arrives_in_parts_and_ends(fleet: Kube) -> None:
    status, text = chat(fleet.url("tiny"), "tiny", stream=True)
    parts = [line for line in text.splitlines() if line.startswith("data: ")]
    assert status == 200
    assert len(parts) > 2
    assert parts[-1] == "data: [DONE]"


def test_the_model_list_has_the_services_name(fleet: Kube) -> None:
    status, text = call(f"{fleet.url('tiny')}/models")
    assert status == 200
    assert [model["id"] for model in json.loads(text)["data"]] == ["tiny"]


def test_a_wrong_model_is_not_found(fleet: Kube) -> None:
    assert chat(fleet.url("tiny"), "no-such-model")[0] == 404


def test_the_status_tells_what_vllm_reports(fleet: Kube) -> None:
    service = fleet.wait("vLLM's figures", 30, lambda: _with_engine(fleet))
    status = service["status"]
    assert status["vllmVersion"].startswith("0.32.0")
    # 64 MiB at 2,048 bytes a token: 4 layers, 2 heads of 64 in bfloat16, for keys and values.
    assert status["engine"] == {"kvCacheTokens": 32768, "maxModelLen": 2048}
    assert status["image"] == "localhost/vllm-cpu:0.32.0"
    assert status["url"] == "http://tiny.e2e.svc:8000/v1"


def _with_engine(kube: Kube) -> Object | None:
    service = kube.get("vis", "tiny")
    return service if service and service["status"].get("engine") else None


def test_an_api_key_is_asked_for(fleet: Kube) -> None:
    fleet.ready("keyed")
    url = fleet.url("keyed")
    assert chat(url, "keyed")[0] == 401
    assert chat(url, "keyed", key="wrong")[0] == 401
    assert chat(url, "keyed", key=KEY)[0] == 200
    fleet.run("delete", "vis", "keyed", "--wait=false")


def test_a_change_of_the_spec_rolls_the_pods(fleet: Kube) -> None:
    before = {pod["metadata"]["uid"] for pod in fleet.list("pods", "app.kubernetes.io/instance=tiny")}
    fleet.merge("vis", "tiny", {"spec": {"maxModelLen": 1024}})
    fleet.wait(
        "the change is taken up", 90, lambda: conditions(fleet.get("vis", "tiny") or {})["Ready"]["status"] == "False"
    )
    fleet.ready("tiny")
    after = {pod["metadata"]["uid"] for pod in fleet.list("pods", "app.kubernetes.io/instance=tiny")}
    assert before.isdisjoint(after)
    models = json.loads(call(f"{fleet.url('tiny')}/models")[1])["data"]
    assert models[0]["max_model_len"] == 1024


def test_scaling_to_two_gives_two_pods_that_serve(fleet: Kube) -> None:
    fleet.run("scale", "vis", "tiny", "--replicas=2")
    service = fleet.ready("tiny")
    assert service["status"]["readyReplicas"] == 2
    assert fleet.get("pdb", "tiny")
    assert chat(fleet.url("tiny"), "tiny")[0] == 200


@pytest.mark.parametrize("kind", ["deployments", "services", "poddisruptionbudgets", "controllerrevisions", "pods"])
def test_nothing_is_left_after_a_delete(deleted: Kube, kind: str) -> None:
    label = "app.kubernetes.io/instance=tiny"
    # vLLM drains after the pause in which the endpoints learn of the deletion.
    deleted.wait(f"no {kind} are left", 200, lambda: not deleted.list(kind, label))


@pytest.fixture(scope="module")
def deleted(fleet: Kube) -> Kube:
    """After the service was deleted."""
    fleet.run("delete", "vis", "tiny")
    return fleet
