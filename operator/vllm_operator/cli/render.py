"""Prints what the operator would make of the services in a file: for reviews, goldens, and people without a cluster."""

from pathlib import Path

import yaml
from pydantic import ValidationError

from .. import settings
from ..api.resource import InferenceService
from ..api.spec import InferenceServiceSpec
from ..assess.policy import refused
from ..manifests import Manifest, Scaling, desired, pod_template
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
    return desired(service, template, monitoring=True, scaling=Scaling(prometheus_url=own.prometheus_url))


class RenderError(Exception):
    """What cannot be rendered. The text is one line for the user."""


def render_file(path: Path, settings_path: Path | None) -> list[Manifest]:
    """The children of all InferenceServices in a YAML file. Raises RenderError, also for what is not allowed."""
    own = _loaded(settings_path)
    try:
        manifests = services_in(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RenderError(f"{path}: {' '.join(str(error).split())}") from error
    return [child for manifest in manifests for child in _allowed(path, manifest, own)]


def _loaded(path: Path | None) -> settings.Settings:
    try:
        return settings.load(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RenderError(f"{path}: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise RenderError(f"{path}: {_first(error)}") from error


def _allowed(path: Path, manifest: Manifest, own: settings.Settings) -> list[Manifest]:
    name = (manifest.get("metadata") or {}).get("name")
    try:
        finding = refused(service_of(manifest).spec, own)
    except (KeyError, TypeError) as error:
        raise RenderError(f"{path}: {name or 'a service'} has no metadata.name, or no spec") from error
    except ValidationError as error:
        raise RenderError(f"{path}: {name}: spec.{_first(error)}") from error
    if finding:
        reason, said = finding
        raise RenderError(f"{path}: {name}: {reason}: {said} (--settings names the operator's settings)")
    return render(manifest, own)


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg'].removeprefix('Value error, ')}"
