"""The memory plan in the cluster: what does not fit gets no pods, and says with which numbers and what would."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from support.kube import Kube, Object, conditions
from support.model_reports import LLAMA_8B, LLAMA_70B, REPORTS
from support.operator_process import ACCOUNT, OperatorProcess
from support.planned import H100, fits, planned
from support.rights import writes
from support.services import args, reason
from vllm_operator.api import API_VERSION, KIND
from vllm_operator.manifests.names import FIELD_MANAGER, INSPECTION_LABEL

pytestmark = pytest.mark.control_plane


@pytest.fixture(autouse=True, scope="module")
def inspecting(operator: OperatorProcess) -> Iterator[None]:
    """An operator that knows the image of its inspect Jobs."""
    operator.restart(images={"operator": "vllm-operator:test"})
    yield
    operator.restart()


def grace(kube: Kube) -> int:
    """Seconds that the Deployment gives its pods."""
    deployment = kube.get("deployment", "llama")
    return int(deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]) if deployment else 0


def kept_models(kube: Kube) -> list[Object]:
    """What is kept of models."""
    return kube.list("controllerrevisions", INSPECTION_LABEL)


def as_the_operator(kube: Kube, status: Object) -> None:
    """Writes the status of the service, as the operator's own."""
    body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "llama"}, "status": status}
    words = ("--server-side", "--subresource=status", f"--field-manager={FIELD_MANAGER}", "-f", "-")
    kube.run("apply", *words, stdin=json.dumps(body))


def names(items: list[Object]) -> set[str]:
    """Their names."""
    return {item["metadata"]["name"] for item in items}


def pods(kube: Kube) -> list[Object]:
    """vLLM's pods."""
    return kube.list("pods", "app.kubernetes.io/name=vllm")


def test_what_fits_is_served_by_the_commit_that_was_inspected(kube: Kube) -> None:
    kube.apply(planned(LLAMA_8B))
    found = kube.ready("llama", 60)["status"]
    assert conditions({"status": found})["Fits"]["status"] == "True"
    assert found["model"]["commit"] == "1" * 40
    assert "--revision=" + "1" * 40 in args(kube)
    plan = found["plan"]
    assert plan["gpu"] == H100["product"]
    assert plan["weightsBytes"] + plan["overheadBytes"] + plan["kvCacheBytes"] <= 0.92 * plan["totalBytes"] + 1
    assert plan["kvCacheTokens"] > 400_000
    kube.wait("the Job is gone", 30, lambda: not kube.list("jobs"))


def test_what_is_known_of_a_model_is_kept_as_plain_json_and_told_in_words(kube: Kube) -> None:
    kube.apply(planned(LLAMA_8B))
    status = kube.ready("llama", 60)["status"]
    (kept,) = kept_models(kube)
    key = kept["metadata"]["labels"][INSPECTION_LABEL]
    assert status["model"] == {"inspected": key, "commit": "1" * 40, "architecture": "LlamaForCausalLM"}
    assert kept["metadata"]["name"] == f"llama-model-{key}"
    assert kept["data"]["model"]["config"]["hidden_size"] == 4096
    kube.merge("vis", "llama", {"spec": {"model": {"uri": "hf://org/gone"}}})
    kube.wait("what was known of another model is gone", 60, lambda: not kept_models(kube))


def test_what_is_kept_of_a_model_is_deleted_to_inspect_it_anew(kube: Kube) -> None:
    kube.apply(planned(LLAMA_8B))
    before = kube.ready("llama", 60)["status"]["model"]
    kube.wait("the Job is gone", 30, lambda: not kube.list("jobs"))
    (kept,), serving = kept_models(kube), names(pods(kube))
    kube.run("delete", "controllerrevision", kept["metadata"]["name"])
    (again,) = kube.wait("it is inspected anew", 60, lambda: kept_models(kube))
    assert again["metadata"]["uid"] != kept["metadata"]["uid"]
    assert again["data"] == kept["data"]
    assert kube.ready("llama", 60)["status"]["model"] == before
    assert names(pods(kube)) == serving


