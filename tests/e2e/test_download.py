"""A model that the Job fetches into a cache, on a real kubelet and a real volume: before there are pods, and once."""

from support.hub import COMMIT
from support.hub_pod import hub_pod
from support.kube import Kube, Object
from support.serving import tiny


def fetched(name: str) -> Object:
    """A service of a model on the hub of the tests, whose pods no node has room for: what is made of them is enough."""
    more_than_any = {"requests": {"cpu": "900", "memory": "100Mi"}, "limits": {"memory": "4Gi"}}
    service = tiny(name, resources=more_than_any)
    service["spec"]["model"] = {"uri": "hf://org/cached"}
    return service


def made(kube: Kube, name: str) -> None:
    """Waits until a service has its Deployment, and its Jobs are gone."""
    kube.wait("its pods are made", 110, lambda: kube.get("deployment", name))
    kube.wait("its Jobs are gone", 60, lambda: not kube.list("jobs", f"app.kubernetes.io/instance={name}"))


def test_the_model_is_fetched_before_the_pods_and_once_for_two_services(kube: Kube) -> None:
    kube.apply(*hub_pod(kube))
    kube.run("wait", "pod/hub", "--for=condition=Ready", "--timeout=110s")
    for name in ("first", "second"):
        kube.apply(fetched(name))
        made(kube, name)
        events = [one["reason"] for one in kube.list("events") if one["involvedObject"]["name"] == name]
        assert "Downloading" in events
    asked = kube.run("logs", "hub").splitlines()
    assert asked.count(f"GET /org/cached/resolve/{COMMIT}/model.safetensors") == 1, asked
    kube.run("delete", "vis", "first", "second")
