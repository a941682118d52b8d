"""What pod templates of earlier versions of the operator lack that matters for security: one row a fix. Pure.

A fix of the template, or of the middleware in it, reaches no service by itself, as nothing rolls pods unasked. Each is
a row here, and its number is the version that templates carry from then on: those of an older one are told.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..api import GROUP

VERSION_ANNOTATION = f"{GROUP}/template-version"


class Fix(NamedTuple):
    """A fix, and what pods of a template without it are open to: a clause for people."""

    version: int
    without: str


FIXES = (
    Fix(2, "$(NAME) in arguments stands for a variable, Secrets included"),
    Fix(2, "Python takes modules and settings from the cache's claim"),
    Fix(2, "an empty API key opens the service"),
    Fix(2, "who reaches the port reads names of Secrets that changed"),
    Fix(2, "any pod with the service's labels gets some of its requests"),
    Fix(2, "an image for CUDA sees all GPUs of a node where its pod asks for none"),
    Fix(2, "a request that vLLM cannot hand to its engine ends healthy pods"),
    Fix(2, "clients reach the routes that manage vLLM itself, as /scale_elastic_ep"),
)
VERSION = FIXES[-1].version


def version_of(template: Mapping[str, Any]) -> int:
    """The version of a pod template; 1 for one that says none, as those of the first version do."""
    said = (template["metadata"].get("annotations") or {}).get(VERSION_ANNOTATION, "")
    return int(said) if isinstance(said, str) and said.isdecimal() and len(said) < 6 else 1


def missing(version: int) -> list[str]:
    """What pods of a template of that version are open to."""
    return [fix.without for fix in FIXES if fix.version > version]
