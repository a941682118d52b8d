"""A custom metrics API in place of prometheus-adapter: each pod has what a test says."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from cluster.control_plane import ControlPlane, free_ports
from support.kube import Kube

GROUP, VERSION = "custom.metrics.k8s.io", "v1beta2"
NAME = f"{VERSION}.{GROUP}"
# Metrics by name, and what each pod has of it.
Values = dict[str, str]


@contextmanager
def serving_metrics(plane: ControlPlane, values: Values) -> Iterator[None]:
    """Serves the metrics while the block runs; `values` may be changed meanwhile."""
    port = free_ports("metrics")["metrics"]
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(plane, values))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(plane.certificates / "apiserver.crt", plane.certificates / "apiserver.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    kube = Kube(plane.kubeconfig, "default")
    try:
        _register(kube, port)
        yield
    finally:
        kube.run("delete", "apiservice", NAME)
        kube.run("delete", "service", "metrics-api")
        server.shutdown()
        thread.join()
        server.server_close()


def _register(kube: Kube, port: int) -> None:
    spec = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port, "protocol": "TCP"}]}
    kube.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "metrics-api"}, "spec": spec})
    served = {"group": GROUP, "version": VERSION, "groupPriorityMinimum": 100, "versionPriority": 100}
    where = {"service": {"namespace": "default", "name": "metrics-api", "port": port}, "insecureSkipTLSVerify": True}
    api = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": NAME}}
    kube.apply({**api, "spec": {**served, **where}})


def _handler(plane: ControlPlane, values: Values) -> type[BaseHTTPRequestHandler]:
    def answer(path: str, query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts == ["apis", GROUP, VERSION]:
            known = [{"name": f"pods/{name}", "namespaced": True, "kind": "MetricValueList"} for name in values]
            resources = [{**one, "singularName": "", "verbs": ["get"]} for one in known]
            return 200, {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{GROUP}/{VERSION}",
                "resources": resources,
            }
        metric = parts[-1]
        if len(parts) != 8 or metric not in values:  # apis, group, version, namespaces, NAMESPACE, pods, *, METRIC
            return 404, _refusal(f"the server could not find the metric {metric} for pods")
        selector = quote(query["labelSelector"][0])
        pods = plane.api().get(f"/api/v1/namespaces/{parts[4]}/pods?labelSelector={selector}") or {"items": []}
        items = [_item(pod, metric, values[metric]) for pod in pods["items"]]
        return 200, {"kind": "MetricValueList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}, "items": items}

    class Handler(BaseHTTPRequestHandler):
        """Answers as the API's clients expect."""

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            code, found = answer(url.path, parse_qs(url.query))
            body = json.dumps(found).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing is logged."""

    return Handler


def _item(pod: dict[str, Any], metric: str, value: str) -> dict[str, Any]:
    meta = pod["metadata"]
    described = {"kind": "Pod", "apiVersion": "/v1", "namespace": meta["namespace"], "name": meta["name"]}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"describedObject": described, "metric": {"name": metric}, "timestamp": now, "value": value}


def _refusal(message: str) -> dict[str, Any]:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message}
    return {**status, "reason": "NotFound", "code": 404}
