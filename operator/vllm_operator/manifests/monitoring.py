"""The ServiceMonitor, for clusters that run the Prometheus Operator."""

from collections.abc import Mapping

from ..api.resource import InferenceService
from .metadata import Manifest, identity, metadata
from .names import METRICS_PORT_NAME, PORT_NAME, SERVICE_LABEL

# vLLM tells some hundred samples, and some hundred more for each adapter and engine. More than this is no vLLM, and
# must not fill a Prometheus that others share: it then counts the pod as down.
SAMPLE_LIMIT = 20_000
BODY_SIZE_LIMIT = "16MB"
# What the operator says is told by its own pods alone: a pod of a service may say anything.
_IN_OUR_NAME = {"sourceLabels": ["__name__"], "regex": "vllm_operator_.*", "action": "drop"}


def service_monitor(service: InferenceService, labels: Mapping[str, str], *, on_ray: bool = False) -> Manifest:
    """Has Prometheus scrape every pod's /metrics, with the service, namespace and pod as labels.

    `labels`: those by which a Prometheus selects the monitor, beside our own.
    """
    about = metadata(service)
    relabel = [{"sourceLabels": ["__meta_kubernetes_service_name"], "targetLabel": SERVICE_LABEL, "action": "replace"}]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": {**about, "labels": {**labels, **about["labels"]}},
        "spec": {
            "selector": {"matchLabels": identity(service)},
            "sampleLimit": SAMPLE_LIMIT,
            "bodySizeLimit": BODY_SIZE_LIMIT,
            "endpoints": [_endpoint(relabel, on_ray=on_ray)],
        },
    }


def _endpoint(relabel: list[Manifest], *, on_ray: bool) -> Manifest:
    """vLLM's own port; of Ray that of Ray's metrics, in which those of vLLM have another name."""
    whole = {"port": PORT_NAME, "path": "/metrics", "interval": "15s", "relabelings": relabel}
    if not on_ray:
        return {**whole, "metricRelabelings": [_IN_OUR_NAME]}
    named = {"sourceLabels": ["__name__"], "regex": "ray_vllm[:_](.+)", "targetLabel": "__name__"}
    renamed = {**named, "replacement": "vllm:$1"}
    return {**whole, "port": METRICS_PORT_NAME, "metricRelabelings": [renamed, _IN_OUR_NAME]}
