"""The documents name what is there: every folder has its paragraph, every link leads somewhere, every target exists."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from cluster.host import REPOSITORY

OPERATOR = REPOSITORY / "operator" / "vllm_operator"
PACKAGES = sorted(OPERATOR.rglob("__init__.py"))
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")])


def test_every_folder_and_module_has_a_paragraph() -> None:
    there = {path.name + "/" * path.is_dir() for path in OPERATOR.iterdir() if not path.name.startswith(("__", "py."))}
    headings = re.findall(r"^\*\*(.*?)\*\*:", (REPOSITORY / "docs" / "architecture.md").read_text(), re.M)
    written = {name for heading in headings for name in re.findall(r"`(\w+(?:\.py|/))`", heading)}
    assert written - {"__main__.py"} == there, "docs/architecture.md: a paragraph for each folder and module"


def test_folders_stand_in_the_order_in_which_they_may_import_each_other() -> None:
    """A folder imports from those below it: the page says so, and the contract that is checked."""
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    levels = {name: level for level, names in enumerate(layers) for name in names.split(" | ")}
    headings = re.findall(r"^\*\*(.*?)\*\*:", (REPOSITORY / "docs" / "architecture.md").read_text(), re.M)
    written = [name for heading in headings for name in re.findall(r"`(\w+)(?:\.py|/)`", heading)]
    assert sorted(written) == sorted(levels)
    assert written == sorted(written, key=lambda name: levels[name])


@pytest.mark.parametrize("package", PACKAGES, ids=[str(path.parent.relative_to(OPERATOR)) for path in PACKAGES])
def test_a_folder_names_modules_that_lie_in_it(package: Path) -> None:
    named = re.findall(r"\b\w+\.py\b", ast.get_docstring(ast.parse(package.read_text())) or "")
    assert [name for name in named if not (package.parent / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=[path.name for path in DOCUMENTS])
def test_what_is_said_to_be_in_a_module_is_there(document: Path) -> None:
    said = re.findall(r"`(\w+)`\s+(?:in|among)(?:\s+\w+)?\s+`([\w/]+\.py)`", document.read_text())
    for name, module in said:
        path = next((path for root in (OPERATOR, REPOSITORY) if (path := root / module).exists()), None)
        assert path, f"{module} is not there"
        assert re.search(rf"^\s*(class |def )?{name}\b", path.read_text(), re.M), f"{module} has no {name}"


def test_every_document_is_in_the_index() -> None:
    index = REPOSITORY / "docs" / "README.md"
    listed = {(index.parent / link).resolve() for link in re.findall(r"\]\(([^)#\s]+)", index.read_text())}
    assert [path.name for path in DOCUMENTS if path != index and path not in listed] == [], "add it to docs/README.md"


@pytest.mark.parametrize("document", DOCUMENTS, ids=[path.name for path in DOCUMENTS])
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=[path.name for path in DOCUMENTS])
def test_commands_of_make_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.M))
    text = document.read_text()
    named = set(re.findall(r"`make ([a-z-]+)", text)) | set(re.findall(r"^make ([a-z-]+)", text, re.M))
    assert named <= targets


def test_hooks_run_what_is_installed_and_download_nothing() -> None:
    repositories = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    assert {one["repo"] for one in repositories} == {"local"}
    assert {hook["language"] for one in repositories for hook in one["hooks"]} == {"system"}


PINS = ("requirements/operator.txt", "requirements/dev.txt", "requirements/uv.txt", "requirements/sbom.txt")


@pytest.mark.parametrize("file", [*PINS, "images/vllm-cpu/requirements.txt", "tests/support/real_vllm/oldest.txt"])
def test_every_pinned_package_has_its_hashes(file: str) -> None:
    """Without one, pip and uv would refuse the whole file: `make lock` writes them."""
    pins = re.split(r"\n(?=\S)", (REPOSITORY / file).read_text().strip())
    assert [
        pin.splitlines()[0]
        for pin in pins
        if not re.fullmatch(r"[\w.\[\],-]+==\S+( ?\\\n +--hash=sha256:[0-9a-f]{64})+", pin)
    ] == []


def test_packages_are_installed_by_their_hashes() -> None:
    for path in ("Makefile", "images/operator/Dockerfile", "images/vllm-cpu/Dockerfile"):
        installs = [
            line
            for line in (REPOSITORY / path).read_text().splitlines()
            if re.search(r"pip (install|sync)\b.*\.txt", line)
        ]
        assert installs, path
        assert [line for line in installs if "--require-hashes" not in line] == []
