"""The plan of changes to one service's children: what to apply, delete, keep or withhold, in order, and why. Pure.

A pod template is rendered once per change of the spec and kept in a ControllerRevision. Where the spec's own pods must
not be made, what is deployed stays. Nothing is decided here about the status, and nothing is written.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..api.reasons import Reason
from ..api.spec import AUTO
from ..api.storage import BUCKETS
from ..assess.fits import Assessment, keeps_from_running
from ..manifests import (
    Manifest,
    Packed,
    Parts,
    Peers,
    Rendered,
    Scaling,
    controller_revision,
    desired,
    inspection,
    kept_model,
    kept_model_name,
)
from ..manifests.amounts import KEPT_REVISIONS, surge
from ..manifests.download import download, download_key, is_downloaded
from ..manifests.kinds import BY_KIND, WORKLOADS, Pruned, is_served
from ..manifests.names import RAY_KIND, REVISION_LABEL
from ..settings import Settings
from ..snapshots.child import Child, kept_models, odd_revisions, revisions
from ..status.evidence import Evidence
from ..vllm.argv import load_format
from ..vllm.paths import model_location
from .decision import Act, Change, Sight, decide
from .renderings import (
    Known,
    commit_of,
    current_rendering,
    deployed_revision,
    deployed_template,
    spec_rendering,
    trusted,
)

# Of a ControllerRevision: the API has it in 64 bits.
_MOST_NUMBER = 2**63 - 1
_NO_CLAIM = (Reason.CLAIM_MISSING, Reason.VOLUME_NOT_BOUND)


@dataclass(frozen=True, slots=True)
class Changes:
    """All changes of one service. Printed, they are a line per child, with the reason."""

    template: Manifest | None
    """The pod template that stands; None while there must be no pods."""
    rendered: Packed | None
    """What is kept for the spec; None while its pods are withheld."""
    withheld: str
    """Why the spec's own pods are not made; empty where they are."""
    downloads: bool
    """Whether that is because the model is being downloaded."""
    held: str
    """Why the template of what is deployed is not applied: it stays as it is. Empty where it is."""
    steps: tuple[Change, ...]
    """In the order in which they are to be done."""
    start_replicas: int = 1
    """Replicas that a new workload starts with under an autoscaler."""

    def __str__(self) -> str:
        """A line per change, for people."""
        withheld = [f"withhold the pods of the spec: {self.withheld}"] if self.withheld else []
        held = [f"leave the Deployment: {self.held}"] if self.held else []
        return "\n".join([*withheld, *held, *map(str, self.steps)])


def plan_changes(evidence: Evidence, known: Known) -> Changes:
    """What to do so that the children of the service are as they should be."""
    withheld, rendered = withholds(evidence, known.assessment), None
    commit = None if withheld else awaited_commit(evidence, known.settings)
    if commit:
        withheld = "the model is being downloaded into the cache"
    evidence, held = trusted(evidence, known, withheld=bool(withheld))
    template: Manifest | None = None
    keeping: list[Change] = []
    if withheld and not held:
        template = deployed_template(evidence)
        own = template is not None and _revision(template) == evidence.service.revision
        if own and not (commit and evidence.never_ran):
            withheld = ""
    elif not held:
        rendered = spec_rendering(evidence, known)
        unpacked = rendered.unpack()
        template = unpacked.template
        keeping = list(_keep_rendering(evidence, known, unpacked))
    if withheld:
        evidence = evidence.held_to_deployed()
    children = desired(_parts(evidence, known.settings, template), evidence.served)
    # Without the kept template of what is deployed, it is left as it is.
    complete = template is not None or deployed_revision(evidence) is None
    steps = [
        *_clear(evidence),
        *_keep_model(evidence, known),
        *keeping,
        *(_prune(evidence, children, Pruned.FIRST) if complete else ()),
        *(_prune_forms(evidence, known, children) if template else ()),
        *(_change(evidence, known, child) for child in children),
    ]
    for job in _jobs(evidence, known, commit):
        steps.append(_job_change(evidence, known, job))
        children = [*children, job]
    if complete:
        steps += _prune_last(evidence, children, template)
    downloads = bool(withheld and commit)
    return Changes(template, rendered, withheld, downloads, held, tuple(steps), evidence.start_replicas)


def _parts(evidence: Evidence, settings: Settings, template: Manifest | None) -> Parts:
    scaling = Scaling(evidence.startup_seconds, settings.prometheus_url)
    pods = [pod for pod in (*evidence.pods, *evidence.old_pods) if not pod.failed]
    others = {pod.revision for pod in pods} - ({_revision(template)} if template else set())
    return Parts(
        evidence.service,
        template,
        scaling,
        [pod.service_uid for pod in pods],
        _peers(settings),
        monitor_labels=settings.service_monitor_labels,
        scaled_to=evidence.start_replicas,
        others=[one.template for one in revisions(evidence.live, evidence.service.uid) if one.revision in others],
    )


