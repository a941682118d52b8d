"""KubeRay in the cluster under test: its CRDs, its operator as a pod with its own rights, and names for its pods."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from cluster.node import LocalCluster
from cluster.program_image import image_name, program_image
from cluster.tools import module_files
from support import groups
from support.kube import Kube, Object, established

NAMESPACE = "kuberay"
RAY_SERVICES = "rayservices.ray.io"
KINDS = ("rayclusters", "rayservices", "rayjobs")


def install_api(kube: Kube) -> None:
    """Serves KubeRay's kinds, from now on. Nobody acts on them."""
    folder = _configuration() / "crd" / "bases"
    # A megabyte each: too large for the annotation of an apply that is not server-side.
    kube.run("apply", "--server-side", *(f"--filename={folder}/ray.io_{kind}.yaml" for kind in KINDS))
    kube.wait("KubeRay's API is there", 60, lambda: all(established(kube.get("crd", f"{k}.ray.io")) for k in KINDS))


def remove_api(kube: Kube) -> None:
    """Serves KubeRay's kinds no more; what there was of them is gone."""
    kube.run("delete", "crd", *(f"{kind}.ray.io" for kind in KINDS))


@contextmanager
def controller(cluster: LocalCluster, kube: Kube) -> Iterator[None]:
    """KubeRay's operator, for all namespaces, and names that it and Ray's pods find each other by. Its API is there."""
    cluster.load(program_image("kuberay"))
    everywhere = Kube(cluster.kubeconfig, NAMESPACE)
    objects = _operator(everywhere)
    with groups.names(cluster):
        everywhere.apply(*objects)
        try:
            everywhere.run("rollout", "status", "deployment/kuberay-operator", "--timeout=120s", timeout=130)
            yield
        finally:
            everywhere.run("delete", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all(reversed(objects)))


def _configuration() -> Path:
    return module_files("kuberay") / "config"


def _operator(kube: Kube) -> list[Object]:
    """What KubeRay's own kustomization installs, less its CRDs, in a namespace and with the image that was built."""
    text = "\n---\n".join(kube.run("kustomize", str(_configuration() / part)) for part in ("rbac", "manager"))
    objects: list[Object] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
    for item in yaml.safe_load_all(text):
        if "namespace" in item["metadata"] or item["kind"] in {"ServiceAccount", "Role", "RoleBinding"}:
            item["metadata"]["namespace"] = NAMESPACE
        for subject in item.get("subjects") or ():
            subject["namespace"] = NAMESPACE
        if item["kind"] == "Deployment":
            container = item["spec"]["template"]["spec"]["containers"][0]
            container |= {"image": image_name("kuberay"), "command": ["/bin/kuberay"]}
        objects.append(item)
    return objects
