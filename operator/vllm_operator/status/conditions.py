"""What each condition of a service says: one function per condition, from what is observed. Pure.

Which of them there are, in which order, and what Ready makes of them is decided in status.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import diagnosis
from ..api.reasons import Reason
from ..api.resource import InferenceService
from ..assess.fits import NOT_ASSESSED, Assessment, Inspection, facts_of
from ..assess.supply import Supply
from ..diagnosis import Autoscaler, Finding
from ..manifests.amounts import surge
from ..snapshots.child import DeploymentSnapshot
from ..snapshots.pod import PodSnapshot
from ..vllm.argv import ranks

_MOST_NAMES = 3
_MEMORY = (Reason.MODEL_TOO_LARGE, Reason.KV_CACHE_TOO_SMALL, Reason.OUT_OF_GPU_MEMORY)
_BOOLEANS = {"True": True, "False": False}


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
    autoscaler: Autoscaler = field(default_factory=Autoscaler)
    # Pods that a Deployment would start with under an autoscaler, and the figure of how long one takes to start.
    start_replicas: int = 1
    startup_seconds: int | None = None
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
    return observed.deployment.wanted if observed.deployment else observed.start_replicas


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
    who = "the autoscaler" if service.spec.autoscaling else "the spec"
    return Verdict("WorkloadAvailable", True, Reason.SCALED_TO_ZERO, f"no pods, as {who} asks for none")


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


def scaling_active(service: InferenceService, observed: Observed) -> Verdict | None:
    """Whether the number of pods follows the load; None where it is fixed. It does not gate Ready."""
    if service.wanted_replicas is not None:
        return None
    if observed.withheld and observed.deployment is None:
        return Verdict("ScalingActive", False, Reason.WITHHELD, "no pods are made, so there is nothing to scale")
    pods = [*observed.pods, *observed.old_pods]
    found = diagnosis.scaling(service.spec, observed.autoscaler, observed.deployment, pods, observed.supply)
    return Verdict("ScalingActive", *found) if found else None


def outdated(observed: Observed, before: Mapping[str, Any]) -> list[Verdict]:
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
