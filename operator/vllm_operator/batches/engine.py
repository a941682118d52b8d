"""What the engine of a batch comes to: as that of a service with so many replicas, of the same class. Pure.

What a service may not have, a batch may not have either: the same rules are asked.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import ValidationError

from ..api.base import first_fault
from ..api.batch import NO_DEVICE_CLASS, NOT_OF_A_BATCH, InferenceBatch
from ..api.flags.versions import engine_version
from ..api.reasons import Finding, Reason
from ..api.resource import InferenceService
from ..api.revision import made_claim_name
from ..api.serving_class import ServingClass
from ..api.spec import UNREADABLE, InferenceServiceSpec
from ..api.storage import Cache
from ..assess.admission import admit
from ..assess.classes import Classes
from ..assess.policy import fault, may_mount, named_claims, refused, wanted_labels
from ..assess.resolution import Resolution, Resolved
from ..planner.versions import is_since
from ..services.claims import Claim, labels_of
from ..settings import Settings
from ..snapshots.batch import JobSnapshot
from ..vllm.batch import MERGE, OLDEST_RELEASE, RUN

_NO_IMAGE = (
    "the operator does not know its own image (setting images.operator), which copies from and to s3://: ask the "
    "platform team to set it, or use pvc://"
)
_ONE_NODE = ("ReadWriteOnce", "ReadWriteOncePod")
_HOSTNAME = "kubernetes.io/hostname"


class Engine(NamedTuple):
    """A service of the same engine, and why it may not be had."""

    service: InferenceService
    resolved: tuple[Resolved, ...] = ()
    refusal: Finding | None = None
    own: ServingClass | None = None
    """Its class."""
    begun: bool = False
    """Whether it is what the pods that there are were made of, whatever it would be now."""


def engine_of(
    batch: InferenceBatch,
    referred: Mapping[str, Any] | None,
    classes: Classes,
    settings: Settings,
    *,
    has_cache: bool = False,
) -> Engine:
    """The engine of a batch. `referred`: the spec of the service that serviceRef names; None: there is none.

    `has_cache`: whether that service has a claim, of its class perhaps, that pods on several nodes can mount.
    """
    if batch.buckets() and not settings.images.operator:
        return Engine(_service(batch, UNREADABLE), refusal=(Reason.INVALID, _NO_IMAGE))
    try:
        spec = written(batch, referred)
    except ValidationError as error:
        where, wrong = first_fault(error)
        return Engine(_service(batch, UNREADABLE), refusal=(Reason.INVALID, f"spec.template.{where}: {wrong}"))
    if spec is None:
        name = batch.spec.service_ref.name if batch.spec.service_ref else ""
        text = f"there is no InferenceService {name} in this namespace: correct serviceRef.name, or use template"
        return Engine(_service(batch, UNREADABLE), refusal=(Reason.SERVICE_NOT_FOUND, text))
    if finding := fault(spec, settings):
        return Engine(_service(batch, spec), refusal=finding)
    result, own = _admitted(spec, classes, settings)
    # The claim was made by the operator, without the labels that a claim needs which a spec names.
    effective = _with_cache(result.spec, batch, referred, has_cache=has_cache and not settings.allowed_claims)
    if effective.accelerator.device_class:  # of a service, or of a class
        return Engine(_service(batch, effective), result.resolved, (Reason.INVALID, NO_DEVICE_CLASS), own)
    refusal = result.refusal or _too_old(settings.image_of(effective))
    return Engine(_service(batch, effective), result.resolved, refusal, own)


def _admitted(
    spec: InferenceServiceSpec, classes: Classes, settings: Settings
) -> tuple[Resolution, ServingClass | None]:
    """What the engine comes to with its class, and the class; of what that gives, only what a batch has."""
    given = {name: _for_batches(one) for name, one in classes.by_name.items()}
    result, own = admit(spec, replace(classes, by_name=given), settings)
    return result, classes.by_name[own.name] if own else None


def _for_batches(own: ServingClass) -> ServingClass:
    """A class without what it gives services alone, a claim for the cache of each among it."""
    defaults = own.spec.defaults
    if defaults:
        cache = defaults.kv_cache
        given: dict[str, Any] = {field: None for field in NOT_OF_A_BATCH if field in type(defaults).model_fields}
        given["kv_cache"] = cache.model_copy(update={"events": None}) if cache else None
        defaults = defaults.model_copy(update=given)
    return replace(own, spec=own.spec.model_copy(update={"cache": None, "defaults": defaults}))


def _too_old(image: str) -> Finding | None:
    """Why the program of a batch does not run in an image; None where it does, or the image's tag does not tell."""
    version = engine_version(image)
    if is_since(version, OLDEST_RELEASE):
        return None
    oldest = ".".join(map(str, OLDEST_RELEASE))
    return Reason.IMAGE_TOO_OLD, f"a batch needs vLLM {oldest} or newer, and {image} has {version}: use a newer image"


