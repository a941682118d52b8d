"""Planned against actual: what the plan says before, and what a real vLLM on the CPU then does."""

from collections.abc import Iterator

import pytest

from support.kube import Kube, Object, conditions
from support.serving import tiny


@pytest.fixture(scope="module")
def planned(kube: Kube) -> Iterator[Kube]:
    """Two services whose pods start together: one that sizes its own KV cache, and one that cannot start."""
    small = {"requests": {"cpu": "200m", "memory": "1Gi"}, "limits": {"memory": "4Gi"}}
    own = tiny("own-size", resources=small, kvCache={"gpuMemoryUtilizationPercent": 50})
    # 8 blocks of 128 tokens: less than one sequence of 2,048 tokens, and the null block.
    short = tiny("short", resources=small, kvCache={"memoryPerGPU": "2Mi"}, planPolicy="Warn")
    kube.apply(own, short, tiny("enforced", kvCache={"memoryPerGPU": "2Mi"}))
    yield kube
    kube.run("delete", "vis", "own-size", "short", "enforced")


def fits(kube: Kube, name: str) -> Object | None:
    """The condition, once it is settled."""
    found = conditions(kube.get("vis", name) or {}).get("Fits")
    return found if found and found["reason"] != "Inspecting" else None


def test_what_does_not_fit_is_told_before_any_pod_exists(planned: Kube) -> None:
    found = planned.wait("enforced was planned", 110, lambda: fits(planned, "enforced"))
    assert found["status"] == "False"
    assert "896" in found["message"]
    service = planned.get("vis", "enforced") or {}
    assert conditions(service)["Ready"]["reason"] == found["reason"]
    assert conditions(service)["Stalled"]["status"] == "True"
    assert not planned.get("deployment", "enforced")
    assert not planned.list("pods", "app.kubernetes.io/name=vllm,app.kubernetes.io/instance=enforced")


def test_vllm_refuses_it_with_the_same_length(planned: Kube) -> None:
    def refused() -> Object | None:
        found = conditions(planned.get("vis", "short") or {}).get("WorkloadAvailable", {})
        return found if found.get("reason") == "KvCacheTooSmall" else None

    found = planned.wait("vLLM has refused it", 480, refused)
    assert "896" in found["message"]
    planned.run("scale", "vis", "short", "--replicas=0")


def test_a_kv_cache_of_its_own_size_is_as_planned(planned: Kube) -> None:
    planned.ready("own-size")

    def compared() -> Object | None:
        status: Object = (planned.get("vis", "own-size") or {})["status"]
        return status if "differencePercent" in status.get("plan", {}) else None

    status = planned.wait("vLLM's figures", 240, compared)
    print(f"planned {status['plan']['kvCacheTokens']}, actual {status['engine']['kvCacheTokens']}")
    assert abs(float(status["plan"]["differencePercent"])) <= 10
