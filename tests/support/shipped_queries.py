"""The alerts and the dashboards' queries that the chart ships."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from monitoring.dashboards import DIRECTORY
from support.chart import CHART

RULES = CHART / "files" / "rules.yaml"
DASHBOARDS = {path.name: json.loads(path.read_text()) for path in sorted(DIRECTORY.glob("*.json"))}
QUERIES = {
    f"{name.removesuffix('.json')}:{panel['id']}{target['refId']}": (panel["title"], target)
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    for target in panel.get("targets", [])
}


def as_run(expression: str, service: tuple[str, str], interval: str = "5m") -> str:
    """A query with the dashboard's variables filled in."""
    filled = expression.replace("$__rate_interval", interval)
    filled = filled.replace("$namespace", service[0]).replace("$service", service[1])
    assert "$" not in filled
    return filled


def forgeable(expression: str) -> Iterator[str]:
    """What the operator says of itself and a pod of a service could say in its place, in an expression."""
    for name, matchers in re.findall(r"\b(vllm_operator_\w+)(\{[^}]*\})?", expression):
        of_one = name.startswith(("vllm_operator_service_", "vllm_operator_batch_"))
        if not of_one and 'inferenceservice=""' not in matchers:
            yield name


def alerts() -> dict[str, dict[str, Any]]:
    """The alerts by name, with their group."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule | {"group": group["name"]} for group in groups for rule in group["rules"]}


ALERTS = alerts()
