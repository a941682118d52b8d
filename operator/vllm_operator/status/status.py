"""From the account of a service to its status. Pure, with the time given.

Ready is the summary that people, `kubectl wait` and GitOps tools look at; Reconciling and Stalled are kstatus' two
conditions (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus), there only while they hold.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from ..api.conditions import ConditionType
from ..api.limits import printable
from ..api.reasons import Reason
from ..api.resource import InferenceService
from ..assess.resolution import LEARNED
from ..inspection.kept import facts_of
from ..manifests.metadata import compact, identity
from ..manifests.names import RANK_LABEL, service_url
from ..planner.plan import Capacity
from ..planner.speed import Speed, rounded
from .conditions import (
    Verdict,
    chat_unavailable,
    failed,
    fits,
    monitoring_available,
    not_admitted,
    outdated,
    scaling_active,
    spec_valid,
    wanted,
    without_budget,
    workload_available,
)
from .evidence import Account
from .schema import conform

log = logging.getLogger(__name__)
T = TypeVar("T")
_WORDS = {True: "True", False: "False", None: "Unknown"}


def _sure(kind: ConditionType, tell: Callable[[Account], T], account: Account) -> T | Verdict:
    """What a condition says; where that fails, that it does: the other conditions are told all the same."""
    try:
        return tell(account)
    except Exception as error:
        log.exception("%s: nothing can be told of %s", account.service.key, kind)
        return failed(kind, error)


def verdicts(account: Account) -> list[Verdict]:
    """All conditions, in the order in which people should read them."""
    workload = without_budget(account, _sure(ConditionType.WORKLOAD_AVAILABLE, workload_available, account))
    valid = spec_valid(account)
    if not valid.status:
        ready = Verdict(ConditionType.READY, False, valid.reason, valid.message)
        return [ready, valid, Verdict(ConditionType.STALLED, True, valid.reason, valid.message)]
    fit = fits(account)
    gate = _gate(account, fit, workload)
    ready = Verdict(ConditionType.READY, gate.status, gate.reason, gate.message)
    chat = _sure(ConditionType.CHAT_AVAILABLE, chat_unavailable, account)
    scaling = _sure(ConditionType.SCALING_ACTIVE, scaling_active, account)
    facts = (not_admitted(account), fit, workload, chat, monitoring_available(account), scaling)
    result = [ready, valid, *filter(None, facts)]
    total = wanted(account)
    # An autoscaler has not been asked yet how many first pods there are to be.
    first = account.service.wanted_replicas is None and account.evidence.never_ran and account.outcome.withheld
    serve = sum(pod.ready for pod in account.evidence.pods) == total and not account.evidence.old_pods
    settled = serve and not first and workload.reason != Reason.ROLLING_OUT
    refused = gate.type is ConditionType.ADMITTED
    decides = gate if refused else workload
    if not decides.status and Reason.named(decides.reason).passes is False:
        result.append(Verdict(ConditionType.STALLED, True, gate.reason, gate.message))
    elif refused or not settled:
        result.append(Verdict(ConditionType.RECONCILING, True, Reason.PROGRESSING, decides.message))
    return [*result, *filter(None, [outdated(account)])]


def incomplete(missing: Sequence[str], left_out: Sequence[str]) -> list[Verdict]:
    """There while something is not in the status that should be: parts that cannot be read, values that it cannot have.

    `missing`: clauses. `left_out`: paths in the status.
    """
    told = f"not read: {'; '.join(missing)}" if missing else ""
    if left_out:
        told += f"{'; ' if told else ''}left out, as a status cannot have such a value: {', '.join(left_out)}"
    if not told:
        return []
    if missing:
        return [Verdict(ConditionType.INCOMPLETE, True, Reason.PART_UNREADABLE, told)]
    return [Verdict(ConditionType.INCOMPLETE, True, Reason.VALUE_LEFT_OUT, told)]


def _gate(account: Account, fit: Verdict, workload: Verdict) -> Verdict:
    """What Ready says: what keeps (more) pods from being made, or what a failed inspection means for new pods."""
    if account.outcome.error or account.service.spec.suspend:
        return workload
    if (refused := not_admitted(account)) and (account.outcome.withheld or account.evidence.held_back):
        held = workload.message if account.outcome.withheld else f"no more pods are made: {refused.message}"
        return Verdict(ConditionType.ADMITTED, False, refused.reason, held)
    if workload.status:
        return workload
    if account.outcome.withheld and not account.outcome.downloads and not account.assessment.pending:
        return Verdict(ConditionType.FITS, False, fit.reason, workload.message)
    error = account.evidence.inspection.error
    if error and error.reason.stops_vllm and workload.reason in (Reason.STARTING, Reason.ROLLING_OUT):
        return Verdict(ConditionType.FITS, False, fit.reason, f"{fit.message}; {workload.message}")
    return workload


class Stamp(NamedTuple):
    """What a condition tells beside its verdict."""

    before: Sequence[Mapping[str, Any]]
    """The conditions that stand."""
    generation: int
    now: str
    """In RFC 3339."""


def conditions(verdicts: Sequence[Verdict], stamp: Stamp) -> list[dict[str, Any]]:
    """The conditions as they are written. lastTransitionTime moves only when the status flips."""
    previous = {entry.get("type"): entry for entry in stamp.before}
    result = []
    for verdict in verdicts:
        value = _WORDS[verdict.status]
        old = previous.get(verdict.type, {})
        result.append(
            {
                "type": str(verdict.type),
                "status": value,
                "reason": str(verdict.reason),
                "message": printable(verdict.message[:1024]),
                "lastTransitionTime": old.get("lastTransitionTime", stamp.now)
                if old.get("status") == value
                else stamp.now,
                "observedGeneration": stamp.generation,
            }
        )
    return result


def _resolved(account: Account) -> list[dict[str, str | None]] | None:
    """By field, for people: two reconciles of one spec write the same."""
    shown = sorted((one for one in account.evidence.resolved if one.field != LEARNED), key=lambda one: one.field)
    return [
        {"field": one.field, "value": one.text(), "from": one.source, "why": one.why or None} for one in shown
    ] or None


def _short(text: str | None) -> str | None:
    """A word of somebody else's file, in the length that the API allows."""
    return text[:253] if text else None


