"""A rendering comes out of the operator's memory as it went in, and the middleware's text takes no room in it."""

import json
import random
import string

import pytest

from support.snapshots import service
from vllm_operator.manifests import Manifest, Rendered, pack, pod_template
from vllm_operator.manifests.names import MIDDLEWARE_ANNOTATION
from vllm_operator.manifests.pod import middleware_source
from vllm_operator.settings import Settings

RESOLVED: list[Manifest] = [{"value": {"b": 1, "a": "ü\n"}, "field": "env", "from": "ServingClass h100"}]


def template(text: str = "") -> Manifest:
    """The pod template of a service, perhaps with another middleware."""
    made = pod_template(service(), Settings())
    if text:
        made["metadata"]["annotations"][MIDDLEWARE_ANNOTATION] = text
    return made


@pytest.mark.parametrize("resolved", [None, [], RESOLVED])
@pytest.mark.parametrize("text", ["", "an earlier text", "ü\ud800\0"])
def test_a_rendering_comes_out_as_it_went_in(text: str, resolved: list[Manifest] | None) -> None:
    rendered = Rendered(template(text), resolved)
    unpacked = pack(rendered).unpack()
    assert unpacked == rendered
    assert json.dumps(unpacked.template) == json.dumps(rendered.template), "the order is kept: people read it"


def test_the_text_of_the_middleware_takes_next_to_nothing() -> None:
    other = "".join(random.Random(1).choices(string.printable, k=len(middleware_source())))
    assert len(pack(Rendered(template())).template) < len(pack(Rendered(template("short"))).template) + 300
    assert len(pack(Rendered(template(other))).template) > 5000
