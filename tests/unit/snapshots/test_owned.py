"""Which fields of a child are ours, and what they hold: whether somebody took one over."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from vllm_operator.api.limits import FIELDS_BYTES, FIELDS_ITEMS
from vllm_operator.snapshots import owned
from vllm_operator.snapshots.child import child
from vllm_operator.snapshots.owned import content, owned_content, owned_fields

Object = dict[str, Any]

MANIFEST: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "llama", "namespace": "team-a", "labels": {"app": "llama"}},
    "spec": {
        "containers": [
            {"name": "vllm", "args": ["--port=8000"], "ports": [{"containerPort": 8000}], "env": []},
            {"name": "other", "image": "x"},
        ],
        "volumes": [
            {"name": "shm", "emptyDir": {}},
            {"name": "pod", "downwardAPI": {"items": [{"path": "uid", "fieldRef": {"fieldPath": "metadata.uid"}}]}},
        ],
        "accessModes": ["ReadWriteOnce"],
    },
}
FIELDS: Object = {
    "f:metadata": {"f:labels": {"f:app": {}}},
    "f:spec": {
        "f:accessModes": {'v:"ReadWriteOnce"': {}},
        "f:containers": {
            'k:{"name":"other"}': {".": {}, "f:image": {}, "f:name": {}},
            'k:{"name":"vllm"}': {
                ".": {},
                "f:args": {},
                "f:env": {},
                "f:name": {},
                "f:ports": {'k:{"containerPort":8000,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
            },
        },
        "f:volumes": {
            'k:{"name":"shm"}': {".": {}, "f:emptyDir": {}, "f:name": {}},
            'k:{"name":"pod"}': {".": {}, "f:downwardAPI": {"f:items": {}}, "f:name": {}},
        },
    },
}


def managed(fields: Object, manager: str = "vllm-operator") -> Object:
    return {"managedFields": [{"manager": manager, "operation": "Apply", "fieldsV1": fields}]}


def live() -> Object:
    """As the API server has the manifest: with defaults, without what is empty, and with what others added."""
    body = copy.deepcopy(MANIFEST)
    body["metadata"] |= {"uid": "u", "annotations": {"other": "1"}, **managed(copy.deepcopy(FIELDS))}
    body["spec"]["containers"][0]["ports"][0]["protocol"] = "TCP"
    del body["spec"]["containers"][0]["env"]
    body["spec"]["volumes"][1]["downwardAPI"]["items"][0]["fieldRef"]["apiVersion"] = "v1"
    body["spec"]["containers"].append({"name": "sidecar", "image": "y"})
    body["spec"] |= {"restartPolicy": "Always", "accessModes": ["ReadWriteOnce", "ReadOnlyMany"]}
    return {**body, "status": {"phase": "Running"}}


def test_losing_a_field_to_somebody_else_changes_the_digest_and_other_edits_do_not() -> None:
    ours: Object = {"f:spec": {"f:replicas": {}}}
    digest = owned_fields(managed(ours))
    with_others = managed(ours)
    with_others["managedFields"].append({"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:metadata": {}}})
    assert digest
    assert owned_fields(with_others) == digest
    assert owned_fields(managed({"f:spec": {}})) != digest
    assert owned_fields(managed(ours, manager="kubectl")) == ""


def test_what_others_add_does_not_change_what_our_fields_hold() -> None:
    assert owned_content(live()) == content(MANIFEST)


def with_quantities(*amounts: Any) -> Object:
    """A manifest with quantities wherever manifests have some."""
    cpu, memory, storage, size, average = amounts
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "llama", "labels": {"app": "llama"}},
        "spec": {
            "resources": {"requests": {"storage": storage}},
            "containers": [{"name": "vllm", "resources": {"limits": {"memory": memory}, "requests": {"cpu": cpu}}}],
            "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}}],
            "metrics": [{"pods": {"target": {"type": "AverageValue", "averageValue": average}}}],
        },
    }


# As the API server of Kubernetes 1.36 writes them.
WRITTEN = (1, "16384Mi", "0.5Ti", "1.5Gi", "1000m")
STORED = ("1", "16Gi", "512Gi", "1536Mi", "1")


def applied(manifest: Object) -> Object:
    """As the API server shows it: all that it says is ours."""
    owned: Object = {"f:metadata": {"f:labels": {}}, "f:spec": {}}
    return {**manifest, "metadata": {**manifest["metadata"], **managed(owned)}}


def test_a_quantity_may_be_written_otherwise_than_the_api_server_keeps_it() -> None:
    assert owned_content(applied(with_quantities(*STORED))) == content(with_quantities(*WRITTEN))


@pytest.mark.parametrize("place", range(len(STORED)))
@pytest.mark.parametrize("other", ["3", "none", {"x": "1"}, None])
def test_an_edited_quantity_is_seen(place: int, other: Any) -> None:
    amounts: list[Any] = list(STORED)
    amounts[place] = other
    assert owned_content(applied(with_quantities(*amounts))) not in ("", content(with_quantities(*WRITTEN)))


def test_what_only_looks_like_a_quantity_has_one_form() -> None:
    def said(amount: str) -> Object:
        texts = {"env": f'{{"requests":{{"cpu":"{amount}"}},"sizeLimit":"{amount}"}}', "name": amount}
        return {"metadata": {"name": "x", "labels": {"app": f'"sizeLimit":"{amount}"'}}, "spec": texts}

    assert content(said("1000m")) != content(said("1"))
    for amount in ("1000m", "1"):
        assert owned_content(applied(said(amount))) == content(said(amount))


def lost(body: Object) -> None:
    """Somebody else's apply took a field over."""
    del body["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:volumes"]['k:{"name":"shm"}']["f:emptyDir"]


