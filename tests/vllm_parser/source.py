"""The words of the installed vLLM's source, so that a text that we rely on cannot vanish unnoticed."""

import ast
import errno
import os
from functools import cache
from pathlib import Path

from vllm_parser.environment import interpreter


@cache
def packages() -> Path:
    """Where vLLM and its libraries are installed."""
    (found,) = interpreter().parent.parent.glob("lib/python3*/site-packages")
    return found


@cache
def words_of(source: str) -> str:
    """All strings and names of a source file, each on a line: adjacent strings are one, as Python reads them.

    What is put into a string with braces is not in it, so a text is found in pieces.
    """
    if source == "errno":
        return "\n".join(f"{os.strerror(number)}: '" for number in errno.errorcode)
    tree = ast.parse((packages() / source).read_text())
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return "\n".join(" ".join(text.split()) for text in [*strings, *names])


@cache
def code_of(source: str) -> str:
    """A source file as Python writes it: without comments, one statement a line."""
    return ast.unparse(ast.parse((packages() / source).read_text()))
