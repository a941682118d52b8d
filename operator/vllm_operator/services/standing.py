"""Which rendering of its pods the spec of a service stands for, beside the one that is named after it. Pure."""

from collections.abc import Iterable
from dataclasses import replace

from ..api.resource import InferenceService
from ..api.revision import former_revision_of, inspection_of, revision_of
from ..api.rollout import Rollout
from ..api.spec import InferenceServiceSpec
from ..manifests.names import RAY_KIND
from ..manifests.pod import restarted_in
from ..snapshots.child import Child, Live, kept_last, kept_of, revisions, workload_of
from ..snapshots.pod import PodSnapshot


def standing(service: InferenceService, live: Live, pods: Iterable[PodSnapshot]) -> InferenceService:
    """The service as its pods go on with it.

    A rollout.restartedAt that was taken away stays in force, and so does a revision as an earlier operator named it:
    neither asks for other pods. One that was put back does, and is not served by what was kept for it before. Only
    where pods of that are still there, it takes a change back that they have not all seen.
    """
    deployed = workload_of(live, service.name, service.uid) or kept_last(live, service.uid)
    if deployed is None or deployed.revision == service.revision:
        return service
    kept = kept_of(live, service.uid, service.revision)
    if kept and service.revision in _running(live, pods):
        return service
    renderings = sorted(revisions(live, service.uid), key=lambda child: child.revision_number, reverse=True)
    last = next((one for one in renderings if _is_of(service, one)), None)
    if last is None or last.revision is None or last.revision == service.revision:
        return service
    restarted_at = restarted_in(last.template)
    if _restarted_at(service.spec) not in ("", restarted_at):
        return replace(service, renewed=kept is not None)
    spec = _with_restarted_at(service.spec, restarted_at)
    return replace(service, spec=spec, revision=last.revision, inspected=inspection_of(spec))


def _running(live: Live, pods: Iterable[PodSnapshot]) -> set[str | None]:
    """The revisions of pods that stay: those of Ray carry the name of their RayService."""
    on_ray = (child.revision for child in live.values() if child.kind == RAY_KIND)
    return {*on_ray, *(pod.revision for pod in pods if not pod.failed and not pod.terminating)}


def _is_of(service: InferenceService, rendering: Child) -> bool:
    """Whether a rendering is of the spec, but perhaps for its rollout.restartedAt."""
    spec = _with_restarted_at(service.spec, restarted_in(rendering.template))
    return rendering.revision in (revision_of(service.name, spec), former_revision_of(service.name, spec))


def _restarted_at(spec: InferenceServiceSpec) -> str:
    return (spec.rollout.restarted_at if spec.rollout else None) or ""


def _with_restarted_at(spec: InferenceServiceSpec, restarted_at: str) -> InferenceServiceSpec:
    if _restarted_at(spec) == restarted_at:
        return spec
    rollout = spec.rollout or Rollout.model_validate({})
    return spec.model_copy(update={"rollout": rollout.model_copy(update={"restarted_at": restarted_at or None})})
