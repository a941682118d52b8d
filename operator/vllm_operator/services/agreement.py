"""What a service and its ServingClass come to, from what the watches show. What that is, assess/ decides."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ..api import KIND
from ..api.reasons import Finding
from ..api.resource import InferenceService, Key
from ..api.revision import made_claim_name
from ..api.serving_class import ServingClass
from ..api.spec import AUTO, InferenceServiceSpec
from ..assess.admission import admit_to
from ..assess.classes import ClassRefusedError, class_of
from ..assess.limits import (
    Bounds,
    Claimants,
    Draining,
    counts_gpus,
    drained_first,
    most_gpus,
    over_budget,
    room,
)
from ..assess.resolution import CHOSEN, NODES, TENSOR_SIZE, Claim, Resolution, Resolved, with_chosen
from ..assess.spread import is_open
from ..assess.terms import Terms, chosen, chosen_before, hold_back, kept_values, terms, values_before_classes
from ..manifests import Packed
from ..settings import Settings
from ..snapshots.child import Live, deployment_of, kept_deployed, kept_of, revisions, workload_of
from .memory import Memory
from .teaching import learned
from .view import View


class Agreement:
    """Works out terms."""

    def __init__(self, view: View, settings: Settings, claimants: Claimants) -> None:
        self._view, self._settings, self._claimants = view, settings, claimants

    def terms(self, service: InferenceService, before: Mapping[str, Any], memory: Memory) -> Terms:
        """The terms of a service as its user wrote it. `before`: its status as it stands."""
        result = self._terms(service, before, memory)
        taught = learned(service, result, memory, self._view, self._settings)
        return replace(result, resolved=(*result.resolved, *taught))

    def _terms(self, service: InferenceService, before: Mapping[str, Any], memory: Memory) -> Terms:
        live = self._view.children(service.key)
        own, refusal = self._class_of(service.key, service.spec)
        claim = _claim(service, live)
        kept = memory.rendered.get(service.revision) or _kept(service, live)
        chose = choice_of(kept) if kept else chosen_before(before, service.generation)
        written = with_sizes(service.spec, chose)
        sizes = (written.tensor_parallel_size, written.nodes_per_replica)
        made_of = (service.generation, sizes, own, refusal, claim)
        if memory.resolution is None or memory.resolution[0] != made_of:
            memory.resolution = (made_of, admit_to(written, own, self._settings, claim, refusal))
        now, adds = memory.resolution[1], False
        if own and not now.refusal:
            refusal = self._without_room(service.key, own)
            if not refusal:
                refusal, adds = self._while_pods_end(service, now.spec, own, memory)
            now = replace(now, refusal=refusal)
        result = replace(self._valued(service, now, memory), kept=kept is not None)
        if result.refusal and not adds:
            result = self._held(service, before, result)
        if chose and not kept:
            spec, resolved = with_chosen(result.spec, result.resolved, chose)
            return replace(result, spec=spec, resolved=resolved)
        if own and result.spec.tensor_parallel_size == AUTO:
            return replace(result, bounds=Bounds(own, self._room(service.key, own)))
        if not kept and is_open(result.spec):  # over nodes it has as many GPUs: the namespace's are counted already
            return replace(result, bounds=Bounds(own), spreads=True)
        return result

    def _room(self, key: Key, own: ServingClass) -> int | None:
        """GPUs that the class has left for a service in its namespace; None: any number."""
        return room(own, list(self._claimants(key.namespace, own)), (KIND, key)) if counts_gpus(own) else None

    def _valued(self, service: InferenceService, now: Resolution, memory: Memory) -> Terms:
        """The terms with the values that are kept, and with the number of pods that the spec asks for."""
        live = self._view.children(service.key)
        kept = memory.rendered.get(service.revision) or _kept(service, live, or_deployed=bool(now.refusal))
        made_of = (now.spec, now.resolved, now.refusal, kept)
        if memory.terms is None or memory.terms[0] != made_of:
            memory.terms = (made_of, terms(service.spec, now, _values(service.spec, kept), self._settings))
        return memory.terms[1]

    def _held(self, service: InferenceService, before: Mapping[str, Any], refused: Terms) -> Terms:
        """The terms of a service that is refused more pods, with what is deployed."""
        live = self._view.children(service.key)
        deployment = deployment_of(live, service.name, service.uid)
        if deployment:
            return hold_back(refused, deployment.wanted, deployment.bounds)
        if revisions(live, service.uid):
            return hold_back(refused, int(before.get("wantedReplicas") or 0))
        return refused

    def _class_of(self, key: Key, spec: InferenceServiceSpec) -> tuple[ServingClass | None, Finding | None]:
        try:
            return class_of(spec, self._view.classes(key.namespace)), None
        except ClassRefusedError as error:
            return None, error.refusal

    def _without_room(self, key: Key, own: ServingClass) -> Finding | None:
        """Why the class has no room for a service in its namespace; None where it has."""
        if not counts_gpus(own):
            return None
        return over_budget(own, list(self._claimants(key.namespace, own))).get((KIND, key))

    def _while_pods_end(
        self, service: InferenceService, spec: InferenceServiceSpec, own: ServingClass, memory: Memory
    ) -> tuple[Finding | None, bool]:
        """Why no pods are made for a spec as long as earlier ones finish their requests; None where they may be.

        And whether what is deployed may get more pods all the same: then a rollout alone has to wait.
        Not while the watch has yet to show our last apply: pods end for that, and it is not taken back.
        """
        now = datetime.now(UTC)
        leave = [pod for pod in self._view.ending(service.key) if pod.finishes(now)]
        ending = sum(pod.asked.count for pod in leave if pod.serving_class == own.name)
        workload = workload_of(self._view.children(service.key), service.name, service.uid)
        if not ending or memory.ledger.lags(workload):
            return None, True
        deployed = workload.deployment if workload else None
        stays = deployed.most_gpus if deployed and deployed.serving_class == own.name else 0
        rolls = workload is not None and workload.revision != service.revision
        scales = spec.autoscaling is not None and workload is not None and not workload.owns_replicas
        one = Draining(most_gpus(spec), stays, ending, rolls=rolls, scales=scales)
        bounds = Bounds(own, self._room(service.key, own))
        return drained_first(bounds, one), drained_first(bounds, replace(one, rolls=False)) is None


def _claim(service: InferenceService, live: Live) -> Claim | None:
    """The cache's claim that is there."""
    child = live.get(("PersistentVolumeClaim", made_claim_name(service.name)))
    found = child.claim if child else None
    return Claim(found.storage, found.storage_class, found.access_mode) if found else None


