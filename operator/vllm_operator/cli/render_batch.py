"""The Jobs of a batch as they would be made, for people without a cluster. What they are made of is decided below."""

from collections.abc import Mapping
from typing import Any

from ..api import QUEUE_LABEL
from ..api.batch import InferenceBatch, InferenceBatchSpec
from ..api.spec import AUTO, InferenceServiceSpec
from ..assess.admission import admit
from ..assess.classes import Classes
from ..batches.engine import engine_of
from ..manifests.batch import BatchParts, check_job, merge_job, run_job
from ..manifests.metadata import Manifest
from ..settings import Settings
from .class_file import ClassInputError


def render_batch(
    manifest: Manifest, own: Settings, classes: Classes, services: Mapping[str, Mapping[str, Any]]
) -> list[Manifest]:
    """The Jobs of a batch, in the order in which they are made. `services`: specs that serviceRef may name.

    Raises ClassInputError for what the batch may not have, and pydantic.ValidationError for a wrong spec.
    """
    meta = manifest["metadata"]
    spec = InferenceBatchSpec.model_validate(manifest["spec"])
    queue = (meta.get("labels") or {}).get(QUEUE_LABEL)
    batch = InferenceBatch(meta.get("namespace", "default"), meta["name"], "", 1, spec, queue)
    ref = spec.service_ref.name if spec.service_ref else None
    if ref and ref not in services:
        raise ClassInputError(f"{batch.name}: serviceRef names {ref}: put that InferenceService into the same file")
    referred = services[ref] if ref else None
    has_cache = referred is not None and _has_shared_cache(referred, classes, own)
    engine = engine_of(batch, referred, classes, own, has_cache=has_cache)
    if engine.refusal:
        raise ClassInputError(f"{batch.name}: {engine.refusal[1]}")
    if engine.service.spec.tensor_parallel_size == AUTO:
        raise ClassInputError(
            f"{batch.name}: tensorParallelSize: auto is chosen in a cluster: set a number to render it"
        )
    parts = BatchParts(batch, engine.service, own)
    return [check_job(parts), run_job(parts), merge_job(parts)]


def _has_shared_cache(service: Mapping[str, Any], classes: Classes, own: Settings) -> bool:
    """Whether the operator would make a claim for a service of this spec that pods on several nodes can mount."""
    spec = admit(InferenceServiceSpec.model_validate(service), classes, own)[0].spec
    return bool(spec.cache and spec.cache.claim and spec.cache.claim.access_mode == "ReadWriteMany")
