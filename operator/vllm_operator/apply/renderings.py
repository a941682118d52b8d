"""Which rendering of a service's pods there is: of the spec, and of what is deployed; kept, or made now. Pure.

A kept one is held against today's rules before it is applied.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from ..assess.fits import Assessment
from ..assess.kept import Today, bars
from ..inspection.kept import facts_of
from ..manifests import Manifest, Packed, Rendered, Rendering, pack, pod_template
from ..manifests.kinds import WORKLOADS
from ..settings import Settings
from ..snapshots.child import Child, kept_last, kept_of, workload_of
from ..status.evidence import Evidence
from .ledger import Ledger

_OUTDATED = "it is older than the rollout.restartedAt of what is deployed"
_OTHER = "it is not what was rendered in its place"


@dataclass(frozen=True, slots=True)
class Known:
    """What a plan of changes is made from, beside the evidence."""

    assessment: Assessment
    settings: Settings
    ledger: Ledger
    rendered: Mapping[str, Packed]
    """Renderings by revision that were rendered a moment ago, and that the watch may not show yet."""
    now: float
    """Seconds of the clock that the ledger's times are of."""


def deployed_revision(evidence: Evidence) -> str | None:
    """The revision that the workload's pods are of; None where this service has no workload."""
    child = _workload(evidence)
    return child.revision if child else None


def _workload(evidence: Evidence) -> Child | None:
    return workload_of(evidence.live, evidence.service.name, evidence.service.uid)


def deployed_template(evidence: Evidence) -> Manifest | None:
    """The kept template of the pods that are deployed, to repair them to; None where there are none."""
    keeps = _keeps_deployed(evidence)
    return keeps.template if keeps else None


def _keeps_deployed(evidence: Evidence) -> Child | None:
    uid, deployed = evidence.service.uid, deployed_revision(evidence)
    if deployed is None:  # deleted by hand: what was rendered last
        return kept_last(evidence.live, uid)
    return kept_of(evidence.live, uid, deployed)


def trusted(evidence: Evidence, known: Known, *, withheld: bool) -> tuple[Evidence, str]:
    """Holds the template that was read back, and is about to be applied, against today's rules.

    One that must not be applied is as if it were not there, and is rendered anew; but what is deployed stays then, and
    the text says why. What was rendered or looked at a moment ago is known to be right.
    """
    deployed = deployed_revision(evidence)
    if not withheld and deployed != evidence.service.revision and (stays := _not_cleared(evidence, known)):
        return _without(evidence, stays, _OTHER), ""
    while child := _read_back(evidence, known, withheld=withheld):
        outdated = evidence.service.renewed and child.revision == evidence.service.revision
        why = _OUTDATED if outdated else bars(child.template, _today(evidence, known, child))
        if not why:
            break
        if child.revision == deployed:
            return evidence, f"the pod template that {child.kind} {child.name} keeps must not be applied: {why}"
        evidence = _without(evidence, child, why)
    return evidence, ""


def _without(evidence: Evidence, child: Child, why: str) -> Evidence:
    """The evidence in which a child keeps nothing, so that it is deleted."""
    spoilt = replace(child, packed_template=None, odd=why)
    return replace(evidence, live={**evidence.live, (child.kind, child.name): spoilt})


def _not_cleared(evidence: Evidence, known: Known) -> Child | None:
    """What keeps another rendering of the spec than was made in its place a moment ago: it could not be deleted then.

    Its data is immutable.
    """
    child, rendered = current_rendering(evidence), known.rendered.get(evidence.service.revision)
    if child is None or child.packed is None or rendered is None:
        return None
    return None if known.ledger.lags(child) or child.packed.unpack() == rendered.unpack() else child


def _today(evidence: Evidence, known: Known, child: Child) -> Today:
    """What a kept template is held against: its pods outlive its workload while an edit rolls them."""
    service, revision = evidence.service, child.revision
    workloads = [
        one.privileges
        for one in evidence.live.values()
        if one.kind in WORKLOADS and one.owner_uid == service.uid and one.revision == revision
    ]
    pods = [pod.privileges for pod in (*evidence.pods, *evidence.old_pods) if pod.revision == revision]
    # What an earlier spec led to is not rendered today; and of Ray the template in force is not known as such.
    unknown = revision != service.revision or (workloads and service.spec.on_ray)
    rendered = None if unknown else partial(_rendered, evidence, known)
    return Today(service.spec, known.settings, rendered, {*workloads, *pods})


def _read_back(evidence: Evidence, known: Known, *, withheld: bool) -> Child | None:
    if withheld:
        return _keeps_deployed(evidence)
    return None if evidence.service.revision in known.rendered else current_rendering(evidence)


def spec_rendering(evidence: Evidence, known: Known) -> Packed:
    """What was rendered when the spec last changed; rendered now, if it has just changed."""
    service = evidence.service
    current = current_rendering(evidence)
    if kept := known.rendered.get(service.revision) or (current and current.packed):
        return kept
    return pack(Rendered(_rendered(evidence, known), [one.to_manifest() for one in evidence.resolved]))


def _rendered(evidence: Evidence, known: Known) -> Manifest:
    rendering = Rendering(commit_of(evidence), known.assessment.products)
    return pod_template(evidence.service, known.settings, rendering)


def current_rendering(evidence: Evidence) -> Child | None:
    """What keeps the spec's own rendering; None where nothing does."""
    return kept_of(evidence.live, evidence.service.uid, evidence.service.revision)


def commit_of(evidence: Evidence) -> str | None:
    """The model's commit, as far as it is known."""
    packed = evidence.inspection.packed
    return facts_of(packed).commit if packed else None
