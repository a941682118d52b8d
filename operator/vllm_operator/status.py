"""From what is observed to the status. Pure, with the time given.

Ready is the summary that people, `kubectl wait` and GitOps tools look at; Reconciling and Stalled are kstatus' two
conditions (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus), there only while they hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import diagnosis
from .api.resource import InferenceService
from .diagnosis import Finding
from .fits import NOT_ASSESSED, Assessment, Inspection, facts_of
from .inspection.report import InspectionReason
from .manifests.deployment import surge
from .manifests.metadata import compact, identity
from .manifests.network import service_url
from .observed import DeploymentSnapshot, PodSnapshot
from .reasons import TRANSIENT, Reason
from .supply import Supply
from .vllm import ranks

_WORDS = {True: "True", False: "False", None: "Unknown"}
_MOST_NAMES = 3
_MEMORY = (Reason.MODEL_TOO_LARGE, Reason.KV_CACHE_TOO_SMALL, Reason.OUT_OF_GPU_MEMORY)
_BOOLEANS = {"True": True, "False": False}
# What an inspection found that will keep vLLM from starting as well: worth saying before vLLM does.
TELLING = frozenset(
    {
        InspectionReason.MODEL_NOT_FOUND,
        InspectionReason.REVISION_NOT_FOUND,
        InspectionReason.GATED,
        InspectionReason.TOKEN_REFUSED,
        InspectionReason.NO_CONFIG,
        InspectionReason.CLAIM_NOT_BOUND,
    }
)


@dataclass(frozen=True, slots=True)
class Engine:
    """What vLLM reports of itself, read once from a pod that became ready."""

    version: str | None = None
    kv_cache_tokens: int | None = None
    max_model_len: int | None = None

    @classmethod
    def known(cls, status_of: Mapping[str, Any], generation: int) -> "Engine":
        """What a status of this very spec says. It stands until vLLM answers anew: a restart changes nothing."""
        if status_of.get("observedGeneration") != generation:
            return cls()
        figures = status_of.get("engine") or {}
        return cls(status_of.get("vllmVersion"), figures.get("kvCacheTokens"), figures.get("maxModelLen"))


@dataclass(slots=True)
class Observed:
    """All that the status is made of, beside the spec."""

    spec_error: Finding | None = None
    # Why the children could not be brought to what the spec asks for.
    apply_error: Finding | None = None
    deployment: DeploymentSnapshot | None = None
    # Pods of the current rendering, and those of earlier ones.
    pods: Sequence[PodSnapshot] = ()
    old_pods: Sequence[PodSnapshot] = ()
    # Whether there were other renderings before the current one.
    replaces: bool = False
    # The GPUs that there are for the pods, where that is asked for and known.
    supply: Supply | None = None
    image: str | None = None
    monitoring: bool = False
    # What is known of the model, whether it fits, and whether the spec's pods are not made because of that.
    inspection: Inspection | None = None
    assessment: Assessment = NOT_ASSESSED
    withheld: bool = False
    engine: Engine = field(default_factory=Engine)
    # Secrets and ConfigMaps, as kind/name, that the pods have an old version of; None: not known yet.
    changed: Sequence[str] | None = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition before it gets its time."""

    type: str
    status: bool | None
    """None: Unknown."""
    reason: str
    message: str


def wanted(service: InferenceService, observed: Observed) -> int:
    """Pods that there should be now: the spec's number or, under an autoscaler, the live one."""
    if service.wanted_replicas is not None:
        return service.wanted_replicas
    return observed.deployment.wanted if observed.deployment else 1


def devices(service: InferenceService) -> int:
    """GPUs that one pod takes."""
    return 0 if service.spec.accelerator.resource == "cpu" else ranks(service.spec)


def spec_valid(observed: Observed) -> Verdict:
    """Whether the operator can act on the spec."""
    if observed.spec_error:
        return Verdict("SpecValid", False, *observed.spec_error)
    return Verdict("SpecValid", True, Reason.VALID, "the spec is valid")


def fits(service: InferenceService, observed: Observed, before: Mapping[str, Any]) -> Verdict:
    """Whether the model fits the GPUs. What was known of this very spec stands while it is looked at again."""
    known = observed.assessment
    if known.pending:
        for entry in before.get("conditions") or ():
            if entry["type"] == "Fits" and entry["observedGeneration"] == service.generation:
                return Verdict("Fits", _BOOLEANS.get(entry["status"]), entry["reason"], entry["message"])
    return Verdict("Fits", known.fits, known.reason, known.message)


def withheld(service: InferenceService, observed: Observed) -> Verdict:
    """Why the spec's pods are not made."""
    known = observed.assessment
    if known.pending:
        return Verdict("WorkloadAvailable", False, known.reason, f"{known.message}{_old(observed)}")
    message = f"no pods are made (planPolicy: Enforce): {known.message}{_old(observed)}"
    return Verdict("WorkloadAvailable", False, Reason.WITHHELD, message)


