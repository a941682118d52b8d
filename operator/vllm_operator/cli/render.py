"""Prints what the operator would make of the services in a file: for reviews, goldens, and people without a cluster."""

from pathlib import Path

from .. import settings
from ..api.resource import InferenceService
from ..api.spec import InferenceServiceSpec
from ..manifests import OPTIONAL_KINDS, Manifest, Scaling, desired, pod_template
from .service_file import services_in


def service_of(manifest: Manifest) -> InferenceService:
    """The InferenceService of a manifest. Raises pydantic.ValidationError for a spec that is wrong."""
    meta = manifest["metadata"]
    spec = InferenceServiceSpec.model_validate(manifest["spec"])
    return InferenceService(meta.get("namespace", "default"), meta["name"], "", 1, spec)


def render(manifest: Manifest, own: settings.Settings) -> list[Manifest]:
    """The children of one InferenceService. Raises pydantic.ValidationError for a spec that is wrong."""
    service = service_of(manifest)
    template = pod_template(service, own)
    return desired(service, template, served=OPTIONAL_KINDS, scaling=Scaling(prometheus_url=own.prometheus_url))


def render_file(path: Path, settings_path: Path | None) -> list[Manifest]:
    """The children of all InferenceServices in a YAML file."""
    own = settings.load(settings_path)
    return [child for manifest in services_in(path) for child in render(manifest, own)]
