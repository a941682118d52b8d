"""How the status tells whether the model fits, and what a plan that it does not means for Ready."""

from typing import Any

from support.accounts import Scene
from support.model_reports import LLAMA_8B, inspected
from support.nodes import H100
from support.snapshots import pod, service
from vllm_operator.api.reasons import Reason
from vllm_operator.api.vocabulary import VLLM_VERSION
from vllm_operator.assess.fits import Assessment, Inspection, assess
from vllm_operator.inspection.report import InspectionError
from vllm_operator.status.evidence import Engine
from vllm_operator.status.status import status

NOW = "2026-11-24T12:00:00Z"
IMAGE = f"vllm/vllm-openai:v{VLLM_VERSION}"
INSPECTED = inspected(LLAMA_8B)


def conditions(observed: Scene, before: dict[str, Any] | None = None) -> dict[str, Any]:
    written = status(observed.account(service(), before or {}), NOW)
    return {entry["type"]: entry for entry in written["conditions"]}


def test_what_is_withheld_is_stalled_with_the_plans_reason() -> None:
    verdict = Assessment(False, Reason.WEIGHTS_TOO_LARGE, "60 GiB are missing")
    found = conditions(Scene(assessment=verdict, withheld=True))
    assert found["Fits"]["status"] == "False"
    assert found["Ready"]["reason"] == found["Stalled"]["reason"] == "WeightsTooLarge"
    assert "60 GiB are missing" in found["Ready"]["message"]
    assert found["WorkloadAvailable"]["reason"] == Reason.WITHHELD


def test_what_is_unknown_does_not_gate_ready() -> None:
    found = conditions(Scene(pods=[pod("a")], assessment=Assessment(None, Reason.GPU_UNKNOWN, "no node")))
    assert found["Ready"]["status"] == "True"
    assert found["Fits"]["status"] == "Unknown"


def test_a_failed_inspection_speaks_before_vllm_does() -> None:
    error = InspectionError(Reason.MODEL_GATED, "accept its terms")
    verdict = assess(service(), Inspection("key", error=error), [], IMAGE)
    found = conditions(Scene(inspection=Inspection("key", error=error), assessment=verdict))
    assert found["Ready"]["reason"] == "ModelGated"
    assert "accept its terms" in found["Ready"]["message"]
    assert "Stalled" not in found


def test_what_was_known_stands_while_it_is_looked_at_again() -> None:
    entry = {
        "type": "Fits", "status": "Unknown", "reason": "HubUnreachable", "message": "503",
        "lastTransitionTime": NOW, "observedGeneration": 3,
    }  # fmt: skip
    found = conditions(Scene(), {"conditions": [entry]})
    assert found["Fits"] == entry


def test_the_plan_stands_beside_what_vllm_did() -> None:
    verdict = assess(service(accelerator={"product": H100}), INSPECTED, [], IMAGE)
    assert verdict.plan
    assert verdict.plan.capacity
    tokens = verdict.plan.capacity.kv_cache_tokens
    observed = Scene(inspection=INSPECTED, assessment=verdict, engine=Engine("0.32.0", tokens * 2, 131072))
    written = status(observed.account(service(), {}), NOW)
    assert written["plan"]["kvCacheTokens"] == tokens
    assert written["plan"]["differencePercent"] == "+100.0"
    assert written["model"]["commit"] == "1" * 40


def test_a_commit_that_no_pod_is_pinned_to_is_not_told() -> None:
    commit = "1" * 40
    for arguments, shown in (((f"--revision={commit}",), commit), (("--revision=main",), None)):
        seen = Scene(inspection=INSPECTED, image="vllm:1", arguments=arguments)
        assert status(seen.account(service()), "2026-11-24T12:00:00Z")["model"].get("commit") == shown


def test_why_a_plan_is_approximate_is_in_the_status_and_absent_where_it_is_exact() -> None:
    def plan_of(image: str) -> dict[str, Any]:
        wanted = service(accelerator={"product": H100})
        return dict(status(Scene(assessment=assess(wanted, INSPECTED, [], image)).account(wanted), NOW)["plan"])

    assert "approximate" not in plan_of(f"vllm/vllm-openai:v{VLLM_VERSION}")
    assert plan_of("vllm/vllm-openai:v0.33.0")["approximate"] == [
        "vLLM 0.33.0 was not measured, and 0.32.0 is the nearest"
    ]


def test_the_plan_says_about_how_fast_a_replica_will_answer() -> None:
    verdict = assess(service(accelerator={"product": H100}, maxNumSeqs=64), INSPECTED, [], IMAGE)
    told = status(Scene(assessment=verdict).account(service(), {}), NOW)["plan"]["speed"]
    assert 100 < told["decodeTokensPerSecond"] < 200
    assert told["decodeTokensPerSecondTogether"] > 10 * told["decodeTokensPerSecond"]
    assert (told["requestsTogether"], told["contextTokens"]) == (64, 1000)
    assert 10 < told["millisecondsToFirstToken"] < 100
    unknown = assess(service(accelerator={"memory": "80Gi", "product": "NVIDIA-X900"}), INSPECTED, [], IMAGE)
    assert "speed" not in status(Scene(assessment=unknown).account(service(), {}), NOW)["plan"]
