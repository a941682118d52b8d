"""What each condition of a service says: one function per condition, from the account of a service. Pure.

Which of them there are, in which order, and what Ready makes of them is decided in status.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .. import diagnosis
from ..api.conditions import ConditionType, find
from ..api.reasons import Finding, Reason
from ..api.resource import InferenceService
from ..api.spec import AUTO
from ..assess.download import told
from ..diagnosis.redaction import redact, shorten
from ..inspection.kept import facts_of
from ..manifests.amounts import surge
from ..manifests.hardening import missing
from ..manifests.kinds import AUTOSCALERS
from ..snapshots.child import kept_deployed
from ..snapshots.groups import place
from ..snapshots.workload import APPLICATION
from .evidence import Account, Evidence

_MOST_NAMES = 3
_MEMORY = (Reason.MODEL_TOO_LARGE, Reason.KV_CACHE_TOO_SMALL, Reason.OUT_OF_GPU_MEMORY)
_BOOLEANS = {"True": True, "False": False}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition before it gets its time."""

    type: ConditionType
    status: bool | None
    """None: Unknown."""
    reason: str
    message: str


def failed(kind: ConditionType, error: Exception) -> Verdict:
    """That the operator could not work a condition out."""
    return Verdict(kind, None, *operator_failed("service", error))


def operator_failed(at: str, error: Exception) -> Finding:
    """What is told of a fault of the operator's own. `at`: what it was seeing to, as users call it."""
    text = f"the operator fails at this {at} ({type(error).__name__}) and tries again: see the operator's log"
    return Reason.OPERATOR_FAILED, text


def wanted(account: Account) -> int:
    """Pods that there should be now: the spec's number or, under an autoscaler, the live one."""
    if account.service.wanted_replicas is not None:
        return account.service.wanted_replicas
    seen = account.evidence
    live = seen.deployment.wanted if seen.deployment else seen.start_replicas
    # KubeRay tells some seconds later what Ray's autoscaler has made.
    return max(live, sum(not pod.failed for pod in seen.pods)) if account.service.spec.on_ray else live


def spec_valid(account: Account) -> Verdict:
    """Whether the operator can act on the spec."""
    if wrong := account.evidence.spec_error:
        failed = account.outcome.error
        more = f"; what runs cannot be made less either: {failed[1]}" if failed else ""
        return Verdict(ConditionType.SPEC_VALID, False, wrong[0], f"{wrong[1]}{more}")
    return Verdict(ConditionType.SPEC_VALID, True, Reason.VALID, "the spec is valid")


def fits(account: Account) -> Verdict:
    """Whether the model fits the GPUs. What was known of this very spec stands while it is looked at again."""
    known = account.assessment
    if known.pending:
        before = find(account.evidence.before, ConditionType.FITS)
        if before.get("observedGeneration") == account.service.generation:
            return Verdict(ConditionType.FITS, _BOOLEANS.get(before["status"]), before["reason"], before["message"])
    return Verdict(ConditionType.FITS, known.fits, known.reason, known.message)


def not_admitted(account: Account) -> Verdict | None:
    """Why its ServingClass does not let the service have (more) pods; None where it does, or there is none."""
    refusal = account.evidence.refusal
    return Verdict(ConditionType.ADMITTED, False, *refusal) if refusal else None


def downloading(account: Account) -> Finding:
    """How far the download is that the pods wait for."""
    service = account.service
    return told(account.evidence.download, service.spec.model.uri, service.cache_claim_name or "")


def withheld(account: Account) -> Verdict:
    """Why the spec's pods are not made."""
    known = account.assessment
    if account.outcome.downloads:
        reason, message = downloading(account)
        return Verdict(ConditionType.WORKLOAD_AVAILABLE, False, reason, f"{message}{_old(account)}")
    if refused := not_admitted(account):
        message = f"no pods are made: {refused.message}{_old(account)}"
        return Verdict(ConditionType.WORKLOAD_AVAILABLE, False, Reason.WITHHELD, message)
    if known.pending:
        return Verdict(ConditionType.WORKLOAD_AVAILABLE, False, known.reason, f"{known.message}{_old(account)}")
    policy = "" if account.service.spec.tensor_parallel_size == AUTO else " (planPolicy: Enforce)"
    message = f"no pods are made{policy}: {known.message}{_old(account)}"
    return Verdict(ConditionType.WORKLOAD_AVAILABLE, False, Reason.WITHHELD, message)


