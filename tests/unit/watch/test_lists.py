"""That lists are taken whole, part by part, and that nothing is looked at before all of them are there."""

import json
from typing import Any

from kopf._cogs.structs.references import Resource
from yarl import URL

from vllm_operator.api.encoding import Page
from vllm_operator.watch.lists import Lists

PODS, NODES = "/api/v1/pods", "/api/v1/nodes"
SCALED = "/apis/keda.sh/v1alpha1/namespaces/a/scaledobjects"


class Noted:
    """An informer that writes down."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bool]] = []
        self.gone: list[str] = []
        self.moved = False

    def note(self, change: str | None, body: Any, *, tell: bool) -> None:
        assert change is None
        self.seen.append((f"{body['apiVersion']} {body['kind']}", body["metadata"]["name"], tell))

    def forget(self, uid: str) -> None:
        self.gone.append(uid)
        self.seen = [one for one in self.seen if one[1] != uid]


class World:
    """Lists of pods and nodes, and of an API that the cluster may have."""

    def __init__(self, *namespaces: str | None) -> None:
        self.said: list[str] = []
        self.lists = Lists(lambda: self.said.append("all"))
        resources = [("v1", "pods"), ("v1", "nodes"), ("keda.sh/v1alpha1", "scaledobjects")]
        self.informers = {one: Noted() for one in resources}
        self.lists.informers = self.informers  # type: ignore[assignment]
        self.watches("v1", "pods", namespaced=True)
        self.watches("v1", "nodes", namespaced=False)
        self.lists.insights.namespaces.update(namespaces or (None,))  # type: ignore[arg-type]
        self.lists.insights.ready_namespaces.set()
        self.lists.insights.ready_resources.set()

    def watches(self, api_version: str, plural: str, *, namespaced: bool) -> None:
        """kopf has found that the cluster has these."""
        group, _, version = api_version.rpartition("/")
        self.lists.insights.watched_resources.add(Resource(group, version, plural, namespaced=namespaced))

    def take(self, path: str, *names: str, query: str = "limit=2", more: str = "") -> Any:
        """An answer, of which the rest is returned that kopf sees."""
        answer = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7", "continue": more}}
        items = [{"metadata": {"name": name, "uid": name}} for name in names] or None
        page = Page.of(json.dumps({**answer, "items": items}).encode())
        return self.lists.take(URL(f"https://api{path}?{query}", encoded=True), page)


def test_kopf_sees_an_empty_list_and_where_to_watch_from() -> None:
    world = World()
    seen = world.take(PODS, "x", "y", more="abc")
    assert seen["items"] == []
    assert seen["metadata"] == {"resourceVersion": "7", "continue": "abc"}
    world.take(PODS, "z", query="limit=2&continue=abc")
    assert world.informers["v1", "pods"].seen == [("v1 Pod", name, False) for name in ("x", "y", "z")]
    assert world.said == []


def test_of_others_it_takes_none() -> None:
    world = World()
    assert world.lists.takes(URL(f"https://api{PODS}?limit=2"))
    for path in ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "/api/v1/namespaces/a", "/apis", "/api/v1"):
        assert not world.lists.takes(URL(f"https://api{path}"))


def test_all_is_known_once_the_last_part_of_each_list_has_come() -> None:
    world = World("a", "b")
    world.take("/api/v1/namespaces/a/pods", more="abc")
    world.take(NODES)
    world.take("/api/v1/namespaces/b/pods")
    assert world.said == []
    assert not world.lists.complete
    world.take("/api/v1/namespaces/a/pods", query="continue=abc")
    assert world.said == ["all"]
    assert world.lists.complete
    world.take(SCALED, "x")
    assert world.informers["keda.sh/v1alpha1", "scaledobjects"].seen == [("v1 Pod", "x", True)]
    assert world.said == ["all"]


def test_an_api_that_goes_before_it_was_listed_holds_up_nobody() -> None:
    world = World()
    world.watches("keda.sh/v1alpha1", "scaledobjects", namespaced=True)
    world.take(NODES)
    world.take(PODS)
    assert world.said == []
    assert world.lists.missing() == ["/apis/keda.sh/v1alpha1/scaledobjects"]
    world.lists.forget("scaledobjects")
    assert world.said == ["all"]
    assert world.lists.missing() == []


def test_one_that_is_forgotten_after_its_list_does_not_either() -> None:
    world = World()
    world.watches("keda.sh/v1alpha1", "scaledobjects", namespaced=True)
    world.take("/apis/keda.sh/v1alpha1/scaledobjects")
    world.lists.forget("scaledobjects")
    world.take(NODES)
    world.take(PODS)
    assert world.said == ["all"]


def test_a_list_that_broke_off_is_taken_anew_and_what_is_gone_by_then_is_not_known() -> None:
    world = World()
    pods = world.informers["v1", "pods"]
    world.take(PODS, "x", "y", more="abc")
    world.take(PODS, "y", more="abc")
    assert [name for _, name, _ in pods.seen] == ["x", "y", "y"], "until the list is whole"
    world.take(PODS, query="continue=abc")
    assert [name for _, name, _ in pods.seen] == ["y", "y"]
    assert world.said == []


def test_a_list_that_comes_again_tells_all_where_no_event_came_between() -> None:
    world = World()
    world.take(NODES)
    world.take(PODS, "x", "y")
    world.take(PODS, "y", "z")
    assert world.said == ["all", "all"], "one is gone: all are looked at"
    world.take(PODS, "y", "z")
    assert world.said == ["all", "all"]
    assert world.informers["v1", "pods"].gone == ["x"]
    assert not world.lists.moved(PODS)
    world.informers["v1", "pods"].moved = True
    assert world.lists.moved(PODS)


def test_the_api_server_may_lie_below_a_path() -> None:
    world = World()
    assert world.take("/k8s/clusters/c-1" + PODS, "x")["items"] == []
    world.take("/k8s/clusters/c-1" + NODES)
    assert world.said == ["all"]