def _model(account: Account) -> dict[str, Any] | None:
    inspection = account.evidence.inspection
    if not inspection.packed:
        # Inspected once more, it is what it was until that is known.
        before = account.evidence.before.get("model") or {}
        same = before.get("inspected") == inspection.key
        return {name: value for name, value in before.items() if name != "report"} if same else None
    facts = facts_of(inspection.packed)
    return {
        "inspected": inspection.key,
        "commit": facts.commit if _is_served(facts.commit, account) else None,
        "weightsBytes": facts.weights_bytes,
        "architecture": _short(facts.architecture),
        "quantization": _short(facts.quantization_method),
        "chatTemplate": facts.chat_template,
    }


def _download(account: Account) -> dict[str, Any] | None:
    """How far the download is that the pods wait for."""
    known = account.evidence.download
    if not account.outcome.downloads or known is None or known.progress is None:
        return None
    progress = known.progress
    return {
        "progress": f"{progress.percent} %",
        "bytes": progress.done,
        "totalBytes": progress.total,
        "bytesPerSecond": progress.rate or None,
        "secondsLeft": progress.seconds_left,
    }


def _is_served(commit: str | None, account: Account) -> bool:
    """Whether the pods are pinned to a commit, or will be: an inspection that came too late pins none."""
    return account.outcome.image is None or f"--revision={commit}" in account.outcome.arguments


def plan_error(account: Account) -> float | None:
    """By what share of the plan the engine's KV cache is larger (or, negative, smaller); None where one is unknown."""
    plan, actual = account.assessment.plan, account.evidence.engine.kv_cache_tokens
    planned = plan.capacity.kv_cache_tokens if plan and plan.capacity else None
    return (actual - planned) / planned if actual and planned else None


