"""Starts the stack on a cluster with a node, one part after the other, and asks Prometheus."""

import base64
import json
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cluster.host import command, step
from cluster.node import LocalCluster
from cluster.program_image import program_image
from cluster.tools import module_files
from support.kube import Kube, Object, conditions
from support.metrics_stack.manifests import (
    KEDA,
    KEDA_PROGRAMS,
    MONITORING,
    keda,
    keda_crds,
    prometheus,
    prometheus_adapter,
    prometheus_crds,
    prometheus_operator,
)

READY_SECONDS = 180
TOOLS = ("prometheus", "prometheus-operator", "prometheus-adapter", "keda")


class MetricsStack:
    """The stack of one cluster."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self._kube = Kube(cluster.kubeconfig, "")  # each manifest has its own namespace

    def _address(self, last: int) -> str:
        """An address for a Service, of those that are given to nobody unasked."""
        return self._cluster.control_plane.site.services.replace("0.0/16", f"0.{last}")

    @property
    def prometheus(self) -> str:
        """The address of Prometheus' Service."""
        return self._address(100)

    def load(self) -> None:
        """Builds the programs if need be, and makes their images known to the node."""
        for name in TOOLS:
            self._cluster.load(program_image(name))

    def serve_prometheus_apis(self) -> None:
        """The Prometheus Operator's CRDs."""
        self._kube.run("apply", "--server-side", *(f"--filename={path}" for path in prometheus_crds()))

    def start_prometheus(self) -> None:
        """The Prometheus Operator, and Prometheus by it."""
        with step("starting the Prometheus Operator and Prometheus"):
            self._namespace(MONITORING)
            self._apply([*prometheus_operator(), *prometheus(self.prometheus)])
            self._kube.wait("Prometheus answers", READY_SECONDS, self._answers)

    def start_adapter(self) -> None:
        """prometheus-adapter, which serves custom.metrics.k8s.io."""
        with step("starting prometheus-adapter"):
            self._apply(prometheus_adapter(self.prometheus))
            self._await_api("v1beta1.custom.metrics.k8s.io")

    def start_keda(self) -> None:
        """KEDA, which serves external.metrics.k8s.io."""
        with step("starting KEDA"):
            self._namespace(KEDA)
            kustomized = self._kube.run("kustomize", str(module_files("keda") / "config" / "default"))
            self._kube.run("apply", "--server-side", "-f", "-", stdin=keda_crds(kustomized))
            self._apply(keda(kustomized, _certificate(), self._address(101)))
            self._await_api("v1beta1.external.metrics.k8s.io")
            for name in ("keda-operator", "keda-admission"):
                self._kube.run("-n", KEDA, "rollout", "status", f"deployment/{name}", f"--timeout={READY_SECONDS}s")

    def ask(self, path: str, **words: str) -> Any:
        """The answer of Prometheus' HTTP API. Raises urllib.error.HTTPError where it refuses."""
        url = f"http://{self.prometheus}:9090/api/v1/{path}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[Object]:
        """The series that an expression finds now."""
        return list(self.ask("query", query=expression)["result"])

    def _answers(self) -> bool:
        try:
            return bool(self.ask("status/buildinfo"))
        except OSError:
            return False

    def _namespace(self, name: str) -> None:
        self._kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def _apply(self, objects: Iterable[Object]) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self._kube.run("apply", "--server-side", "-f", "-", stdin=text)

    def _await_api(self, name: str) -> None:
        def available() -> bool:
            found = self._kube.get("apiservice", name) or {}
            return conditions(found).get("Available", {}).get("status") == "True"

        self._kube.wait(f"{name} is served", READY_SECONDS, available)


def _certificate() -> dict[str, str]:
    """A Secret's content: a certificate for the Services of KEDA, which they show each other as well."""
    names = [f"{name}.{KEDA}.svc{domain}" for name in KEDA_PROGRAMS for domain in ("", ".cluster.local")]
    with tempfile.TemporaryDirectory() as scratch:
        certificate, key = Path(scratch) / "tls.crt", Path(scratch) / "tls.key"
        extensions = [
            "basicConstraints=critical,CA:TRUE",
            "extendedKeyUsage=serverAuth,clientAuth",
            f"subjectAltName={','.join(f'DNS:{name}' for name in names)}",
        ]
        request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        request += ["-days", "30", "-subj", "/CN=keda", *(word for one in extensions for word in ("-addext", one))]
        command([*request, "-keyout", key, "-out", certificate])
        files = {"tls.crt": certificate, "tls.key": key, "ca.crt": certificate}
        return {name: base64.b64encode(path.read_bytes()).decode() for name, path in files.items()}
