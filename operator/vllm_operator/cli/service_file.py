"""Reads objects of ours from a file of manifests, for people without a cluster. Makes nothing of them."""

import difflib
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..api import API_VERSION, BATCH_KIND, CLASS_KIND, GROUP, KIND
from ..manifests.metadata import Manifest

_KINDS = (KIND, CLASS_KIND, BATCH_KIND)


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


class UnknownObjectError(Exception):
    """An object of ours that no API server knows, as it is of no kind or version that there is. For the user."""


def services_in(path: Path) -> list[Manifest]:
    """The manifests of all InferenceServices in a YAML file. Raises what `manifests_in` does."""
    return manifests_in(path, KIND)


def manifests_in(path: Path, kind: str) -> list[Manifest]:
    """The manifests of a kind of ours in a YAML file, those in its lists too.

    Raises OSError, yaml.YAMLError, UnicodeDecodeError and UnknownObjectError.
    """
    ours = [one for one in _objects(path) if _is_ours(one)]
    for one in ours:
        if said := _not_known(one):
            raise UnknownObjectError(said)
    return [one for one in ours if one["kind"] == kind]


def absence(path: Path, *kinds: str) -> str:
    """Why a file has no object of some kinds of ours. Raises OSError, yaml.YAMLError and UnicodeDecodeError."""
    for one in _objects(path):
        if one.get("kind") in kinds:
            return f"its {one['kind']} is of {one.get('apiVersion')}, not {API_VERSION}"
    return f"has {' and '.join(f'no {kind}' for kind in kinds)}"


def _objects(path: Path) -> Iterator[Manifest]:
    return _flat(yaml.load_all(path.read_text(), TextLoader))


def _flat(documents: Iterable[Any]) -> Iterator[Manifest]:
    """The objects, each of a List for itself: `kubectl get -o yaml` writes one, and `kubectl apply` takes it apart."""
    for one in documents:
        if isinstance(one, dict) and str(one.get("kind")).endswith("List") and isinstance(one.get("items"), list):
            yield from _flat(one["items"])
        elif isinstance(one, dict):
            yield one


def _is_ours(manifest: Manifest) -> bool:
    """Whether it is of our API group, or has a kind of ours and no group at all."""
    version = manifest.get("apiVersion")
    return str(version).partition("/")[0] == GROUP if version else manifest.get("kind") in _KINDS


def _not_known(manifest: Manifest) -> str:
    kind, version = str(manifest.get("kind")), manifest.get("apiVersion")
    if kind not in _KINDS:
        near = difflib.get_close_matches(kind, _KINDS, n=1, cutoff=0.7)
        return f"{GROUP} has no kind {kind}" + (f": {near[0]} is meant?" if near else "")
    if not version:
        return f"its {kind} has no apiVersion: write {API_VERSION}"
    return "" if version == API_VERSION else f"its {kind} is of {version}, not {API_VERSION}"


def name_of(manifest: Manifest) -> str:
    """What to call an object in a sentence, also one that has no name."""
    metadata = manifest.get("metadata")
    return str((metadata.get("name") if isinstance(metadata, Mapping) else None) or f"the {manifest.get('kind')}")