def workload_available(service: InferenceService, observed: Observed) -> Verdict:
    """Whether enough pods of the current spec serve: all but the one that a rollout or a drain may take."""
    total = wanted(service, observed)
    ready = sum(pod.ready for pod in observed.pods)
    if observed.apply_error:
        return Verdict("WorkloadAvailable", False, *observed.apply_error)
    if service.spec.suspend or (total == 0 and not observed.withheld):
        return _no_pods(service)
    if observed.withheld:
        return withheld(service, observed)
    if ready >= max(1, total - 1):
        return Verdict("WorkloadAvailable", True, Reason.AVAILABLE, f"{ready} of {total} pods serve")
    if finding := diagnosis.workload(observed.deployment, observed.pods, observed.supply):
        told = f"{ready} of {total} pods serve: {finding[1]}{_planned(observed, finding[0])}{_old(observed)}"
        told += _down(service, observed, total)
        return Verdict("WorkloadAvailable", False, finding[0], told)
    doing = diagnosis.progress(observed.pods)
    reason = Reason.ROLLING_OUT if observed.old_pods or _rolls(observed) else Reason.STARTING
    return Verdict(
        "WorkloadAvailable",
        False,
        reason,
        f"{ready} of {total} pods serve: {doing}{_old(observed)}{_down(service, observed, total)}",
    )


def _no_pods(service: InferenceService) -> Verdict:
    if service.spec.suspend:
        message = "no pods, as spec.suspend asks; everything else is kept, and suspend: false starts them again"
        return Verdict("WorkloadAvailable", False, Reason.SUSPENDED, message)
    return Verdict("WorkloadAvailable", True, Reason.SCALED_TO_ZERO, "no pods, as the spec asks for none")


def _rolls(observed: Observed) -> bool:
    """Whether pods are being replaced, after the last old one is gone too."""
    return observed.replaces and observed.deployment is not None and not observed.deployment.rolled_out


def _down(service: InferenceService, observed: Observed, total: int) -> str:
    """What a rollout costs a single replica."""
    if not _rolls(observed) or total > 1 or surge(service.spec) or any(pod.ready for pod in observed.old_pods):
        return ""
    return (
        "; the only replica ends before the new one starts, so the service is down until that serves:"
        " rollout.maxSurge: 1 avoids it where GPUs are spare"
    )


def _planned(observed: Observed, reason: Reason) -> str:
    """What the plan knows that vLLM does not: with which tensor parallel size, or what else, the model would fit."""
    if reason not in _MEMORY or observed.assessment.fits is not False:
        return ""
    return f"; the plan says: {observed.assessment.message}"


def _old(observed: Observed) -> str:
    """Which pods of earlier specs still serve: names, by revision."""
    serving: dict[str, list[str]] = {}
    for pod in observed.old_pods:
        if pod.ready:
            serving.setdefault(pod.revision, []).append(pod.name)
    told = [f"{_names(names)} with revision {revision}" for revision, names in serving.items()]
    return f"; of the previous spec still serve: {', '.join(told)}" if told else ""


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more}"


def chat_unavailable(service: InferenceService, observed: Observed) -> Verdict | None:
    """That chats will be refused, where the model's files say so: completions work, so it does not gate Ready."""
    spec, report = service.spec, observed.inspection.report if observed.inspection else ""
    if spec.chat_template or spec.model.tokenizer or not report or facts_of(report).chat_template is not False:
        return None
    return Verdict(
        "ChatAvailable",
        False,
        Reason.CHAT_TEMPLATE_MISSING,
        "the model's files have no chat template, so /v1/chat/completions answers 400 unless vLLM brings one for this "
        "kind of model: set chatTemplate, or model.tokenizer.uri to the tokenizer of a model that is tuned for chats",
    )


def monitoring_available(observed: Observed) -> Verdict:
    """Whether Prometheus is told to scrape the pods. It does not gate Ready."""
    if observed.monitoring:
        return Verdict(
            "MonitoringAvailable", True, Reason.SERVICE_MONITOR_APPLIED, "a ServiceMonitor selects the Service"
        )
    return Verdict(
        "MonitoringAvailable",
        False,
        Reason.API_MISSING,
        "the cluster has no ServiceMonitor API: install the Prometheus Operator, or scrape the Service yourself",
    )


def verdicts(service: InferenceService, observed: Observed, before: Mapping[str, Any]) -> list[Verdict]:
    """All conditions, in the order in which people should read them."""
    valid, workload = spec_valid(observed), workload_available(service, observed)
    if not valid.status:
        ready = Verdict("Ready", False, valid.reason, valid.message)
        return [ready, valid, Verdict("Stalled", True, valid.reason, valid.message)]
    fit = fits(service, observed, before)
    gate = _gate(service, observed, fit, workload)
    result = [Verdict("Ready", gate.status, gate.reason, gate.message), valid, fit, workload]
    if chat := chat_unavailable(service, observed):
        result.append(chat)
    result.append(monitoring_available(observed))
    total = wanted(service, observed)
    settled = sum(pod.ready for pod in observed.pods) == total and not observed.old_pods
    # What the user has asked for is no stall.
    if not workload.status and workload.reason not in (*TRANSIENT, Reason.SUSPENDED):
        result.append(Verdict("Stalled", True, gate.reason, gate.message))
    elif not settled:
        result.append(Verdict("Reconciling", True, Reason.PROGRESSING, workload.message))
    return [*result, *_outdated(observed, before)]


