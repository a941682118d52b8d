"""What the platform team's settings refuse, with which reason, and that the sentence names the setting."""

from typing import Any

import pytest

from vllm_operator.api.reasons import Reason
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.assess.policy import RULES, named_claims, refused
from vllm_operator.settings import Allowed, Settings, matches

NEAR = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}
QUEUE = {"type": "metrics-api", "metadata": {"url": "http://169.254.169.254/latest"}}


def spec(**changes: Any) -> InferenceServiceSpec:
    """A spec that only asks for a model, and what is given."""
    return InferenceServiceSpec.model_validate({"model": {"uri": "hf://org/name"}, **changes})


def pod(**settings: Any) -> dict[str, Any]:
    """A change of the pod's settings."""
    return {"pod": settings}


_ELSEWHERE: list[dict[str, Any]] = [{"namespaces": ["team-b"]}, {"namespaceSelector": {}}]
# Refused by default (or with the setting that is given), and the setting that allows it.
CASES: list[tuple[Reason, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (Reason.IMAGE_NOT_ALLOWED, {"image": "acme/vllm:1"}, {}, {"allowedImages": ["acme/*"]}),
    (
        Reason.REMOTE_CODE_NOT_ALLOWED,
        {"model": {"uri": "hf://org/name", "trustRemoteCode": True}},
        {},
        {"allowTrustRemoteCode": True},
    ),
    (
        Reason.PARSER_PLUGINS_NOT_ALLOWED,
        {"parserPlugins": {"toolCall": {"name": "parsers", "key": "calls.py"}}, "toolCallParser": "mine"},
        {},
        {"allowParserPlugins": True},
    ),
    (Reason.REQUEST_LOGS_NOT_ALLOWED, {"extraArgs": ["--enable-log-requests"]}, {}, {"allowRequestLogs": True}),
    (Reason.REQUEST_LOGS_NOT_ALLOWED, {"extraArgs": ["--seed=1", "--max-log-len=9"]}, {}, {"allowRequestLogs": True}),
    *(
        (Reason.REQUEST_LOGS_NOT_ALLOWED, asked, {}, {"allowRequestLogs": True})
        for asked in (
            {"extraArgs": ["--log-level=DEBUG"]},
            {"extraArgs": ["--log-level=NOTSET"]},
            {"env": [{"name": "VLLM_LOGGING_LEVEL", "value": "debug"}]},
            {"env": [{"name": "VLLM_LOGGING_LEVEL", "value": "NotSet"}]},
            {"env": [{"name": "VLLM_LOGGING_LEVEL", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}]},
        )
    ),
    (Reason.HUB_ORGANISATION_NOT_ALLOWED, {}, {"allowedHubOrganisations": []}, {"allowedHubOrganisations": ["Org"]}),
    (
        Reason.HUB_ORGANISATION_NOT_ALLOWED,
        {"lora": {"adapters": [{"name": "a", "uri": "hf://other/a"}]}},
        {"allowedHubOrganisations": ["org"]},
        {"allowedHubOrganisations": ["org", "oth*"]},
    ),
    (
        Reason.HUB_ORGANISATION_NOT_ALLOWED,
        {"speculative": {"method": "eagle", "model": "hf://other/a", "numSpeculativeTokens": 2}},
        {"allowedHubOrganisations": ["org"]},
        {"allowedHubOrganisations": ["*"]},
    ),
    (
        Reason.HUB_ORGANISATION_NOT_ALLOWED,
        {"model": {"uri": "pvc://models/a", "tokenizer": {"uri": "hf://other/a"}}},
        {"allowedHubOrganisations": ["org"]},
        {"allowedHubOrganisations": ["other"]},
    ),
    (
        Reason.MODEL_IMAGE_NOT_ALLOWED,
        {"model": {"uri": "oci://registry.example.com/other/llama:1"}},
        {"allowedModelImages": ["registry.example.com/models/*"]},
        {"allowedModelImages": ["registry.example.com/**"]},
    ),
    (
        Reason.PRIORITY_CLASS_NOT_ALLOWED,
        pod(priorityClassName="system-node-critical"),
        {},
        {"allowedPriorityClasses": ["system-node-critical"]},
    ),
    (
        Reason.PRIORITY_CLASS_NOT_ALLOWED,
        pod(priorityClassName="production"),
        {"allowedPriorityClasses": ["batch"]},
        {"allowedPriorityClasses": ["prod*"]},
    ),
    (Reason.SERVICE_ACCOUNT_NOT_ALLOWED, pod(serviceAccountName="admin"), {}, {"allowedServiceAccounts": ["admin"]}),
    (Reason.RUNTIME_CLASS_NOT_ALLOWED, pod(runtimeClassName="runc"), {}, {"allowedRuntimeClasses": ["runc"]}),
    (Reason.POD_LABEL_NOT_ALLOWED, pod(labels={"app": "payments"}), {}, {"allowedPodLabels": ["app"]}),
    (
        Reason.POD_LABEL_NOT_ALLOWED,
        pod(labels={"azure.workload.identity/use": "true"}),
        {},
        {"allowedPodLabels": ["azure.workload.identity/*"]},
    ),
    (
        Reason.POD_ANNOTATION_NOT_ALLOWED,
        pod(annotations={"sidecar.istio.io/proxyImage": "evil"}),
        {},
        {"allowedPodAnnotations": ["sidecar.istio.io/*"]},
    ),
    (
        Reason.RDMA_NOT_ALLOWED,
        {"accelerator": {"rdma": {"resource": "rdma/hca", "count": 8}}},
        {},
        {"allowedRdmaResources": ["rdma/*"]},
    ),
    (
        Reason.EXCLUSIVE_TOPOLOGY_NOT_ALLOWED,
        pod(exclusiveTopology="topology.kubernetes.io/zone"),
        {"allowedExclusiveTopologies": ["cloud.google.com/*"]},
        {"allowedExclusiveTopologies": ["topology.kubernetes.io/zone"]},
    ),
    *(
        (
            Reason.CROSS_NAMESPACE_AFFINITY_NOT_ALLOWED,
            pod(affinity={field: terms}),
            {},
            {"allowCrossNamespaceAffinity": True},
        )
        for field in ("podAffinity", "podAntiAffinity")
        for other in _ELSEWHERE
        for terms in (
            {"requiredDuringSchedulingIgnoredDuringExecution": [NEAR, {**NEAR, **other}]},
            {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {**NEAR, **other}}]},
        )
    ),
    (
        Reason.TRIGGER_NOT_ALLOWED,
        {"autoscaling": {"maxReplicas": 2, "provider": "KEDA", "triggers": [QUEUE]}},
        {},
        {"allowedTriggers": ["metrics-api"]},
    ),
    (
        Reason.MEDIA_DOMAIN_NOT_ALLOWED,
        {"allowedMediaDomains": ["images.example.com", "inner.svc"]},
        {"allowedMediaDomains": ["images.example.com"]},
        {"allowedMediaDomains": ["*"]},
    ),
]


