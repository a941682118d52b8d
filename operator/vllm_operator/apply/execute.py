"""Carries a plan of changes out, one request after the other. Decides nothing but what a read has to show first."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from ..api.reasons import Finding, Reason
from ..api.resource import InferenceService
from ..cluster import Cluster, GoneError, RefusedError, UnavailableError
from ..diagnosis import refusals
from ..manifests import Manifest
from ..manifests.kinds import BESIDE, OPTIONAL_KINDS
from ..manifests.names import GROUP_KIND, INSTANCE_LABEL, MANAGED_BY, MANAGED_BY_LABEL
from ..snapshots.child import Child, ChildKey, owner_uid
from ..snapshots.child import child as child_of
from ..snapshots.owned import content
from ..status.evidence import Jobs, Outcome
from .changes import Changes
from .decision import Act, Change, Sight, decide, digest
from .ledger import Ledger

_ROLL = "the pods stay as they are, and rollout.restartedAt with the current time has new ones rendered"


class NameTakenError(Exception):
    """Somebody else's object has the name of a child."""


class StillDeletingError(Exception):
    """A child of a deleted service of the same name is not gone yet."""


class Hands(NamedTuple):
    """What a plan is carried out with."""

    cluster: Cluster
    ledger: Ledger
    clock: Callable[[], float]


async def execute(service: InferenceService, changes: Changes, hands: Hands) -> Outcome:
    """Makes all changes in order, and says what stands then.

    Raises GoneError, UnavailableError.

    What the API server refuses, or a webhook fails at, ends it, with the error in the outcome; but on an autoscaler, a
    budget, a monitor or a Job nothing else depends.
    """
    container = changes.template["spec"]["containers"][0] if changes.template else {}
    held = (Reason.TEMPLATE_NOT_ALLOWED, f"{changes.held}; {_ROLL}") if changes.held else None
    stands = Outcome(
        container.get("image"),
        tuple(container.get("args", ())),
        bool(changes.withheld),
        held,
        jobs=Jobs(awaited=changes.downloads),
    )
    for change in changes.steps:
        try:
            await _Child(service, hands, changes.start_replicas).bring_about(change)
        except (NameTakenError, RefusedError, UnavailableError) as error:
            if not (finding := _finding(error)):
                raise
            if not (without := _without(stands, change, error)):
                return replace(stands, error=finding)
            stands = without
        except StillDeletingError as error:  # a claim may be so for as long as pods drain
            return replace(stands, error=(Reason.STARTING, str(error)), predecessor=True)
        except GoneError:
            # That an API is gone is noticed a little later (watch/optional.py); the rest of the children stands.
            if change.key[0] not in OPTIONAL_KINDS or change.act is Act.DELETE:
                raise
    return stands


def _without(stands: Outcome, change: Change, error: Exception) -> Outcome | None:
    """What stands without a child that could not be made; None where others depend on it."""
    kind, name = change.key
    if change.act is Act.DELETE:
        return None
    if kind == "Job":
        jobs = stands.jobs
        return replace(stands, jobs=replace(jobs, refused={**jobs.refused, name: str(error)}))
    if kind in BESIDE:
        return replace(stands, beside={**stands.beside, kind: str(error)})
    return None


def _finding(error: NameTakenError | RefusedError | UnavailableError) -> Finding | None:
    """What is told of an error; None where the API server does not answer, so that nothing can be."""
    if isinstance(error, NameTakenError):
        return Reason.NAME_TAKEN, str(error)
    if isinstance(error, UnavailableError):  # of a webhook the API server answers, and it may be so for long
        return refusals.webhook(str(error))
    if told := refusals.objects(str(error)) or refusals.of_queued_set(str(error)):
        return told
    return Reason.REFUSED, f"the API server refuses what the spec leads to: {error}"


