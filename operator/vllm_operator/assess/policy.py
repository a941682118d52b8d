"""What the platform team allows: one ordered list of rules over a spec. Pure: reads no cluster, changes nothing.

Each rule finds what a service asks for and may not have, and names the setting that says so. The first that does is
told. Whoever may narrow further (a class of services, for some namespaces) asks the same rules with another `Allowed`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ..api.flags.allowed import LOG_LEVEL_VARIABLE, is_request_log_level, logs_requests
from ..api.reasons import Finding, Reason
from ..api.scheduling import Affinity, PodAffinityTerm
from ..api.spec import InferenceServiceSpec
from ..settings import Allowed, Settings, matches
from ..vllm.paths import claims as mounted_claims
from ..vllm.paths import model_image
from .consistency import not_in_image

# Domains of keys that Kubernetes and its parts act on.
_KUBERNETES = ("kubernetes.io", "k8s.io")
_SHOWN = 6
_LOGGED = "which writes what clients send into the log,"
Labels = Mapping[str, str]


class Question(NamedTuple):
    """What a rule is asked about."""

    spec: InferenceServiceSpec
    allowed: Allowed
    claims: Mapping[str, Labels | None]
    """Labels of the claims that were looked up, by name; None of one that is not there."""


class Refused(NamedTuple):
    """What is not allowed, and what to do about it."""

    what: str
    instead: str
    allowed: tuple[str, ...] = ()
    """What would be, where that is a list."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: the setting that it enforces, the reason for the condition, and how it finds what is not allowed."""

    setting: str
    reason: Reason
    refuses: Callable[[Question], Refused | None]


def refused(
    spec: InferenceServiceSpec,
    allowed: Allowed,
    claims: Mapping[str, Labels | None] | None = None,
    whose: str = "the operator's setting",
) -> Finding | None:
    """The first thing that the spec asks for and may not have; None where all is allowed.

    `claims`: labels of the claims that `named_claims` names, None of one that does not exist; those left out are not
    judged.
    `whose`: what the setting belongs to, for the sentence.
    """
    first = first_refused(Question(spec, allowed, claims or {}))
    if first is None:
        return None
    rule, found = first
    listed = f" ({_listed(found.allowed)})" if found.allowed else ""
    message = f"{found.what} is not allowed by {whose} {rule.setting}{listed}: {found.instead}"
    return rule.reason, f"{message}, or ask the platform team"


def fault(
    spec: InferenceServiceSpec, settings: Settings, claims: Mapping[str, Labels | None] | None = None
) -> Finding | None:
    """Why the operator does not act on a spec that the API server took: the settings, or an image that is too old."""
    if finding := refused(spec, settings, claims):
        return finding
    image = settings.image_of(spec)
    said = not_in_image(spec.model_copy(update={"image": image}))
    return (Reason.IMAGE_TOO_OLD, said) if said else None


def first_refused(question: Question) -> tuple[Rule, Refused] | None:
    """The first rule that a spec does not keep, and what of it."""
    return next(((rule, found) for rule in RULES if (found := rule.refuses(question))), None)


def named_claims(spec: InferenceServiceSpec) -> list[str]:
    """Claims that the spec names and the operator did not make."""
    existing = spec.cache.existing_claim if spec.cache else None
    return sorted({*mounted_claims(spec), *([existing] if existing else [])})


def _listed(patterns: tuple[str, ...]) -> str:
    shown = ", ".join(patterns[:_SHOWN])
    return f"{shown}, ..." if len(patterns) > _SHOWN else shown


def _image(question: Question) -> Refused | None:
    image, allowed = question.spec.image, question.allowed
    if not image or allowed.allows_image(image):
        return None
    return Refused(f"image {image}", "leave spec.image out", allowed.allowed_images)


def _remote_code(question: Question) -> Refused | None:
    if not question.spec.model.trust_remote_code or question.allowed.allow_trust_remote_code:
        return None
    return Refused("model.trustRemoteCode", "use a model that vLLM knows without it")


def _parser_plugins(question: Question) -> Refused | None:
    if not question.spec.parser_plugins or question.allowed.allow_parser_plugins:
        return None
    return Refused("parserPlugins", "leave it out, or use an image that has the parser (vllm.general_plugins)")


