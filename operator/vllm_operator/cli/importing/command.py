"""`kubectl vllm import`: what it reads and prints. Writes nothing to the cluster, and runs nothing of a source."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from ...diagnosis.redaction import KNOWN_TOKENS
from ...settings import Settings, load
from ..documents import print_yaml
from ..fleet.table import columns
from ..terminal import printable
from .documents import ImportInputError, Sources, read
from .imports import Imported, imported
from .report import Report, Row, Went
from .sources.command_line import document_of

TAKEN, LOST = 0, 3
_OBJECT = re.compile(r"[A-Za-z0-9.-]+/[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_WIDEST = 60


def run(arguments: argparse.Namespace) -> int:
    """Print the services, and on stderr where everything went. The exit status. Raises ImportInputError."""
    settings = _settings(arguments)
    result = imported(sources_of(arguments), settings)
    print_yaml(*result.documents)
    print(printable(told(result)), file=sys.stderr)  # noqa: T201
    return LOST if result.report.lost else TAKEN


def _settings(arguments: argparse.Namespace) -> Settings:
    try:
        return load(arguments.settings)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise ImportInputError(f"{arguments.settings}: {' '.join(str(error).split())}") from error


def sources_of(arguments: argparse.Namespace) -> Sources:
    """What is to be imported: files, an object of the cluster, or a command line. Raises ImportInputError."""
    words: Sequence[str] = arguments.source
    if len(words) == 1 and _OBJECT.fullmatch(words[0]):
        from .cluster import read_cluster  # noqa: PLC0415 - the client takes a second to import

        return read_cluster(words[0], arguments)
    if arguments.filename:
        return read(arguments.filename)
    if words:
        sources = Sources(folder=Path.cwd())
        sources.documents.append(document_of(words, 0))
        return sources
    raise ImportInputError("nothing to import: give -f FILE, KIND/NAME of the cluster, or a command line after --")


def told(result: Imported) -> str:
    """The table, and what is to be done."""
    report = result.report
    rows = [_cells(report, row) for row in report.rows]
    lines = columns([("PART", "WENT", "TO, OR WHY"), *rows])
    commands = [command for draft in result.drafts for command in draft.commands]
    if commands:
        lines += ["", "Before, with the real values:", *dict.fromkeys(commands)]
    counted = sum(row.went in (Went.LEFT, Went.SETTINGS) for row in report.rows)
    names = ", ".join(draft.name for draft in result.drafts)
    lines += ["", f"{names}: {len(report.rows)} parts, {counted} to look at" if counted else f"{names}: all taken over"]
    return KNOWN_TOKENS.sub("***", "\n".join(lines))


def _cells(report: Report, row: Row) -> tuple[str, str, str]:
    """A row of the table. What must not be printed is hidden before a text is cut, which would leave half of it."""
    what = KNOWN_TOKENS.sub("***", " ".join(report.hide(row.origin.what).split()))
    what = what if len(what) <= _WIDEST else f"{what[: _WIDEST - 3]}..."
    return what, row.went.value, report.hide(row.text)
