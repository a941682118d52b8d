"""RBAC in the chart is what is used, verb by verb. The last test of behaviour: it reads the audit log of all."""

import pytest

from support.operator_process import ACCOUNT, OperatorProcess, chart_rules
from support.rights import granted, used

pytestmark = pytest.mark.control_plane


def test_the_chart_grants_what_is_used_and_nothing_else(operator: OperatorProcess) -> None:
    rights, asked = granted(chart_rules()), used(operator.control_plane.audit_log, ACCOUNT)
    assert sorted(asked - rights) == []
    assert sorted(rights - asked) == []


def test_secrets_are_out_of_reach() -> None:
    assert [right for right in granted(chart_rules()) if right.resource in ("secrets", "*")] == []
