"""Where tests and their helpers lie: a file of tests is nobody's library, and tests/unit has the operator's folders."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from cluster.host import REPOSITORY
from vllm_operator.api.crd import KINDS

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
KINDS_BY_NAME = [name for kind in KINDS for name in (kind.name, kind.name.lower())]
SERVES_EVERY_KIND = ("loop", "watch")


# What is read where no code of the operator's names it.
READ_ELSEWHERE = {
    "Middleware": "vLLM is told its path",
    "LEFT_OUT": "said of the flags that are left, and compared with vLLM's",
    "SEEN_TO": "said of the fields that are left, and compared with the spec",
    **dict.fromkeys(
        ("LORA_RANKS", "BLOCK_SIZES", "DTYPES", "KV_CACHE_DTYPES", "SPECULATIVE_METHODS"), "compared with vLLM's words"
    ),
}
# As well, of classes: methods, properties and fields.
MEMBERS_READ_ELSEWHERE = {
    **dict.fromkeys(("pieces", "oldest"), "tests look for symptoms in vLLM's source by them"),
    **dict.fromkeys(("suits", "domain", "paths", "middleware"), "compared as a part of the whole tuple"),
    **dict.fromkeys(("_allowed", "_whole_cluster"), "pydantic calls them"),
    **dict.fromkeys(("do_GET", "log_message", "handle_error"), "Python's HTTP server calls them"),
    **dict.fromkeys(("fetch", "store", "purge"), "kopf calls them"),
    "ignore_aliases": "PyYAML calls it",
}


def read(trees: Iterable[ast.Module]) -> set[str]:
    """All words that may read something: names, attributes, and texts as `getattr` takes them."""
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return names | texts | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def loaded(trees: Iterable[ast.Module]) -> set[str]:
    """All words that may read a member of something."""
    nodes = [node for tree in trees for node in ast.walk(tree)]
    patterns = {name for node in nodes if isinstance(node, ast.MatchClass) for name in node.kwd_attrs}
    return patterns | {
        node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


def made(tree: ast.Module) -> Iterator[str]:
    """The functions, classes and constants of a module."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name))


def members(tree: ast.Module) -> Iterator[str]:
    """The methods and properties of a module's classes, and the fields of its dataclasses and named tuples."""
    for owner in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        yield from (one.name for one in owner.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
        kind = "".join(map(ast.unparse, [*owner.decorator_list, *owner.bases]))
        if "dataclass" in kind or "NamedTuple" in kind:
            inner = (one.target for one in owner.body if isinstance(one, ast.AnnAssign))
            yield from (one.id for one in inner if isinstance(one, ast.Name))


SAMPLE = """
A, B = 1, 2
@dataclass
class C:
    d: int
    e: int = A
    def g(self): self.d = "k"
    @property
    def h(self): return self.g()
class T(NamedTuple):
    i: int
    j: int
    async def k(self): ...
def f(c):
    match c:
        case T(i=1): return c.e
"""


def test_what_nobody_reads_is_seen() -> None:
    tree = ast.parse(SAMPLE)
    assert set(made(tree)) - read([tree]) == {"B", "C", "f"}
    assert set(members(tree)) - loaded([tree]) == {"d", "h", "j", "k"}


TREES = {path: ast.parse(path.read_text()) for path in MODULES}
WORDS, LOADED = read(TREES.values()), loaded(TREES.values())


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(OPERATOR)) for path in MODULES])
def test_whatever_is_made_somebody_reads(path: Path) -> None:
    dead = set(made(TREES[path])) - WORDS - READ_ELSEWHERE.keys()
    dead |= set(members(TREES[path])) - LOADED - MEMBERS_READ_ELSEWHERE.keys()
    assert not {name for name in dead if not name.startswith("__")}, f"{path.name}: delete what nobody reads"


# What several modules have to write or read alike.
SAID_ONCE = (
    "vllm-batch: ",
    ".parts-",
    "/-/progress",
    "kueue.x-k8s.io/queue-name",
    "-SHARED",
    "hf://unreadable/",
)


@pytest.mark.parametrize("text", SAID_ONCE)
def test_what_modules_have_to_say_alike_is_written_once(text: str) -> None:
    texts = {
        path: [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        for path, tree in TREES.items()
    }
    # A sentence of a docstring says what it is about.
    places = [path.name for path, found in texts.items() for one in found if text in one and "\n" not in one]
    assert len(places) == 1, f"{text!r} is in {places}: import one from the other"


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
