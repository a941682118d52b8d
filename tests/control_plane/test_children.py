"""Everything that the operator makes is taken by a real API server that refuses unknown fields."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.control_plane import ControlPlane
from cluster.host import REPOSITORY
from support.every_field import SAMPLES, dotted, sample
from vllm_operator.manifests import desired, pod_template
from vllm_operator.settings import Settings

pytestmark = pytest.mark.control_plane

GOLDEN = sorted((REPOSITORY / "tests" / "golden").glob("*.yaml"))
PATHS = {
    "Deployment": "apis/apps/v1/namespaces/default/deployments",
    "Service": "api/v1/namespaces/default/services",
    "PersistentVolumeClaim": "api/v1/namespaces/default/persistentvolumeclaims",
    "NetworkPolicy": "apis/networking.k8s.io/v1/namespaces/default/networkpolicies",
    "PodDisruptionBudget": "apis/policy/v1/namespaces/default/poddisruptionbudgets",
    "HorizontalPodAutoscaler": "apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
}


# Nodes have one field that pods can ask for, so there are no two values of its name that an API server takes.
OTHERS = [
    s for s in SAMPLES if s[0][0] in ("pod", "networkPolicy", "env") and s[0][-3:] != ("matchFields", "[]", "key")
]


def refusal(control_plane: ControlPlane, child: dict[str, Any]) -> str:
    """What the API server says against a manifest; nothing when it takes it."""
    child["metadata"]["namespace"] = "default"
    path = f"/{PATHS[child['kind']]}/{child['metadata']['name']}"
    query = "fieldManager=test&fieldValidation=Strict&dryRun=All"
    status, body = control_plane.api().request("PATCH", f"{path}?{query}", child, "application/apply-patch+yaml")
    return "" if status in (200, 201) else str(json.loads(body)["message"])


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_children_are_taken(control_plane: ControlPlane, path: Path) -> None:
    for child in yaml.safe_load_all(path.read_text()):
        if child["kind"] in PATHS:  # a ServiceMonitor needs the Prometheus Operator's API
            assert refusal(control_plane, child) == ""


@pytest.mark.parametrize(("path", "schema"), [pytest.param(*s, id=dotted(s[0])) for s in OTHERS])
def test_every_field_of_a_pod_is_taken(
    control_plane: ControlPlane, path: tuple[str, ...], schema: dict[str, Any]
) -> None:
    for service in sample(path, schema).services:
        template = pod_template(replace(service, revision="revision"), Settings())
        for child in desired(service, template, monitoring=False):
            if child["kind"] in ("Deployment", "NetworkPolicy"):
                for reference in child["metadata"]["ownerReferences"]:
                    reference["uid"] = "7f0c"
                assert refusal(control_plane, child) == ""
