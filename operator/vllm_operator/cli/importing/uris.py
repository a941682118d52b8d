"""From what a source calls a model to the URI that a service has for it. Reads nothing."""

import re

from ...api import KIND
from ..validation import faults

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


def uri_fault(uri: str) -> str:
    """Why the API does not take a URI of a model; empty where it does."""
    found = faults({"metadata": {"name": "any"}, "spec": {"model": {"uri": uri}}}, KIND)
    return sentence(found[0]) if found else ""


def sentence(fault: str) -> str:
    """A fault without the value, which stands beside it."""
    return re.sub(r"^[\w.\[\]]+: (?:Invalid value: (?:\".*?\"|[^:]*): )?", "", fault)


def repository(text: str) -> str | None:
    """The hf:// URI of a repository's name; None for anything else."""
    return f"hf://{text}" if _REPOSITORY.fullmatch(text) else None
