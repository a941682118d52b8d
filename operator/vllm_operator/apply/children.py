"""The children of one service: what it should have now, applied, and the rest pruned. Decides nothing about the status.

A pod template is rendered once per change of the spec and kept in a ControllerRevision. Where the spec's own pods must
not be made, what is deployed stays.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..api.reasons import Reason
from ..api.resource import InferenceService
from ..assess.fits import Assessment, Inspection, facts_of, keeps_from_running
from ..cluster import Cluster, GoneError, RefusedError
from ..diagnosis import Finding
from ..manifests import (
    Manifest,
    Rendering,
    Scaling,
    controller_revision,
    desired,
    pod_template,
    revision_name,
)
from ..manifests.amounts import KEPT_REVISIONS
from ..manifests.kinds import AUTOSCALERS, OPTIONAL_KINDS, Pruned
from ..manifests.names import REVISION_LABEL
from ..settings import Settings
from ..snapshots.child import Child, DeploymentSnapshot, Live
from .applier import Applier, NameTakenError
from .replicas import Replicas


class GivesWayError(Exception):
    """Other services have nothing yet: the pods of this one come after them (loop/arrivals.py)."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a service's model, whether it fits, and the Job that looks at it."""

    inspection: Inspection
    assessment: Assessment
    job: Manifest | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the children: the pod template that stands, and what is in the way of the spec's own."""

    template: Manifest | None = None
    withheld: bool = False
    error: Finding | None = None
    # Why the API server refuses the autoscaler. It keeps nothing else from being made.
    autoscaler_refused: str = ""


class Children:
    """The children of one service. `gives_way()`: whether its first pods wait for the children of other services."""

    def __init__(self, cluster: Cluster, settings: Settings, gives_way: Callable[[], bool]) -> None:
        self._settings, self._gives_way = settings, gives_way
        self.applier = Applier(cluster)
        self.replicas = Replicas()
        self._templates: dict[str, Manifest] = {}

    async def bring_about(self, service: InferenceService, live: Live, known: Known, served: frozenset[str]) -> Outcome:
        """Applies and prunes. `served`: the optional kinds that the cluster knows. Raises GivesWayError."""
        withheld = _withholds(service, live, known.assessment)
        template: Manifest | None = None
        try:
            if withheld:
                template = _deployed_template(service, live)
                withheld = template is None or _revision(template) != revision_name(service)
            else:
                template = await self._kept_template(service, live, _rendering(known))
            scaling = Scaling(self.replicas.startup_seconds, self._settings.prometheus_url)
            children = desired(service, template, served=served, scaling=scaling)
            # Without the kept template of what is deployed, it is left as it is.
            complete = bool(template) or not _deployed(service, live)
            if complete:
                await self.applier.prune(service, children, live, Pruned.FIRST)
            refused = await self._apply_all(service, children, live)
            if known.job:
                # A Job's pod template is immutable: what runs is left to run.
                if ("Job", known.job["metadata"]["name"]) not in live:
                    await self.applier.apply(service, known.job, live)
                children.append(known.job)
            if complete:
                await self.applier.prune(service, children, live, Pruned.LAST)
        except NameTakenError as error:
            return Outcome(template, withheld, (Reason.NAME_TAKEN, str(error)))
        except RefusedError as error:
            message = f"the API server refuses what the spec leads to: {error}"
            return Outcome(template, withheld, (Reason.REFUSED, message))
        return Outcome(template, withheld, autoscaler_refused=refused)

    async def _apply_all(self, service: InferenceService, children: Iterable[Manifest], live: Live) -> str:
        """Applies the children; returns why the API server refuses the autoscaler, on which nothing else depends."""
        refused = ""
        for manifest in children:
            if manifest["kind"] == "Deployment" and ("Deployment", service.name) not in live and self._gives_way():
                raise GivesWayError
            try:
                await self.applier.apply(service, manifest, live, self.replicas.at_start(service))
            except (NameTakenError, RefusedError) as error:
                if manifest["kind"] not in AUTOSCALERS:
                    raise
                refused = str(error)
            except GoneError:
                # That an API is gone is noticed a little later (loop/operator.py); the rest of the children stands.
                if manifest["kind"] not in OPTIONAL_KINDS:
                    raise
        return refused

    async def _kept_template(self, service: InferenceService, live: Live, rendering: Rendering) -> Manifest:
        """The pod template rendered when the spec last changed; rendered and kept now, if it has just changed."""
        revision = revision_name(service)
        kept = revisions(service, live)
        current = next((child for child in kept if child.revision == revision), None)
        template = self._templates.get(revision) or (current and current.template)
        self._templates = {revision: template or pod_template(service, revision, self._settings, rendering)}
        others = sorted((child for child in kept if child is not current), key=lambda child: child.revision_number)
        number = current.revision_number if current else max((other.revision_number for other in others), default=0) + 1
        manifest = controller_revision(service, number, self._templates[revision])
        await self.applier.apply(service, manifest, live)
        for old in others[: 1 - KEPT_REVISIONS]:
            await self.applier.delete(service, (old.kind, old.name))
        return self._templates[revision]


def deployment_of(service: InferenceService, live: Live) -> DeploymentSnapshot | None:
    """The Deployment of this very service."""
    child = live.get(("Deployment", service.name))
    return child.deployment if child and child.owner_uid == service.uid else None


def revisions(service: InferenceService, live: Live) -> list[Child]:
    """The kept pod templates of this very service."""
    return [child for child in live.values() if child.kind == "ControllerRevision" and child.owner_uid == service.uid]


def _deployed(service: InferenceService, live: Live) -> str | None:
    """The revision that the Deployment's pods are of; None where there is no Deployment of this service."""
    child = live.get(("Deployment", service.name))
    return child.revision if child and child.owner_uid == service.uid else None


def _withholds(service: InferenceService, live: Live, assessment: Assessment) -> bool:
    """Whether the spec's own pods must not be made (yet). What is deployed is never taken away again."""
    return _deployed(service, live) != revision_name(service) and keeps_from_running(service.spec, assessment)


def _revision(template: Manifest) -> str:
    return str(template["metadata"]["labels"][REVISION_LABEL])


def _deployed_template(service: InferenceService, live: Live) -> Manifest | None:
    """The kept template of the pods that are deployed, to repair them to; None where there are none."""
    deployed, kept = _deployed(service, live), revisions(service, live)
    if deployed is None:  # deleted by hand: what was rendered last
        return max(kept, key=lambda child: child.revision_number).template if kept else None
    return next((child.template for child in kept if child.revision == deployed), None)


def _rendering(known: Known) -> Rendering:
    report = known.inspection.report
    return Rendering(facts_of(report).commit if report else None, known.assessment.products)