def _request_logs(question: Question) -> Refused | None:
    if question.allowed.allow_request_logs:
        return None
    for one in question.spec.extra_args or ():
        if logs_requests(one):
            return Refused(f"{one.partition('=')[0]} in extraArgs, {_LOGGED}", "leave it out")
    for variable in question.spec.env or ():
        level = variable.value
        if variable.name == LOG_LEVEL_VARIABLE and (level is None or is_request_log_level(level)):
            what = f"{variable.name} {level} in env, {_LOGGED}"
            if level is None:
                what = f"{variable.name} in env with a value from elsewhere, which may be DEBUG,"
            return Refused(what, "leave it out, or set INFO or WARNING")
    return None


def _hub_uris(spec: InferenceServiceSpec) -> Iterator[str]:
    yield spec.model.uri
    if spec.model.tokenizer:
        yield spec.model.tokenizer.uri
    yield from (adapter.uri for adapter in (spec.lora.adapters if spec.lora else ()))
    if spec.speculative and spec.speculative.model:
        yield spec.speculative.model


def _organisation(question: Question) -> Refused | None:
    allowed = question.allowed.allowed_hub_organisations
    # The hub does not tell names apart by case.
    patterns = [pattern.lower() for pattern in allowed]
    for uri in _hub_uris(question.spec):
        organisation = uri.removeprefix("hf://").split("/", 1)[0]
        if uri.startswith("hf://") and not matches(patterns, organisation.lower()):
            return Refused(f"organisation {organisation} of {uri}", "use a model of another one", allowed)
    return None


def _model_image(question: Question) -> Refused | None:
    image, patterns = model_image(question.spec.model), question.allowed.allowed_model_images
    if not image or matches(patterns, image):
        return None
    return Refused(f"image {image} of model.uri", "use a model of another registry", patterns)


def may_mount(labels: Labels, allowed: Allowed) -> bool:
    """Whether pods may mount a claim that has these labels."""
    return (allowed.allowed_claims or {}).items() <= labels.items()


def wanted_labels(allowed: Allowed) -> tuple[str, ...]:
    """The labels that a claim has to have, for people; empty where any claim may be mounted."""
    return tuple(f"{key}={value}" for key, value in sorted((allowed.allowed_claims or {}).items()))


def _claim(question: Question) -> Refused | None:
    wanted = question.allowed.allowed_claims
    if not wanted:
        return None
    labels = wanted_labels(question.allowed)
    for name in named_claims(question.spec):
        has = question.claims.get(name, wanted)
        # Pods would wait for it, and mount it whatever its labels are once it comes.
        if has is None:
            return Refused(f"claim {name}, which does not exist,", "make it first, with these labels", labels)
        if not may_mount(has, question.allowed):
            return Refused(f"claim {name}", "use a claim that has these labels", labels)
    return None


def _priority_class(question: Question) -> Refused | None:
    name, allowed = question.spec.pod and question.spec.pod.priority_class_name, question.allowed
    patterns = allowed.allowed_priority_classes
    if not name or name in patterns or (matches(patterns, name) and not name.startswith("system-")):
        return None
    return Refused(f"pod.priorityClassName {name}", "leave it out, or use another", patterns)


def _service_account(question: Question) -> Refused | None:
    name = question.spec.pod and question.spec.pod.service_account_name
    patterns = question.allowed.allowed_service_accounts
    if not name or matches(patterns, name):
        return None
    return Refused(f"pod.serviceAccountName {name}", "leave it out", patterns)


def _runtime_class(question: Question) -> Refused | None:
    name = question.spec.pod and question.spec.pod.runtime_class_name
    patterns = question.allowed.allowed_runtime_classes
    if not name or matches(patterns, name):
        return None
    return Refused(f"pod.runtimeClassName {name}", "leave it out", patterns)


def _key(keys: Mapping[str, str] | None, patterns: tuple[str, ...], field: str) -> Refused | None:
    for key in keys or ():
        domain = key.rpartition("/")[0]
        if any(domain == known or domain.endswith(f".{known}") for known in _KUBERNETES) or not matches(patterns, key):
            return Refused(f"{key} in {field}", "leave it out", patterns)
    return None


def _pod_label(question: Question) -> Refused | None:
    pod = question.spec.pod
    return _key(pod.labels if pod else None, question.allowed.allowed_pod_labels, "pod.labels")


def _pod_annotation(question: Question) -> Refused | None:
    pod = question.spec.pod
    return _key(pod.annotations if pod else None, question.allowed.allowed_pod_annotations, "pod.annotations")


