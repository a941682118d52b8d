"""The alerts: promtool fires and clears each; what they name exists; each says what to do."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.host import REPOSITORY
from cluster.tools import tool
from support.chart import CHART, NAMESPACE, documents, one_of, run, template
from support.promql import known, names, parse
from support.shipped_queries import ALERTS, RULES, forgeable
from vllm_operator.watch.watches import DEAD_SECONDS, ENDED_SECONDS, WATCH_SECONDS

pytestmark = pytest.mark.chart

TESTS = Path(__file__).parent / "rules_test.yaml"
OWN = ('{inferenceservice=""', f'{{namespace="{NAMESPACE}", inferenceservice=""')
"""What the chart puts in the place of what, in expressions about the operator itself."""
WAITS = "VllmOperatorWaits"
"""Of the operator that waits another release may act, in a namespace that the chart's values name."""


def of_releases(namespaces: str) -> tuple[str, str]:
    """What it puts there for that alert."""
    return OWN[0], OWN[1].replace(f'="{NAMESPACE}"', f'=~"{namespaces}"')


RUNBOOK = REPOSITORY / "docs" / "runbook.md"


def rendered(*words: str) -> dict[str, Any]:
    """The PrometheusRule of the chart."""
    return one_of("PrometheusRule", documents(template("--set=prometheusRule.enabled=true", *words)))


def test_promtool_fires_and_clears_them() -> None:
    run(tool("promtool"), "test", "rules", TESTS).ok()


@pytest.mark.parametrize("alert", ALERTS)
def test_there_is_a_time_when_it_fires_and_a_later_one_when_it_is_clear(alert: str) -> None:
    for one in yaml.safe_load(TESTS.read_text())["tests"]:
        minutes = {
            int(case["eval_time"].removesuffix("m")): bool(case["exp_alerts"])
            for case in one["alert_rule_test"]
            if case["alertname"] == alert
        }
        if minutes:
            fires = [minute for minute, fired in minutes.items() if fired]
            assert fires
            assert max(minutes) > max(fires)
            return
    pytest.fail("no test")


@pytest.mark.parametrize("alert", ALERTS)
def test_says_how_bad_what_and_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    summary = rule["annotations"]["summary"]
    if rule["group"] == "vllm-services":
        assert summary.startswith("{{ $labels.inferenceservice }} in {{ $labels.namespace }}")
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{alert.lower()}"
    section = re.search(rf"^## {alert}\n(.*?)(?=^## |\Z)", RUNBOOK.read_text(), re.M | re.S)
    assert section
    assert re.findall(r"^\*\*(\w+):\*\* \S", section[1], re.M) == ["Means", "Look", "Do"]