def workload_available(account: Account) -> Verdict:
    """Whether enough pods of the current spec serve: all but the one that a rollout or a drain may take."""
    total, units = wanted(account), "groups" if account.service.spec.nodes > 1 else "pods"
    ready = sum(pod.ready for pod in account.evidence.pods)
    if account.outcome.error:
        return Verdict(ConditionType.WORKLOAD_AVAILABLE, False, *account.outcome.error)
    kept_away = account.outcome.withheld or (account.evidence.held_back and total == 0)
    if account.service.spec.suspend or (total == 0 and not kept_away):
        return _no_pods(account.service)
    if kept_away:
        return withheld(account)
    if ready >= max(1, total - 1):
        told = f"{ready} of {total} {units} serve"
        late = _trouble(account.evidence) if ready < total else None
        return _in_place(account, told) or Verdict(
            ConditionType.WORKLOAD_AVAILABLE, True, Reason.AVAILABLE, f"{told}: {late[1]}" if late else told
        )
    if finding := _trouble(account.evidence):
        told = f"{ready} of {total} {units} serve: {finding[1]}{_planned(account, finding[0])}{_old(account)}"
        told += f"{_down(account, total)}{_stuck(account, finding[0])}"
        return Verdict(ConditionType.WORKLOAD_AVAILABLE, False, finding[0], told)
    doing = _awaits_kuberay(account) or diagnosis.progress(account.evidence.ranks)
    reason = Reason.ROLLING_OUT if account.evidence.old_pods or _rolls(account) else Reason.STARTING
    return Verdict(
        ConditionType.WORKLOAD_AVAILABLE,
        False,
        reason,
        f"{ready} of {total} {units} serve: {doing}{_old(account)}{_down(account, total)}",
    )


def without_budget(account: Account, workload: Verdict) -> Verdict:
    """What is told of the pods, and that nothing bounds how many a drain takes at once where the budget is refused."""
    if not (refused := account.outcome.beside.get("PodDisruptionBudget")):
        return workload
    told = f"{workload.message}; the PodDisruptionBudget cannot be made: {shorten(redact(refused))}"
    return replace(workload, message=told)


def _awaits_kuberay(account: Account) -> str:
    """That Ray runs, and that KubeRay has told Serve nothing of the application: it may be kept from the head."""
    workload, started = account.evidence.deployment, any(pod.started for pod in account.evidence.ranks)
    if not account.service.spec.on_ray or workload is None or not started:
        return ""
    if any(entry.type == APPLICATION for entry in workload.conditions):
        return ""
    return (
        "KubeRay has not deployed the application in the Ray cluster yet; where that lasts, it may not reach port 8265 "
        "of the head: the setting kuberayNamespaces has to name the namespace that KubeRay runs in"
    )


def _in_place(account: Account, told: str) -> Verdict | None:
    """That Ray Serve takes new settings in place, in which no pod changes; or why it could not. None once it has.

    The pods serve with those of before, so it is as with pods of before: the spec is not served yet. Once a spec was
    told as served, replicas that start anew are no change of it.
    """
    seen, workload = account.evidence, account.evidence.deployment
    if not account.service.spec.on_ray or workload is None or (workload.rolled_out and not seen.taking):
        return None
    if failed := diagnosis.workload(seen.said, []):
        message = f"{told} with the settings of before: {failed[1]}"
        return Verdict(ConditionType.WORKLOAD_AVAILABLE, False, failed[0], message)
    ready = find(seen.before, ConditionType.READY)
    served = ready.get("status") == "True" and ready.get("observedGeneration") == account.service.generation
    message = f"{told}; Ray Serve starts replicas anew with what has changed, and requests wait for them"
    reason = Reason.AVAILABLE if served else Reason.ROLLING_OUT
    return Verdict(ConditionType.WORKLOAD_AVAILABLE, served, reason, message)