def as_begun(engine: Engine, batch: InferenceBatch, jobs: Mapping[str, JobSnapshot], classes: Classes) -> Engine:
    """The engine that the Jobs of a batch were made of; as it would be now (`engine`) where there are none yet.

    A refusal stays: it is why the batch could not begin any more.
    """
    texts = [jobs[step].engine for step in (RUN, MERGE) if step in jobs]
    try:
        spec = InferenceServiceSpec.model_validate_json(next(filter(None, texts), ""))
    except ValidationError:  # there is none, or it is of another version of the operator
        return engine
    own = classes.by_name.get(spec.serving_class_name or "")
    return Engine(_service(batch, spec), (), engine.refusal, own, begun=True)


def written(batch: InferenceBatch, referred: Mapping[str, Any] | None) -> InferenceServiceSpec | None:
    """The spec that the user wrote, as a service's; None where the service does not exist. Raises ValidationError."""
    own = batch.spec
    if own.template:
        given = own.template.given()
    elif referred is None:
        return None
    else:
        name = own.service_ref.name if own.service_ref else ""
        given = _of_service(InferenceServiceSpec.model_validate(referred), name)
    named = own.serving_class_name if own.serving_class_name is not None else given.get("servingClassName")
    if named is not None:
        given["servingClassName"] = named
    return InferenceServiceSpec.model_validate({**given, "replicas": batch.pods})


def _of_service(spec: InferenceServiceSpec, name: str) -> dict[str, Any]:
    """What of a service's spec a batch takes, without a claim that the operator makes for the service."""
    fields = InferenceServiceSpec.model_fields
    dropped = {fields[field].alias or field for field in NOT_OF_A_BATCH if field != "serving_class_name"}
    given = {key: value for key, value in spec.given().items() if key not in dropped}
    given["model"] = {**given["model"], "servedModelNames": spec.model.served_model_names or [name]}
    if "events" in given.get("kvCache", {}):
        given["kvCache"] = {key: value for key, value in given["kvCache"].items() if key != "events"}
    if spec.cache and spec.cache.claim:
        del given["cache"]
    return given


def _with_cache(
    spec: InferenceServiceSpec, batch: InferenceBatch, referred: Mapping[str, Any] | None, *, has_cache: bool
) -> InferenceServiceSpec:
    """With the cache of the service that serviceRef names, where pods on several nodes can mount it.

    No user named that claim: what a class allows of cache.existingClaim does not hold for it.
    """
    ref = batch.spec.service_ref
    if ref is None or referred is None or spec.cache:
        return spec
    claim = (referred.get("cache") or {}).get("claim") or {}
    if not has_cache and claim.get("accessMode") != "ReadWriteMany":
        return spec
    return spec.model_copy(update={"cache": Cache.model_validate({"existingClaim": made_claim_name(ref.name)})})


def _service(batch: InferenceBatch, spec: InferenceServiceSpec) -> InferenceService:
    # Without a uid: no Service selects the pods of a batch.
    return InferenceService(batch.namespace, batch.name, "", batch.generation, spec)


def claims_of(batch: InferenceBatch, spec: InferenceServiceSpec) -> list[str]:
    """Names of all claims that the pods of a batch mount."""
    return sorted({*named_claims(spec), *batch.claims().values()})


def claims_refused(
    batch: InferenceBatch,
    spec: InferenceServiceSpec,
    claims: Mapping[str, Claim | None],
    settings: Settings,
) -> Finding | None:
    """Why the batch may not have its claims. `claims`: as read, by name; None: there is none of that name."""
    for part, name in batch.claims().items():
        if claims.get(name) is None:
            return Reason.INVALID, f"there is no claim {name} in this namespace: check {part}.uri"
    labels = labels_of(claims)
    if settings.allowed_claims:
        for name in batch.claims().values():
            if not may_mount(labels[name] or {}, settings):
                shown = ", ".join(wanted_labels(settings))
                text = f"claim {name} lacks the labels that the operator's setting allowedClaims asks for ({shown})"
                return Reason.CLAIM_NOT_ALLOWED, f"{text}: use a claim that has them"
        if finding := refused(spec, settings, labels):
            return finding
    return _not_shared(batch, spec, claims) if batch.pods > 1 else None


def _not_shared(
    batch: InferenceBatch, spec: InferenceServiceSpec, claims: Mapping[str, Claim | None]
) -> Finding | None:
    """Why several pods could not all mount their claims: they may lie on several nodes, unless the spec names one."""
    on_one_node = bool(spec.pod and spec.pod.node_selector and _HOSTNAME in spec.pod.node_selector)
    for name in claims_of(batch, spec):
        claim = claims.get(name)
        modes = claim.access_modes if claim else ()
        shared = any(mode not in _ONE_NODE for mode in modes)
        if modes and not shared and not (on_one_node and _ONE_NODE[0] in modes):
            text = (
                f"claim {name} is {modes[0]}: one node can mount it, and the {batch.pods} pods may lie on several: use "
                "a ReadWriteMany claim, make a batch with parallelism 1, or keep the pods on one node by "
                f"{_HOSTNAME} in pod.nodeSelector"
            )
            return Reason.CLAIM_NOT_SHARED, text
    return None
