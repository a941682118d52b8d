"""What Ray Serve hands to the engine is what vLLM's own parser makes of the same command line, field by field."""

import ast
import json
from typing import Any

import pytest

from support.every_field import SAMPLES, dotted, listed, sample
from support.places import PLACES
from support.real_vllm.environment import Parser
from support.real_vllm.source import code_of
from vllm_operator.api.flags.facts import facts
from vllm_operator.api.ray import RAY_SERVE, REFUSED
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.vllm.argv import argv
from vllm_operator.vllm.ray import Serving, application

FLAGS = [pytest.param(*s, id=dotted(s[0])) for s in SAMPLES if (name := listed(s[0])) and PLACES[name].kind == "argv"]
# vllm/config/compilation.py, CompilationMode: a number that has a name.
MODES = ("NONE", "STOCK_TORCH_COMPILE", "DYNAMO_TRACE_ONCE", "VLLM_COMPILE")


def engine_of(spec: InferenceServiceSpec) -> dict[str, Any]:
    """The arguments of the engine."""
    serving = Serving(1, gpus=True, deployment={}, patience=900)
    (config,) = application(argv(spec, "test"), serving)["llm_configs"]
    return dict(config["engine_kwargs"])


def fields_of(path: str, name: str) -> set[str]:
    """The fields of a dataclass of vLLM, those of its bases in the same module too."""
    classes = {node.name: node for node in ast.parse(code_of(path)).body if isinstance(node, ast.ClassDef)}
    found, names = set(), [name]
    while names:
        node = classes[names.pop()]
        found |= {
            one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        }
        names += [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
    return found


@pytest.fixture(scope="module")
def taken() -> set[str]:
    """What Ray takes for an engine: the fields of these two. Source: Ray 2.60, engines/vllm/vllm_models.py."""
    engine = fields_of("vllm/engine/arg_utils.py", "AsyncEngineArgs")
    frontend = fields_of("vllm/entrypoints/launchers/cli_args.py", "FrontendArgs")
    assert {"tensor_parallel_size", "quantization"} <= engine
    assert "tool_call_parser" in frontend | engine
    return engine | frontend


def alike(said: Any, parsed: Any) -> bool:
    """Whether two values mean the same: of JSON the parser makes objects, and members of enums, as the engine does."""
    if said in MODES and isinstance(parsed, int):
        return MODES.index(said) == parsed
    if isinstance(parsed, dict) and "_name_" in parsed:
        return said in (parsed["_name_"], parsed["_value_"])
    if isinstance(said, dict) and isinstance(parsed, dict):
        return all(key in parsed and alike(value, parsed[key]) for key, value in said.items())
    if isinstance(said, dict) and isinstance(parsed, str):
        return alike(said, json.loads(parsed))
    return bool(said == parsed)


@pytest.mark.parametrize(("path", "schema"), FLAGS)
def test_a_field_means_the_same_to_ray_or_is_refused(
    vllm: Parser, taken: set[str], path: tuple[str, ...], schema: dict[str, Any]
) -> None:
    for service in sample(path, schema).services:
        spec = service.spec.model_copy(update={"runtime": RAY_SERVE})
        if any(refused.asks(spec) for refused in REFUSED.values()):
            continue
        said, parsed = engine_of(spec), vllm.parse(argv(spec, "test"))
        assert "error" not in parsed
        assert said.keys() <= taken
        assert {key: (value, parsed[key]) for key, value in said.items() if not alike(value, parsed[key])} == {}


def test_no_flag_of_the_command_line_is_lost(vllm: Parser) -> None:
    """What differs from vLLM's defaults is told, or belongs to the server that Ray is in the place of."""
    spec = InferenceServiceSpec.model_validate(
        {
            "model": {"uri": "hf://org/name", "revision": "0123456"},
            "runtime": RAY_SERVE,
            "quantization": "awq",
            "maxModelLen": "auto",
            "kvCache": {"dtype": "fp8", "gpuMemoryUtilizationPercent": 85, "prefixCaching": False},
            "toolCallParser": "hermes",
            "allowedMediaDomains": ["one.example.com", "two.example.com"],
            "extraArgs": ["--seed=7"],
        }
    )
    said = engine_of(spec)
    parsed, default = vllm.parse(argv(spec, "test")), vllm.parse(["org/name"])
    changed = {name for name in parsed if parsed[name] != default[name]}
    of_server = {"host", "port", "shutdown_timeout", "disable_access_log_for_endpoints", "middleware"}
    assert changed - said.keys() - of_server == {"served_model_name"}
    assert said["revision"] == "0123456"
    assert said["max_model_len"] == parsed["max_model_len"] == -1
    assert said["allowed_media_domains"] == ["one.example.com", "two.example.com"]
    assert {f"--{name.replace('_', '-')}" for name in said} <= facts().keys()
