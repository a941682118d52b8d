"""A fleet that nobody changes costs no write, whatever goes on around it."""

import time
from datetime import UTC, datetime

import pytest

from support.kube import Kube, conditions
from support.operator_process import ACCOUNT, OperatorProcess
from support.rights import writes
from support.services import ready, service

pytestmark = pytest.mark.control_plane
SERVICES = 40
SECONDS = 45


def churn(kube: Kube, number: int) -> None:
    """A pod of another workload comes and goes, a node's label and status change, a claim is made."""
    container = {"name": "web", "image": "web", "resources": {"requests": {"cpu": "1"}}}
    meta = {"name": f"other-{number}", "labels": {"app": "other"}}
    kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}})
    kube.run("label", "node", "fake-0", "--overwrite", f"example.com/beat={number}")
    kube.run("delete", "pod", f"other-{number}", "--wait=false")


def test_no_write_while_nothing_changes(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(*(service(f"s{number}") for number in range(SERVICES - 1)))
    ready(kube, "last")

    def all_ready() -> bool:
        found = [conditions(item).get("Ready", {}).get("status") for item in kube.list("vis")]
        return found == ["True"] * SERVICES

    kube.wait("all are Ready", 60, all_ready)
    time.sleep(10)  # what was still on its way
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    deadline, number = time.monotonic() + SECONDS, 0
    while time.monotonic() < deadline or number <= 10:
        churn(kube, number)
        number += 1
    log = operator.control_plane.audit_log
    # The namespace of the test before this one may still be on its way out.
    assert [one for one in writes(log, ACCOUNT, since) if f" {kube.namespace}/" in one] == []
    kube.merge("vis", "last", {"spec": {"maxModelLen": 1024}})
    kube.wait("a change is written", 10, lambda: writes(log, ACCOUNT, since))  # so the silence was not deafness
