"""A fleet that nobody changes costs no write, whatever goes on around it."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.child_kinds import example
from support.kube import Kube, conditions
from support.operator_process import ACCOUNT, OperatorProcess
from support.rights import writes
from support.services import ready, service
from vllm_operator.manifests.kinds import CHILD_KINDS

pytestmark = pytest.mark.control_plane
SERVICES = 40
SECONDS = 45


def seconds_ago(seconds: float) -> str:
    """A time as the audit log has it."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def written(kube: Kube, operator: OperatorProcess, since: str) -> list[str]:
    """The operator's writes in the test's namespace: that of the test before it may still be on its way out."""
    made = writes(operator.control_plane.audit_log, ACCOUNT, since)
    return [one for one in made if f" {kube.namespace}/" in one]


def churn(kube: Kube, number: int) -> None:
    """A pod of another workload comes and goes, a node's label and status change, a claim is made."""
    container = {"name": "web", "image": "web", "resources": {"requests": {"cpu": "1"}}}
    meta = {"name": f"other-{number}", "labels": {"app": "other"}}
    kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}})
    kube.run("label", "node", "fake-0", "--overwrite", f"example.com/beat={number}")
    kube.run("delete", "pod", f"other-{number}", "--wait=false")


@pytest.mark.usefixtures("every_api")
def test_a_restart_writes_nothing_and_sees_what_was_edited_since(kube: Kube, operator: OperatorProcess) -> None:
    """What was applied is not known any more: what the children hold tells. There is a service for each kind."""
    examples = {row.kind: example(row) for row in CHILD_KINDS if example(row).edit}
    owners = {kind: service(kind.lower(), **one.spec) for kind, one in examples.items()}
    names = {kind: one.name(owners[kind]) for kind, one in examples.items()}
    kube.apply(*owners.values())

    def shown() -> dict[str, Any]:
        found = {kind: kube.get(kind, name) for kind, name in names.items()}
        return {kind: [child.get("spec"), child["metadata"]["labels"]] for kind, child in found.items() if child}

    kube.wait("all are there", 60, lambda: shown().keys() == names.keys())
    kube.ready("deployment", 60)
    kube.wait("all is written", 60, lambda: not written(kube, operator, seconds_ago(6)))
    since, before = seconds_ago(0), shown()
    operator.restart(images={"operator": "vllm-operator:test"})
    time.sleep(10)
    # A model that could not be inspected is inspected again.
    assert [one for one in written(kube, operator, since) if not one.startswith("patch jobs ")] == []
    for kind, name in names.items():
        kube.merge(kind, name, examples[kind].edit or {})
    kube.wait("all are repaired", 20, lambda: shown() == before)


def test_no_write_while_nothing_changes(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(*(service(f"s{number}") for number in range(SERVICES - 1)))
    ready(kube, "last")

    def all_ready() -> bool:
        found = [conditions(item).get("Ready", {}).get("status") for item in kube.list("vis")]
        return found == ["True"] * SERVICES

    kube.wait("all are Ready", 60, all_ready)
    time.sleep(10)  # what was still on its way
    since = seconds_ago(0)
    deadline, number = time.monotonic() + SECONDS, 0
    while time.monotonic() < deadline or number <= 10:
        churn(kube, number)
        number += 1
    assert written(kube, operator, since) == []
    since = seconds_ago(0)
    kube.merge("vis", "last", {"spec": {"maxModelLen": 1024}})
    # So the silence was not deafness.
    kube.wait("a change is written", 10, lambda: any("/last " in one for one in written(kube, operator, since)))