def _trouble(evidence: Evidence) -> diagnosis.Finding | None:
    """The first trouble among the pods, or what brought a group down whose next one is being made; of which rank."""
    fallen = [replace(evidence.fallen, terminating=False)] if evidence.fallen else []
    live = [*evidence.ranks, *(pod for pod in fallen if pod.lost)]
    finding = diagnosis.workload(evidence.said, live, evidence.supply)
    if finding is None and fallen:
        live = fallen
        finding = diagnosis.workload(None, live)
    if finding is None:
        return None
    about = [pod for pod in live if pod.group and re.search(rf"\b{re.escape(pod.name)}(?![-\w])", finding[1])]
    return (finding[0], f"{finding[1]} ({place(about[0])})") if about else finding


def _no_pods(service: InferenceService) -> Verdict:
    if service.spec.suspend:
        message = "no pods, as spec.suspend asks; everything else is kept, and suspend: false starts them again"
        return Verdict(ConditionType.WORKLOAD_AVAILABLE, False, Reason.SUSPENDED, message)
    who = "the autoscaler" if service.spec.autoscaling else "the spec"
    return Verdict(ConditionType.WORKLOAD_AVAILABLE, True, Reason.SCALED_TO_ZERO, f"no pods, as {who} asks for none")


def _rolls(account: Account) -> bool:
    """Whether pods are being replaced, after the last old one is gone too."""
    return (
        account.evidence.replaces
        and account.evidence.deployment is not None
        and not account.evidence.deployment.rolled_out
    )


def _down(account: Account, total: int) -> str:
    """What a rollout costs a single replica."""
    if (
        not _rolls(account)
        or (total > 1 and not account.service.spec.on_ray)
        or (surge(account.service.spec) and account.service.spec.nodes == 1)
        or any(pod.ready for pod in account.evidence.old_pods)
    ):
        return ""
    if account.service.spec.on_ray:
        if account.evidence.pods and not account.evidence.old_pods:
            return ""  # Serve takes settings in place, in the pods that there are
        return (
            "; the Ray cluster ends before the new one starts, so the service is down until that serves: "
            "rollout.maxSurge: 1 avoids it where GPUs for all replicas are spare"
        )
    # LeaderWorkerSet makes no group beside a single one.
    way = (
        "rollout.maxSurge: 1 avoids" if account.service.spec.nodes == 1 else "with replicas: 2, rollout.maxSurge avoids"
    )
    if (cache := account.service.spec.cache) and cache.claim and cache.claim.access_mode != "ReadWriteMany":
        way = f"with a ReadWriteMany cache, {way}"
    return (
        "; the only replica ends before the new one starts, so the service is down until that serves:"
        f" {way} it where GPUs are spare"
    )


def _stuck(account: Account, reason: Reason) -> str:
    """How a rollout ends whose new pods wait for what the old ones have: in a queue, of domains, or a volume."""
    if not _rolls(account):
        return ""
    if reason in (Reason.QUEUED, Reason.NO_DOMAIN_FREE) and surge(account.service.spec):
        return "; the rollout needs room for one more: rollout.maxSurge: 0 ends an old one first"
    if reason is Reason.VOLUME_IN_USE and surge(account.service.spec) and account.evidence.old_pods:
        return (
            "; with rollout.maxSurge the old pod ends only once the new one serves, so neither moves: "
            "rollout.maxSurge: 0 ends the old one first, or a ReadWriteMany claim is for both"
        )
    if reason is Reason.NO_DOMAIN_FREE and account.evidence.old_pods:
        return (
            "; groups that were made without it may lie in several domains, which the new ones wait for: suspend the "
            "service until no pod is left"
        )
    return ""


def _planned(account: Account, reason: Reason) -> str:
    """What the plan knows that vLLM does not: with which tensor parallel size, or what else, the model would fit."""
    if reason not in _MEMORY or account.assessment.fits is not False:
        return ""
    return f"; the plan says: {account.assessment.message}"


def _old(account: Account) -> str:
    """Which pods of earlier specs still serve: names, by revision."""
    serving: dict[str, list[str]] = {}
    for pod in account.evidence.old_pods:
        if pod.ready:
            serving.setdefault(pod.revision, []).append(pod.name)
    told = [f"{_names(names)} with revision {revision}" for revision, names in serving.items()]
    return f"; of the previous spec still serve: {', '.join(told)}" if told else ""


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more}"