def _plan(account: Account) -> dict[str, Any] | None:
    """The plan, and by how much the engine's KV cache differs from it."""
    plan, error = account.assessment.plan, plan_error(account)
    if plan is None or not (plan.capacity or plan.approximate):
        return None
    about = {
        "gpu": account.assessment.product or plan.gpu.name,
        "vllmVersion": plan.vllm_version,
        "approximate": [_short(why) for why in plan.approximate] or None,
    }
    if plan.capacity is None:
        return about
    capacity, memory = plan.capacity, plan.capacity.memory
    return {
        **about,
        "totalBytes": memory.total,
        "weightsBytes": memory.weights,
        "overheadBytes": memory.overhead,
        "kvCacheBytes": memory.kv_cache,
        "kvCacheTokens": capacity.kv_cache_tokens,
        "maxModelLen": capacity.max_model_len,
        "maxModelLenThatFits": capacity.max_model_len_that_fits,
        "speed": _speed(account.assessment.speed),
        **_learned(account, capacity),
        "differencePercent": None if error is None else f"{100 * error:+.1f}",
    }


def _speed(speed: Speed | None) -> dict[str, Any] | None:
    """What a replica will serve: whole numbers of two digits."""
    if speed is None:
        return None
    return {
        "decodeTokensPerSecond": round(rounded(speed.one)),
        "decodeTokensPerSecondTogether": round(rounded(speed.many)),
        "requestsTogether": speed.requests,
        "contextTokens": speed.context,
        "prefillTokensPerSecond": round(rounded(speed.prefill)),
        "millisecondsToFirstToken": max(1, round(rounded(1000 * speed.first_token))),
    }


def _learned(account: Account, capacity: Capacity) -> dict[str, Any]:
    """What other engines have taught the plan, and which."""
    known = next((one for one in account.evidence.resolved if one.field == LEARNED), None)
    if known is None or not capacity.learned_bytes:
        return {}
    return {"learnedBytes": capacity.learned_bytes, "learnedFrom": _short(known.why)}


def status(account: Account, now: str) -> dict[str, Any]:
    """The whole status, as the API takes it. `now`: the time in RFC 3339."""
    whole = _status(account, now)
    if whole == account.evidence.before and not account.evidence.missing:  # what stands is as the API takes it
        return whole
    return with_gaps(*conform(whole), account.evidence.missing, stamp_of(account, now))


def with_gaps(found: dict[str, Any], left_out: Sequence[str], missing: Sequence[str], stamp: Stamp) -> dict[str, Any]:
    """A status that says as well what is not in it. `left_out`, `missing`: as for `incomplete`."""
    if not (wrong := incomplete(missing, left_out)):
        return found
    return {**found, "conditions": [*found["conditions"], *conditions(wrong, stamp)]}


def outline(after: Mapping[str, Any], why: str, stamp: Stamp) -> dict[str, Any]:
    """What is left of a status that the API server refuses: its conditions, and one more that says so."""
    kept = [entry for entry in after["conditions"] if entry["type"] != ConditionType.INCOMPLETE]
    wrong = incomplete([f"the API server refuses the rest of the status: {why}"], ())
    return {"observedGeneration": stamp.generation, "conditions": [*kept, *conditions(wrong, stamp)]}


def _selected(service: InferenceService) -> dict[str, str]:
    """Labels of one pod for each replica: of groups of pods their leaders."""
    return {**identity(service), **({RANK_LABEL: "0"} if service.spec.nodes > 1 else {})}


def stamp_of(account: Account, now: str) -> Stamp:
    """What each of a service's conditions tells. `now`: in RFC 3339."""
    return Stamp(account.evidence.before.get("conditions") or (), account.service.generation, now)


def _status(account: Account, now: str) -> dict[str, Any]:
    seen = account.evidence
    engine = {
        "kvCacheTokens": seen.engine.kv_cache_tokens,
        "maxModelLen": seen.engine.max_model_len,
    }
    return compact(
        {
            "observedGeneration": account.service.generation,
            "conditions": conditions(verdicts(account), stamp_of(account, now)),
            "replicas": seen.replicas,
            "wantedReplicas": wanted(account),
            "readyReplicas": sum(pod.ready for pod in seen.pods),
            "selector": ",".join(f"{key}={value}" for key, value in _selected(account.service).items()),
            "gpus": account.gpus_of_replica * wanted(account),
            "startupSeconds": seen.startup_seconds,
            "url": service_url(account.service),
            "image": account.outcome.image,
            "resolved": _resolved(account),
            "vllmVersion": seen.engine.version,
            "model": _model(account),
            "download": _download(account),
            "plan": _plan(account),
            "engine": engine if any(engine.values()) else None,
        }
    )
