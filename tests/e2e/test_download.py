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


def test_the_model_is_fetched_before_the_pods_and_once_for_two_services(kube: Kube) -> None:
    kube.apply(*hub_pod())
    kube.run("wait", "pod/hub", "--for=condition=Ready", "--timeout=110s")
    for name in ("first", "second"):
        kube.apply(fetched(name))
        kube.wait("its pods are made", 110, lambda name=name: kube.get("deployment", name))
        events = [one["reason"] for one in kube.list("events") if one["involvedObject"]["name"] == name]
        assert "Downloading" in events
        kube.wait(
            "its Jobs are gone", 60, lambda name=name: not kube.list("jobs", f"app.kubernetes.io/instance={name}")
        )
    asked = kube.run("logs", "hub").splitlines()
    whole = f"GET /org/cached/resolve/{COMMIT}/model.safetensors"
    assert asked.count(whole) == 1, asked
    kube.run("delete", "vis", "first", "second")
