"""The dashboards: what the chart ships is what is declared, and every query finds something in real metrics.

promtool runs the queries over a page that vLLM has really answered with and over the operator's own, as Prometheus
would label them.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from cluster.tools import tool
from monitoring.dashboards import DIRECTORY, dashboards
from support.chart import CHART, DASHBOARDS_SOURCE, IMAGE, Said, documents, helm, run
from support.promql import VLLM_PAGE, known, names, parse
from support.shipped_queries import DASHBOARDS, QUERIES, as_run, forgeable
from vllm_operator import metrics
from vllm_operator.api.resource import Key
from vllm_operator.batches.figures import batch_fleet
from vllm_operator.status.figures import Figures, fleet

pytestmark = pytest.mark.chart

KEY, BATCH = Key("team-a", "llama"), Key("team-a", "nightly")


def test_the_chart_has_what_is_declared() -> None:
    made = dashboards()
    assert DASHBOARDS.keys() == made.keys()
    for name, text in made.items():
        same = (DIRECTORY / name).read_text() == text
        assert same, f"{name} is stale: run `make dashboards`"


def test_every_query_parses(tmp_path: Path) -> None:
    parse({name: as_run(target["expr"], KEY) for name, (_, target) in QUERIES.items()}, tmp_path).ok()


@pytest.mark.parametrize("query", QUERIES)
def test_names_only_metrics_that_exist_and_labels_that_its_lines_have(query: str) -> None:
    title, target = QUERIES[query]
    expression = target["expr"]
    assert names(expression)
    assert names(expression) <= known()
    assert not list(forgeable(expression))
    for label in re.findall(r"{{(\w+)}}", target.get("legendFormat", "")):
        assert re.search(rf"by \([^)]*\b{label}\b", expression) or title == "Memory"
    if query.startswith("service:"):
        assert 'namespace="$namespace", inferenceservice="$service"' in expression


def test_panels_have_numbers_of_their_own_and_the_fleet_leads_to_each_service() -> None:
    for dashboard in DASHBOARDS.values():
        numbers = [panel["id"] for panel in dashboard["panels"]]
        assert len(numbers) == len(set(numbers))
        assert 0 not in numbers
        assert {panel["type"] for panel in dashboard["panels"]} <= {"row", "stat", "table", "timeseries"}
    link = re.search(r'"url": "/d/([\w-]+)\?([^"]*)"', (DIRECTORY / "fleet.json").read_text())
    assert link
    assert link[1] == DASHBOARDS["service.json"]["uid"]
    given = {part.split("=")[0].removeprefix("var-") for part in link[2].split("&")}
    assert given == {one["name"] for one in DASHBOARDS["service.json"]["templating"]["list"]}


@pytest.fixture
def operators_page() -> Iterator[list[Metric]]:
    """The operator's metrics while it has a service, and after each kind of event."""
    fleet.show(KEY, Figures("True", "Available", 2, 2, 8, 8, 8, -0.01, 1, available=True))
    ready = {"type": "Ready", "status": "False", "reason": "Answering"}
    counts = {"total": 1000, "done": 640, "failed": 2, "tokensPerSecond": 5120}
    batch_fleet.show(BATCH, {"conditions": [ready], **counts})
    metrics.watches.accepted("/api/v1/pods")
    metrics.api_requests.labels("patch", "200").inc()
    metrics.api_seconds.labels("patch").observe(0.01)
    metrics.reconcile_errors.labels("TimeoutError").inc()
    metrics.reconcile_seconds.observe(0.01)
    yield list(REGISTRY.collect())
    fleet.forget(KEY)
    batch_fleet.forget(BATCH)
    metrics.watches.forget("pods")


def series(families: list[Metric], target: dict[str, str]) -> dict[str, dict[str, str]]:
    """promtool's input: every sample with its target's labels. Counters grow, so that there is a rate."""
    found = {}
    for sample in (sample for family in families for sample in family.samples):
        labels = ", ".join(f"{key}={json.dumps(value)}" for key, value in (target | sample.labels).items())
        grows = sample.name.endswith(("_total", "_bucket", "_count", "_sum"))
        name = f"{sample.name}{{{labels}}}"
        found[name] = {"series": name, "values": f"{sample.value:f}{'+6' if grows else '+0'}x60"}
    return found


def find(page: list[Metric], scratch: Path, queries: dict[str, str]) -> Said:
    """Has promtool run queries; it complains of those that find nothing but NaN."""
    vllm = list(text_string_to_metric_families(VLLM_PAGE.read_text()))
    target = {"namespace": KEY[0], "inferenceservice": KEY[1], "pod": "llama-0"}
    inputs = series(vllm, target) | series(page, {"namespace": "ops", "pod": "operator-0"})
    up = {"series": f'up{{namespace="{KEY[0]}", inferenceservice="{KEY[1]}", pod="llama-0"}}', "values": "1x60"}
    one = [{"labels": "{}", "value": 1}]
    cases = [
        {"expr": f"count(({as_run(text, KEY)}) >= -Inf) > bool 0 # {name}", "eval_time": "30m", "exp_samples": one}
        for name, text in queries.items()
    ]
    file = scratch / "find.yaml"
    test = {"interval": "1m", "input_series": [*inputs.values(), up], "promql_expr_test": cases}
    file.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "1m", "tests": [test]}))
    return run(tool("promtool"), "test", "rules", file)


def test_every_query_finds_something(operators_page: list[Metric], tmp_path: Path) -> None:
    find(operators_page, tmp_path, {name: target["expr"] for name, (_, target) in QUERIES.items()}).ok()


def test_a_query_that_finds_nothing_is_noticed(operators_page: list[Metric], tmp_path: Path) -> None:
    queries = {"right": "up", "wrong": 'sum(vllm:num_requests_waiting{inferenceservice="gone"})', "nan": "0 * up / 0"}
    said = find(operators_page, tmp_path, queries)
    assert "gone" in said.refused()
    assert "0 * up / 0" in said.refused()
    assert "((up)" not in said.refused()


def test_the_chart_gives_them_to_grafana() -> None:
    assert DASHBOARDS_SOURCE not in helm("template", "test", CHART, IMAGE).ok()
    words = ["--set=dashboards.enabled=true", "--show-only=templates/dashboards.yaml"]
    found = documents(helm("template", "test", CHART, IMAGE, *words).ok())
    assert len(found) == len(DASHBOARDS)
    shown = {}
    for one in found:
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        ((name, text),) = one["data"].items()
        shown[name.removeprefix("vllm-")] = text.rstrip("\n") + "\n"
    assert shown == dashboards()
