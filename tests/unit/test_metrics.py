"""What the operator tells Prometheus of the services, of its watches and of its queue."""

import asyncio
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from control_plane.models import LLAMA_8B, REPORTS
from vllm_operator.api.resource import InferenceService
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.api.vocabulary import VLLM_VERSION
from vllm_operator.figures import Restarts, figures
from vllm_operator.fits import Inspection, assess
from vllm_operator.metrics import Figures, Fleet, Watches
from vllm_operator.observed import DeploymentSnapshot, PodSnapshot
from vllm_operator.verdicts import Engine, Observed
from vllm_operator.workqueue import WorkQueue

FIGURES = Figures("True", "Available", 2, 2, None, 8, 8, None, 0)
READY = {"status": "False", "reason": "InsufficientGpus"}


def pod(
    name: str, *, restarts: int = 0, ready: bool = True, scheduled: bool = True, failed: bool = False
) -> PodSnapshot:
    return PodSnapshot(name, "r1", "10.0.0.1", ready, False, scheduled, restarts, True, failed=failed)


def service(**spec: object) -> InferenceService:
    model = {"model": {"uri": "hf://a/b"}, "tensorParallelSize": 4, **spec}
    return InferenceService("team-a", "llama", "uid", 1, InferenceServiceSpec.model_validate(model))


def shown(fleet: Fleet | Watches) -> dict[str, float]:
    """The page that Prometheus would read, by sample."""
    registry = CollectorRegistry()
    registry.register(fleet)
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, value in (x.rsplit(" ", 1) for x in lines if not x.startswith("#"))}


def test_a_service_takes_its_series_with_it() -> None:
    fleet = Fleet()
    fleet.show(("team-a", "llama"), FIGURES)
    fleet.show(("team-b", "llama"), replace(FIGURES, ready="False", reason="Starting", plan_error=-0.02))
    page = shown(fleet)
    assert page['vllm_operator_services{ready="True",reason="Available"}'] == 1
    assert page['vllm_operator_service_ready{inferenceservice="llama",namespace="team-b"}'] == 0
    assert page['vllm_operator_service_reason{inferenceservice="llama",namespace="team-b",reason="Starting"}'] == 1
    assert page['vllm_operator_service_plan_error_ratio{inferenceservice="llama",namespace="team-b"}'] == -0.02
    assert 'vllm_operator_service_plan_error_ratio{inferenceservice="llama",namespace="team-a"}' not in page

    fleet.show(("team-b", "llama"), FIGURES)
    assert shown(fleet)['vllm_operator_services{ready="True",reason="Available"}'] == 2
    fleet.forget(("team-b", "llama"))
    page = shown(fleet)
    assert page['vllm_operator_services{ready="True",reason="Available"}'] == 1
    assert not [sample for sample in page if "team-b" in sample]
    fleet.forget(("team-a", "llama"))
    assert shown(fleet) == {}


def test_gpus_wanted_granted_and_missing() -> None:
    pods = [pod("a"), pod("b", ready=False, scheduled=False), pod("c", ready=False, failed=True)]
    found = figures(service(replicas=2), Observed(pods=pods), READY, 0)
    assert (found.replicas_wanted, found.replicas_ready) == (2, 1)
    assert (found.gpus_wanted, found.gpus_granted) == (8, 4)
    fleet = Fleet()
    fleet.show(("team-a", "llama"), found)
    assert shown(fleet)['vllm_operator_service_gpus_missing{inferenceservice="llama",namespace="team-a"}'] == 4
    # While a rollout has more pods than there should be, nothing is missing.
    more = [pod("a"), pod("b"), pod("c")]
    fleet.show(("team-a", "llama"), figures(service(replicas=2), Observed(pods=more[:1], old_pods=more[1:]), READY, 0))
    assert shown(fleet)['vllm_operator_service_gpus_missing{inferenceservice="llama",namespace="team-a"}'] == 0


def test_pods_on_the_cpu_want_no_gpu() -> None:
    on_cpu = service(tensorParallelSize=1, accelerator={"resource": "cpu"})
    found = figures(on_cpu, Observed(pods=[pod("a")]), READY, 0)
    assert (found.gpus_wanted, found.gpus_granted) == (0, 0)


@pytest.mark.parametrize(("least", "most", "shown_as"), [(1, 8, 8), (8, 8, None)])
def test_an_autoscaler_has_a_maximum_where_it_has_a_choice(least: int, most: int, shown_as: int | None) -> None:
    scaled = service(autoscaling={"minReplicas": least, "maxReplicas": most})
    found = figures(scaled, Observed(deployment=DeploymentSnapshot(1, 1, 5, 5, ())), READY, 0)
    assert (found.replicas_wanted, found.replicas_max) == (5, shown_as)


def test_restarts_only_ever_grow() -> None:
    restarts = Restarts()
    assert restarts.count([pod("a", restarts=7)]) == 0  # before the operator's time
    assert restarts.count([pod("a", restarts=8), pod("b")]) == 1
    assert restarts.count([pod("b", restarts=2)]) == 3
    assert restarts.count([]) == 3
    assert restarts.count([pod("c", restarts=1)]) == 4  # two events of a new pod came as one


def test_a_watch_grows_old_until_it_is_renewed() -> None:
    now = 0.0
    watches = Watches(lambda: now)
    for resource in ("pods", "nodes"):
        watches.wanted(resource)
    watches.accepted("/api/v1/pods")
    watches.accepted("/apis/apps/v1/namespaces/a/deployments")
    watches.accepted("/apis/monitoring.coreos.com/v1/servicemonitors")
    now = 60
    watches.accepted("/apis/apps/v1/namespaces/b/deployments")
    now = 600
    watches.accepted("/api/v1/pods")
    watches.forget("servicemonitors")
    assert shown(watches) == {
        'vllm_operator_watch_age_seconds{resource="pods"}': 0,
        'vllm_operator_watch_age_seconds{resource="deployments"}': 600,
        'vllm_operator_watch_age_seconds{resource="nodes"}': 600,
    }


def test_only_keys_that_are_due_wait_for_a_worker() -> None:
    blocked, page = asyncio.Event(), {}

    async def work(key: str) -> None:
        await blocked.wait()

    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue(work, workers=1)
        runner = asyncio.create_task(queue.run())
        for key in "abc":
            queue.add(key)
        queue.add("later", 600)
        await asyncio.sleep(0.3)
        for name in ("depth", "age_seconds"):
            page[name] = REGISTRY.get_sample_value(f"vllm_operator_queue_{name}")
        runner.cancel()

    asyncio.run(main())
    assert page["depth"] == 2
    assert page["age_seconds"] is not None
    assert 0.2 < page["age_seconds"] < 60


def test_the_plans_error_is_a_share_of_the_plan() -> None:
    inspected = Inspection("key", REPORTS[f"--hub={LLAMA_8B}"])
    wanted = service(accelerator={"product": "NVIDIA-H100-80GB-HBM3"})
    plan = assess(wanted, inspected, [], f"vllm/vllm-openai:v{VLLM_VERSION}")
    assert plan.plan
    assert plan.plan.capacity
    assert figures(wanted, Observed(assessment=plan), READY, 0).plan_error is None
    tokens = plan.plan.capacity.kv_cache_tokens
    served = Observed(assessment=plan, engine=Engine(VLLM_VERSION, tokens * 9 // 10, 1024))
    assert figures(wanted, served, READY, 0).plan_error == pytest.approx(-0.1, abs=0.001)
