"""From what a source calls a model to the URI that a service has for it. Reads nothing."""

import re

from .rules import broken
from .values import schema_at

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


def uri_fault(uri: str) -> str:
    """Why the API does not take a URI of a model; empty where it does."""
    return next(broken(schema_at("model.uri"), uri), "")


def repository(text: str) -> str | None:
    """The hf:// URI of a repository's name; None for anything else."""
    return f"hf://{text}" if _REPOSITORY.fullmatch(text) else None
