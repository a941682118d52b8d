"""Running helm and kubectl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cluster.control_plane import ControlPlane
from cluster.host import REPOSITORY
from cluster.tools import tool

CHART = REPOSITORY / "charts" / "vllm-operator"
CRD = REPOSITORY / "crds" / "inferenceservices.yaml"
CRDS = (CRD, REPOSITORY / "crds" / "servingclasses.yaml", REPOSITORY / "crds" / "inferencebatches.yaml")
CRD_NAME = "inferenceservices.vllm-operator.dev"
RELEASE = "vllm-operator"
NAMESPACE = "vllm-system"
CRD_SOURCE = "# Source: vllm-operator/templates/crd.yaml"
DASHBOARDS_SOURCE = "# Source: vllm-operator/templates/dashboards.yaml"
VALUES = REPOSITORY / "tests" / "chart" / "values"
# The chart of the source names none. What comes after it wins.
IMAGE = f"--values={VALUES / 'image.yaml'}"

Word = str | Path


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    status: int
    output: str
    errors: str

    def ok(self) -> str:
        """Its output, where it went well."""
        assert self.status == 0, self.errors
        return self.output

    def refused(self) -> str:
        """Its error message, where it did not."""
        assert self.status != 0, f"this should have been refused, and was not: {self.output[:2000]}"
        return self.errors


def run(*words: Word, text: str | None = None) -> Said:
    """Run a command to its end."""
    done = subprocess.run(words, input=text, text=True, check=False, capture_output=True, timeout=60)
    return Said(done.returncode, done.stdout, done.stderr)


def helm(*words: Word) -> Said:
    """A helm command that needs no cluster."""
    return run(tool("helm"), *words)


def documents(text: str) -> list[dict[str, Any]]:
    """The manifests in what `helm template` printed."""
    return [one for one in yaml.load_all(text, yaml.CSafeLoader) if one]


def template(*words: Word, release: str = RELEASE) -> str:
    """What `helm template` prints, without the CRD and the dashboards: tests of their own compare those."""
    printed = helm("template", release, CHART, f"--namespace={NAMESPACE}", IMAGE, *words).ok()
    parts = printed.removeprefix("---\n").split("\n---\n")
    return (
        "\n---\n".join(part.rstrip() for part in parts if not part.startswith((CRD_SOURCE, DASHBOARDS_SOURCE))) + "\n"
    )


def one_of(kind: str, manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """The only manifest of a kind."""
    found = [one for one in manifests if one["kind"] == kind]
    assert len(found) == 1, f"{len(found)} of kind {kind}"
    return found[0]


@dataclass(frozen=True)
class Client:
    """helm and kubectl on one cluster."""

    control_plane: ControlPlane

    def kubectl(self, *words: Word, text: str | None = None) -> Said:
        """A kubectl command as admin, or as who --as says."""
        return run(tool("kubectl"), f"--kubeconfig={self.control_plane.kubeconfig}", *words, text=text)

    def helm(self, verb: str, *words: Word, release: str = RELEASE, namespace: str = NAMESPACE) -> Said:
        """A helm command about a release."""
        config = f"--kubeconfig={self.control_plane.kubeconfig}"
        image = [IMAGE] if verb in ("install", "upgrade") else []
        return helm(verb, release, *image, *words, config, f"--namespace={namespace}")

    def get(self, *words: Word) -> dict[str, Any]:
        """An object or a list of them."""
        found: dict[str, Any] = yaml.load(self.kubectl("get", *words, "--output=json").ok(), yaml.CSafeLoader)
        return found

    def names(self, resource: str, *words: Word) -> list[str]:
        """The names of the objects that there are."""
        return [one["metadata"]["name"] for one in self.get(resource, *words)["items"]]