def _peers(settings: Settings) -> Peers:
    return Peers(settings.operator_namespace if settings.engine_metrics else "", settings.kuberay_namespaces)


def withholds(evidence: Evidence, assessment: Assessment) -> str:
    """Why the spec's own pods must not be made (yet); empty: they may. What is deployed is never taken away again."""
    if evidence.spec_error:
        return evidence.spec_error[1]
    undecided = evidence.service.spec.tensor_parallel_size == AUTO
    if deployed_revision(evidence) == evidence.service.revision and not undecided:
        return ""
    if evidence.refusal:
        return evidence.refusal[1]
    return assessment.message if keeps_from_running(evidence.service.spec, assessment) else ""


def awaited_commit(evidence: Evidence, settings: Settings) -> str | None:
    """The commit that is to be downloaded before the spec's own pods are made; None: they are not to wait for that.

    They never wait for a Job that does not start, and not where other pods serve the same files from the same claim.
    """
    service, known = evidence.service, evidence.download
    commit = commit_of(evidence)
    if commit is None or service.wanted_replicas == 0 or not is_downloaded(service, settings):
        return None
    begun = deployed_revision(evidence) == service.revision and not evidence.never_ran
    if begun or _is_served(evidence, commit):
        return None
    same = known is not None and known.key == download_key(service, commit)
    return None if known and same and (known.done or known.late) else commit


def _is_served(evidence: Evidence, commit: str) -> bool:
    """Whether pods of an earlier spec serve this commit from this claim, loaded in the same way."""
    template = deployed_template(evidence) if any(pod.ready for pod in evidence.old_pods) else None
    if template is None:
        return False
    service = evidence.service
    arguments = [str(argument) for argument in template["spec"]["containers"][0].get("args") or ()]
    loads = [argument for argument in arguments if argument.startswith("--load-format=")]
    wanted = load_format(service.spec)
    return (
        arguments[:1] == [model_location(service.spec.model)]
        and f"--revision={commit}" in arguments
        and service.cache_claim_name in _claims(template)
        and loads == ([f"--load-format={wanted}"] if wanted else [])
    )


def _claims(template: Manifest) -> set[str]:
    """The claims that the pods of a template mount."""
    sources = (one.get("persistentVolumeClaim") or {} for one in template["spec"].get("volumes") or ())
    return {source["claimName"] for source in sources if "claimName" in source}


def _jobs(evidence: Evidence, known: Known, commit: str | None) -> Iterator[Manifest]:
    """The Jobs that should exist now."""
    if (job := inspect_job(evidence, known.settings)) is not None:
        yield job
    if commit:
        yield download(evidence.service, commit, known.assessment.products, known.settings)


def _revision(template: Manifest) -> str:
    return str(template["metadata"]["labels"][REVISION_LABEL])


def _keep_rendering(evidence: Evidence, known: Known, rendered: Rendered) -> Iterator[Change]:
    """The ControllerRevision of the spec's rendering, as the newest; and of the older ones only so many.

    Which one is deployed, and is made again where somebody has deleted that, goes by the numbers: one that is put back
    gets a new one, as those of a StatefulSet do.
    """
    current = current_rendering(evidence)
    others = [child for child in revisions(evidence.live, evidence.service.uid) if child is not current]
    newest = max((other.revision_number for other in others), default=0)
    number = min(newest + 1, _MOST_NUMBER)
    if current and current.revision_number > newest:
        number = current.revision_number
    last = known.ledger.get((current.kind, current.name)) if current else None
    if current and last and current.revision_number == number and not last.is_edited(current):  # its data is immutable
        yield Change(Act.KEEP, (current.kind, current.name), "as it was applied")
    else:
        yield _change(evidence, known, controller_revision(evidence.service, number, rendered))
    for old in _least_needed(evidence, others)[: 1 - KEPT_REVISIONS]:
        yield Change(Act.DELETE, (old.kind, old.name), f"more than {KEPT_REVISIONS} renderings are kept")


def _least_needed(evidence: Evidence, others: Iterable[Child]) -> list[Child]:
    """Renderings other than the spec's, in the order in which they may go: the oldest first, but what runs last.

    Put back without its rendering, a spec is rendered anew with today's defaults, and pods that are well are rolled.
    """
    deployed = deployed_revision(evidence)
    run = {pod.revision for pod in evidence.old_pods if not pod.failed}
    return sorted(others, key=lambda one: (one.revision == deployed, one.revision in run, one.revision_number))


