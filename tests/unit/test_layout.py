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


OPERATOR = REPOSITORY / "operator" / "vllm_operator"
MODULES = sorted(OPERATOR.rglob("*.py"))
MOST_ON_TOP, MOST_LINES, MOST_LINES_OF_A_FUNCTION = 8, 400, 40
# Kinds of ours, by name: in the folders that serve every kind, they are rows of others.
KINDS_BY_NAME = ("InferenceService", "ServingClass", "inferenceservice", "servingclass")
SERVES_EVERY_KIND = ("loop", "watch")


def test_few_modules_lie_in_the_top_package() -> None:
    names = [path.name for path in OPERATOR.glob("*.py")]
    assert len(names) <= MOST_ON_TOP, f"{names}: which folder is the newest one's?"


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(OPERATOR)) for path in MODULES])
def test_modules_and_functions_are_short(path: Path) -> None:
    source = path.read_text()
    assert source.count("\n") <= MOST_LINES, f"{path.name}: which second thing does it decide?"
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in (node for node in ast.walk(ast.parse(source)) if isinstance(node, functions)):
        # Decorators and the docstring are not what makes a function long.
        first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
        length = (node.end_lineno or 0) - first.lineno + 1
        assert length <= MOST_LINES_OF_A_FUNCTION, f"{path.name}: {node.name} has {length} lines"


@pytest.mark.parametrize("folder", SERVES_EVERY_KIND)
def test_the_loop_and_the_watches_know_no_kind_of_ours_by_name(folder: str) -> None:
    for path in sorted((OPERATOR / folder).rglob("*.py")):
        words = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        strings = [
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        named = [name for name in KINDS_BY_NAME if name in words or any(name in text for text in strings)]
        assert not named, f"{folder}/{path.name} names {named}: that belongs into the kind's own folder"