@pytest.mark.parametrize(("reason", "asked", "forbids", "allows"), CASES)
def test_what_is_not_allowed_is_refused_by_name(
    reason: Reason, asked: dict[str, Any], forbids: dict[str, Any], allows: dict[str, Any]
) -> None:
    rule = next(rule for rule in RULES if rule.reason == reason)
    finding = refused(spec(**asked), Settings.model_validate(forbids))
    assert finding
    assert finding[0] == reason
    assert f"not allowed by the operator's setting {rule.setting}" in finding[1]
    assert finding[1].endswith("or ask the platform team")
    assert refused(spec(**asked), Settings.model_validate(allows)) is None


def test_every_rule_is_tried() -> None:
    assert {rule.reason for rule in RULES} == {case[0] for case in CASES} | {Reason.CLAIM_NOT_ALLOWED}
    assert {rule.setting for rule in RULES} == {field.alias for field in Allowed.model_fields.values()}


@pytest.mark.parametrize("kind", ["labels", "annotations"])
@pytest.mark.parametrize(
    "key",
    ["k8s.io/x", "kubernetes.io/x", "cluster-autoscaler.kubernetes.io/safe-to-evict",
     "container.apparmor.security.beta.kubernetes.io/vllm"],
)  # fmt: skip
def test_kubernetes_own_keys_are_never_allowed(kind: str, key: str) -> None:
    everything = Settings.model_validate({"allowedPodLabels": ["**", key], "allowedPodAnnotations": ["**", key]})
    assert refused(spec(**pod(**{kind: {key: "x"}})), everything)
    assert refused(spec(**pod(**{kind: {"kueue.x-k8s.io/queue-name": "x"}})), everything) is None


def test_a_claim_needs_the_labels() -> None:
    asked = spec(model={"uri": "pvc://models/one"}, cache={"existingClaim": "shared"})
    wants = Settings.model_validate({"allowedClaims": {"llm": "yes"}})
    assert named_claims(asked) == ["models", "shared"]
    finding = refused(asked, wants, {"models": {"llm": "yes", "a": "b"}, "shared": {"llm": "no"}})
    assert finding
    assert finding[0] == Reason.CLAIM_NOT_ALLOWED
    assert "claim shared is not allowed by the operator's setting allowedClaims (llm=yes)" in finding[1]
    assert refused(asked, wants, {"models": {"llm": "yes"}, "shared": {"llm": "yes"}}) is None
    missing = refused(asked, wants, {"models": {"llm": "yes"}, "shared": None})
    assert missing
    assert missing[0] == Reason.CLAIM_NOT_ALLOWED, "pods would mount it whatever its labels are once it comes"
    assert "claim shared, which does not exist, is not allowed" in missing[1]
    assert refused(asked, wants, {}) is None, "nobody has looked"
    assert refused(asked, Settings(), {"models": {}, "shared": {}}) is None


def test_the_claim_that_the_operator_makes_needs_no_label() -> None:
    assert named_claims(spec(cache={"claim": {"storage": "1Gi"}})) == []


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("acme/vllm*", "acme/vllm:1", True),
        ("acme/vllm*", "acme/vllm-evil/payload", False),
        ("acme/**", "acme/vllm/sub:1", True),
        ("registry:5000/*", "registry:5000/vllm:1", True),
        ("registry:5000/*", "registry:5000/team/vllm:1", False),
        ("*", "a/b", False),
        ("a.c", "abc", False),
        ("a[b]", "ab", False),
    ],
)
def test_a_star_does_not_cross_a_slash(pattern: str, text: str, *, fits: bool) -> None:
    assert matches([pattern], text) == fits


def test_the_default_images_are_always_allowed() -> None:
    own = Settings.model_validate({"allowedImages": [], "images": {"gpu": "mine/vllm:1"}})
    assert refused(spec(image="mine/vllm:1"), own) is None


def test_somebody_else_may_narrow_further() -> None:
    finding = refused(spec(), Allowed.model_validate({"allowedHubOrganisations": []}), whose="class small's")
    assert finding
    assert "by class small's allowedHubOrganisations" in finding[1]


def test_that_requests_are_not_logged_may_be_said_aloud() -> None:
    assert refused(spec(extraArgs=["--no-enable-log-requests", "--no-enable-log-outputs"]), Settings()) is None
