"""The manifests that the four projects ship in their Go modules, made to run here.

Changed are the images, which are built from the same modules, the namespace, what pods ask of the node, how soon they
are probed, and names of Services, which pods get from /etc/hosts because the cluster has no DNS.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cluster.program_image import image_name
from cluster.tools import module_files
from support.chart import CHART
from support.kube import Object

MONITORING, KEDA = "monitoring", "keda"
# KEDA's Services, which are its containers as well, and the programs behind them.
KEDA_PROGRAMS = {
    "keda-operator": "keda",
    "keda-metrics-apiserver": "keda-adapter",
    "keda-admission-webhooks": "keda-webhooks",
}
ADAPTER_VALUES = CHART / "files" / "prometheus-adapter-values.yaml"
# The least that a pod needs: the node has two cores for all.
_REQUESTS = {"requests": {"cpu": "10m", "memory": "50Mi"}}
_SEPARATOR = "\n---\n"
_CRD = "\nkind: CustomResourceDefinition\n"


def prometheus_crds() -> list[Path]:
    """Those of the Prometheus Operator's CRDs that it needs for a Prometheus; the others are megabytes."""
    folder = module_files("prometheus-operator") / "example" / "prometheus-operator-crd"
    kinds = ("prometheuses", "prometheusrules", "servicemonitors", "podmonitors", "probes")
    return [folder / f"monitoring.coreos.com_{kind}.yaml" for kind in kinds]


def prometheus_operator() -> Iterator[Object]:
    """The Prometheus Operator, and a Prometheus that reads every ServiceMonitor and PrometheusRule of the cluster."""
    examples = module_files("prometheus-operator") / "example" / "rbac"
    for item in _read(examples / "prometheus-operator", examples / "prometheus"):
        if item["kind"] in {"ServiceMonitor", "Prometheus"}:
            continue
        for subject in item.get("subjects", ()):
            subject["namespace"] = MONITORING
        if item["kind"] not in {"ClusterRole", "ClusterRoleBinding"}:
            item["metadata"]["namespace"] = MONITORING
        if item["kind"] == "Deployment":
            (container,) = _containers(item)
            container["image"] = image_name("prometheus-operator")
            container["args"] = [
                f"--prometheus-config-reloader={image_name('prometheus-operator')}",
                "--config-reloader-cpu-request=0",
                "--config-reloader-cpu-limit=0",
            ]
            container["resources"] = _REQUESTS
        yield item


def prometheus(address: str) -> Iterator[Object]:
    """A Prometheus for the operator to make, and its Service at an address of the tests' choice."""
    yield {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Prometheus",
        "metadata": {"name": "tests", "namespace": MONITORING},
        "spec": {
            "image": image_name("prometheus"),
            "replicas": 1,
            "serviceAccountName": "prometheus",
            "serviceMonitorSelector": {},
            "serviceMonitorNamespaceSelector": {},
            "ruleSelector": {},
            "ruleNamespaceSelector": {},
            "evaluationInterval": "5s",
            "securityContext": {"runAsUser": 1000, "runAsNonRoot": True, "fsGroup": 2000},
            "resources": _REQUESTS,
        },
    }
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "prometheus", "namespace": MONITORING},
        "spec": {
            "clusterIP": address,
            "selector": {"prometheus": "tests"},
            "ports": [{"port": 9090, "targetPort": "web"}],
        },
    }


def prometheus_adapter(address: str) -> Iterator[Object]:
    """prometheus-adapter with the rules that this project's chart has for it, as its own chart would set it up."""
    rules = yaml.safe_load(ADAPTER_VALUES.read_text())["rules"]["custom"]
    for item in _read(module_files("prometheus-adapter") / "deploy" / "manifests"):
        if item["kind"] in {"NetworkPolicy", "PodDisruptionBudget"}:
            continue
        if item["kind"] == "APIService":
            # The module's example serves CPU and memory.
            item["metadata"]["name"] = "v1beta1.custom.metrics.k8s.io"
            item["spec"]["group"] = "custom.metrics.k8s.io"
        if item["metadata"]["name"] == "resource-metrics-server-resources":
            item["metadata"]["name"] = "custom-metrics-server-resources"
            item["rules"] = [{"apiGroups": ["custom.metrics.k8s.io"], "resources": ["*"], "verbs": ["*"]}]
        if item["kind"] == "ConfigMap":
            item["data"] = {"config.yaml": yaml.safe_dump({"rules": rules})}
        if item["kind"] == "Deployment":
            item["spec"]["replicas"] = 1
            (container,) = _containers(item)
            container["image"] = image_name("prometheus-adapter")
            replaced = ("--metrics-relist-interval", "--prometheus-url", "--tls-cipher-suites")
            kept = [word for word in container["args"] if not word.startswith(replaced)]
            container["args"] = [*kept, "--metrics-relist-interval=10s", f"--prometheus-url=http://{address}:9090/"]
            _hurry(container)
        yield item


def keda_crds(kustomized: str) -> str:
    """KEDA's CRDs, of what its own kustomization gives."""
    return _SEPARATOR.join(part for part in kustomized.split(_SEPARATOR) if _CRD in part)


def keda(kustomized: str, certificate: Mapping[str, str], address: str) -> Iterator[Object]:
    """KEDA with its admission webhook, but for the CRDs, of what its own kustomization gives.

    `certificate` is the content of a Secret for all three programs. `address` is for its operator's Service.
    """
    yield {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "kedaorg-certs", "namespace": KEDA},
        "type": "Opaque",
        "data": dict(certificate),
    }
    others = _SEPARATOR.join(part for part in kustomized.split(_SEPARATOR) if _CRD not in part)
    for item in yaml.load_all(others, yaml.CSafeLoader):
        if item["kind"] == "Namespace":
            continue
        if item["kind"] == "APIService":
            item["spec"]["caBundle"] = certificate["ca.crt"]
        for webhook in item.get("webhooks", ()):
            webhook["clientConfig"]["caBundle"] = certificate["ca.crt"]
        if item["kind"] == "Service" and item["metadata"]["name"] == "keda-operator":
            item["spec"]["clusterIP"] = address
        if item["kind"] == "Deployment":
            pod = item["spec"]["template"]["spec"]
            pod["hostAliases"] = [{"ip": address, "hostnames": [f"keda-operator.{KEDA}.svc.cluster.local"]}]
            (container,) = _containers(item)
            container["image"] = image_name("keda")
            container["command"] = [f"/bin/{KEDA_PROGRAMS[container['name']]}"]
            # Rotation waits for the kubelet to bring the Secret that it makes, which takes a minute.
            off = "--enable-cert-rotation=false"
            container["args"] = [off if word.startswith("--enable-cert") else word for word in container["args"]]
            _hurry(container)
        yield item


def _read(*folders: Path) -> Iterator[Object]:
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            yield from yaml.load_all(path.read_text(), yaml.CSafeLoader)


def _containers(item: Object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = item["spec"]["template"]["spec"]["containers"]
    return found


def _hurry(container: dict[str, Any]) -> None:
    """Ready as soon as it is, and not ended because the node is busy."""
    container["imagePullPolicy"] = "IfNotPresent"
    container["resources"] = _REQUESTS
    container.pop("livenessProbe", None)
    container["readinessProbe"] |= {"initialDelaySeconds": 0, "periodSeconds": 2, "timeoutSeconds": 10}
