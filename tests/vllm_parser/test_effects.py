"""Fields that become flags arrive in what vLLM's own parser makes of the command line."""

from typing import Any

import pytest

from support.every_field import SAMPLES, at, dotted, is_at, listed, sample
from support.places import PLACES
from support.real_vllm.environment import Parser
from vllm_operator.api.resource import InferenceService
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.vllm.argv import argv

FLAGS = [pytest.param(*s, id=dotted(s[0])) for s in SAMPLES if (name := listed(s[0])) and PLACES[name].kind == "argv"]


def parsed(vllm: Parser, service: InferenceService) -> dict[str, Any]:
    """What vLLM understands of a service's command line."""
    namespace = vllm.parse(argv(service.spec, service.name))
    assert "error" not in namespace, namespace
    return namespace


@pytest.mark.parametrize(("path", "schema"), FLAGS)
def test_the_value_arrives(vllm: Parser, path: tuple[str, ...], schema: dict[str, Any]) -> None:
    found = sample(path, schema)
    first, second = (at(parsed(vllm, service), found.steps[:1]) for service in found.services)
    assert is_at(found.arrived[0], first)
    assert is_at(found.arrived[1], second)
    assert first != second


def test_an_omitted_field_leaves_vllms_default(vllm: Parser) -> None:
    spec = InferenceServiceSpec.model_validate({"model": {"uri": "hf://org/name"}})
    ours, default = vllm.parse(argv(spec, "test")), vllm.parse(["org/name"])
    changed = {name for name in ours if ours[name] != default[name]}
    assert changed == {
        "served_model_name", "host", "port", "shutdown_timeout", "disable_access_log_for_endpoints",
        "middleware",
    } - ({"port"} if default["port"] == ours["port"] else set())  # fmt: skip
