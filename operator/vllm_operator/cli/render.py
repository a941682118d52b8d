"""Prints what the operator would make of the services and batches in a file: for reviews, and without a cluster."""

from dataclasses import replace
from pathlib import Path

import yaml
from pydantic import ValidationError

from .. import settings
from ..api import BATCH_KIND, CLASS_KIND, KIND
from ..api.base import first_fault
from ..api.reasons import Reason
from ..api.resource import InferenceService
from ..api.spec import AUTO, InferenceServiceSpec
from ..apply.changes import plan_changes
from ..apply.ledger import Ledger
from ..apply.renderings import Known
from ..assess.classes import Classes
from ..assess.fits import Assessment
from ..assess.policy import fault
from ..manifests import OPTIONAL_KINDS, Manifest
from ..manifests.kinds import BY_KIND
from ..status.evidence import Evidence
from .class_file import ClassInputError, read_classes, with_class
from .render_batch import render_batch
from .service_file import UnknownObjectError, absence, manifests_in, name_of, services_in
from .validation import faults, listed

# Without a cluster nothing is known of the model, which never keeps pods from being made.
_NOT_PLANNED = Assessment(None, Reason.NOT_INSPECTED, "render does not look at the model")


def service_of(manifest: Manifest) -> InferenceService:
    """The InferenceService of a manifest, as it is written. Raises pydantic.ValidationError for a wrong spec."""
    meta = manifest["metadata"]
    spec = InferenceServiceSpec.model_validate(manifest["spec"])
    return InferenceService(meta.get("namespace", "default"), meta["name"], "", 1, spec)


def render(manifest: Manifest, own: settings.Settings, classes: Classes) -> list[Manifest]:
    """The children of one InferenceService, as the loop plans them. Raises ValidationError and ClassInputError."""
    written = service_of(manifest)
    result = with_class(written.name, written.spec, classes, own)
    if result.refusal:
        raise ClassInputError(f"{written.name}: {result.refusal[1]}")
    if result.spec.tensor_parallel_size == AUTO:
        raise ClassInputError(
            f"{written.name}: tensorParallelSize: auto is chosen in a cluster: set a number to render it"
        )
    service = replace(written, spec=result.spec)
    # A cluster that serves every optional kind, and has nothing of this service yet.
    evidence = Evidence(service, served=OPTIONAL_KINDS, resolved=result.resolved)
    changes = plan_changes(evidence, Known(_NOT_PLANNED, own, Ledger(), rendered={}, now=0.0))
    return [change.manifest for change in changes.steps if change.manifest and BY_KIND[change.key[0]].build]


class RenderError(Exception):
    """What cannot be rendered. The text is for the user: one line for each thing that is wrong."""


def render_file(path: Path, settings_path: Path | None, class_path: Path | None = None) -> list[Manifest]:
    """What is made of all services and batches in a YAML file. Classes may be in it, or in a file of their own.

    Raises ClassInputError, and RenderError for what else is wrong or not allowed.
    """
    own, classes = _loaded(settings_path), read_classes([path, *([class_path] if class_path else [])])
    try:
        manifests, batches = services_in(path), manifests_in(path, BATCH_KIND)
        # Of classes alone nothing is made, and they are right as they are.
        known = manifests or batches or manifests_in(path, CLASS_KIND)
        nothing = "" if known else absence(path, KIND, BATCH_KIND, CLASS_KIND)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, UnknownObjectError) as error:
        raise RenderError(f"{path}: {' '.join(str(error).split())}") from error
    if nothing:
        raise RenderError(f"{path}: {nothing}")
    children = [child for manifest in manifests for child in _allowed(path, manifest, own, classes)]
    for batch in batches:
        if found := faults(batch, BATCH_KIND):
            raise RenderError(f"{path}: {listed(name_of(batch), found)}")
        services = {name_of(manifest): manifest["spec"] for manifest in manifests}
        children += render_batch(batch, own, classes, services)
    return children


def _loaded(path: Path | None) -> settings.Settings:
    try:
        return settings.load(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RenderError(f"{path}: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise RenderError(f"{path}: {': '.join(first_fault(error))}") from error


def _allowed(path: Path, manifest: Manifest, own: settings.Settings, classes: Classes) -> list[Manifest]:
    name = name_of(manifest)
    if found := faults(manifest, KIND):
        raise RenderError(f"{path}: {listed(name, found)}")
    if finding := fault(service_of(manifest).spec, own):
        reason, said = finding
        raise RenderError(f"{path}: {name}: {reason}: {said} (--settings names the operator's settings)")
    return render(manifest, own, classes)
