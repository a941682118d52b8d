"""What the demo takes from the machine that it runs on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import programs
from cluster.demo.steps import image_values
from cluster.demo.targets import Current
from cluster.host import ClusterError
from cluster.programs import OLDEST, program

DIGEST = "sha256:" + "7" * 64


@pytest.mark.parametrize(
    ("reference", "repository", "tag", "digest"),
    [
        ("localhost/vllm-operator:dev", "localhost/vllm-operator", "dev", ""),
        ("localhost:5000/a/b:1", "localhost:5000/a/b", "1", ""),
        (f"localhost:5000/a/b:1@{DIGEST}", "localhost:5000/a/b", "1", DIGEST),
        (f"localhost:5000/a/b@{DIGEST}", "localhost:5000/a/b", "latest", DIGEST),
        ("localhost:5000/a/b", "localhost:5000/a/b", "latest", ""),
        ("vllm-operator", "vllm-operator", "latest", ""),
    ],
)
def test_the_chart_gets_an_image_however_it_is_named(reference: str, repository: str, tag: str, digest: str) -> None:
    assert image_values(reference) == {"image.repository": repository, "image.tag": tag, "image.digest": digest}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder that is the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "tool", lambda name: Path(f"built/{name}"))
    program.cache_clear()
    yield tmp_path
    program.cache_clear()


def put(folder: Path, name: str, says: str) -> Path:
    """A program that prints its version."""
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{says}'\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("kubectl", "Client Version: v1.32.4-dispatcher"),
        ("helm", "v3.19.0+g3d8990f"),
        ("helm", "v4.2.4"),
        ("kind", "kind v0.33.0 go1.26.0 linux/amd64"),
    ],
)
def test_a_program_of_the_user_is_taken(path: Path, name: str, says: str) -> None:
    own = put(path, name, says)
    assert program(name) == own


@pytest.mark.parametrize("says", ["v3.2.1+gfe51cd1", "v3.13.9", "helm", ""])
def test_one_that_is_too_old_is_not_and_that_is_said(path: Path, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    put(path, "helm", says)
    with pytest.raises(ClusterError, match=r"install helm 3\.14 or newer"):
        program("helm")
    put(path, "go", "go version go1.26 linux/amd64")
    assert program("helm") == Path("built/helm")
    assert "3.14 or newer is needed" in capsys.readouterr().err


@pytest.mark.parametrize("name", OLDEST)
def test_without_a_program_and_without_go_one_sentence_says_what_to_install(path: Path, name: str) -> None:
    with pytest.raises(ClusterError, match=f"{name} is missing: install {name} .* or newer, or Go"):
        program(name)
    put(path, "go", "go version go1.26 linux/amd64")
    assert program(name) == Path(f"built/{name}")


def test_a_cluster_that_is_not_the_demos_needs_a_registry_or_images(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGISTRY", "OPERATOR_IMAGE", "VLLM_CPU_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ClusterError, match=r"set REGISTRY .* or OPERATOR_IMAGE and VLLM_CPU_IMAGE"):
        Current("mine").check()
    monkeypatch.setenv("OPERATOR_IMAGE", "registry.example.com/vllm-operator:1")
    with pytest.raises(ClusterError, match="or VLLM_CPU_IMAGE to images"):
        Current("mine").check()
    monkeypatch.setenv("VLLM_CPU_IMAGE", "registry.example.com/vllm-cpu:1")
    Current("mine").check()
    assert Current("mine").build("operator") == "registry.example.com/vllm-operator:1"