def _keep_model(evidence: Evidence, known: Known) -> Iterator[Change]:
    """The ControllerRevision of what is known of the model, and none of other models.

    Its data is immutable: what is there is left. Deleted by hand, it is an order to inspect the model anew.
    """
    service, key = evidence.service, ("ControllerRevision", kept_model_name(evidence.service))
    for old in kept_models(evidence.live, service.uid):
        if old.name != key[1]:
            yield Change(Act.DELETE, (old.kind, old.name), "the spec names another model now")
    child, last = evidence.live.get(key), known.ledger.get(key)
    packed = (child.packed_model if child else None) or evidence.inspection.packed
    if child and child.owner_uid and last and not last.is_edited(child):  # unpacked for nothing
        yield Change(Act.KEEP, key, "as it was applied")
    elif packed:
        yield _change(evidence, known, kept_model(service, packed))


def _clear(evidence: Evidence) -> Iterator[Change]:
    """Deletes what stands in the place of a kept rendering or model and is none: what one keeps never changes."""
    for odd in odd_revisions(evidence.live, evidence.service.uid):
        yield Change(Act.DELETE, (odd.kind, odd.name), f"what it keeps does not hold: {odd.odd}")


def _change(evidence: Evidence, known: Known, manifest: Manifest) -> Change:
    key = (manifest["kind"], manifest["metadata"]["name"])
    if key in evidence.live and evidence.live[key].odd:
        return Change(Act.APPLY, key, "what had its name kept nothing of ours", manifest)
    sight = Sight(evidence.live.get(key), known.ledger.get(key), known.now)
    return decide(evidence.service, manifest, sight, evidence.start_replicas)


def _job_change(evidence: Evidence, known: Known, job: Manifest) -> Change:
    """A Job's pod template is immutable: what runs is left to run. Without its owner its pod would not count."""
    key = ("Job", job["metadata"]["name"])
    runs = evidence.live.get(key)
    return Change(Act.KEEP, key, "it runs", job) if runs and runs.owner_uid else _change(evidence, known, job)


def inspect_job(evidence: Evidence, settings: Settings) -> Manifest | None:
    """The Job that should exist now: none once the model is known, none that could not run, one for all that ask it."""
    if evidence.inspection.packed or evidence.inspection.elsewhere:
        return None
    if evidence.service.spec.model.uri.startswith(BUCKETS):
        return None
    error = evidence.inspection.error
    unbound = error is not None and error.reason in _NO_CLAIM
    return None if unbound or not settings.images.operator else inspection(evidence.service, settings)


def _prune_forms(evidence: Evidence, known: Known, wanted: list[Manifest]) -> Iterator[Change]:
    """Deletes workloads of other forms, and RayServices of other renderings, for one that can be made.

    Where pods beyond those asked for are allowed, these serve until their successors do.
    """
    comes = next((one for one in wanted if one["kind"] in WORKLOADS), None)
    key = (comes["kind"], comes["metadata"]["name"]) if comes else ("", "")
    stays = key[0] == RAY_KIND and surge(evidence.service.spec) and not evidence.all_serve_in(key[1])
    pruned = _prune(evidence, wanted, Pruned.WITH_ITS_FORM)
    going = [change for change in pruned if not (stays and change.key[0] == RAY_KIND)]
    if comes and going and (bar := _change(evidence, known, comes)).act in (Act.REFUSE, Act.WAIT):
        yield bar
    untried = None if key in evidence.live else comes
    yield from (replace(change, manifest=untried) for change in going)


def _prune_last(evidence: Evidence, wanted: list[Manifest], template: Manifest | None) -> Iterator[Change]:
    """Deletes what goes once all else is applied: of what pods mount, nothing that one may be made with again.

    Nor what pods hold that finish their requests: it would be gone with them though the spec is put back meanwhile.
    Which pods there are follows the template in force, and that may be of an earlier spec.
    """
    yield from _prune(evidence, wanted, Pruned.LAST)
    if all(pod.failed for pod in (*evidence.old_pods, *evidence.ending)):
        mounted = {("PersistentVolumeClaim", name) for name in _claims(template)} if template else set()
        yield from (one for one in _prune(evidence, wanted, Pruned.WITH_OLD_PODS) if one.key not in mounted)


def _prune(evidence: Evidence, wanted: Iterable[Manifest], when: Pruned) -> Iterator[Change]:
    """Deletes what is no longer desired, of the kinds that go at this time. What has no owner, or no API now, stays."""
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in wanted}
    for key, child in evidence.live.items():
        pruned = BY_KIND[child.kind].pruned is when and is_served(child.kind, evidence.served)
        if pruned and key not in names and child.owner_uid == evidence.service.uid:
            yield Change(Act.DELETE, key, "the spec asks for none any more")