def test_a_report_in_the_status_of_the_first_versions_is_taken_over(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(planned(LLAMA_8B))
    status = kube.ready("llama", 60)["status"]
    model = status["model"]
    kube.wait("the Job is gone", 30, lambda: not kube.list("jobs"))
    (kept,), serving = kept_models(kube), names(pods(kube))
    operator.stop()
    kube.run("delete", "controllerrevision", kept["metadata"]["name"])
    was = {"inspected": model["inspected"], "commit": model["commit"], "report": REPORTS[f"--hub={LLAMA_8B}"]}
    as_the_operator(kube, {**status, "model": was})
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    operator.start(images={"operator": "vllm-operator:test"})
    kube.wait("it is taken over", 60, lambda: (kube.get("vis", "llama") or {})["status"]["model"] == model)
    (again,) = kept_models(kube)
    assert again["data"] == kept["data"]
    assert names(pods(kube)) == serving
    written = writes(operator.control_plane.audit_log, ACCOUNT, since)
    mine = [one for one in written if f" {kube.namespace}/" in one]
    assert not [one for one in mine if "jobs" in one]
    assert len([one for one in mine if "inferenceservices" in one]) == 1, mine


def test_a_suspension_takes_the_old_pods_too_while_an_edit_does_not_fit(kube: Kube) -> None:
    kube.apply(planned(LLAMA_8B))
    kube.ready("llama", 60)
    kube.merge("vis", "llama", {"spec": {"model": {"uri": f"hf://{LLAMA_70B}"}}})
    kube.wait("it is withheld", 60, lambda: reason(kube, "WorkloadAvailable") == "Withheld")
    assert len(pods(kube)) == 1
    kube.merge("vis", "llama", {"spec": {"suspend": True}})
    kube.wait("the pods are gone", 20, lambda: not pods(kube))
    kube.wait("it says so", 10, lambda: reason(kube) == "Suspended")
    assert fits(kube)["status"] == "False"
    assert "Stalled" not in conditions(kube.get("vis", "llama") or {})


def test_what_does_not_fit_gets_no_pods_until_it_does(kube: Kube) -> None:
    kube.apply(planned(LLAMA_70B))
    kube.wait("it says so", 60, lambda: fits(kube).get("status") == "False")
    found = conditions(kube.get("vis", "llama") or {})
    assert "tensorParallelSize" in found["Fits"]["message"]
    assert "GiB" in found["Fits"]["message"]
    assert found["Ready"]["status"] == "False"
    assert found["Ready"]["reason"] == found["Fits"]["reason"]
    assert found["Stalled"]["status"] == "True"
    assert not kube.get("deployment", "llama")
    assert not pods(kube)
    kube.merge("vis", "llama", {"spec": {"tensorParallelSize": 4}})
    kube.ready("llama", 60)
    assert fits(kube)["status"] == "True"


def test_with_warn_it_is_deployed_all_the_same(kube: Kube) -> None:
    kube.apply(planned(LLAMA_70B, planPolicy="Warn"))
    kube.ready("llama", 60)
    assert fits(kube)["status"] == "False"


def test_an_edit_that_no_longer_fits_keeps_the_old_pods(kube: Kube) -> None:
    kube.apply(planned(LLAMA_8B))
    kube.ready("llama", 60)
    before = args(kube)
    serving = names(pods(kube))
    kube.merge("vis", "llama", {"spec": {"model": {"uri": f"hf://{LLAMA_70B}"}}})
    kube.wait("it says so", 60, lambda: fits(kube).get("status") == "False")
    found = conditions(
        kube.wait("not Ready", 30, lambda: kube.get("vis", "llama") if reason(kube) != "Available" else None)
    )
    assert f"of the previous spec still serve: {next(iter(serving))}" in found["Ready"]["message"]
    assert names(pods(kube)) == serving
    # The old pods are repaired as before.
    kube.merge("deployment", "llama", {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1000}}}})
    kube.wait("the edit is undone", 30, lambda: grace(kube) < 1000)
    kube.run("delete", "deployment", "llama")
    kube.wait("it is made again", 30, lambda: kube.get("deployment", "llama"))
    assert args(kube) == before
    kube.merge("vis", "llama", {"spec": {"model": {"uri": f"hf://{LLAMA_8B}"}}})
    kube.ready("llama", 60)


def test_a_failed_inspection_is_told_and_keeps_nothing_from_running(kube: Kube) -> None:
    kube.apply(planned("org/gone"))
    kube.ready("llama", 60)
    found = fits(kube)
    assert found["status"] == "Unknown"
    assert found["reason"] == "ModelNotFound"
    assert "org/gone" in found["message"]


def test_pods_are_kept_to_the_nodes_that_fit(kube: Kube, operator: OperatorProcess) -> None:
    (small,) = operator.control_plane.add_kwok_nodes(1, product="NVIDIA-L4")
    try:
        kube.apply(planned(LLAMA_8B, accelerator={"resource": "nvidia.com/gpu"}))
        kube.ready("llama", 60)
        (pod,) = pods(kube)
        (term,) = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
            "nodeSelectorTerms"
        ]
        assert term["matchExpressions"][0]["values"] == [H100["product"]]
        assert H100["product"] in fits(kube)["message"]
    finally:
        kube.run("delete", "node", small)


def test_without_any_node_it_is_unknown_and_deployed(kube: Kube) -> None:
    kube.apply(planned(LLAMA_8B, accelerator={"resource": "amd.com/gpu"}))
    kube.wait("it says so", 60, lambda: fits(kube).get("reason") == "GpuUnknown")
    kube.wait("it is deployed", 30, lambda: kube.get("deployment", "llama"))


def test_a_restart_of_the_operator_writes_nothing(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(planned(LLAMA_8B))
    kube.ready("llama", 60)
    kube.wait("the Job is gone", 30, lambda: not kube.list("jobs"))
    before = kube.get("vis", "llama")
    operator.restart(images={"operator": "vllm-operator:test"})
    kube.apply(planned(LLAMA_8B, replicas=2))
    kube.ready("llama", 60)
    after = kube.get("vis", "llama")
    assert before
    assert after
    assert after["status"]["model"] == before["status"]["model"]
    assert not kube.list("jobs")
