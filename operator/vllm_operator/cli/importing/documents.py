"""Reads the sources: YAML of bounded size, or a shell script, from a file, a folder or standard input. Follows no
link out of it and runs nothing. What a document is, `sources/` decides.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from ..service_file import TextLoader
from .part import Part

MOST_BYTES = 2 << 20
MOST_FILES = 500
MOST_NODES = 200_000
MOST_DEPTH = 60
_YAML = (".yaml", ".yml", ".json")
_SCRIPTS = (".sh", ".bash")


class ImportInputError(Exception):
    """What is not understood. The text is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of the sources."""

    number: int
    file: str
    body: Any
    command: bool = False
    """Whether it is a command line, and its body the words."""

    @property
    def root(self) -> Part:
        """All of it."""
        return Part(self.body, (self.number,))

    @property
    def kind(self) -> str:
        """Its kind, where it is a Kubernetes object."""
        return self.root.at("kind").text if self.root.at("apiVersion") else ""

    @property
    def name(self) -> str:
        """Its metadata.name."""
        return self.root.at("metadata", "name").text

    @property
    def namespace(self) -> str:
        """Its metadata.namespace; empty where the source leaves it open."""
        return self.root.at("metadata", "namespace").text

    @property
    def label(self) -> str:
        """What it is called in the report."""
        return f"{self.kind}/{self.name}" if self.kind else self.file


@dataclass
class Sources:
    """All documents, the folder below which further files may be read, and which files could not be read, with why."""

    documents: list[Document] = field(default_factory=list)
    folder: Path | None = None
    unread: list[tuple[str, str]] = field(default_factory=list)
    namespace: str = ""
    """Of the server that is taken over: objects of other namespaces are none of its own."""

    def seen_from(self, namespace: str) -> "Sources":
        """The same documents, as a server of a namespace finds them."""
        return replace(self, namespace=namespace)

    def add(self, file: str, body: Any) -> None:
        """Take a document up; a List is its items."""
        items = body.get("items") if isinstance(body, dict) and str(body.get("kind", "")).endswith("List") else None
        for item in items if isinstance(items, list) else [body]:
            if item is not None:
                self.documents.append(Document(len(self.documents), file, item))

    def find(self, kind: str, name: str) -> Document | None:
        """The object of a kind and a name that is in the namespace, or else may be in it."""
        found = [one for one in self.documents if (one.kind, one.name) == (kind, name)]
        found = [one for one in found if may_be_same(one.namespace, self.namespace)]
        return min(found, key=lambda one: one.namespace != self.namespace, default=None)

    def of_kind(self, *kinds: str) -> list[Document]:
        """The objects of these kinds."""
        return [one for one in self.documents if one.kind in kinds]


def may_be_same(namespace: str, other: str) -> bool:
    """Whether two namespaces may be one: an empty one is whichever the object is applied to."""
    return not namespace or not other or namespace == other


def read(path: Path) -> Sources:
    """The documents of a file, of all YAML files below a folder, or of standard input (-). Raises ImportInputError."""
    if str(path) == "-":
        return _file(Sources(), "-", sys.stdin.read(MOST_BYTES + 1))
    try:
        if path.is_dir():
            return _folder(path.resolve())
        return _file(Sources(folder=path.resolve().parent), path.name, _text(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ImportInputError(f"{path}: {' '.join(str(error).split())}") from error


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1).decode()


def _file(sources: Sources, name: str, text: str) -> Sources:
    if name.endswith(_SCRIPTS) or text.startswith("#!"):
        sources.documents.append(Document(0, name, ["sh", "-c", _short(name, text)], command=True))
        return sources
    return _filled(sources, name, text)


def _filled(sources: Sources, name: str, text: str) -> Sources:
    for body in documents_of(name, text):
        sources.add(name, body)
    if not sources.documents:
        raise ImportInputError(f"{name}: is empty")
    return sources


def _folder(root: Path) -> Sources:
    sources = Sources(folder=root)
    for path in yaml_files(root):
        name = str(path.relative_to(root))
        if not path.resolve().is_relative_to(root):
            sources.unread.append((name, "is a link out of the folder, which is not followed"))
            continue
        try:
            for body in documents_of(name, _text(path)):
                sources.add(name, body)
        except ImportInputError as error:
            sources.unread.append((name, str(error).removeprefix(f"{name}: ")))
        except (OSError, UnicodeDecodeError) as error:
            sources.unread.append((name, " ".join(str(error).split())))
    if not sources.documents:
        said = f": {sources.unread[0][0]}: {sources.unread[0][1]}" if sources.unread else ""
        raise ImportInputError(f"{root.name}: no YAML file in this folder can be read{said}")
    return sources


def yaml_files(root: Path) -> Iterator[Path]:
    """All YAML files below a folder, in the order of their names. Raises ImportInputError for too many."""
    count = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(_YAML) and not name.startswith("."):
                count += 1
                if count > MOST_FILES:
                    raise ImportInputError(f"{root.name}: has more than {MOST_FILES} YAML files: name a smaller folder")
                yield Path(folder, name)


def _short(name: str, text: str) -> str:
    if len(text) > MOST_BYTES:
        raise ImportInputError(f"{name}: has more than {MOST_BYTES >> 20} MiB: give a smaller file")
    return text


def documents_of(name: str, text: str) -> list[Any]:
    """The documents of a YAML text. Raises ImportInputError for what is no YAML, or too large."""
    _short(name, text)
    try:
        found = []
        for node in yaml.compose_all(text, TextLoader):
            if node is not None:
                _bounded(name, node)
        found = list(yaml.load_all(text, TextLoader))
    except yaml.YAMLError as error:
        raise ImportInputError(f"{name}: {_not_yaml(text, error)}") from error
    except RecursionError as error:
        raise ImportInputError(f"{name}: is nested too deep to be read") from error
    except (ValueError, TypeError) as error:
        raise ImportInputError(f"{name}: is no YAML that can be read: {type(error).__name__}") from error
    return found


def _not_yaml(text: str, error: yaml.YAMLError) -> str:
    if "{{" in text:
        return "is a template of Helm: render it (`helm template ... > all.yaml`), and import what comes out"
    return f"is not YAML: {' '.join(str(error).split())}"


def _bounded(name: str, root: yaml.Node) -> None:
    """Counts nodes as often as aliases repeat them: a few lines can stand for billions."""
    left = MOST_NODES
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        left -= 1 + (len(node.value) >> 6 if isinstance(node, yaml.ScalarNode) else 0)
        if left < 0 or depth > MOST_DEPTH:
            raise ImportInputError(f"{name}: is too large once its aliases are written out: give a smaller file")
        if isinstance(node, yaml.MappingNode):
            waiting += [(part, depth + 1) for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(part, depth + 1) for part in node.value]