class _Child:
    """One child of one service."""

    def __init__(self, service: InferenceService, hands: Hands, start_replicas: int) -> None:
        self._service, self._hands, self._start_replicas = service, hands, start_replicas

    async def bring_about(self, change: Change) -> None:
        """Does what the change says."""
        match change.act:
            case Act.CREATE:
                await self._create(change)
            case Act.LOOK:
                await self._look(change)
            case Act.APPLY:
                await self._apply(change)
            case Act.DELETE:
                await self._delete(change)
            case Act.REFUSE:
                raise NameTakenError(change.why)
            case Act.WAIT:
                raise StillDeletingError(change.why)
            case Act.KEEP:
                pass

    async def _delete(self, change: Change) -> None:
        if change.manifest:
            await self._try(change, change.manifest)
        await self._hands.cluster.delete(change.key[0], self._service.namespace, change.key[1])
        self._hands.ledger.forget(change.key)

    async def _try(self, change: Change, successor: Manifest) -> None:
        """Raises what would keep the successor of a workload from being made; but of a quota, it takes the place."""
        key = (successor["kind"], successor["metadata"]["name"])
        await self._see_to_names(key)
        try:
            free = await self._hands.cluster.apply_new(successor, dry_run=True)
        except RefusedError as error:
            if change.key[0] != key[0] or not refusals.is_of_quota(str(error)):
                raise
        else:
            if not free:
                await self._read(key)

    async def _see_to_names(self, key: ChildKey) -> None:
        """Raises NameTakenError where a new set would not get the Service that its pods find each other by.

        LeaderWorkerSet makes it with the set's name, takes any that is there for it, and says nothing.
        """
        if key[0] != GROUP_KIND:
            return
        body = await self._hands.cluster.read("Service", self._service.namespace, key[1])
        if body and (GROUP_KIND, key[1]) != _controller(body):
            raise NameTakenError(
                f"the Service {key[1]} in namespace {self._service.namespace} has the name of the one by which the pods"
                " of a group find each other: rename the service, or what that Service is of"
            )

    async def _create(self, change: Change) -> None:
        await self._see_to_names(change.key)
        if made := await self._hands.cluster.apply_new(_manifest(change)):
            self._record(change, made)
        else:
            await self._look(change)

    async def _look(self, change: Change) -> None:
        """Decides again, with what has the name."""
        child = await self._read(change.key)
        if child is None:
            await self._see_to_names(change.key)
        sight = Sight(child, self._hands.ledger.get(change.key), self._hands.clock(), looked=True)
        again = decide(self._service, _manifest(change), sight, self._start_replicas)
        await self.bring_about(again)

    async def _read(self, key: ChildKey) -> Child | None:
        """What has the name of a child that the watch does not show. Raises NameTakenError for somebody else's."""
        body = await self._hands.cluster.read(key[0], self._service.namespace, key[1])
        last = self._hands.ledger.get(key)
        made = bool(body and last and last.made(body["metadata"]["uid"]))
        if body and not (made or _has_our_labels(self._service, body)):
            of_groups = _controller(body)[0] == GROUP_KIND  # which would make it again, or not work without it
            raise NameTakenError(
                f"the {key[0]} {key[1]} in namespace {self._service.namespace} does not belong to this service:"
                f" rename the service{'' if of_groups else ', or delete that object'}"
            )
        return child_of(body) if body else None

    async def _apply(self, change: Change) -> None:
        """Applies it, and sees to it that we are not the only owner of replicas when our apply leaves them out."""
        cluster, manifest = self._hands.cluster, _manifest(change)
        if share := change.sharing:
            first = not share.exists and share.start != 1  # 1 is what a new one has by default
            if first:
                await cluster.apply({**manifest, "spec": {**manifest["spec"], "replicas": share.start}})
            if first or share.held:
                await cluster.hold_replicas(change.key, self._service.namespace, share.start)
        self._record(change, await cluster.apply(manifest))

    def _record(self, change: Change, made: Manifest) -> None:
        manifest = _manifest(change)
        self._hands.ledger.record(change.key, (digest(manifest), content(manifest)), made, self._hands.clock())


def _manifest(change: Change) -> Manifest:
    if change.manifest is None:
        raise ValueError(f"nothing to apply: {change}")
    return change.manifest


def _controller(body: Manifest) -> tuple[str, str]:
    """Kind and name of what controls an object; empty where nothing does."""
    owners = body["metadata"].get("ownerReferences") or ()
    return next(((str(one.get("kind")), str(one.get("name"))) for one in owners if one.get("controller")), ("", ""))


def _has_our_labels(service: InferenceService, body: Manifest) -> bool:
    labels = body["metadata"].get("labels", {})
    owned = owner_uid(body["metadata"]) == service.uid
    return owned or (labels.get(MANAGED_BY_LABEL) == MANAGED_BY and labels.get(INSTANCE_LABEL) == service.name)
