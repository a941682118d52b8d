"""A release as a stranger uses it: the node pulls what was pushed, and the plugin runs from its archive alone."""

import json
import platform
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from cluster.node import LocalCluster
from cluster.tools import tool
from release.parameters import Release
from release.plugin.archive import PLATFORMS
from release.steps import make
from support.chart import run
from support.kube import Kube
from support.loopback_registry import loopback_registry
from vllm_operator.api.crd import KINDS

VERSION = "9.9.9-rc.1"
NAMESPACE = "released"
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
(HERE,) = (one for one in PLATFORMS if one.name == f"linux-{MACHINE}")


@dataclass(frozen=True)
class Made:
    """A release of the operator alone: the image with vLLM is gigabytes, and pushed in the same way."""

    folder: Path
    chart: str


@pytest.fixture(scope="module")
def made(operator: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A release in a registry on loopback."""
    folder = tmp_path_factory.mktemp("release") / VERSION
    with loopback_registry(operator) as name:
        release = Release(f"{name}/team", VERSION, ("operator",), "", "c0ffee")
        yield Made(folder, make(release, folder, [HERE]))


@pytest.fixture(scope="module")
def released(operator: LocalCluster, made: Made) -> Iterator[Kube]:
    """The release, installed from the registry beside the operator of the other tests, for a namespace of its own."""
    kube = Kube(operator.kubeconfig, NAMESPACE)
    where = [f"--kubeconfig={operator.kubeconfig}", f"--namespace={NAMESPACE}"]
    values = f"--set=crds.install=false,watchNamespaces={{{NAMESPACE}}},replicas=1"
    words = [made.chart, "--plain-http", f"--version={VERSION}", "--create-namespace", values]
    run(tool("helm"), "install", NAMESPACE, *words, *where, "--wait", "--timeout=50s").ok()
    try:
        yield kube
    finally:
        run(tool("helm"), "uninstall", NAMESPACE, *where, "--wait").ok()
        kube.run("delete", "namespace", NAMESPACE, "--wait=false")


def test_the_sums_are_right_and_cover_every_file(made: Made) -> None:
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=made.folder, check=True)
    listed = {line.split()[1] for line in (made.folder / "SHA256SUMS").read_text().splitlines()}
    assert listed == {file.name for file in made.folder.iterdir()} - {"SHA256SUMS"}


def test_the_node_runs_the_image_of_the_digest_that_was_pushed(released: Kube, made: Made) -> None:
    (image,) = (made.folder / "images.txt").read_text().split()
    digest = image.partition("@")[2]
    (pod,) = released.list("pods", f"app.kubernetes.io/instance={NAMESPACE}")
    (status,) = pod["status"]["containerStatuses"]
    assert status["ready"]
    assert digest in pod["spec"]["containers"][0]["image"]
    asked = run(tool("crane"), "digest", image.partition("@")[0]).ok()
    assert asked.strip() == digest
    config = json.loads(run(tool("crane"), "config", image).ok())["config"]
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert config["Labels"]["org.opencontainers.image.revision"] == "c0ffee"


def test_the_operator_says_the_version_of_the_release(released: Kube) -> None:
    said = released.run("exec", f"deployment/{NAMESPACE}", "--", "python3", "-m", "vllm_operator", "--version")
    assert said.startswith(f"vllm-operator {VERSION},")


def test_the_crds_and_the_bill_of_materials_are_those_of_the_image(made: Made, released: Kube) -> None:
    words = ("--server-side", "--force-conflicts", "--dry-run=server", "--output=name")  # helm has applied them
    assert len(released.run("apply", f"--filename={made.folder}/crds.yaml", *words).split()) == len(KINDS)
    said = released.run("exec", f"deployment/{NAMESPACE}", "--", "cat", "/opt/operator/sbom.cdx.json")
    assert json.loads(said) == json.loads((made.folder / "sbom-operator.cdx.json").read_text())


def test_the_plugin_needs_nothing_but_a_python(made: Made, released: Kube, tmp_path: Path) -> None:
    manifest = yaml.safe_load((made.folder / "krew-vllm.yaml").read_text())
    (own,) = manifest["spec"]["platforms"]
    with tarfile.open(made.folder / own["uri"]) as packed:
        packed.extractall(tmp_path, filter="data")
    plugin = [str(tmp_path / own["bin"])]
    alone = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "KUBECONFIG": str(released.kubeconfig)}
    told = subprocess.run([*plugin, "--version"], env=alone, capture_output=True, text=True, check=True)
    assert told.stdout.startswith(f"vllm-operator {VERSION},")
    status = [*plugin, "status", f"--namespace={NAMESPACE}"]
    told = subprocess.run(status, env=alone, capture_output=True, text=True, check=True)
    assert "no InferenceServices found" in told.stdout + told.stderr
