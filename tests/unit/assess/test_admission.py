"""Which class a service has, who may use it, and its limits: each refusal names the class, the limit and the value."""

from typing import Any

import pytest

from support.serving_classes import serving_class, spec
from vllm_operator.api import BATCH_KIND, KIND
from vllm_operator.api.reasons import Reason
from vllm_operator.api.resource import Key
from vllm_operator.api.serving_class import ServingClass
from vllm_operator.assess.admission import admit, fault
from vllm_operator.assess.classes import Classes, defaults
from vllm_operator.assess.limits import Claimant, most_gpus, over_budget, room
from vllm_operator.settings import Settings

SETTINGS = Settings()
ALWAYS = "requiredDuringSchedulingIgnoredDuringExecution"
TEAM_A = {"matchLabels": {"team": "a"}}


def classes(*known: ServingClass, labels: dict[str, str] | None = None, **fields: Any) -> Classes:
    return Classes({one.name: one for one in known}, namespace_labels=labels, **fields)


def refusal(known: Classes, **fields: Any) -> tuple[str, str]:
    found, _ = admit(spec(**fields), known, SETTINGS)
    assert found.refusal
    assert found.spec.image, "what is deployed is kept repaired"
    return found.refusal


def test_a_service_is_of_the_class_that_it_names_else_of_the_default_else_of_none() -> None:
    known = classes(serving_class("a100"), serving_class("h100", default=True))

    def own(**fields: Any) -> str | None:
        found, own = admit(spec(**fields), known, SETTINGS)
        assert found.refusal is None
        return own.name if own else None

    assert own(servingClassName="a100") == "a100"
    assert own() == "h100"
    assert own(servingClassName="") is None
    assert admit(spec(), classes(serving_class("a100")), SETTINGS)[1] is None


def test_of_several_defaults_the_newest_holds() -> None:
    old, new = (serving_class(f"y{year}", f"{year}-01-01T00:00:00Z", default=True) for year in (2025, 2026))
    same = serving_class("a", "2026-01-01T00:00:00Z", default=True)
    assert defaults([old, serving_class("none"), new]) == [new, old]
    assert defaults([new, same]) == [same, new]
    assert admit(spec(), classes(old, new), SETTINGS)[1] == new


def test_a_default_is_for_those_who_may_use_it() -> None:
    own = serving_class(default=True, namespaces=TEAM_A)
    assert admit(spec(), classes(own, labels={"team": "b"}), SETTINGS)[1] is None
    assert admit(spec(), classes(own, labels={"team": "a"}), SETTINGS)[1] == own
    assert admit(spec(), classes(own, labels=None), SETTINGS)[1] is None, "a right that is missing changes no service"


def test_a_class_that_is_not_there_is_named_with_those_that_are() -> None:
    known = classes(serving_class("l4"), serving_class("secret", namespaces=TEAM_A), labels={"team": "b"})
    reason, message = refusal(known, servingClassName="h100")
    assert reason == Reason.CLASS_NOT_FOUND
    assert "there is no ServingClass h100" in message
    assert "(there are: l4)" in message


@pytest.mark.parametrize(
    ("selector", "allowed"),
    [
        ({"matchLabels": {"team": "a"}}, True),
        ({"matchLabels": {"team": "b"}}, False),
        ({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["b", "c"]}]}, True),
        ({"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}, False),
        ({}, True),
    ],
)
def test_a_namespace_may_use_a_class_that_selects_it(selector: dict[str, Any], *, allowed: bool) -> None:
    known = classes(serving_class(namespaces=selector), labels={"team": "a"})
    found, _ = admit(spec(servingClassName="h100"), known, SETTINGS)
    assert (found.refusal is None) == allowed
    if found.refusal:
        assert found.refusal[0] == Reason.CLASS_NOT_ALLOWED
        assert "ServingClass h100 is not for this namespace" in found.refusal[1]


