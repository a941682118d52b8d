"""Writes the chart's two Grafana dashboards: `make dashboards`. What is on them is declared here."""

import json
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    Row,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableRefresh,
    VariableSort,
)

from cluster.host import REPOSITORY
from monitoring.panels import (
    ASKED,
    BATCH,
    BATCH_NAME,
    NAME,
    ONE,
    OWN,
    RATE,
    SERVICE,
    SERVICE_UID,
    SOURCE,
    Lines,
    Number,
    Panel,
    Table,
    newest,
    of_batches,
    of_one,
    quantile,
    quantiles,
    rate,
    total,
)

DIRECTORY = REPOSITORY / "charts" / "vllm-operator" / "files" / "dashboards"
Rows = dict[str, list[Panel]]

FLEET: Rows = {
    "Services": [
        Number("Services", f"sum(vllm_operator_services{OWN})"),
        Number(
            "Not ready",
            'sum(vllm_operator_services{inferenceservice="", ready!="True", reason!="Suspended"}) or vector(0)',
        ),
        Number("GPUs wanted", "sum(vllm_operator_service_gpus_wanted)"),
        Number("GPUs granted", "sum(vllm_operator_service_gpus_granted)", about="Of the pods that have a node."),
        Number("GPUs missing", "sum(vllm_operator_service_gpus_missing)", about="Of pods that wait for a node."),
        Number("Requests per second", "sum(" + rate("vllm:request_success_total") + ")", "reqps"),
        Table(
            "Services",
            f"max by ({SERVICE}, reason) (vllm_operator_service_reason)",
            {
                "ready": (newest("vllm_operator_service_ready"), "bool_yes_no"),
                "can be used": (newest("vllm_operator_service_available"), "bool_yes_no"),
                "pods wanted": (newest("vllm_operator_service_replicas_wanted"), "short"),
                "pods ready": (newest("vllm_operator_service_replicas_ready"), "short"),
                "GPUs": (newest("vllm_operator_service_gpus_granted"), "short"),
                "GPUs missing": (newest("vllm_operator_service_gpus_missing"), "short"),
                "requests waiting": (total("vllm:num_requests_waiting"), "short"),
                "KV cache": (f"avg by ({SERVICE}) (vllm:kv_cache_usage_perc)", "percentunit"),
                "first token, p95": (quantile(0.95, "vllm:time_to_first_token_seconds"), "s"),
            },
        ),
        Lines("Services by reason", {"{{reason}}": f"sum by (reason) (vllm_operator_services{OWN})"}, stacked=True),
        Lines(
            "GPUs",
            {x: f"sum(vllm_operator_service_gpus_{x})" for x in ("wanted", "granted", "missing")},
        ),
    ],
    "Traffic": [
        Lines("Requests per second", {NAME: rate("vllm:request_success_total")}, "reqps"),
        Lines("Tokens generated per second", {NAME: rate("vllm:generation_tokens_total")}),
        Lines("Time to first token, p95", {NAME: quantile(0.95, "vllm:time_to_first_token_seconds")}, "s"),
        Lines("Time between tokens, p95", {NAME: quantile(0.95, "vllm:inter_token_latency_seconds")}, "s"),
        Lines("Requests waiting", {NAME: total("vllm:num_requests_waiting")}),
        Lines("KV cache in use", {NAME: f"avg by ({SERVICE}) (vllm:kv_cache_usage_perc)"}, "percentunit", most=1),
        Lines("Restarts per hour", {NAME: f"sum by ({SERVICE}) (increase(vllm_operator_service_restarts_total[1h]))"}),
        Lines(
            "KV cache, difference to the plan",
            {NAME: f"abs({newest('vllm_operator_service_plan_error_ratio')})"},
            "percentunit",
        ),
    ],
    "Batches": [
        Lines("Batches by reason", {"{{reason}}": f"sum by (reason) (vllm_operator_batches{OWN})"}, stacked=True),
        Lines(
            "Requests that are over",
            {BATCH_NAME: f"({of_batches('done')} + {of_batches('failed')}) / {of_batches('total')}"},
            "percentunit",
            "Answered or failed, of all requests of the batch.",
            most=1,
        ),
        Lines(
            "Tokens per second of batches",
            {BATCH_NAME: f"max by ({BATCH}) (vllm_operator_batch_tokens_per_second)"},
            about="Of prompts and answers.",
        ),
        Lines("Failed requests", {BATCH_NAME: of_batches("failed")}, about="They are in the file of errors."),
    ],
    "Operator": [
        Lines(
            "Reconciles",
            {
                f"p{share}": f"histogram_quantile(0.{share}, sum by (le) ("
                f"rate(vllm_operator_reconcile_seconds_bucket{OWN}{RATE})))"
                for share in (50, 99)
            },
            "s",
        ),
        Lines(
            "Failed reconciles per second",
            {"{{kind}}": f"sum by (kind) (rate(vllm_operator_reconcile_errors_total{OWN}{RATE}))"},
        ),
        Lines("Objects due", {"waiting": f"sum(vllm_operator_queue_depth{OWN})"}),
        Lines("Longest wait", {"seconds": f"max(vllm_operator_queue_age_seconds{OWN})"}, "s"),
        Lines(
            "API requests per second",
            {"{{verb}} {{code}}": f"sum by (verb, code) (rate(vllm_operator_api_requests_total{OWN}{RATE}))"},
        ),
        Lines(
            "API requests, p99",
            {
                "{{verb}}": "histogram_quantile(0.99, sum by (verb, le) ("
                f"rate(vllm_operator_api_request_seconds_bucket{OWN}{RATE})))"
            },
            "s",
        ),
        Lines(
            "Age of watches",
            {"{{resource}}": f"max by (resource) (vllm_operator_watch_age_seconds{OWN})"},
            "s",
            "Each is renewed twice a minute.",
        ),
        Lines(
            "Memory",
            {"{{pod}}": f"process_resident_memory_bytes and on (pod, namespace) vllm_operator_queue_depth{OWN}"},
            "bytes",
        ),
    ],
}

