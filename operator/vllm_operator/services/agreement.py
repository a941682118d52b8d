"""What a service and its ServingClass come to, from what the watches show. What that is, assess/ decides."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from ..api.reasons import Finding
from ..api.resource import InferenceService, Key
from ..api.revision import made_claim_name
from ..api.serving_class import ServingClass
from ..api.spec import InferenceServiceSpec
from ..assess.admission import admit_to
from ..assess.classes import ClassRefusedError, class_of
from ..assess.limits import Claimant, most_gpus, over_budget
from ..assess.resolution import Claim, Resolution, Resolved
from ..assess.terms import Terms, hold_back, kept_values, terms, values_before_classes
from ..manifests import Packed
from ..settings import Settings
from ..snapshots.child import Live, deployment_of, revisions
from ..snapshots.own import ObjectSnapshot
from .memory import Memory
from .view import View


class Agreement:
    """Works out terms. Remembers what the other services of a class ask for: of one namespace, each asks of all."""

    def __init__(self, view: View, settings: Settings) -> None:
        self._view, self._settings = view, settings
        self._asked: dict[Key, tuple[object, int | None]] = {}

    def terms(self, service: InferenceService, before: Mapping[str, Any], memory: Memory) -> Terms:
        """The terms of a service as its user wrote it. `before`: its status as it stands."""
        live = self._view.children(service.key)
        own, refusal = self._class_of(service.key, service.spec)
        claim = _claim(service, live)
        made_of = (service.generation, own, refusal, claim)
        if memory.resolution is None or memory.resolution[0] != made_of:
            memory.resolution = (made_of, admit_to(service.spec, own, self._settings, claim, refusal))
        now = memory.resolution[1]
        if own and not now.refusal:
            now = replace(now, refusal=self._without_room(service.key, own))
        return self._held(service, before, now, memory)

    def _held(self, service: InferenceService, before: Mapping[str, Any], now: Resolution, memory: Memory) -> Terms:
        live = self._view.children(service.key)
        kept = memory.rendered.get(service.revision) or _kept(service, live, now)
        made_of = (now.spec, now.resolved, now.refusal, kept)
        if memory.terms is None or memory.terms[0] != made_of:
            memory.terms = (made_of, terms(service.spec, now, _values(service.spec, kept), self._settings))
        result = memory.terms[1]
        deployment = deployment_of(live, service.name, service.uid)
        if not result.refusal or not (deployment or revisions(live, service.uid)):
            return result
        return hold_back(result, deployment.wanted if deployment else int(before.get("wantedReplicas") or 0))

    def _class_of(self, key: Key, spec: InferenceServiceSpec) -> tuple[ServingClass | None, Finding | None]:
        try:
            return class_of(spec, self._view.classes(key.namespace)), None
        except ClassRefusedError as error:
            return None, error.refusal

    def _without_room(self, key: Key, own: ServingClass) -> Finding | None:
        """Why the class has no room for a service in its namespace; None where it has."""
        if own.spec.limits is None or own.spec.limits.gpus_per_namespace is None:
            return None
        return over_budget(own, list(self._claimants(key.namespace, own))).get(key)

    def _claimants(self, namespace: str, own: ServingClass) -> Iterator[Claimant]:
        known = self._view.known()
        for key in self._asked.keys() - set(known):
            del self._asked[key]
        for key in known:
            snapshot = self._view.service(key) if key.namespace == namespace else None
            if snapshot is not None and (asked := self._asks(key, snapshot, own)) is not None:
                pods = self._view.pods(key)
                held = sum(pod.asked.count for pod in pods if not pod.failed)
                yield Claimant(key, snapshot.created, has_pods=bool(pods), held=held, asked=asked)

    def _asks(self, key: Key, snapshot: ObjectSnapshot, own: ServingClass) -> int | None:
        """The most GPUs that a service may come to have; 0 where it is refused anyway, None without this class."""
        made_of = (snapshot.uid, snapshot.generation, own)
        if key not in self._asked or self._asked[key][0] != made_of:
            self._asked[key] = (made_of, self._worked_out(key, snapshot.spec, own))
        return self._asked[key][1]

    def _worked_out(self, key: Key, given: Mapping[str, Any], own: ServingClass) -> int | None:
        try:
            spec = InferenceServiceSpec.model_validate(given)
        except ValidationError:
            return None
        if self._class_of(key, spec)[0] != own:
            return None
        result = admit_to(spec, own, self._settings)
        return 0 if result.refusal else most_gpus(result.spec)


def _claim(service: InferenceService, live: Live) -> Claim | None:
    """The cache's claim that is there."""
    child = live.get(("PersistentVolumeClaim", made_claim_name(service.name)))
    found = child.claim if child else None
    return Claim(found.storage, found.storage_class, found.access_mode) if found else None


def _kept(service: InferenceService, live: Live, now: Resolution) -> Packed | None:
    """What keeps the user's spec; where that may have no pods, what keeps those that are deployed."""
    kept = {child.revision: child for child in revisions(live, service.uid)}
    deployment = live.get(("Deployment", service.name))
    deployed = kept.get(deployment.revision) if now.refusal and deployment else None
    child = kept.get(service.revision) or deployed
    return child.packed if child else None


def _values(spec: InferenceServiceSpec, kept: Packed | None) -> Sequence[Resolved] | None:
    if kept is None:
        return None
    rendered = kept.unpack()
    if rendered.resolved is None:
        return values_before_classes(spec, str(rendered.template["spec"]["containers"][0]["image"]))
    return kept_values(rendered.resolved)
