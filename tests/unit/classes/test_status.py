"""What a ServingClass says of itself, and that it is written once."""

import asyncio
from typing import Any

import pytest

from support.clock import Clock
from support.fake_api import FakeApi
from support.serving_classes import serving_class
from vllm_operator.api import API_VERSION
from vllm_operator.api.resource import Key
from vllm_operator.classes.kind import SOURCES
from vllm_operator.classes.reconcile import ClassReconciler
from vllm_operator.classes.status import status, verdicts
from vllm_operator.cluster import Cluster, path
from vllm_operator.loop.kinds import Surroundings, queues
from vllm_operator.settings import Settings
from vllm_operator.snapshots.serving_class import UnreadClass

SETTINGS = Settings()
NOW = "2026-11-24T12:00:00Z"


def told(own: Any, *others: Any) -> list[tuple[str, bool | None, str, str]]:
    return [(str(one.type), one.status, str(one.reason), one.message) for one in verdicts(own, others, SETTINGS)]


def test_a_class_that_can_be_used_is_ready() -> None:
    plain, default = serving_class("plain"), serving_class("first", default=True)
    assert told(plain, plain, default) == [("Ready", True, "Valid", "services can name it")]
    ((_, _, _, message),) = told(default, plain, default)
    assert message == "services can name it, and those that name none have it where their namespace may use it"


def test_each_of_several_defaults_says_which_one_holds() -> None:
    old = serving_class("old", "2025-01-01T00:00:00Z", default=True)
    new = serving_class("new", "2026-01-01T00:00:00Z", default=True)
    messages = {told(one, old, new)[0][3] for one in (old, new)}
    assert messages == {
        "services can name it; of 2 default classes the newest that a namespace may use holds (new, old, the newest "
        "first): remove spec.default from all but one"
    }


def test_a_class_that_cannot_be_used_is_stalled() -> None:
    wrong = serving_class(images={"cuda": "elsewhere/vllm:1"})
    message = (
        "it gives image elsewhere/vllm:1, which the operator's setting allowedImages does not allow: change it, or the "
        "setting"
    )
    assert told(wrong, wrong) == [
        ("Ready", False, "ClassBeyondSettings", message),
        ("Stalled", True, "ClassBeyondSettings", message),
    ]
    unread = UnreadClass("new", "spec.default: must be true")
    assert [(kind, reason) for kind, _, reason, _ in told(unread)] == [("Ready", "Invalid"), ("Stalled", "Invalid")]


def test_the_time_moves_only_when_the_status_flips() -> None:
    own = serving_class()
    first = status(verdicts(own, [own], SETTINGS), 1, {}, NOW)
    assert status(verdicts(own, [own], SETTINGS), 1, first, "2026-11-25T12:00:00Z") == first


def test_a_class_is_written_once_and_an_event_is_posted() -> None:
    api, indices = FakeApi(), dict[str, Any]()
    around = Surroundings(
        Cluster(api, lambda _: 10.0), SETTINGS, indices, frozenset, lambda _: None, Clock(), lambda *_: (), queues()
    )
    reconciler = ClassReconciler(around)
    assert list(reconciler.known()) == []
    meta = {"name": "h100", "uid": "uid", "creationTimestamp": NOW}
    api.put(path("ServingClass", "", "h100"), {"apiVersion": API_VERSION, "metadata": meta, "spec": {}})

    def reconcile() -> list[str]:
        indices.clear()
        indices.update(api.shown(SOURCES))
        api.requests.clear()
        assert asyncio.run(reconciler.reconcile(Key("", "h100"))) is None
        return [f"{verb} {url}" for verb, url in api.requests]

    classes = "/apis/vllm-operator.dev/v1alpha1/servingclasses"
    assert reconcile() == [f"patch {classes}/h100/status", "post /api/v1/namespaces/default/events"]
    assert list(reconciler.known()) == [Key("", "h100")]
    assert reconcile() == []
    api.objects.clear()
    assert reconcile() == []


READY = {"type": "Ready", "status": "True", "reason": "Valid", "message": "m", "lastTransitionTime": NOW}


@pytest.mark.parametrize(
    "conditions",
    ["none", {"Ready": "True"}, ["Ready"], [{"type": "Ready"}], [{"status": "True"}], [{**READY, "type": ["Ready"]}]],
    ids=str,
)
def test_a_status_that_is_none_is_written_anew(conditions: Any) -> None:
    """As another version of the operator, with another CRD, may have left it; just before, this one has written."""
    api, indices, clock = FakeApi(), dict[str, Any](), Clock()
    around = Surroundings(
        Cluster(api, lambda _: 10.0), SETTINGS, indices, frozenset, lambda _: None, clock, lambda *_: (), queues()
    )
    reconciler, url = ClassReconciler(around), path("ServingClass", "", "h100")
    meta = {"name": "h100", "uid": "uid", "creationTimestamp": NOW}
    for stands in ({}, {"observedGeneration": "3", "conditions": conditions}):
        api.put(url, {"apiVersion": API_VERSION, "metadata": meta, "spec": {}, "status": stands})
        indices.clear()
        indices.update(api.shown(SOURCES))
        asyncio.run(reconciler.reconcile(Key("", "h100")))
    assert [(one["type"], one["status"]) for one in api.objects[url]["status"]["conditions"]] == [("Ready", "True")]
