"""Prints what the operator would make of the services in a file: for reviews, goldens, and people without a cluster."""

from dataclasses import replace
from pathlib import Path

from .. import settings
from ..api.resource import InferenceService
from ..api.spec import InferenceServiceSpec
from ..assess.classes import Classes
from ..manifests import OPTIONAL_KINDS, Manifest, Scaling, desired, pod_template
from .class_file import read_classes, with_class
from .service_file import services_in


def service_of(manifest: Manifest) -> InferenceService:
    """The InferenceService of a manifest, as it is written. Raises pydantic.ValidationError for a wrong spec."""
    meta = manifest["metadata"]
    spec = InferenceServiceSpec.model_validate(manifest["spec"])
    return InferenceService(meta.get("namespace", "default"), meta["name"], "", 1, spec)


def render(manifest: Manifest, own: settings.Settings, classes: Classes) -> list[Manifest]:
    """The children of one InferenceService. Raises pydantic.ValidationError for a wrong spec, and ClassInputError."""
    written = service_of(manifest)
    service = replace(written, spec=with_class(written.name, written.spec, classes, own).spec)
    template = pod_template(service, own)
    return desired(service, template, served=OPTIONAL_KINDS, scaling=Scaling(prometheus_url=own.prometheus_url))


def render_file(path: Path, settings_path: Path | None, class_path: Path | None = None) -> list[Manifest]:
    """The children of all InferenceServices in a YAML file. Classes may be in it, or in a file of their own."""
    own, classes = settings.load(settings_path), read_classes([path, *([class_path] if class_path else [])])
    return [child for manifest in services_in(path) for child in render(manifest, own, classes)]