def chat_unavailable(account: Account) -> Verdict | None:
    """That chats will be refused, where the model's files say so: completions work, so it does not gate Ready."""
    spec, packed = account.service.spec, account.evidence.inspection.packed
    if spec.chat_template or spec.model.tokenizer or not packed or facts_of(packed).chat_template is not False:
        return None
    return Verdict(
        ConditionType.CHAT_AVAILABLE,
        False,
        Reason.CHAT_TEMPLATE_MISSING,
        "the model's files have no chat template, so /v1/chat/completions answers 400 unless vLLM brings one for this "
        "kind of model: set chatTemplate, or model.tokenizer.uri to the tokenizer of a model that is tuned for chats",
    )


def monitoring_available(account: Account) -> Verdict:
    """Whether Prometheus is told to scrape the pods. It does not gate Ready."""
    if refused := account.outcome.beside.get("ServiceMonitor"):
        message = f"the ServiceMonitor cannot be made: {shorten(redact(refused))}"
        return Verdict(ConditionType.MONITORING_AVAILABLE, False, Reason.MONITOR_REFUSED, message)
    if account.evidence.monitoring:
        return Verdict(
            ConditionType.MONITORING_AVAILABLE,
            True,
            Reason.SERVICE_MONITOR_APPLIED,
            "a ServiceMonitor selects the Service",
        )
    return Verdict(
        ConditionType.MONITORING_AVAILABLE,
        False,
        Reason.API_MISSING,
        "the cluster has no ServiceMonitor API: install the Prometheus Operator, or scrape the Service yourself",
    )


def scaling_active(account: Account) -> Verdict | None:
    """Whether the number of pods follows the load; None where it is fixed. It does not gate Ready."""
    if account.service.wanted_replicas is not None:
        return None
    seen, beside = account.evidence, account.outcome.beside
    if account.outcome.withheld and seen.deployment is None:
        message = "no pods are made, so there is nothing to scale"
        return Verdict(ConditionType.SCALING_ACTIVE, False, Reason.WITHHELD, message)
    autoscaler = replace(seen.autoscaler, refused=next((beside[kind] for kind in AUTOSCALERS & beside.keys()), ""))
    pods = [*seen.pods, *seen.old_pods]
    finding = diagnosis.scaling(account.service.spec, autoscaler, seen.deployment, pods, seen.supply)
    return Verdict(ConditionType.SCALING_ACTIVE, *finding) if finding else None


def outdated(account: Account) -> Verdict | None:
    """There while pods run with what was right earlier. One cause at a time: the way out of all of them is the same."""
    finding = _configuration_changed(account) or _unhardened(account) or account.evidence.drift
    return Verdict(ConditionType.OUTDATED, True, *finding) if finding else None


def _unhardened(account: Account) -> Finding | None:
    """Pods that were rendered before a security fix of the operator."""
    seen = account.evidence
    kept = kept_deployed(seen.live, account.service.name, account.service.uid)
    if kept is None or not (open_to := missing(kept.template_version)):
        return None
    return (
        Reason.TEMPLATE_OUTDATED,
        f"the pods were rendered by an earlier version of the operator, in whose pods {'; '.join(open_to)}: set "
        "rollout.restartedAt to the current time to roll them",
    )


def _configuration_changed(account: Account) -> tuple[str, str] | None:
    """Pods with an old version of a Secret or ConfigMap. What was known stands until they are asked."""
    if account.evidence.changed is None:
        known = find(account.evidence.before, ConditionType.OUTDATED)
        return (known["reason"], known["message"]) if known.get("reason") == Reason.CONFIGURATION_CHANGED else None
    if not account.evidence.changed:
        return None
    names = ", ".join(name.replace("/", " ", 1) for name in account.evidence.changed)
    return (
        Reason.CONFIGURATION_CHANGED,
        f"{names} changed after the pods had started, and they still run with the old one: set rollout.restartedAt to "
        "the current time to roll them",
    )