def _rdma(question: Question) -> Refused | None:
    rdma, patterns = question.spec.accelerator.rdma, question.allowed.allowed_rdma_resources
    if rdma is None or matches(patterns, rdma.resource):
        return None
    return Refused(f"accelerator.rdma.resource {rdma.resource}", "leave accelerator.rdma out", patterns)


def _topology(question: Question) -> Refused | None:
    key = question.spec.pod and question.spec.pod.exclusive_topology
    patterns = question.allowed.allowed_exclusive_topologies
    if not key or matches(patterns, key):
        return None
    return Refused(f"pod.exclusiveTopology {key}", "leave it out", patterns)


def _terms(affinity: Affinity) -> Iterator[tuple[str, PodAffinityTerm]]:
    """Each with the field that it is in."""
    for field, found in (("podAffinity", affinity.pod_affinity), ("podAntiAffinity", affinity.pod_anti_affinity)):
        if found:
            yield from ((field, one) for one in found.required_during_scheduling_ignored_during_execution or ())
            weighed = found.preferred_during_scheduling_ignored_during_execution or ()
            yield from ((field, one.pod_affinity_term) for one in weighed)


def _cross_namespace_affinity(question: Question) -> Refused | None:
    """Kubernetes keeps pods as well off the nodes of those that need to be away from them."""
    pod = question.spec.pod
    if question.allowed.allow_cross_namespace_affinity or not pod or not pod.affinity:
        return None
    for field, term in _terms(pod.affinity):
        for name, value in (("namespaces", term.namespaces), ("namespaceSelector", term.namespace_selector)):
            if value is not None:
                return Refused(f"{name} in pod.affinity.{field}", "leave it out: pods of this namespace are meant then")
    return None


def _trigger(question: Question) -> Refused | None:
    scaling, patterns = question.spec.autoscaling, question.allowed.allowed_triggers
    for trigger in (scaling.triggers if scaling else None) or ():
        if not matches(patterns, trigger.type):
            return Refused(f"a trigger of type {trigger.type}", "use autoscaling.targets", patterns)
    return None


def _media_domain(question: Question) -> Refused | None:
    allowed = question.allowed.allowed_media_domains
    for domain in question.spec.allowed_media_domains or ():
        if "*" not in allowed and domain not in allowed:
            return Refused(f"{domain} in allowedMediaDomains", "leave it out", allowed)
    return None


RULES = (
    Rule("allowedImages", Reason.IMAGE_NOT_ALLOWED, _image),
    Rule("allowTrustRemoteCode", Reason.REMOTE_CODE_NOT_ALLOWED, _remote_code),
    Rule("allowParserPlugins", Reason.PARSER_PLUGINS_NOT_ALLOWED, _parser_plugins),
    Rule("allowRequestLogs", Reason.REQUEST_LOGS_NOT_ALLOWED, _request_logs),
    Rule("allowedHubOrganisations", Reason.HUB_ORGANISATION_NOT_ALLOWED, _organisation),
    Rule("allowedModelImages", Reason.MODEL_IMAGE_NOT_ALLOWED, _model_image),
    Rule("allowedClaims", Reason.CLAIM_NOT_ALLOWED, _claim),
    Rule("allowedPriorityClasses", Reason.PRIORITY_CLASS_NOT_ALLOWED, _priority_class),
    Rule("allowedServiceAccounts", Reason.SERVICE_ACCOUNT_NOT_ALLOWED, _service_account),
    Rule("allowedRuntimeClasses", Reason.RUNTIME_CLASS_NOT_ALLOWED, _runtime_class),
    Rule("allowedPodLabels", Reason.POD_LABEL_NOT_ALLOWED, _pod_label),
    Rule("allowedPodAnnotations", Reason.POD_ANNOTATION_NOT_ALLOWED, _pod_annotation),
    Rule("allowedRdmaResources", Reason.RDMA_NOT_ALLOWED, _rdma),
    Rule("allowedExclusiveTopologies", Reason.EXCLUSIVE_TOPOLOGY_NOT_ALLOWED, _topology),
    Rule("allowCrossNamespaceAffinity", Reason.CROSS_NAMESPACE_AFFINITY_NOT_ALLOWED, _cross_namespace_affinity),
    Rule("allowedTriggers", Reason.TRIGGER_NOT_ALLOWED, _trigger),
    Rule("allowedMediaDomains", Reason.MEDIA_DOMAIN_NOT_ALLOWED, _media_domain),
)
