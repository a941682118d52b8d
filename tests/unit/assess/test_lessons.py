"""What engines teach the next plan: one vote each, within the margin, and no matter how many lie."""

from typing import Any

import pytest

from support.model_reports import LLAMA_8B, inspected
from support.nodes import H100
from support.snapshots import service
from vllm_operator.api.resource import Key
from vllm_operator.api.vocabulary import VLLM_VERSION
from vllm_operator.assess.fits import Outlook, assess
from vllm_operator.assess.lessons import Report, lessons, report_of
from vllm_operator.planner.accelerators import GIB, MIB

IMAGE = f"vllm/vllm-openai:v{VLLM_VERSION}"


def told(name: str, difference: int, namespace: str = "team-a", **other: Any) -> Report:
    fields = {"product": H100, "version": VLLM_VERSION, **other}
    return Report(Key(namespace, name), fields["product"], fields["version"], difference)


def status(planned: int = 400_000, got: int = 380_000, **plan: Any) -> dict[str, Any]:
    own = {"gpu": H100, "kvCacheBytes": 40 * GIB, "kvCacheTokens": planned, **plan}
    return {"vllmVersion": f"{VLLM_VERSION}+cu130", "plan": own, "engine": {"kvCacheTokens": got}}


def test_a_status_tells_how_much_of_the_gpu_an_engine_got() -> None:
    found = report_of(Key("team-a", "a"), {}, status())
    assert found == Report(Key("team-a", "a"), H100, VLLM_VERSION, -2 * GIB)


def test_what_was_learned_before_is_not_counted_twice() -> None:
    learned = report_of(Key("team-a", "a"), {}, status(got=400_000, learnedBytes=-2 * GIB))
    assert learned
    assert learned.difference == -2 * GIB


@pytest.mark.parametrize(
    ("spec", "content"),
    [
        ({}, {}),
        ({}, {**status(), "engine": {}}),
        ({}, {**status(), "vllmVersion": None}),
        ({}, {**status(), "vllmVersion": "main"}),
        ({}, status(planned=0)),
        ({}, status(kvCacheBytes="large")),
        ({}, status(gpu=7)),
        ({}, status(got=-1)),
        ({}, {**status(), "plan": []}),
        ({"kvCache": {"memoryPerGPU": "20Gi"}}, status()),
        ({}, {**status(), "resolved": [{"field": "kvCache.memoryPerGPU", "value": "20Gi", "from": "ServingClass a"}]}),
    ],
)
def test_what_tells_nothing_has_no_vote(spec: dict[str, Any], content: dict[str, Any]) -> None:
    assert report_of(Key("team-a", "a"), spec, content) is None


def test_services_of_the_namespace_product_and_version_have_a_vote_each() -> None:
    reports = [
        told("a", -100), told("b", -300), told("c", -200), told("d", 900, product="NVIDIA-L4"),
        told("e", 5000, version="0.26.0"), told("f", 7000, "team-b"),
    ]  # fmt: skip
    found = lessons(reports, "team-a", (), VLLM_VERSION)
    assert {product: one.difference for product, one in found.items()} == {H100: -200, "NVIDIA-L4": 900}
    assert found[H100].evidence == "services a, b, c"
    assert lessons(reports[::-1], "team-a", (), VLLM_VERSION) == found


def test_of_other_namespaces_each_has_one_vote_and_fifty_liars_of_one_are_one_voice() -> None:
    honest = [told("a", -100), told("b", -120), told("c", -110, "team-b"), told("d", -90, "team-c")]
    liars = [told(f"liar-{number}", 10**12, "team-x") for number in range(50)]
    found = lessons([*honest, *liars], "team-a", ("team-*",), VLLM_VERSION)[H100]
    assert found.difference == -100
    assert found.evidence == "services a, b and 3 other namespaces"
    assert lessons([*honest, *liars], "team-a", ("team-b",), VLLM_VERSION)[H100].difference == -110
    assert lessons(liars, "team-a", (), VLLM_VERSION) == {}


@pytest.mark.parametrize("lie", [-(10**12), 10**12])
@pytest.mark.parametrize("length", [1024, 131072, 500_000])
def test_fifty_liars_move_a_plan_within_its_margin_and_turn_no_verdict(lie: int, length: int) -> None:
    liars = [told(f"liar-{number}", lie) for number in range(50)]
    learned = lessons([told("honest", -100), *liars], "team-a", (), VLLM_VERSION)[H100].difference
    wanted = service(accelerator={"product": H100}, maxModelLen=length)
    alone = assess(wanted, inspected(LLAMA_8B), [], IMAGE)
    taught = assess(wanted, inspected(LLAMA_8B), [], IMAGE, Outlook(learned={H100: learned}))
    if alone.plan is None or alone.plan.capacity is None:
        assert taught == alone
        return
    assert taught.plan
    assert taught.plan.capacity
    moved = taught.plan.capacity.memory.left - alone.plan.capacity.memory.left
    assert moved == taught.plan.capacity.learned_bytes
    assert abs(moved) == alone.plan.capacity.margin_bytes
    assert {alone.fits, taught.fits} != {True, False}


def test_what_others_say_keeps_no_pods_away_that_the_plan_alone_would_make() -> None:
    wanted = service(accelerator={"product": H100})
    alone = assess(wanted, inspected(LLAMA_8B), [], IMAGE)
    assert alone.plan
    assert alone.plan.capacity
    verdicts = []
    for spare in range(-2000, 2001, 50):  # budgets around the least that one sequence needs
        used = (alone.plan.capacity.memory.left - alone.plan.capacity.needed_bytes - spare * MIB) / (80 * GIB)
        percent = round(92 - 100 * used)
        tight = service(accelerator={"product": H100}, kvCache={"gpuMemoryUtilizationPercent": percent})
        for learned in (-(10**12), 10**12):
            found = [
                assess(tight, inspected(LLAMA_8B), [], IMAGE, Outlook(learned={H100: one})).fits for one in (0, learned)
            ]
            verdicts.append(tuple(found))
    assert set(verdicts) >= {(True, True), (False, False)}
    assert not {(True, False), (False, True), (None, False)} & set(verdicts)


def test_a_plan_says_what_it_would_have_without_any_lesson_where_there_is_none() -> None:
    wanted = service(accelerator={"product": H100})
    alone = assess(wanted, inspected(LLAMA_8B), [], IMAGE)
    assert assess(wanted, inspected(LLAMA_8B), [], IMAGE, Outlook(learned={"NVIDIA-L4": 10**9})) == alone
