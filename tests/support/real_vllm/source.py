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
from vllm_operator.diagnosis.device_symptoms import OF_CSRC
from vllm_operator.diagnosis.model_symptoms import OF_HTTPX
from vllm_operator.diagnosis.rank_symptoms import OF_NCCL
from vllm_operator.diagnosis.symptom import OF_PROTOCOL, OF_SYSTEM


@cache
def packages() -> Path:
    """Where vLLM and its libraries are installed."""
    (found,) = interpreter().parent.parent.glob("lib/python3*/site-packages")
    return found


# Of NCCL 2.28, which is not installed with vLLM here: src/misc/shmutils.cc, src/misc/ibvwrap.cc, src/misc/socket.cc,
# src/bootstrap.cc, src/init.cc and src/include/checks.h. What "%s" stands for is as it is told on Linux.
_NCCL = """\
Error while creating shared memory segment %s (size %ld), error: {full} (%d)
Error while creating shared memory segment %s (size %ld), error: {memory} (%d)
Call to ibv_reg_mr_iova2 failed with error {memory}
socketStartConnect: Connect to %s failed : %s
Bootstrap : no socket interface found
Duplicate GPU detected : rank %d and rank %d both on CUDA device %lx
remote process exited or there was a network error
Cuda failure %d 'out of memory'
"""
# Of vLLM's code for GPUs, which is not in its build for CPUs: csrc/custom_all_reduce.cuh.
_CSRC = "Failed: Cuda error custom_all_reduce.cuh:%d '%s'\nFailed: Cuda error custom_all_reduce.cuh:%d 'out of memory'"


@cache
def words_of(source: str, root: Path | None = None) -> str:
    """All strings and names of a source file, each on a line: adjacent strings are one, as Python reads them.

    `root`: where its packages lie; those of the pinned vLLM if it is left out.

    What is put into a string with braces is not in it, so a text is found in pieces.
    """
    if source == OF_SYSTEM:
        return "\n".join(_words_of_system(number) for number in errno.errorcode)
    if source == OF_NCCL:
        return _NCCL.format(full=os.strerror(errno.ENOSPC), memory=os.strerror(errno.ENOMEM))
    if source == OF_CSRC:
        return _CSRC
    if source == OF_HTTPX:
        tree = ast.parse((packages() / "httpx2/_exceptions.py").read_text())
        return "\n".join(f"httpx2.{node.name}" for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    if source == OF_PROTOCOL:
        assert {"Client Error:", "for url:"} <= {*words_of("requests/models.py").splitlines()}
        return "\n".join(f"{status.value} Client Error: {status.phrase} for url: " for status in HTTPStatus)
    tree = ast.parse(((root or packages()) / source).read_text())
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return "\n".join(" ".join(text.split()) for text in [*strings, *names])


def _words_of_system(number: int) -> str:
    """An error as Python, Rust's std::io::Error and torch's maps of files (ATen/MapAllocator.cpp) say it."""
    words = os.strerror(number)
    # Python names shared memory so (multiprocessing/shared_memory.py).
    of_python = "\n".join(f"[Errno {number}] {words}: '{path}" for path in ("", "/psm_"))
    return f"{of_python}\n{words} (os error {number})\n>: {words} ({number})"


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
