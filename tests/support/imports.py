"""The sources in tests/importing/cases, and what `kubectl vllm import` makes of them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.host import REPOSITORY
from vllm_operator.cli.importing.documents import Sources, documents_of, read
from vllm_operator.cli.importing.imports import Imported, imported
from vllm_operator.cli.importing.report import Went, dotted
from vllm_operator.cli.importing.sources.command_line import document_of
from vllm_operator.settings import Settings

FOLDER = REPOSITORY / "tests" / "importing" / "cases"
CASES = sorted(path.name for path in FOLDER.iterdir() if not path.name.startswith("refused-"))
REFUSED = sorted(path.name for path in FOLDER.iterdir() if path.name.startswith("refused-"))


def sources(name: str) -> Sources:
    """The sources of a case: a file, a folder, or a command line in a file that ends in .sh."""
    path = FOLDER / name
    if path.suffix != ".sh":
        return read(path)
    found = Sources(folder=FOLDER)
    found.documents.append(document_of([path.read_text().strip()], 0))
    return found


def of_text(text: str) -> Imported:
    """What manifests, or values, in YAML come to with the default settings."""
    found = Sources()
    for body in documents_of("source.yaml", text):
        found.add("source.yaml", body)
    return imported(found, Settings())


def deployment(pod: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A Deployment whose pod runs vLLM."""
    container = {"name": "vllm", "image": "vllm/vllm-openai:latest", "args": ["--model=org/m"]}
    template = {"spec": {"containers": [container], **(pod or {})}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "m"},
        "spec": {"template": template, **spec},
    }


def said_of(found: Imported, what: str) -> list[tuple[Went, str]]:
    """The rows of a part, by what it is called or by the end of its path."""
    return [
        (row.went, row.text)
        for row in found.report.rows
        if row.origin.what == what or dotted(row.origin.place).endswith(what)
    ]


def result(name: str) -> Imported:
    """What a case comes to with the default settings."""
    return imported(sources(name), Settings())


def services(name: str) -> list[dict[str, Any]]:
    """The InferenceServices of a case."""
    return [one for one in result(name).documents if one["kind"] == "InferenceService"]


def leaves(node: Any, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value of a document that holds no others, with where it stands."""
    if isinstance(node, dict) and node:
        for key, item in node.items():
            yield from leaves(item, (*place, str(key)))
    elif isinstance(node, list) and node:
        for index, item in enumerate(node):
            yield from leaves(item, (*place, index))
    elif node not in (None, {}, []):
        yield place, node


def updating() -> bool:
    """Whether the expected outputs are to be written."""
    return bool(os.environ.get("UPDATE_GOLDEN"))


def expected(name: str) -> Path:
    """The file with what a case prints."""
    return FOLDER.parent / "expected" / f"{name}.txt"
