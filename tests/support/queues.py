"""Kueue in the cluster under test: its CRDs, its own controller and webhooks, and a queue with so much quota."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from cluster.control_plane import ControlPlane, free_ports
from cluster.tools import module_files, tool
from support.kube import Kube, Object, established
from support.webhooks import at_this_machine, configuration, served

QUEUE = "gpus"
LABEL = {"kueue.x-k8s.io/queue-name": QUEUE}
# Of its webhooks, those for what is tried, and for what it keeps itself.
_HOOKS = ("batch-v1-job", "leaderworkerset", "v1-pod", "-v1beta2-workload")
_FRAMEWORKS = ["batch/job", "leaderworkerset.x-k8s.io/leaderworkerset"]


@contextmanager
def controller(plane: ControlPlane, kube: Kube) -> Iterator[None]:
    """Kueue's own controller, which acts on namespaces that groups.select has chosen. It needs root."""
    folder = module_files("kueue") / "config" / "components" / "crd" / "bases"
    kube.run("apply", "--server-side", "-f", str(folder))
    names = [yaml.safe_load(file.read_text())["metadata"]["name"] for file in folder.glob("*.yaml")]
    kube.wait("its APIs are there", 60, lambda: all(established(kube.get("crd", name)) for name in names))
    ports = free_ports("webhooks", "health")
    plane.processes.start("kueue", _command(plane, ports), {"KUBECONFIG": str(plane.kubeconfig)})
    hooks = [_chosen(hook) for hook in at_this_machine(plane, _manifests(), "kueue", ports["webhooks"])]
    try:
        with served(kube, hooks, lambda: _serves(plane), 90):
            yield
    finally:
        plane.processes.end("kueue")


def _serves(plane: ControlPlane) -> bool:
    plane.processes.check()
    return "Serving webhook server" in plane.processes.tail("kueue", 500)


def quota(kube: Kube, **most: str) -> None:
    """A queue of the namespace, with so much of each resource."""
    kind, name = "kueue.x-k8s.io/v1beta2", kube.namespace
    resources = [{"name": resource.replace("_", "/"), "nominalQuota": amount} for resource, amount in most.items()]
    covered = {
        "coveredResources": [one["name"] for one in resources],
        "flavors": [{"name": name, "resources": resources}],
    }
    kube.apply(
        {"apiVersion": kind, "kind": "ResourceFlavor", "metadata": {"name": name}},
        {"apiVersion": kind, "kind": "ClusterQueue", "metadata": {"name": name},
         "spec": {"namespaceSelector": {}, "resourceGroups": [covered]}},
        {"apiVersion": kind, "kind": "LocalQueue", "metadata": {"name": QUEUE}, "spec": {"clusterQueue": name}},
    )  # fmt: skip


def _manifests() -> Path:
    return module_files("kueue") / "config" / "components" / "webhook" / "manifests.yaml"


def _chosen(configuration: Object) -> Object:
    hooks = [hook for hook in configuration["webhooks"] if any(name in hook["clientConfig"]["url"] for name in _HOOKS)]
    return {**configuration, "webhooks": hooks}


def _command(plane: ControlPlane, ports: dict[str, int]) -> list[str]:
    config = configuration(
        plane,
        "config.kueue.x-k8s.io/v1beta2",
        ports["webhooks"],
        f"127.0.0.1:{ports['health']}",
        leaderElection={"leaderElect": False},
        featureGates={"VisibilityOnDemand": False},
        integrations={"frameworks": _FRAMEWORKS},
    )
    # It looks for a certificate of its metrics in a fixed place, which it has in a view of its own.
    own = shlex.quote(str(config.parent))
    script = f"""
        mkdir -p {own}/etc {own}/work
        mount -t overlay overlay -o lowerdir=/etc,upperdir={own}/etc,workdir={own}/work /etc
        mkdir -p /etc/kueue/metrics/certs
        cp {own}/tls.crt {own}/tls.key /etc/kueue/metrics/certs
        exec {shlex.quote(str(tool("kueue")))} --config={shlex.quote(str(config))}
    """
    return [*plane.site.inside, "unshare", "--mount", "--propagation=private", "sh", "-euc", script]