def test_missing_rights_are_named_to_services_that_name_a_class_and_to_no_other() -> None:
    blind = classes(unreadable="a cluster role with list and watch on servingclasses is missing")
    reason, message = refusal(blind, servingClassName="h100")
    assert reason == Reason.CLASS_UNREADABLE
    assert "list and watch on servingclasses" in message
    assert admit(spec(), blind, SETTINGS)[0].refusal is None
    labels = classes(serving_class(namespaces=TEAM_A))
    assert "list and watch on namespaces" in refusal(labels, servingClassName="h100")[1]
    broken = classes(unread={"h100": "spec.default: must be true or false"})
    assert refusal(broken, servingClassName="h100") == (
        Reason.CLASS_UNREADABLE, "ServingClass h100 cannot be read: spec.default: must be true or false"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "fields", "said"),
    [
        ({"maxReplicas": 4}, {"replicas": 10}, "4 replicas (limits.maxReplicas), and replicas is 10"),
        (
            {"maxReplicas": 4},
            {"autoscaling": {"maxReplicas": 5}},
            "4 replicas (limits.maxReplicas), and autoscaling.maxReplicas is 5",
        ),
        (
            {"gpusPerService": 8},
            {"replicas": 3, "tensorParallelSize": 4},
            "8 GPUs for a service (limits.gpusPerService), and this one asks for 12 (3 x 4): lower replicas",
        ),
        (
            {"maxModelLen": 32768},
            {"maxModelLen": 65536},
            "32,768 tokens (limits.maxModelLen), and maxModelLen is 65536: set it to 32768 or less",
        ),
        ({"maxModelLen": 32768}, {}, "32,768 tokens (limits.maxModelLen), and maxModelLen is not set"),
        ({"maxModelLen": 32768}, {"maxModelLen": "auto"}, "and maxModelLen is auto"),
        (
            {"allowed": {"quantization": ["fp8", "awq"]}},
            {"quantization": "gptq"},
            "quantization fp8 or awq (limits.allowed), and it is gptq: set it",
        ),
        ({"allowed": {"tensorParallelSize": [1, 2]}}, {"tensorParallelSize": 4}, "tensorParallelSize 1 or 2"),
        ({"allowed": {"enforceEager": ["false"]}}, {"enforceEager": True}, "and it is true"),
        ({"allowed": {"model.uri": ["hf://mine/*"]}}, {}, "model.uri hf://mine/* (limits.allowed)"),
        ({"allowed": {"image": ["registry/vllm:*"]}}, {}, "v0.32.0, from operator"),
    ],
)
def test_a_limit_names_what_is_above_it(limits: dict[str, Any], fields: dict[str, Any], said: str) -> None:
    reason, message = refusal(classes(serving_class(limits=limits)), servingClassName="h100", **fields)
    assert reason == Reason.CLASS_LIMIT_EXCEEDED
    assert message.startswith("ServingClass h100 allows ")
    assert said in message


@pytest.mark.parametrize(
    ("limits", "fields"),
    [
        ({"maxReplicas": 4}, {"replicas": 4}),
        ({"gpusPerService": 8}, {"replicas": 2, "tensorParallelSize": 4}),
        ({"gpusPerService": 8}, {"replicas": 99, "suspend": True}),
        ({"gpusPerService": 0}, {"replicas": 99, "accelerator": {"resource": "cpu"}}),
        ({"maxModelLen": 32768}, {"maxModelLen": 32768}),
        ({"allowed": {"quantization": ["fp8"]}}, {}),
        ({"allowed": {"image": ["vllm/*"]}}, {}),
    ],
)
def test_what_keeps_the_limits_is_admitted(limits: dict[str, Any], fields: dict[str, Any]) -> None:
    found, _ = admit(spec(servingClassName="h100", **fields), classes(serving_class(limits=limits)), SETTINGS)
    assert found.refusal is None


def test_a_classs_own_default_must_keep_its_limits_too() -> None:
    own = serving_class(defaults={"quantization": "awq"}, limits={"allowed": {"quantization": ["fp8"]}})
    assert "it is awq, from ServingClass h100" in refusal(classes(own), servingClassName="h100")[1]


def test_a_class_narrows_what_the_settings_allow_and_never_widens_it() -> None:
    own = serving_class(images={"cuda": "elsewhere/vllm:1"})
    assert refusal(classes(own), servingClassName="h100") == (
        Reason.CLASS_BEYOND_SETTINGS,
        "ServingClass h100 gives image elsewhere/vllm:1, which the operator's setting allowedImages does not allow: "
        "name another class, or ask the platform team",
    )
    wide = Settings(allowed_images=("elsewhere/*",))
    assert admit(spec(servingClassName="h100"), classes(own), wide)[0].refusal is None
    assert fault(own, wide) is None