def _outdated(observed: Observed, before: Mapping[str, Any]) -> list[Verdict]:
    """There while pods run with an old version of a Secret or ConfigMap. What was known stands until they are asked."""
    if observed.changed is None:
        known = [entry for entry in before.get("conditions") or () if entry["type"] == "Outdated"]
        return [Verdict("Outdated", True, entry["reason"], entry["message"]) for entry in known]
    if not observed.changed:
        return []
    names = ", ".join(name.replace("/", " ", 1) for name in observed.changed)
    message = (
        f"{names} changed after the pods had started, and they still run with the old one: set rollout.restartedAt to "
        "the current time to roll them"
    )
    return [Verdict("Outdated", True, Reason.CONFIGURATION_CHANGED, message)]


def _gate(service: InferenceService, observed: Observed, fit: Verdict, workload: Verdict) -> Verdict:
    """What Ready says: a plan that keeps the pods from being made, or what a failed inspection means for new pods."""
    if workload.status or observed.apply_error or service.spec.suspend:
        return workload
    if observed.withheld and not observed.assessment.pending:
        return Verdict("Fits", False, fit.reason, workload.message)
    error = observed.inspection and observed.inspection.error
    if error and error.reason in TELLING and workload.reason in (Reason.STARTING, Reason.ROLLING_OUT):
        return Verdict("Fits", False, fit.reason, f"{fit.message}; {workload.message}")
    return workload


def conditions(
    verdicts: Sequence[Verdict], before: Sequence[Mapping[str, Any]], generation: int, now: str
) -> list[dict[str, Any]]:
    """The conditions as they are written. lastTransitionTime moves only when the status flips."""
    previous = {entry.get("type"): entry for entry in before}
    result = []
    for verdict in verdicts:
        value = _WORDS[verdict.status]
        old = previous.get(verdict.type, {})
        result.append(
            {
                "type": verdict.type,
                "status": value,
                "reason": str(verdict.reason),
                "message": verdict.message[:1024],
                "lastTransitionTime": old["lastTransitionTime"] if old.get("status") == value else now,
                "observedGeneration": generation,
            }
        )
    return result


def _model(observed: Observed) -> dict[str, Any] | None:
    inspection = observed.inspection
    if inspection is None or not inspection.report:
        return None
    facts = facts_of(inspection.report)
    return {
        "inspected": inspection.key,
        "commit": facts.commit,
        "weightsBytes": facts.weights_bytes,
        "report": inspection.report,
    }


def plan_error(observed: Observed) -> float | None:
    """By what share of the plan the engine's KV cache is larger (or, negative, smaller); None where one is unknown."""
    plan, actual = observed.assessment.plan, observed.engine.kv_cache_tokens
    planned = plan.capacity.kv_cache_tokens if plan and plan.capacity else None
    return (actual - planned) / planned if actual and planned else None


def _plan(observed: Observed) -> dict[str, Any] | None:
    """The plan, and by how much the engine's KV cache differs from it."""
    plan, error = observed.assessment.plan, plan_error(observed)
    if plan is None or plan.capacity is None:
        return None
    capacity, memory = plan.capacity, plan.capacity.memory
    return {
        "gpu": observed.assessment.product or plan.gpu.name,
        "vllmVersion": plan.vllm_version,
        "totalBytes": memory.total,
        "weightsBytes": memory.weights,
        "overheadBytes": memory.overhead,
        "kvCacheBytes": memory.kv_cache,
        "kvCacheTokens": capacity.kv_cache_tokens,
        "maxModelLen": capacity.max_model_len,
        "maxModelLenThatFits": capacity.max_model_len_that_fits,
        "differencePercent": None if error is None else f"{100 * error:+.1f}",
    }


def status(service: InferenceService, observed: Observed, before: Mapping[str, Any], now: str) -> dict[str, Any]:
    """The whole status. `before` is the status as it stands, `now` the time in RFC 3339."""
    engine = {"kvCacheTokens": observed.engine.kv_cache_tokens, "maxModelLen": observed.engine.max_model_len}
    return compact(
        {
            "observedGeneration": service.generation,
            "conditions": conditions(
                verdicts(service, observed, before), before.get("conditions") or (), service.generation, now
            ),
            "replicas": len(observed.pods) + len(observed.old_pods),
            "readyReplicas": sum(pod.ready for pod in observed.pods),
            "selector": ",".join(f"{key}={value}" for key, value in identity(service).items()),
            "gpus": devices(service) * wanted(service, observed),
            "url": service_url(service),
            "image": observed.image,
            "vllmVersion": observed.engine.version,
            "model": _model(observed),
            "plan": _plan(observed),
            "engine": engine if any(engine.values()) else None,
        }
    )
