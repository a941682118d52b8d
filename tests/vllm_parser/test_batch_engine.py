"""What the program of a batch takes of vLLM is where it looks for it, in the pinned version."""

import ast
from pathlib import Path

import pytest

from support.real_vllm.source import packages
from vllm_operator.vllm.batch import engine

TAKEN = [
    (node.module or "", name.name)
    for node in ast.walk(ast.parse(Path(engine.__file__).read_text()))
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vllm"
    for name in node.names
]


def names_in(path: Path) -> set[str]:
    """What a module has at its top, imports included."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {name.asname or name.name for name in node.names}
    return found


def test_what_is_taken_is_seen() -> None:
    assert ("vllm.entrypoints.serve", "create_error_response") in TAKEN
    assert len(TAKEN) >= 8


@pytest.mark.parametrize(("module", "name"), TAKEN, ids=[name for _, name in TAKEN])
def test_vllm_has_what_the_program_takes(module: str, name: str) -> None:
    path = packages().joinpath(*module.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    assert name in names_in(file)
