"""The words of the installed vLLM's source, so that a text that we rely on cannot vanish unnoticed."""

import ast
import errno
import mmap
import os
from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from pathlib import Path

from support.real_vllm.environment import interpreter
from vllm_operator.diagnosis.symptom import OF_PROTOCOL, OF_SYSTEM


@cache
def packages() -> Path:
    """Where vLLM and its libraries are installed."""
    (found,) = interpreter().parent.parent.glob("lib/python3*/site-packages")
    return found


@cache
def words_of(source: str, root: Path | None = None) -> str:
    """All strings and names of a source file, each on a line: adjacent strings are one, as Python reads them.

    `root`: where its packages lie; those of the pinned vLLM if it is left out.

    What is put into a string with braces is not in it, so a text is found in pieces.
    """
    if source == OF_SYSTEM:
        return "\n".join(f"{os.strerror(number)}: '" for number in errno.errorcode)
    if source == OF_PROTOCOL:
        assert {"Client Error:", "for url:"} <= {*words_of("requests/models.py").splitlines()}
        return "\n".join(f"{status.value} Client Error: {status.phrase} for url: " for status in HTTPStatus)
    tree = ast.parse(((root or packages()) / source).read_text())
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return "\n".join(" ".join(text.split()) for text in [*strings, *names])


# A compiler puts shorter texts into its instructions.
_SHORT = 12


def missing(source: str, pieces: Sequence[str], root: Path | None = None) -> list[str]:
    """Those of the pieces that the source does not say; of compiled code, only the longest and those that are long."""
    if ".so" not in source:
        words = words_of(source, root)
        return [piece for piece in pieces if " ".join(piece.split()) not in words]
    sought = [piece for piece in pieces if len(piece.strip()) >= _SHORT] or [max(pieces, key=len)]
    with (packages() / source).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as code:
        return [piece for piece in sought if code.find(piece.strip().encode()) < 0]


@cache
def code_of(source: str) -> str:
    """A source file as Python writes it: without comments, one statement a line."""
    return ast.unparse(ast.parse((packages() / source).read_text()))