ONE_SERVICE: Rows = {
    "Now": [
        Number("Can be used", of_one("available"), "bool_yes_no", about="By pods of whichever spec."),
        Number("Pods ready", of_one("replicas_ready")),
        Number("Pods wanted", of_one("replicas_wanted")),
        Number("GPUs", of_one("gpus_granted")),
        Number("GPUs missing", of_one("gpus_missing")),
        Number("KV cache, against the plan", of_one("plan_error_ratio"), "percentunit"),
    ],
    "What clients see": [
        Lines("Time to first token", quantiles("vllm:time_to_first_token_seconds"), "s"),
        Lines("Time between tokens", quantiles("vllm:inter_token_latency_seconds"), "s"),
        Lines("Whole request", quantiles("vllm:e2e_request_latency_seconds"), "s"),
        Lines(
            "Where the time goes, p95",
            {
                part: quantile(0.95, f"vllm:request_{part}_time_seconds", "", ONE)
                for part in ("queue", "prefill", "decode")
            },
            "s",
        ),
        Lines(
            "Requests by result",
            {"{{finished_reason}}": rate("vllm:request_success_total", "finished_reason", ONE)},
            "reqps",
            stacked=True,
        ),
        Lines(
            "Answers by status",
            {"{{status}}": rate("http_requests_total", "status", f"{ONE}, {ASKED}")},
            "reqps",
            stacked=True,
        ),
    ],
    "Load": [
        Lines("Requests running", {"{{pod}}": total("vllm:num_requests_running", "pod", ONE)}),
        Lines("Requests waiting", {"{{pod}}": total("vllm:num_requests_waiting", "pod", ONE)}),
        Lines(
            "Tokens per second",
            {
                "prompts": rate("vllm:prompt_tokens_total", "", ONE),
                "prompts, from the cache": rate("vllm:prompt_tokens_cached_total", "", ONE),
                "answers": rate("vllm:generation_tokens_total", "", ONE),
            },
        ),
        Lines(
            "Tokens per request, p95",
            {
                "prompt": quantile(0.95, "vllm:request_prompt_tokens", "", ONE),
                "answer": quantile(0.95, "vllm:request_generation_tokens", "", ONE),
            },
        ),
    ],
    "Memory": [
        Lines(
            "KV cache in use", {"{{pod}}": f"max by (pod) (vllm:kv_cache_usage_perc{{{ONE}}})"}, "percentunit", most=1
        ),
        Lines("Preemptions per second", {"{{pod}}": rate("vllm:num_preemptions_total", "pod", ONE)}),
        Lines(
            "Prompt tokens found in the cache",
            {
                "share": rate("vllm:prefix_cache_hits_total", "", ONE)
                + " / "
                + rate("vllm:prefix_cache_queries_total", "", ONE)
            },
            "percentunit",
            most=1,
        ),
    ],
    "Pods": [
        Lines("Pods", {x: of_one(f"replicas_{x}") for x in ("wanted", "ready", "max")}),
        Lines("Restarts per hour", {"restarts": f"sum(increase(vllm_operator_service_restarts_total{{{ONE}}}[1h]))"}),
        Lines("Scraped pods", {"{{pod}}": f"max by (pod) (up{{{ONE}}})"}, most=1),
    ],
}


def _dashboard(title: str, uid: str, rows: Rows) -> Dashboard:
    result = Dashboard(title).uid(uid).tags(["vllm"]).refresh("30s").time("now-3h", "now").timezone("browser")
    result.tooltip(DashboardCursorSync.CROSSHAIR).readonly()
    result.with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    link = DashboardLink("vLLM").type(DashboardLinkType.DASHBOARDS).tags(["vllm"]).as_dropdown(True)
    result.link(link.include_vars(True).keep_time(True))
    if uid == SERVICE_UID:
        result.with_variable(_choice("namespace", "vllm_operator_service_ready", "namespace"))
        result.with_variable(
            _choice("service", 'vllm_operator_service_ready{namespace="$namespace"}', "inferenceservice")
        )
    number = 0
    for row, panels in rows.items():
        result.with_row(Row(row).id(number := number + 1))
        for panel in panels:
            result.with_panel(panel.build({Number: 4, Table: 24, Lines: 12}[type(panel)]).id(number := number + 1))
    return result


def _choice(name: str, of: str, label: str) -> QueryVariable:
    variable = QueryVariable(name).datasource(SOURCE).query(f"label_values({of}, {label})")
    return variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)


def dashboards() -> dict[str, str]:
    """The files, by name."""
    built = {
        "fleet.json": _dashboard("vLLM fleet", "vllm-fleet", FLEET),
        "service.json": _dashboard("vLLM service", SERVICE_UID, ONE_SERVICE),
    }
    return {
        name: json.dumps(one.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n" for name, one in built.items()
    }


def write(directory: Path = DIRECTORY) -> None:
    """Writes the files."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in dashboards().items():
        (directory / name).write_text(text)


if __name__ == "__main__":
    write()
