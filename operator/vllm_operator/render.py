"""Prints what the operator would make of the services in a file: for reviews, goldens, and people without a cluster."""

from pathlib import Path

import yaml

from . import settings
from .api import KIND
from .api.resource import InferenceService
from .api.spec import InferenceServiceSpec
from .manifests import Manifest, desired, pod_template, revision_name


class _Loader(yaml.SafeLoader):
    """Leaves a time as the string that it is for kubectl, instead of making a date of it."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def render(manifest: Manifest, own: settings.Settings) -> list[Manifest]:
    """The children of one InferenceService. Raises pydantic.ValidationError for a spec that is wrong."""
    meta = manifest["metadata"]
    spec = InferenceServiceSpec.model_validate(manifest["spec"])
    service = InferenceService(meta.get("namespace", "default"), meta["name"], "", 1, spec)
    template = pod_template(service, revision_name(service), own)
    return desired(service, template, monitoring=True)


def render_file(path: Path, settings_path: Path | None) -> list[Manifest]:
    """The children of all InferenceServices in a YAML file."""
    own = settings.load(settings_path)
    documents = [
        document for document in yaml.load_all(path.read_text(), _Loader) if document and document.get("kind") == KIND
    ]
    return [child for document in documents for child in render(document, own)]
