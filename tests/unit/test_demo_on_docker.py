"""What the demo asks of Docker and kind, by programs that stand in for them and write down how they are called."""

import re
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from cluster import host, images
from cluster.builders import Docker
from cluster.demo.kubectl import Kubectl
from cluster.demo.record import Record
from cluster.demo.steps import _images
from cluster.demo.targets import HOST_PATH, KIND_NAME, Current, Kind
from cluster.host import REPOSITORY, ClusterError, end_running, logged
from cluster.programs import program

DOCKERFILES = sorted((REPOSITORY / "images").glob("*/Dockerfile"))
CLASS = """{"items": [{"metadata": {"name": "standard",
  "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "%s"}]}"""


class StandIns:
    """Programs on a PATH of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls_file = folder / "calls"

    def put(self, name: str, script: str) -> None:
        """A shell script that first notes its call."""
        file = self.folder / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.calls_file}\n{script}\n')
        file.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """What was called, with its arguments."""
        return self.calls_file.read_text().splitlines() if self.calls_file.is_file() else []

    def called(self, words: str) -> bool:
        """Whether some call begins with these words."""
        return any(call.startswith(words) for call in self.calls)


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIns]:
    """docker, kind and kubectl, and places of their own for what is kept."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("VLLM_OPERATOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VLLM_OPERATOR_STATE", str(tmp_path / "state"))
    for name in ("KIND_IMAGE", "BASE_IMAGE", "OPERATOR_IMAGE", "VLLM_CPU_IMAGE", "DOCKER_BUILDKIT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "cache").mkdir()
    made = StandIns(tmp_path)
    made.put("kubectl", 'case "$*" in *version*) echo Client Version: v1.36.3;; esac')
    made.put("kind", f'case "$1 $2" in version*) echo kind v0.33.0;; "get clusters") echo {KIND_NAME};; esac')
    program.cache_clear()
    yield made
    program.cache_clear()


@pytest.fixture
def kubeconfig(stand_ins: StandIns) -> Path:
    """As kind writes it when a cluster is whole."""
    file = stand_ins.folder / "cache" / f"{KIND_NAME}.kubeconfig"
    file.write_text("{}")
    return file


def test_a_kind_cluster_that_answers_is_used(stand_ins: StandIns, kubeconfig: Path) -> None:
    assert Kind("so").start().kubeconfig == kubeconfig
    assert not stand_ins.called("kind delete")
    assert not stand_ins.called("kind create")


def test_one_whose_creation_was_cut_off_is_made_anew(stand_ins: StandIns) -> None:
    Kind("so").start()
    begun = [call.split()[1] for call in stand_ins.calls if call.startswith("kind ")]
    assert begun[-2:] == ["delete", "create"]


def test_one_that_does_not_answer_is_made_anew(stand_ins: StandIns, kubeconfig: Path) -> None:
    stand_ins.put("kubectl", 'case "$*" in *readyz*) exit 1;; *) echo Client Version: v1.36.3;; esac')
    Kind("so").start()
    assert stand_ins.called(f"kind delete cluster --name {KIND_NAME}")
    assert stand_ins.called(f"kind create cluster --name {KIND_NAME}")


def test_loading_into_kind_takes_no_memory_and_leaves_nothing(stand_ins: StandIns) -> None:
    stand_ins.put("docker", "echo 0123456789ab")
    stand_ins.put(
        "kind", 'case "$1" in version) echo kind v0.33.0;; *) echo here > "$TMPDIR/images.tar"; echo $TMPDIR; esac'
    )
    Kind("so").load("operator")
    used = (stand_ins.folder / "cache" / "logs" / "kind-load-operator.log").read_text()
    assert used.startswith(f"{stand_ins.folder}/cache/images/")
    assert stand_ins.called(f"kind load docker-image localhost/vllm-operator:dev --name {KIND_NAME}")
    assert not list((stand_ins.folder / "cache" / "images").iterdir())


def test_removing_says_which_images_stay(stand_ins: StandIns, capsys: pytest.CaptureFixture[str]) -> None:
    stand_ins.put("docker", 'case "$*" in *vllm-operator*) echo 0123456789ab;; esac')
    Kind("so").remove()
    assert "to remove them: docker rmi localhost/vllm-operator:dev\n" in capsys.readouterr().err


@pytest.mark.parametrize(("listed", "ours"), [("", True), ("8623b657b2bd", False)])
def test_kinds_network_is_the_demos_only_where_it_came_with_it(stand_ins: StandIns, listed: str, *, ours: bool) -> None:
    stand_ins.put("docker", f"printf '%s' '{listed}'")
    assert Record.of(Kind("so")).network is ours


@pytest.mark.parametrize(
    ("version", "told"),
    [("20.10.24+dfsg1", "1"), ("23.0.0", ""), ("29.4.1", ""), ("library-import", "")],
)
def test_buildkit_is_asked_for_only_where_it_would_not_be_used(stand_ins: StandIns, version: str, told: str) -> None:
    stand_ins.put("docker", f'if [ "$1" = version ]; then echo {version}; else echo "told $DOCKER_BUILDKIT."; fi')
    Docker().build("operator", "localhost/x:1", {})
    assert (stand_ins.folder / "cache" / "logs" / "image-operator.log").read_text() == f"told {told}.\n"


def test_without_docker_hub_it_is_said_how_to_do_without(stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins.put(
        "docker", 'case "$1" in version) echo 29.4.1;; *) echo lookup registry-1.docker.io: no such host; exit 1;; esac'
    )
    for image, variable in (("operator", "BASE_IMAGE"), ("vllm-ray", "VLLM_IMAGE"), ("vllm", "VLLM_IMAGE")):
        with pytest.raises(ClusterError, match=rf"no such host\n.*set {variable} to"):
            Docker().build(image, "localhost/x:1", {})
        monkeypatch.setenv(variable, "registry.example.com/other:1")
        with pytest.raises(ClusterError, match=r"no such host$"):
            Docker().build(image, "localhost/x:1", {})
        monkeypatch.delenv(variable)


def test_an_image_is_built_on_what_is_named_for_it_and_on_nothing_else(
    stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins.put("docker", 'if [ "$1" = version ]; then echo 29.4.1; else echo "$*"; fi')
    monkeypatch.setenv("BASE_IMAGE", "registry.example.com/python:3.11")
    monkeypatch.setenv("VLLM_IMAGE", "registry.example.com/vllm:1")
    for image, on in (
        ("operator", "BASE=registry.example.com/python:3.11"),
        ("vllm", "VLLM=registry.example.com/vllm:1"),
    ):
        Docker().build(image, "localhost/x:1", {})
        words = (stand_ins.folder / "cache" / "logs" / f"image-{image}.log").read_text().split()
        assert [word for word in words if word.startswith(("BASE=", "VLLM="))] == [on]


def test_without_kinds_own_image_it_is_said_how_to_do_without(stand_ins: StandIns) -> None:
    stand_ins.put("kind", 'case "$1" in version) echo kind v0.33.0;; create) echo failed to pull image; exit 1;; esac')
    with pytest.raises(ClusterError, match="failed to pull image\nSet KIND_IMAGE to"):
        Kind("so").start()


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: file.parent.name)
def test_docker_gets_what_a_dockerfile_copies(dockerfile: Path) -> None:
    rules = (REPOSITORY / ".dockerignore").read_text().splitlines()
    admitted = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    sources = [file.relative_to(REPOSITORY) for file in images._context_files(dockerfile)]
    assert {source.parts[0] for source in sources} <= admitted
    assert rules[1] == "*"  # after a comment: nothing else, such as .venv or .git
    assert rules[-1] == "**/__pycache__"


def test_a_class_whose_volumes_are_roots_alone_is_refused(stand_ins: StandIns) -> None:
    stand_ins.put("kubectl", f"echo '{CLASS % HOST_PATH}'")
    with pytest.raises(ClusterError, match=r"StorageClass standard .* only root may write"):
        Current("mine").provide_volume(Kubectl(stand_ins.folder / "kubectl", None))
    stand_ins.put("kubectl", f"echo '{CLASS % 'rancher.io/local-path'}'")
    Current("mine").provide_volume(Kubectl(stand_ins.folder / "kubectl", None))


class Loads(Current):
    """A cluster that only notes what is loaded."""

    def __init__(self) -> None:
        super().__init__("mine")
        self.loaded: list[str] = []

    def load(self, image: str) -> None:
        self.loaded.append(image)


def test_an_image_is_loaded_while_another_is_built() -> None:
    slow, quick = Future[str](), Future[str]()
    quick.set_result("b:1")
    target = Loads()
    target_load = target.load

    def load(image: str) -> None:
        target_load(image)
        if image == "b":
            slow.set_result("a:1")

    target.load = load  # type: ignore[method-assign]
    assert _images(target, {slow: "a", quick: "b"}) == {"a": "a:1", "b": "b:1"}
    assert target.loaded == ["b", "a"]


def test_after_a_failure_no_thread_begins_a_long_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_ending", type(host._ending)())
    logged(["true"], tmp_path / "log")
    end_running()
    with pytest.raises(ClusterError, match=re.escape("failed (-15)")):
        logged(["sleep", "60"], tmp_path / "log")