@pytest.mark.parametrize(
    "given",
    [
        {"images": {"rocm": "elsewhere/vllm:1"}},
        {"accelerator": {"resource": "cpu"}, "images": {"cpu": "elsewhere/vllm:1"}},
        {"pod": {"priorityClassName": "system-node-critical"}},
        {"pod": {"runtimeClassName": "gvisor"}},
        {"pod": {"affinity": {"podAntiAffinity": {ALWAYS: [{"topologyKey": "rack", "namespaceSelector": {}}]}}}},
        {"defaults": {"allowedMediaDomains": ["example.com"]}},
    ],
)
def test_a_class_that_gives_what_the_settings_do_not_allow_says_so_itself(given: dict[str, Any]) -> None:
    found = fault(serving_class(**given), SETTINGS)
    assert found
    assert found[0] == Reason.CLASS_BEYOND_SETTINGS


def test_a_class_that_could_be_used_has_no_fault() -> None:
    assert fault(serving_class(), SETTINGS) is None
    gpus_only = {"kvCache": {"cpuOffload": "1Gi"}}
    assert fault(serving_class(defaults=gpus_only), SETTINGS) is None, "services on GPUs can have it"
    contradicted = fault(serving_class(accelerator={"resource": "cpu"}, defaults=gpus_only), SETTINGS)
    assert contradicted
    assert contradicted[0] == Reason.CLASS_CONTRADICTED
    own = serving_class(images={"cuda": SETTINGS.images.gpu})
    assert fault(own, Settings(allowed_hub_organisations=("mine",))) is None


def test_what_the_user_asks_for_is_not_the_fault_of_the_class() -> None:
    found, _ = admit(spec(servingClassName="h100", image="elsewhere/vllm:1"), classes(serving_class()), SETTINGS)
    assert found.refusal is None, "the spec is refused for that by itself"


def claimant(name: str, asked: int, held: int = 0, created: str = "2026-11-24T12:00:00Z") -> Claimant:
    return Claimant((KIND, Key("team-a", name)), created, held > 0, held, most_gpus(spec(tensorParallelSize=asked)))


def test_a_namespaces_gpus_go_to_those_that_have_pods_then_to_the_oldest() -> None:
    own = serving_class(limits={"gpusPerNamespace": 8})
    old, new = claimant("old", 4, created="2026-01-01T00:00:00Z"), claimant("new", 4)
    serving = claimant("serving", 4, held=4, created="2026-12-01T00:00:00Z")
    assert over_budget(own, [new, old]) == {}
    refused = over_budget(own, [new, old, serving])
    assert refused.keys() == {(KIND, ("team-a", "new"))}
    assert refused[KIND, Key("team-a", "new")] == (
        Reason.CLASS_LIMIT_EXCEEDED,
        "ServingClass h100 allows 8 GPUs for all its services and batches in a namespace (limits.gpusPerNamespace); 8 "
        "go to others and this one asks for 4: lower what they ask for, or ask the platform team",
    )
    assert over_budget(serving_class(), [new, old, serving]) == {}


def test_what_is_refused_keeps_the_gpus_that_it_holds_and_they_count() -> None:
    own = serving_class(limits={"gpusPerNamespace": 8})
    grows = claimant("grows", 16, held=4)  # it asks for more than there is, and 4 of its GPUs are in use
    assert over_budget(own, [grows, claimant("small", 4)]).keys() == {(KIND, ("team-a", "grows"))}
    assert over_budget(own, [grows, claimant("larger", 5)]).keys() == {
        (KIND, ("team-a", name)) for name in ("grows", "larger")
    }


def test_a_service_and_a_batch_of_the_same_name_are_two() -> None:
    own = serving_class(limits={"gpusPerNamespace": 8})
    service = claimant("nightly", 8, held=8)
    batch = Claimant((BATCH_KIND, service.holder[1]), "2026-01-01T00:00:00Z", has_pods=False, held=0, asked=1)
    assert over_budget(own, [service, batch]).keys() == {(BATCH_KIND, ("team-a", "nightly"))}
    assert room(own, [service, batch], batch.holder) == 0
