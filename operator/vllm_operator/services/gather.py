"""All that is known of a service, as one frozen value. Reads what the watches do not show; decides nothing."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import ValidationError

from ..api.base import first_fault
from ..api.reasons import Reason
from ..api.resource import InferenceService, Key
from ..api.spec import UNREADABLE, InferenceServiceSpec
from ..assess.fits import Inspection
from ..assess.policy import fault, named_claims
from ..assess.resolution import NODES, Resolved
from ..assess.served import blind, unserved
from ..assess.terms import Terms
from ..diagnosis import Autoscaler, Finding
from ..loop.kinds import Surroundings
from ..manifests.names import hpa_of
from ..readers.reader import told_by
from ..settings import Settings
from ..snapshots.child import Live, deployment_of, odd_revisions
from ..snapshots.groups import judged, leaders
from ..snapshots.own import ObjectSnapshot
from ..snapshots.pod import PodSnapshot
from ..snapshots.ray import answering, of_clusters
from ..status.conditions import operator_failed
from ..status.evidence import Engine, Evidence
from .agreement import Agreement
from .claims import labels_of
from .memory import Memory
from .standing import standing
from .view import View

log = logging.getLogger(__name__)


async def gather(
    key: Key, snapshot: ObjectSnapshot, memory: Memory, surroundings: Surroundings, agreement: Agreement
) -> Evidence:
    """The evidence on which the service is decided. What is still being read, `memory.waits()` tells."""
    evidence = _watched(key, snapshot, memory, surroundings, agreement)
    evidence = replace(evidence, taking=memory.taking.seconds(evidence.deployment, surroundings.clock()))
    if evidence.spec_error:
        memory.claims.forget()
    elif (settings := surroundings.settings).allowed_claims:
        written = parse(key, snapshot, memory, settings)[0].spec
        claims = labels_of(await memory.claims.read(named_claims(written)))
        evidence = replace(evidence, spec_error=fault(written, settings, claims))
    if evidence.spec_error:
        return evidence
    for reader in memory.readers:
        evidence = await told_by(reader, evidence)
    return evidence


def _watched(
    key: Key, snapshot: ObjectSnapshot, memory: Memory, surroundings: Surroundings, agreement: Agreement
) -> Evidence:
    """What the watches show, and what is remembered of what they showed."""
    view = View(surroundings.indices)
    live, served, shown = view.children(key), surroundings.served(), view.pods(key, ending=True)
    service, spec_error = parse(key, snapshot, memory, surroundings.settings)
    service, before = standing(service, live, shown), memory.writer.newest(snapshot.resource_version, snapshot.status)
    unread = (Terms(service.spec), None) if spec_error and spec_error[0] is Reason.INVALID else None
    terms, failed = unread or _terms(service, before, memory, agreement)
    spec_error = spec_error or failed or lacking(terms.spec, terms.resolved, surroundings)
    service = replace(service, spec=terms.spec)
    pods = _pods(shown, _group_size(terms, before), live, memory, before)
    current = [pod for pod in pods if pod.revision == service.revision]
    memory.ledger.note(live, partial(view.deleted, key))
    memory.replicas.note(deployment_of(live, service.name, service.uid), leaders(pods), before)
    return Evidence(
        service=service,
        before=before,
        created=snapshot.created if snapshot.generation == 1 else "",
        spec_error=spec_error,
        live=live,
        pods=leaders(current),
        workers=[pod for pod in current if pod.rank],
        fallen=memory.fallen.note(shown, service.revision) if service.spec.nodes > 1 else None,
        old_pods=[pod for pod in leaders(pods) if pod.revision != service.revision and not pod.failed],
        ending=[pod for pod in view.ending(key) if pod.revision != service.revision],
        served=served,
        autoscaler=_autoscaler(service, live, served),
        start_replicas=memory.replicas.at_start(service),
        startup_seconds=memory.replicas.startup_seconds,
        jobs=memory.jobs,
        inspection_pod=view.inspection(key, service.inspected),
        download_pod=view.download(key),
        inspection=Inspection(service.inspected, pending=True),
        resolved=terms.resolved,
        refusal=terms.refusal,
        held_back=terms.held_back,
        drift=terms.drift,
        bounds=terms.bounds,
        spreads=terms.spreads and "LeaderWorkerSet" in served,
        engine=Engine.known(before, service.generation),
        missing=_odd(live, service.uid),
    )


def _odd(live: Live, uid: str) -> tuple[str, ...]:
    """What cannot be read of the kept pod templates."""
    odd = odd_revisions(live, uid)
    return tuple(f"the pod template that {child.kind} {child.name} keeps: {child.odd}" for child in odd)


def _pods(
    shown: Sequence[PodSnapshot], size: int, live: Live, memory: Memory, before: Mapping[str, Any]
) -> list[PodSnapshot]:
    """The pods, but those that are being deleted, each as ready as the group or the Ray cluster that it belongs to."""
    served = bool(before.get("readyReplicas"))
    stay = [pod for pod in shown if not pod.terminating]
    memory.answering = answering(live.values(), memory.answering, served=served)
    return of_clusters(judged(stay, size), live.values(), memory.answering)


def _group_size(terms: Terms, before: Mapping[str, Any]) -> int:
    """Pods of a replica; where that is to be chosen anew, as it was: groups of an earlier spec may serve."""
    told = [one["value"] for one in before.get("resolved") or () if one["field"] == NODES]
    return int(told[0]) if terms.spreads and told and told[0].isdecimal() else terms.spec.nodes


def _autoscaler(service: InferenceService, live: Live, served: frozenset[str]) -> Autoscaler:
    hpa, scaled_object = live.get(hpa_of(service)), live.get(("ScaledObject", service.name))
    return Autoscaler(
        hpa.autoscaler if hpa else None,
        scaled_object.autoscaler if scaled_object else None,
        keda="ScaledObject" in served,
    )


def _terms(
    service: InferenceService, before: Mapping[str, Any], memory: Memory, agreement: Agreement
) -> tuple[Terms, Finding | None]:
    """The terms of a service. Where they cannot be worked out, nothing may be done for it, and that is told."""
    try:
        return agreement.terms(service, before, memory), None
    except Exception as error:
        log.exception("%s: its terms cannot be worked out", service.key)
        return Terms(service.spec), operator_failed("service", error)


def lacking(spec: InferenceServiceSpec, resolved: Sequence[Resolved], surroundings: Surroundings) -> Finding | None:
    """What the effective spec needs of the cluster, and is not there or cannot be seen."""
    finding = blind(spec, sees_nodes=View(surroundings.indices).sees_nodes)
    return finding or unserved(spec, resolved, surroundings.served(), surroundings.settings)


def parse(
    key: Key, snapshot: ObjectSnapshot, memory: Memory, settings: Settings
) -> tuple[InferenceService, Finding | None]:
    """The service and what is wrong with its spec, beyond the schema that the API server has checked."""
    if memory.parsed is None or memory.parsed[0].generation != snapshot.generation:
        memory.parsed = _parsed(key, snapshot, settings)
    return memory.parsed


def _parsed(key: Key, snapshot: ObjectSnapshot, settings: Settings) -> tuple[InferenceService, Finding | None]:
    unread = InferenceService(*key, snapshot.uid, snapshot.generation, UNREADABLE)
    if snapshot.oversize:
        return unread, (Reason.INVALID, f"spec: {snapshot.oversize}")
    try:
        spec = InferenceServiceSpec.model_validate(snapshot.spec)
    except ValidationError as error:
        where, wrong = first_fault(error)
        return unread, (Reason.INVALID, f"spec.{where}: {wrong}")
    service = InferenceService(*key, snapshot.uid, snapshot.generation, spec)
    return service, fault(spec, settings)
