"""A rendering comes out of the operator's memory as it went in, and the middleware's text takes no room in it."""

import json
import random
import string

import pytest

from support.snapshots import service
from vllm_operator.manifests import Manifest, Rendered, pack, packing, pod_template
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


@pytest.mark.parametrize("version", ["this one", "an older one", "a newer one"])
def test_the_middleware_takes_next_to_nothing_whatever_version_it_is_of(version: str) -> None:
    chars = random.Random(version).choices(string.printable, k=16_000)
    text = middleware_source() if version == "this one" else "".join(chars)
    assert len(pack(Rendered(template(text))).template) < len(pack(Rendered(template("short"))).template) + 100


def test_any_number_of_texts_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_held", {})
    renderings = [Rendered(template(f'"{number}" \\ ü')) for number in range(packing.MOST_HELD + 5)]
    packed = [pack(one) for one in renderings]
    assert [one.unpack() for one in packed] == renderings
    assert len(packing._held) == packing.MOST_HELD
    assert [pack(one) for one in renderings] == packed


def test_a_text_that_looks_like_the_middleware_is_kept_as_it_is() -> None:
    made = template()
    said = json.dumps({MIDDLEWARE_ANNOTATION: "x"})
    made["metadata"]["annotations"] = {"example.com/a": said, **made["metadata"]["annotations"], "example.com/b": "\0"}
    assert pack(Rendered(made)).unpack().template == made
