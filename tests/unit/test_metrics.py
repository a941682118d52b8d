"""What the operator tells Prometheus of the services, of its watches and of its queue."""

import asyncio
from dataclasses import replace

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from support.accounts import Scene
from support.snapshots import loading, pod, service
from vllm_operator import metrics
from vllm_operator.api.resource import Key
from vllm_operator.loop.workqueue import WorkQueue
from vllm_operator.metrics import Watches
from vllm_operator.status.figures import Figures, Fleet, figures

FIGURES = Figures("True", "Available", 2, 2, None, 8, 8, None, 0, available=True)
READY = {"status": "False", "reason": "InsufficientGpus"}


def shown(fleet: Fleet | Watches) -> dict[str, float]:
    """The page that Prometheus would read, by sample."""
    registry = CollectorRegistry()
    registry.register(fleet)
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, value in (x.rsplit(" ", 1) for x in lines if not x.startswith("#"))}


def test_a_service_takes_its_series_with_it() -> None:
    fleet = Fleet()
    fleet.show(Key("team-a", "llama"), FIGURES)
    fleet.show(Key("team-b", "llama"), replace(FIGURES, ready="False", reason="Starting", plan_error=-0.02))
    page = shown(fleet)
    assert page['vllm_operator_services{ready="True",reason="Available"}'] == 1
    assert page['vllm_operator_service_ready{inferenceservice="llama",namespace="team-b"}'] == 0
    assert page['vllm_operator_service_reason{inferenceservice="llama",namespace="team-b",reason="Starting"}'] == 1
    assert page['vllm_operator_service_plan_error_ratio{inferenceservice="llama",namespace="team-b"}'] == -0.02
    assert 'vllm_operator_service_plan_error_ratio{inferenceservice="llama",namespace="team-a"}' not in page

    fleet.show(Key("team-b", "llama"), FIGURES)
    assert shown(fleet)['vllm_operator_services{ready="True",reason="Available"}'] == 2
    fleet.forget(Key("team-b", "llama"))
    page = shown(fleet)
    assert page['vllm_operator_services{ready="True",reason="Available"}'] == 1
    assert not [sample for sample in page if "team-b" in sample]
    fleet.forget(Key("team-a", "llama"))
    assert shown(fleet) == {}


def test_gpus_wanted_granted_and_missing() -> None:
    pods = [pod("a"), loading("b", scheduled=False), loading("c", failed=True)]
    found = figures(Scene(pods=pods).account(service(tensorParallelSize=4, replicas=2)), READY, 0)
    assert (found.replicas_wanted, found.replicas_ready) == (2, 1)
    assert (found.gpus_wanted, found.gpus_granted) == (8, 4)
    fleet = Fleet()
    fleet.show(Key("team-a", "llama"), found)
    assert shown(fleet)['vllm_operator_service_gpus_missing{inferenceservice="llama",namespace="team-a"}'] == 4
    # While a rollout has more pods than there should be, nothing is missing.
    more = [pod("a"), pod("b"), pod("c")]
    fleet.show(
        Key("team-a", "llama"),
        figures(Scene(pods=more[:1], old_pods=more[1:]).account(service(tensorParallelSize=4, replicas=2)), READY, 0),
    )
    assert shown(fleet)['vllm_operator_service_gpus_missing{inferenceservice="llama",namespace="team-a"}'] == 0


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
        queue: WorkQueue[str] = WorkQueue(work, workers=1, group=str)
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


def test_what_the_loop_counts_is_not_said_to_be_of_services_alone() -> None:
    """The queue has keys of every kind; nothing is said of one."""
    for counted in (metrics.reconcile_seconds, metrics.queue_depth, metrics.queue_age):
        (family,) = counted.collect()
        assert "batch" in family.documentation or "object" in family.documentation
    (family,) = metrics.reconcile_errors.collect()
    assert "class of the error" in family.documentation
