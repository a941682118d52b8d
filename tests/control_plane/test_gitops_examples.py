"""examples/gitops against the API: Argo CD's and Flux' own CustomResourceDefinitions, and Argo CD's ConfigMap."""

import json
from collections.abc import Iterator

import pytest

from cluster.control_plane import ControlPlane
from support import gitops
from support.kube import Kube, Object, established

pytestmark = pytest.mark.control_plane


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> Iterator[Kube]:
    """An API server that knows the kinds of Argo CD and Flux, and the namespaces that they run in."""
    kube = Kube(control_plane.kubeconfig, "default")
    files = [f"--filename={path}" for path in gitops.crds()]
    kube.run("apply", "--server-side", *files)
    kube.wait("the API has them", 30, lambda: all(map(established, kube.list("crd"))))
    for name in ("argocd", "flux-system"):
        kube.run("create", "namespace", name)
    yield kube
    kube.run("delete", *files)
    kube.run("delete", "namespace", "argocd", "flux-system", "--wait=false")


ITEMS = [item for item in gitops.examples("argocd", "flux") if "kind" in item]


def accepted(cluster: Kube, item: Object) -> str:
    """What kubectl says when the API server finds nothing wrong. Raises AssertionError with what it does find."""
    where = Kube(cluster.kubeconfig, item["metadata"]["namespace"])
    return where.run("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(item))


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: f"{item['kind']}-{item['metadata']['name']}")
def test_it_is_accepted(cluster: Kube, item: Object) -> None:
    assert "created (server dry run)" in accepted(cluster, item)


def test_what_is_wrong_in_an_example_would_be_noticed(cluster: Kube) -> None:
    item = next(item for item in ITEMS if item["kind"] == "Application")
    with pytest.raises(AssertionError, match="syncPolcy"):
        accepted(cluster, {**item, "spec": {**item["spec"], "syncPolcy": {}}})


def test_the_health_check_gets_into_argo_cds_config_map(cluster: Kube) -> None:
    argo = Kube(cluster.kubeconfig, "argocd")
    argo.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": {"url": "https://a"}}
    )
    argo.run("patch", "configmap", "argocd-cm", f"--patch-file={gitops.EXAMPLES / 'argocd' / 'argocd-cm.yaml'}")
    data = (argo.get("configmap", "argocd-cm") or {})["data"]
    for kind in ("InferenceBatch", "InferenceService", "ServingClass"):
        assert data.pop(f"resource.customizations.health.vllm-operator.dev_{kind}") == gitops.HEALTH.read_text()
    assert data == {"url": "https://a"}


def test_both_examples_name_the_folder_of_the_team(cluster: Kube) -> None:
    rendered = cluster.run("kustomize", str(gitops.EXAMPLES / "team-a"))
    assert rendered.count("kind: InferenceService") == 2
    paths = [item["spec"].get("path") or item["spec"].get("source", {}).get("path") for item in ITEMS]
    assert {path.removeprefix("./") for path in paths if path} == {"team-a"}
