"""The value of each field goes to vLLM's argv as the flag on the field says."""

from typing import Any

import pytest

from cluster.host import REPOSITORY
from vllm_operator.api.fields import Passed, fields
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.cli.service_file import services_in
from vllm_operator.vllm.argv import argv, flag_values

COMPLETE = REPOSITORY / "tests" / "control_plane" / "complete.yaml"
FIELDS = list(fields(InferenceServiceSpec))


def spec_of(**changes: Any) -> InferenceServiceSpec:
    """A spec with some fields beside the model."""
    return InferenceServiceSpec.model_validate({"model": {"uri": "hf://org/name"}, **changes})


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
        (
            "loader",
            {"model": {"uri": "hf://a/b", "loaderOptions": {"numThreads": 8}}},
            {"model-loader-extra-config": '{"enable_multithread_load": true, "num_threads": 8}'},
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
    assert {flag.passed for field in FIELDS for flag in field.flags if flag.name in flags} <= {passed}


def test_a_size_of_the_kv_cache_and_a_percentage_are_both_passed() -> None:
    found = flag_values(spec_of(kvCache={"memoryPerGPU": "1Gi", "gpuMemoryUtilizationPercent": 40}))
    assert found == {"kv-cache-memory-bytes": 2**30, "gpu-memory-utilization": "0.4"}


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


def test_an_older_vllm_gets_no_flag_that_it_lacks() -> None:
    def names(image: str) -> set[str]:
        return {one.split("=")[0] for one in argv(spec_of(image=image), "test")}

    now, before = names("vllm/vllm-openai:v0.32.0"), names("vllm/vllm-openai:v0.15.1")
    assert now - before == {"--shutdown-timeout", "--disable-access-log-for-endpoints"}
    assert names("vllm/vllm-openai:v0.17.1") == now - {"--shutdown-timeout"}
    assert names("vllm/vllm-openai:nightly") == now


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"uri": "s3://bucket/models/a/"}, "s3://bucket/models/a"),
        ({"uri": "gs://bucket/a"}, "gs://bucket/a"),
        ({"uri": "oci://registry/a:1"}, "/model-image"),
        ({"uri": "oci://registry/a:1", "imagePath": "models/a"}, "/model-image/models/a"),
    ],
)
def test_what_vllm_is_told_of_a_model(model: dict[str, Any], told: str) -> None:
    assert argv(spec_of(model=model), "a")[0] == told


@pytest.mark.parametrize(
    ("model", "flags"),
    [
        ({"format": "mistral"}, {"--config-format=mistral", "--load-format=mistral", "--tokenizer-mode=mistral"}),
        (
            {"format": "hf", "loadFormat": "fastsafetensors"},
            {"--config-format=hf", "--load-format=fastsafetensors", "--tokenizer-mode=hf"},
        ),
        ({"loadFormat": "sharded_state"}, {"--load-format=sharded_state"}),
        ({}, set()),
    ],
)
def test_formats(model: dict[str, Any], flags: set[str]) -> None:
    given = argv(spec_of(model={"uri": "hf://a/b", **model}), "a")
    assert {
        one for one in given if one.partition("=")[0][2:] in ("config-format", "load-format", "tokenizer-mode")
    } == (flags)
