"""What is kept of a node: what a plan depends on, and nothing that changes by itself."""

import pytest

from cluster import kwok
from support.nodes import H100, node
from vllm_operator.snapshots.node import snapshot


@pytest.mark.parametrize("taint", ["node.kubernetes.io/not-ready=:NoExecute", "a=b:PreferNoSchedule"])
def test_taints_that_pass_do_not_change_a_plan(taint: str) -> None:
    assert node("a", taint=taint) == node("a")


def test_a_heartbeat_changes_no_snapshot() -> None:
    body = kwok.node("a", 8, H100)
    before = snapshot(body)
    body["status"]["conditions"] = [{"type": "Ready", "lastHeartbeatTime": "2026-11-24T12:00:00Z"}]
    body["metadata"]["resourceVersion"] = "2"
    assert snapshot(body) == before
