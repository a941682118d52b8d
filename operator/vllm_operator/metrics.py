"""The operator's own metrics, as Prometheus scrapes them."""

from prometheus_client import Counter, Gauge, Histogram

reconcile_seconds = Histogram("vllm_operator_reconcile_seconds", "Time that one reconcile of one service takes.")
reconcile_errors = Counter("vllm_operator_reconcile_errors", "Reconciles that failed and are tried again.", ["kind"])
queue_depth = Gauge("vllm_operator_queue_depth", "Services that wait to be reconciled.")
api_requests = Counter("vllm_operator_api_requests", "Requests to the API server.", ["verb", "code"])
api_seconds = Histogram("vllm_operator_api_request_seconds", "Time that a request to the API server takes.", ["verb"])
services = Gauge("vllm_operator_services", "InferenceServices, by whether they are ready and why.", ["ready", "reason"])
