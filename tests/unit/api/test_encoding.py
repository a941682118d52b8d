"""JSON for digests, and lists whose objects are read one at a time."""

import json
from typing import Any

import pytest

from support.nesting import nested
from vllm_operator.api.encoding import Page, canonical


def test_equal_values_have_one_text_whatever_the_order_of_their_keys() -> None:
    assert canonical({"b": [1, {"d": None, "c": "é"}], "a": 1.5}) == '{"a":1.5,"b":[1,{"c":"é","d":null}]}'.encode()
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})


@pytest.mark.parametrize("odd", [{"b": "\ud800", "a": 1}, {"b": 10**100, "a": 1}, nested(300)])
def test_what_others_write_has_a_text_as_well(odd: dict[str, Any]) -> None:
    assert json.loads(canonical(odd)) == odd
    assert canonical(odd) == canonical(dict(reversed(odd.items())))


def test_objects_of_a_list_have_its_kind_where_they_tell_none() -> None:
    of_their_own = {"kind": "InferenceService", "apiVersion": "vllm-operator.dev/v1alpha1", "spec": {}}
    items = [{"metadata": {"name": "a"}}, of_their_own]
    page = Page.of(json.dumps({"kind": "PodList", "apiVersion": "v1", "items": items, "other": 1}).encode())
    assert list(page.objects()) == [{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}, of_their_own]
    assert page.metadata == {}


def test_a_list_of_nothing_may_have_no_items() -> None:
    page = Page.of(b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":null}')
    assert list(page.objects()) == []
    assert page.metadata == {"resourceVersion": "7"}


@pytest.mark.parametrize("text", [b"", b"<html>", b"[1]", b'{"kind":"Status"}', b'{"items":[1]}', b'{"items":[{]}'])
def test_what_is_no_list_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(Page.of(text).objects())
