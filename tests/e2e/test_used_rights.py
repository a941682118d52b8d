"""What the operator's pod asked of the API server during all of the tests above, against what the chart grants."""

from cluster.node import LocalCluster
from support.chart import RELEASE
from support.kube import Kube
from support.operator_process import chart_rules
from support.rights import Right, granted, used
from support.serving import OPERATOR_NAMESPACE


def test_the_operator_asked_for_nothing_that_it_may_not(cluster: LocalCluster, fleet: Kube) -> None:
    """Refused requests are in the audit log, too. That nothing else is granted, tests/control_plane shows."""
    account = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{RELEASE}"
    asked = used(cluster.control_plane.audit_log, account)
    assert Right("patch", "apps", "deployments") in asked
    assert sorted(asked - granted(chart_rules())) == []
