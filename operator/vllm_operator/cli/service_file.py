"""Reads objects of ours from a file of manifests, for people without a cluster. Makes nothing of them."""

from pathlib import Path

import yaml

from ..api import KIND
from ..manifests.metadata import Manifest


class TextLoader(yaml.SafeLoader):
    """Leaves a time as the string that it is for kubectl, instead of making a date of it."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def services_in(path: Path) -> list[Manifest]:
    """The manifests of all InferenceServices in a YAML file. Raises OSError, yaml.YAMLError and UnicodeDecodeError."""
    return manifests_in(path, KIND)


def manifests_in(path: Path, kind: str) -> list[Manifest]:
    """The manifests of a kind in a YAML file. Raises OSError, yaml.YAMLError and UnicodeDecodeError."""
    documents = yaml.load_all(path.read_text(), TextLoader)
    return [document for document in documents if isinstance(document, dict) and document.get("kind") == kind]
