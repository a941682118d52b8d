"""What of a service's evidence goes into the operator's metrics."""

from dataclasses import replace

import pytest

from support.accounts import Scene
from support.model_reports import LLAMA_8B, inspected
from support.snapshots import deployment, loading, pod, service
from vllm_operator.api.resource import Key
from vllm_operator.api.vocabulary import VLLM_VERSION
from vllm_operator.assess.fits import assess
from vllm_operator.snapshots.pod import PodSnapshot
from vllm_operator.status.evidence import Engine
from vllm_operator.status.figures import Fleet, Restarts, figures

READY = {"status": "False", "reason": "InsufficientGpus"}


def test_pods_on_the_cpu_want_no_gpu() -> None:
    on_cpu = service(tensorParallelSize=1, accelerator={"resource": "cpu"})
    found = figures(Scene(pods=[pod("a")]).account(on_cpu), READY, 0)
    assert (found.gpus_wanted, found.gpus_granted) == (0, 0)


def test_while_an_edit_is_withheld_the_gpus_are_those_of_what_is_deployed() -> None:
    runs, edited = replace(deployment(2), gpus=4), service(tensorParallelSize=1, replicas=2)
    old = [pod("a"), pod("b", scheduled=False)]
    found = figures(Scene(deployment=runs, old_pods=old, withheld=True).account(edited), READY, 0)
    assert (found.gpus_wanted, found.gpus_granted) == (8, 4)


@pytest.mark.parametrize(("least", "most", "shown_as"), [(1, 8, 8), (8, 8, None)])
def test_an_autoscaler_has_a_maximum_where_it_has_a_choice(least: int, most: int, shown_as: int | None) -> None:
    scaled = service(autoscaling={"minReplicas": least, "maxReplicas": most})
    found = figures(Scene(deployment=deployment(5)).account(scaled), READY, 0)
    assert (found.replicas_wanted, found.replicas_max) == (5, shown_as)


def test_restarts_only_ever_grow() -> None:
    restarts = Restarts()
    assert restarts.count([pod("a", restarts=7)]) == 0  # before the operator's time
    assert restarts.count([pod("a", restarts=8), pod("b")]) == 1
    assert restarts.count([pod("b", restarts=2)]) == 3
    assert restarts.count([]) == 3
    assert restarts.count([pod("c", restarts=1)]) == 4  # two events of a new pod came as one


def test_the_plans_error_is_a_share_of_the_plan() -> None:
    wanted = service(tensorParallelSize=4, accelerator={"product": "NVIDIA-H100-80GB-HBM3"})
    plan = assess(wanted, inspected(LLAMA_8B), [], f"vllm/vllm-openai:v{VLLM_VERSION}")
    assert plan.plan
    assert plan.plan.capacity
    assert figures(Scene(assessment=plan).account(wanted), READY, 0).plan_error is None
    tokens = plan.plan.capacity.kv_cache_tokens
    served = Scene(assessment=plan, engine=Engine(VLLM_VERSION, tokens * 9 // 10, 1024))
    assert figures(served.account(wanted), READY, 0).plan_error == pytest.approx(-0.1, abs=0.001)


@pytest.mark.parametrize(
    ("status", "reason", "value"),
    [("True", "Available", 1), ("False", "Starting", 0), ("Unknown", "Starting", 0), ("False", "Suspended", 1)],
)
def test_one_that_is_suspended_is_down_for_nobody(status: str, reason: str, value: float) -> None:
    fleet, condition = Fleet(), {"status": status, "reason": reason}
    fleet.show(Key("a", "llama"), figures(Scene(deployment=deployment(1)).account(service()), condition, 0))
    samples = {sample.name: sample.value for metric in fleet.collect() for sample in metric.samples}
    assert samples["vllm_operator_service_ready"] == samples["vllm_operator_service_available"] == value


@pytest.mark.parametrize(
    ("replicas", "pods", "old_pods", "available"),
    [
        (1, [], [pod("old")], 1),
        (1, [loading("new")], [loading("old")], 0),
        (4, [pod("new")], [pod("old-1"), pod("old-2")], 1),
        (4, [pod("new")], [pod("old-1"), loading("old-2")], 0),
        (1, [loading("new")], [], 0),
    ],
)
def test_pods_of_the_spec_before_can_be_used_until_those_of_the_new_one_serve(
    replicas: int, pods: list[PodSnapshot], old_pods: list[PodSnapshot], available: int
) -> None:
    scene = Scene(deployment=deployment(replicas), pods=pods, old_pods=old_pods)
    fleet = Fleet()
    fleet.show(Key("a", "llama"), figures(scene.account(service(replicas=replicas)), READY, 0))
    samples = {sample.name: sample.value for metric in fleet.collect() for sample in metric.samples}
    assert samples["vllm_operator_service_ready"] == 0
    assert samples["vllm_operator_service_available"] == available
