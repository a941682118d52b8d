"""The health check for Argo CD, on statuses made by hand; tests/control_plane/test_gitops.py has real ones."""

import pytest
import yaml

from support.gitops import EXAMPLES, HEALTH, argocd, condition, recorded
from support.kube import Object
from vllm_operator.api import BATCH_KIND, CLASS_KIND, KIND

READY = condition("Ready", "True", "Available", "2 of 2 pods serve")
STARTING = condition("Ready", "False", "Starting", "0 of 2 pods serve: pod a loads the model")
RECONCILING = condition("Reconciling", "True", "Progressing", "1 of 2 pods serve")
STALLED = condition("Stalled", "True", "ModelGated", "ask for access")
SUSPENDED = condition("Ready", "False", "Suspended", "the spec says so")
UNSEEN = "the operator has not looked at this spec yet"


@pytest.mark.parametrize(
    ("item", "status", "message"),
    [
        (recorded([READY]), "Healthy", "2 of 2 pods serve"),
        (recorded([condition("Ready", "True", "ScaledToZero", "no pods")]), "Healthy", "no pods"),
        (recorded([READY, RECONCILING]), "Progressing", "1 of 2 pods serve"),
        (recorded([READY, {**RECONCILING, "status": "False"}]), "Healthy", "2 of 2 pods serve"),
        (recorded([STARTING]), "Progressing", "0 of 2 pods serve: pod a loads the model"),
        (recorded([STARTING, STALLED]), "Degraded", "ask for access"),
        (recorded([STALLED, STARTING]), "Degraded", "ask for access"),
        (recorded([STARTING, {**STALLED, "status": "False"}]), "Progressing", STARTING["message"]),
        (recorded([SUSPENDED]), "Suspended", "the spec says so"),
        (recorded([SUSPENDED, RECONCILING]), "Progressing", RECONCILING["message"]),
        (recorded([SUSPENDED, STALLED]), "Degraded", "ask for access"),
        (recorded([READY], generation=2), "Progressing", UNSEEN),
        (recorded([STARTING, STALLED], generation=2), "Progressing", UNSEEN),
        (recorded([SUSPENDED], generation=2), "Progressing", UNSEEN),
        (recorded([], observed=-1), "Progressing", UNSEEN),
        (recorded([]), "Progressing", UNSEEN),
    ],
)
def test_health(item: Object, status: str, message: str) -> None:
    assert argocd(item) == (status, message)


def test_a_service_without_a_status_is_progressing() -> None:
    item = recorded([])
    del item["status"]
    assert argocd(item) == ("Progressing", UNSEEN)
    assert argocd({**item, "status": {}}) == ("Progressing", UNSEEN)


def test_a_service_that_is_being_deleted_is_progressing() -> None:
    item = recorded([STARTING, STALLED])
    item["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    assert argocd(item) == ("Progressing", "being deleted")


def test_the_config_map_has_the_same_script() -> None:
    data = yaml.safe_load((EXAMPLES / "argocd" / "argocd-cm.yaml").read_text())["data"]
    key = "resource.customizations.health.vllm-operator.dev_"
    assert data == {f"{key}{kind}": HEALTH.read_text() for kind in (KIND, CLASS_KIND, BATCH_KIND)}


def serving_class(*conditions: Object, generation: int = 1) -> Object:
    item = {**recorded(conditions, generation=generation), "kind": CLASS_KIND}
    return item if conditions else {key: value for key, value in item.items() if key != "status"}


@pytest.mark.parametrize(
    ("item", "found"),
    [
        (serving_class(), ("Healthy", "no operator of the whole cluster has looked at this class yet")),
        (serving_class(condition("Ready", "True", "Valid", "it can be used")), ("Healthy", "it can be used")),
        (serving_class(READY, generation=2), ("Progressing", UNSEEN)),
        (
            serving_class(condition("Ready", "False", "ImageNotAllowed"), STALLED),
            ("Degraded", "ask for access"),
        ),
    ],
)
def test_health_of_a_class(item: Object, found: tuple[str, str]) -> None:
    assert argocd(item) == found
