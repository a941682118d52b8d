"""Reads objects of ours from a file of manifests, for people without a cluster. Makes nothing of them."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..api import KIND
from ..manifests.metadata import Manifest


class TextLoader(yaml.SafeLoader):
    """Leaves a time as the string that it is for kubectl, instead of making a date of it."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001
        """As PyYAML, but a key that is there twice is an error, as it is for kubectl."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<" and keys.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(None, None, f'key "{key.value}" is there twice', key.start_mark)
        return super().construct_mapping(node, deep)


def services_in(path: Path) -> list[Manifest]:
    """The manifests of all InferenceServices in a YAML file. Raises OSError, yaml.YAMLError and UnicodeDecodeError."""
    return manifests_in(path, KIND)


def manifests_in(path: Path, kind: str) -> list[Manifest]:
    """The manifests of a kind in a YAML file. Raises OSError, yaml.YAMLError and UnicodeDecodeError."""
    documents = yaml.load_all(path.read_text(), TextLoader)
    return [document for document in documents if isinstance(document, dict) and document.get("kind") == kind]


def name_of(manifest: Manifest) -> str:
    """What to call an object in a sentence, also one that has no name."""
    metadata = manifest.get("metadata")
    return str((metadata.get("name") if isinstance(metadata, Mapping) else None) or f"the {manifest.get('kind')}")