def changed(body: Object) -> None:
    body["spec"]["containers"][0]["args"] = ["--port=1"]


def without_label(body: Object) -> None:
    del body["metadata"]["labels"]["app"]


def without_item(body: Object) -> None:
    del body["spec"]["containers"][1]


@pytest.mark.parametrize("edit", [lost, changed, without_label, without_item])
def test_an_edit_is_seen_without_knowing_what_was_applied(edit: Any) -> None:
    body = live()
    edit(body)
    assert owned_content(body) not in ("", content(MANIFEST))


@pytest.mark.parametrize(
    "metadata", [{}, managed(FIELDS, "kubectl"), managed({"f:x": {"f:" + "y" * FIELDS_BYTES: {}}})]
)
def test_what_we_do_not_own_or_own_too_much_of_is_not_known(metadata: Object) -> None:
    assert owned_content({"metadata": metadata, "x": {"y": 1}}) == ""


@pytest.mark.parametrize(("others", "known"), [(FIELDS_ITEMS - 2000, True), (FIELDS_ITEMS, False)])
def test_of_a_list_that_others_made_very_long_nothing_is_known(others: int, *, known: bool) -> None:
    items: Object = {f"k:{json.dumps({'a': number})}": {"f:a": {}} for number in range(2000)}
    fields = {"f:metadata": {"f:labels": {}}, "f:x": items}
    body: Object = {"metadata": managed(fields), "x": [{"a": number} for number in range(2000 + others)]}
    assert (owned_content(body) == content({"metadata": {"labels": {}}, "x": body["x"][:2000]})) is known


def test_fields_within_fields_are_read_once() -> None:
    """Whoever may edit an object may write its managed fields: as deep as these, each read twice takes for ever."""
    fields: Object = {}
    for _ in range(200):
        fields = {'k:{"name":"x"}': fields}
    assert owned_content({"metadata": managed({"f:x": fields}), "x": [{"name": "x"}]})


DEPLOYMENT: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "llama", "labels": {"app": "llama"}},
    "spec": {
        "replicas": 2,
        "template": {
            "metadata": {"labels": {"app": "llama"}},
            "spec": {"containers": [{"name": "vllm", "image": "vllm:1"}]},
        },
    },
}


def events(body: Object, uid: str) -> Iterator[Object]:
    """As the watch shows it while its pods start: only its status, and its version, are others each time."""
    for step in range(5):
        metadata = {**body["metadata"], "uid": uid, "generation": 1, "resourceVersion": str(step), "namespace": "n"}
        yield copy.deepcopy({**body, "metadata": metadata, "status": {"replicas": step}})


def test_what_a_deployment_holds_is_worked_out_once_while_its_pods_start(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[Object]()

    def counted(body: Object) -> str:
        asked.append(body)
        return owned_content(body)

    monkeypatch.setattr(owned, "owned_content", counted)
    shown = {child(body).owned_content for body in events(applied(DEPLOYMENT), "started")}
    assert shown == {content(DEPLOYMENT)}
    assert len(asked) == 1
    other = next(events(applied({**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "replicas": 3}}), "other"))
    assert child(other).owned_content not in ("", content(DEPLOYMENT))
    assert len(asked) == 2


def rescaled(body: Object) -> None:
    body["spec"]["replicas"] = 3
    body["metadata"]["generation"] = 2


def relabelled(body: Object) -> None:
    """The API server counts no generation for that."""
    body["metadata"]["labels"]["app"] = "other"


def taken_over(body: Object) -> None:
    body["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"] = {"f:template": {}}


@pytest.mark.parametrize("edit", [rescaled, relabelled, taken_over])
def test_an_edit_of_a_deployment_is_seen_beside_its_events(edit: Any) -> None:
    first, second, *_ = events(applied(DEPLOYMENT), f"edited by {edit.__name__}")
    assert child(first).owned_content == content(DEPLOYMENT)
    edit(second)
    assert child(second).owned_content not in ("", content(DEPLOYMENT))


@pytest.mark.parametrize("odd", ["half a character \ud800", 1 << 70, "a very deep one"])
def test_what_no_manifest_of_ours_has_has_a_digest_all_the_same(odd: Any) -> None:
    if odd == "a very deep one":
        for _ in range(300):
            odd = {"a": odd}
    manifest = {"metadata": {"name": "x"}, "spec": {"odd": odd}}
    assert content(manifest) == content(copy.deepcopy(manifest))
    assert content(manifest) != content({**manifest, "spec": {"odd": "another"}})
