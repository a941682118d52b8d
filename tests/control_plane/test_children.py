"""Everything that the operator makes is taken by a real API server that refuses unknown fields."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.control_plane import ControlPlane
from cluster.host import REPOSITORY
from control_plane import keda, monitors
from support import groups, kuberay
from support.every_field import SAMPLES, dotted, sample
from support.kube import Kube, established
from vllm_operator.cluster import path
from vllm_operator.manifests import Parts, desired, pod_template
from vllm_operator.settings import Settings

pytestmark = pytest.mark.control_plane

GOLDEN = sorted((REPOSITORY / "tests" / "golden").glob("*.yaml"))
# Nodes have one field that pods can ask for, so there are no two values of its name that an API server takes.
OTHERS = [
    s for s in SAMPLES if s[0][0] in ("pod", "networkPolicy", "env") and s[0][-3:] != ("matchFields", "[]", "key")
]


def refusal(control_plane: ControlPlane, child: dict[str, Any]) -> str:
    """What the API server says against a manifest; nothing when it takes it."""
    child["metadata"]["namespace"] = "default"
    url = path(child["kind"], "default", child["metadata"]["name"])
    query = "fieldManager=test&fieldValidation=Strict&dryRun=All"
    status, body = control_plane.api().request("PATCH", f"{url}?{query}", child, "application/apply-patch+yaml")
    return "" if status in (200, 201) else str(json.loads(body)["message"])


@pytest.fixture(scope="module")
def optional_apis(control_plane: ControlPlane) -> Iterator[None]:
    """The API server knows every kind of child."""
    kube = Kube(control_plane.kubeconfig, "default")
    monitors.install_api(kube)
    keda.install_api(kube)
    groups.install_api(kube)
    kuberay.install_api(kube)
    served = (monitors.MONITORS, keda.SCALED_OBJECTS, groups.LEADER_WORKER_SETS, kuberay.RAY_SERVICES)
    kube.wait("all are served", 60, lambda: all(established(kube.get("crd", crd)) for crd in served))
    yield
    kuberay.remove_api(kube)
    groups.remove_api(kube)
    keda.remove_api(kube)
    monitors.remove_api(kube)


@pytest.mark.usefixtures("optional_apis")
@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_golden_children_are_taken(control_plane: ControlPlane, file: Path) -> None:
    for child in yaml.safe_load_all(file.read_text()):
        assert refusal(control_plane, child) == ""


@pytest.mark.parametrize(("steps", "schema"), [pytest.param(*s, id=dotted(s[0])) for s in OTHERS])
def test_every_field_of_a_pod_is_taken(
    control_plane: ControlPlane, steps: tuple[str, ...], schema: dict[str, Any]
) -> None:
    for service in sample(steps, schema).services:
        template = pod_template(replace(service, revision="revision"), Settings())
        for child in desired(Parts(service, template)):
            if child["kind"] in ("Deployment", "NetworkPolicy"):
                for reference in child["metadata"]["ownerReferences"]:
                    reference["uid"] = "7f0c"
                assert refusal(control_plane, child) == ""