def with_sizes(spec: InferenceServiceSpec, chosen: Sequence[Resolved]) -> InferenceServiceSpec:
    """The spec with the sizes that the plan chose, where they were left to it."""
    sizes = {one.field: one.value for one in chosen if one.field in CHOSEN}
    given: dict[str, Any] = {}
    if sizes.get(TENSOR_SIZE) and spec.tensor_parallel_size in (None, AUTO):
        given["tensor_parallel_size"] = sizes[TENSOR_SIZE]
    if sizes.get(NODES) and spec.nodes_per_replica is None:
        given["nodes_per_replica"] = sizes[NODES]
    return spec.model_copy(update=given) if given else spec


def choice_of(kept: Packed | None) -> tuple[Resolved, ...]:
    """What the plan chose for a template that is kept."""
    if kept is None or not kept.resolved or not any(field in kept.resolved for field in CHOSEN):
        return ()
    return chosen(kept_values(json.loads(kept.resolved)))


def _kept(service: InferenceService, live: Live, *, or_deployed: bool = False) -> Packed | None:
    """The kept rendering of the user's spec; or else, if asked for, of the pods that are deployed."""
    child = None if service.renewed else kept_of(live, service.uid, service.revision)
    if child is None and or_deployed:
        child = kept_deployed(live, service.name, service.uid)
    return child.packed if child else None


def _values(spec: InferenceServiceSpec, kept: Packed | None) -> Sequence[Resolved] | None:
    if kept is None:
        return None
    rendered = kept.unpack()
    if rendered.resolved is None:
        return values_before_classes(spec, str(rendered.template["spec"]["containers"][0]["image"]))
    return kept_values(rendered.resolved)
