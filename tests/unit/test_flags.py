"""The flag of each field stands on the field, and from there its value goes to vLLM's argv."""

from typing import Any, get_args

import pytest

from cluster.host import REPOSITORY
from vllm_operator.api.base import ApiModel, optional, required
from vllm_operator.api.fields import Flag, Passed, SpecField, fields
from vllm_operator.api.flags import EXTRA_SWITCH_FLAGS, EXTRA_VALUE_FLAGS, field_of_flag
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.cli.service_file import services_in
from vllm_operator.vllm.argv import argv, flag_values

COMPLETE = REPOSITORY / "tests" / "control_plane" / "complete.yaml"
FIELDS = list(fields(InferenceServiceSpec))


def spec_of(**changes: Any) -> InferenceServiceSpec:
    """A spec with some fields beside the model."""
    return InferenceServiceSpec.model_validate({"model": {"uri": "hf://org/name"}, **changes})


class Inner(ApiModel):
    """Holds a switch, and a field that rolls nothing."""

    cold_start: bool | None = optional("A switch.", True, flag="cold-start")
    note: str | None = optional("Rolls nothing.", "x", rolls=False)


class Outer(ApiModel):
    """Holds an object, a field with two flags, and an object that rolls nothing."""

    deep: Inner | None = optional("An object.", {"note": "x"}, flag=Flag("deep", "presence"))
    parser: str = required("Two flags.", "x", flag=("parser", Flag("auto-parser", "otherwise")))
    still: Inner | None = optional("Rolls nothing.", {"note": "x"}, rolls=False)


def test_fields_come_in_order_with_what_they_say() -> None:
    assert list(fields(Outer)) == [
        SpecField("deep", ("deep",), (Flag("deep", "presence"),), rolls=True, switch=False),
        SpecField("deep.coldStart", ("deep", "cold_start"), (Flag("cold-start"),), rolls=True, switch=True),
        SpecField("deep.note", ("deep", "note"), (), rolls=False, switch=False),
        SpecField("parser", ("parser",), (Flag("parser"), Flag("auto-parser", "otherwise")), rolls=True, switch=False),
        SpecField("still", ("still",), (), rolls=False, switch=False),
        SpecField("still.coldStart", ("still", "cold_start"), (Flag("cold-start"),), rolls=False, switch=True),
        SpecField("still.note", ("still", "note"), (), rolls=False, switch=False),
    ]


def test_a_field_within_nothing_has_no_value() -> None:
    deep, cold_start, *_ = fields(Outer)
    assert cold_start.value_in(Outer.model_validate({"parser": "x"})) is None
    outer = Outer.model_validate({"parser": "x", "deep": {"coldStart": False}})
    assert (deep.value_in(outer), cold_start.value_in(outer)) == (Inner(cold_start=False), False)


def test_a_flag_belongs_to_one_field_and_is_not_in_extra_args() -> None:
    names = [f"--{flag.name}" for field in FIELDS for flag in field.flags]
    for name in names:
        assert names.count(name) == 1, f"{name} stands on two fields"
        assert name not in (*EXTRA_VALUE_FLAGS, *EXTRA_SWITCH_FLAGS), (
            f"{name} is set by spec.{field_of_flag(InferenceServiceSpec)[name]}: take it out of api/flags.py"
        )


def test_a_flag_is_told_by_its_field_and_a_switch_by_both_its_forms() -> None:
    carried = field_of_flag(InferenceServiceSpec)
    assert carried["--gpu-memory-utilization"] == "kvCache.gpuMemoryUtilizationPercent"
    assert carried["--enforce-eager"] == carried["--no-enforce-eager"] == "enforceEager"
    assert "--no-block-size" not in carried


@pytest.mark.parametrize(
    ("passed", "changes", "flags"),
    [
        ("value", {"kvCache": {"blockSize": 16}}, {"block-size": 16}),
        ("fraction", {"kvCache": {"gpuMemoryUtilizationPercent": 90}}, {"gpu-memory-utilization": "0.9"}),
        ("bytes", {"kvCache": {"memoryPerGPU": "1Gi"}}, {"kv-cache-memory-bytes": 2**30}),
        ("GiB", {"kvCache": {"cpuOffload": "1536Mi"}}, {"kv-offloading-size": "1.5"}),
        (
            "location",
            {"model": {"uri": "pvc://a/b", "tokenizer": {"uri": "pvc://c/d"}}},
            {"tokenizer": "/models/c/d"},
        ),
        (
            "JSON",
            {"speculative": {"method": "eagle", "model": "hf://a/b", "numSpeculativeTokens": 2}},
            {"speculative-config": '{"method": "eagle", "model": "a/b", "num_speculative_tokens": 2}'},
        ),
        ("presence", {"lora": {"adapters": [{"name": "a", "uri": "pvc://a/b"}]}}, {"enable-lora": True}),
        (
            "path",
            {"chatTemplate": {"configMapKeyRef": {"name": "a", "key": "b"}}},
            {"chat-template": "/etc/vllm/chat-template/template.jinja"},
        ),
        ("otherwise", {"rollout": {"drainTimeoutSeconds": 5}}, {}),
    ],
)
def test_a_value_is_passed_as_its_field_says(passed: Passed, changes: dict[str, Any], flags: dict[str, Any]) -> None:
    assert flag_values(spec_of(**changes)) == flags


def test_every_way_to_pass_a_value_is_used() -> None:
    assert {flag.passed for field in FIELDS for flag in field.flags} == set(get_args(Passed))


def test_a_switch_has_two_forms_in_argv() -> None:
    assert "--enforce-eager" in argv(spec_of(enforceEager=True), "test")
    assert "--no-enforce-eager" in argv(spec_of(enforceEager=False), "test")


@pytest.mark.parametrize("model", [{"uri": "hf://org/name"}, {"uri": "hf://org/name", "revision": "main"}])
def test_the_commit_stands_for_the_branch(model: dict[str, Any]) -> None:
    assert "--revision=abc" in argv(spec_of(model=model), "test", commit="abc")


# The first argument of `vllm serve`, and what reaches it as HF_TOKEN and VLLM_API_KEY.
WITHOUT_A_FLAG = {"model", "hf-token", "api-key"}


def test_a_flag_that_is_passed_otherwise_is_passed() -> None:
    (service,) = services_in(COMPLETE)
    names = {argument.partition("=")[0] for argument in argv(InferenceServiceSpec.model_validate(service["spec"]), "a")}
    for field in FIELDS:
        for flag in field.flags:
            if flag.passed == "otherwise" and flag.name not in WITHOUT_A_FLAG:
                assert f"--{flag.name}" in names, f"spec.{field.path} says `otherwise`, but argv() does not pass it"