def test_the_runbook_has_no_section_without_an_alert() -> None:
    assert re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.M) == list(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_names_only_metrics_that_exist_and_no_job(alert: str) -> None:
    expression = ALERTS[alert]["expr"]
    assert names(expression)
    assert names(expression) <= known()
    assert "job" not in expression


def test_every_selector_of_vllms_metrics_is_tied_to_a_service() -> None:
    for rule in ALERTS.values():
        for name, matchers in re.findall(r"\b(vllm:\w+|up|http_\w+)(\{[^}]*\})?", rule["expr"]):
            assert 'inferenceservice!=""' in matchers, name


def test_what_the_operator_says_of_itself_is_taken_from_no_pod_of_a_service() -> None:
    assert list(forgeable("absent(vllm_operator_queue_depth)"))
    assert not list(forgeable("vllm_operator_service_ready"))
    for rule in ALERTS.values():
        assert not list(forgeable(rule["expr"]))


def test_a_name_that_is_none_is_noticed(tmp_path: Path) -> None:
    expression = (
        'sum by (le) (rate(vllm:gone_bucket{a="b{c}"}[5m])) / on (x) group_left (y) up > 5 and vllm:x offset 5m'
    )
    assert names(expression) == {"vllm:gone_bucket", "up", "vllm:x"}
    assert not names(expression) <= known()
    assert "query:wrong" in parse({"right": "up", "wrong": "sum(up"}, tmp_path).refused()


def test_the_chart_renders_the_file_that_promtool_has_tested() -> None:
    waits = ALERTS[WAITS]["expr"]
    text = RULES.read_text().replace(waits, waits.replace(*of_releases(NAMESPACE)))
    assert rendered()["spec"] == yaml.safe_load(text.replace(*OWN))


def test_no_monitor_of_a_tenant_silences_or_raises_alerts_on_the_operator(tmp_path: Path) -> None:
    """Whose pods say what the operator says of itself, without the label that the ServiceMonitors of services set."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rendered()["spec"]))
    forged = {
        "vllm_operator_queue_depth": "1000x60",
        'vllm_operator_acts{part="cluster"}': "1x60",
        "vllm_operator_reconcile_errors_total": "0+1000x60",
        'vllm_operator_watch_age_seconds{resource="pods"}': "1000x60",
        "vllm_operator_event_loop_lag_seconds": "1000x60",
    }
    acts = f'vllm_operator_acts{{namespace="{NAMESPACE}", part="cluster"}}'
    own = [name for name, rule in ALERTS.items() if rule["group"] == "vllm-operator"]
    assert {name for name in own for of in forged if of.partition("{")[0] in ALERTS[name]["expr"]} == set(own)
    series = {_in("team-a", name): values for name, values in forged.items()} | {acts: "0x60"}
    query = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": "count by (alertname) (ALERTS{alertstate='firing'})",
                "eval_time": "30m",
                "exp_samples": [
                    {"labels": f'{{alertname="{name}"}}', "value": 1}
                    for name in ("VllmOperatorDown", "VllmOperatorWaits")
                ],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [query]}))
    run(tool("promtool"), "test", "rules", tmp_path / "test.yaml").ok()


def _in(namespace: str, series: str) -> str:
    """A series of a pod in a namespace."""
    name, _, labels = series.rstrip("}").partition("{")
    return f'{name}{{namespace="{namespace}"{labels and ", "}{labels}}}'


def test_a_watch_that_lives_is_younger_than_its_alert_wants_and_one_that_the_probe_ends_has_been_older() -> None:
    threshold = float(ALERTS["VllmOperatorWatchStale"]["expr"].rpartition("> ")[2])
    assert max(WATCH_SECONDS, ENDED_SECONDS) < threshold < DEAD_SECONDS


def test_values_change_thresholds_links_labels_and_which_alerts_there_are() -> None:
    thresholds = yaml.safe_load((CHART / "values.yaml").read_text())["prometheusRule"]["thresholds"]
    assert thresholds
    for name, value in thresholds.items():
        assert ALERTS[name]["expr"].endswith(f"> {value}")
    words = [f"--set=prometheusRule.thresholds.{name}=123.5" for name in thresholds]
    words += ["--set=prometheusRule.disabled={VllmPlanDiffers}", "--set=prometheusRule.labels.release=prometheus"]
    words += ["--set=prometheusRule.runbook=https://docs.example.com/runbook"]
    words += ["--set=prometheusRule.otherOperators={second}"]
    found = rendered(*words)
    assert found["metadata"]["labels"]["release"] == "prometheus"
    rules = {rule["alert"]: rule for group in found["spec"]["groups"] for rule in group["rules"]}
    assert rules.keys() == ALERTS.keys() - {"VllmPlanDiffers"}
    for name, rule in rules.items():
        before = ALERTS[name]["expr"].replace(*(of_releases(f"{NAMESPACE}|second") if name == WAITS else OWN))
        assert rule["expr"] == (re.sub(r"[0-9.]+$", "123.5", before) if name in thresholds else before)
        assert rule["annotations"]["runbook_url"] == f"https://docs.example.com/runbook#{name.lower()}"
