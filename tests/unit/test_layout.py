"""Where tests and their helpers lie: a file of tests is nobody's library, and tests/unit has the operator's folders."""

import ast
from pathlib import Path

import pytest

from cluster.host import REPOSITORY

TESTS = REPOSITORY / "tests"
FILES = sorted(TESTS.rglob("*.py"))


def imported(source: str) -> set[str]:
    """The modules that a source names in its imports, also as `from package import module`."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def of_tests(module: str) -> bool:
    """Whether a module is a file of tests or of fixtures in this repository."""
    path = TESTS.joinpath(*module.split(".")).with_suffix(".py")
    return (path.name.startswith("test_") or path.name == "conftest.py") and path.exists()


def test_imports_of_test_files_are_seen() -> None:
    seen = imported("import unit.test_layout\nfrom unit import test_metrics\nfrom e2e.conftest import kube\nimport os")
    assert {name for name in seen if of_tests(name)} == {"unit.test_layout", "unit.test_metrics", "e2e.conftest"}


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(TESTS)) for file in FILES])
def test_nothing_is_imported_from_a_file_of_tests(file: Path) -> None:
    borrowed = sorted(name for name in imported(file.read_text()) if of_tests(name))
    assert not borrowed, f"{file.name} imports from {', '.join(borrowed)}: move what it needs to tests/support/"


def test_unit_tests_lie_in_the_folders_of_what_they_test() -> None:
    unit, operator = TESTS / "unit", REPOSITORY / "operator" / "vllm_operator"
    folders = {file.parent.relative_to(unit) for file in unit.rglob("test_*.py")}
    assert [str(folder) for folder in sorted(folders) if not (operator / folder).is_dir()] == []
