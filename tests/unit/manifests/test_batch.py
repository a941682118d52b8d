"""The containers of a batch's Jobs: what they ask of a node, which quotas and limits have to take, and are told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from vllm_operator.api.batch import InferenceBatch, InferenceBatchSpec
from vllm_operator.api.quantities import exact
from vllm_operator.api.resource import InferenceService
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.cli.render import render_file
from vllm_operator.manifests.batch import BatchParts, check_job
from vllm_operator.manifests.pod import Rendering
from vllm_operator.settings import Settings

ON_CLAIMS = {"input": {"uri": "pvc://data/in.jsonl"}, "output": {"uri": "pvc://data/out"}}
IN_BUCKETS = {"input": {"uri": "s3://data/in.jsonl"}, "output": {"uri": "s3://data/out"}}


FROM_HUB = {"uri": "hf://a/b"}


@pytest.mark.parametrize(
    ("template", "counts"),
    [
        ({"model": FROM_HUB}, ["--tokenizer=a/b"]),
        ({"model": {**FROM_HUB, "revision": "v1"}}, ["--tokenizer=a/b", "--tokenizer-revision=v1"]),
        ({"model": {"uri": "pvc://models/llama"}}, ["--tokenizer=/models/models/llama"]),
        ({"model": {"uri": "oci://r.io/m:1", "imagePath": "one"}}, ["--tokenizer=/model-image/one"]),
        ({"model": {**FROM_HUB, "tokenizer": {"uri": "hf://c/d"}}}, ["--tokenizer=c/d"]),
        (
            {"model": {**FROM_HUB, "revision": "v1", "tokenizer": {"uri": "hf://c/d"}}},
            ["--tokenizer=c/d", "--tokenizer-revision=v1"],
        ),
        (
            {"model": {**FROM_HUB, "revision": "v1", "tokenizer": {"uri": "hf://c/d", "revision": "v2"}}},
            ["--tokenizer=c/d", "--tokenizer-revision=v2"],
        ),
        ({"model": {**FROM_HUB, "format": "mistral"}}, []),
        ({"model": FROM_HUB, "extraArgs": ["--tokenizer-mode=mistral"]}, []),
        (
            {"model": FROM_HUB, "chatTemplate": {"fromImage": "tool_chat_template_gemma4"}},
            ["--tokenizer=a/b", "--not-of-chats"],
        ),
        (
            {"model": FROM_HUB, "extraArgs": ['--default-chat-template-kwargs={"enable_thinking": false}']},
            ["--tokenizer=a/b", "--not-of-chats"],
        ),
    ],
)
def test_the_check_counts_tokens_as_vllm_does(template: dict[str, Any], counts: list[str]) -> None:
    for length, commit in (("auto", ""), (4096, ""), (4096, "abc")):
        spec = InferenceServiceSpec.model_validate({"maxModelLen": length, **template})
        batch = InferenceBatchSpec.model_validate({**ON_CLAIMS, "template": {"model": FROM_HUB}})
        one = InferenceBatch("team-a", "nightly", "", 1, batch, None)
        engine = InferenceService("team-a", "nightly", "", 1, spec)
        parts = BatchParts(one, engine, Settings(), Rendering(commit or None))
        words = check_job(parts)["spec"]["template"]["spec"]["containers"][0]["args"]
        found = [word for word in words if word.startswith(("--tokenizer", "--not-of-chats"))]
        pinned = counts and commit and not (spec.model.tokenizer and spec.model.tokenizer.revision)
        others = [word for word in counts if not (pinned and word.startswith("--tokenizer-revision="))]
        expected = {*others, *([f"--tokenizer-revision={commit}"] if pinned else [])}
        assert set(found) == (expected if length == 4096 else set())


def containers(folder: Path, where: dict[str, Any], resources: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Those of all Jobs but the one whose pods have devices, and those beside vLLM's in that."""
    template = {"model": {"uri": "hf://a/b"}, "accelerator": {"product": "NVIDIA-L4"}, "resources": resources}
    meta, spec = {"name": "nightly"}, {"template": template, **where}
    body = {"apiVersion": "vllm-operator.dev/v1alpha1", "kind": "InferenceBatch", "metadata": meta, "spec": spec}
    (folder / "batch.yaml").write_text(yaml.safe_dump(body))
    (folder / "settings.yaml").write_text("images: {operator: operator:1}")
    for job in render_file(folder / "batch.yaml", folder / "settings.yaml"):
        pod = job["spec"]["template"]["spec"]
        runs = "run" in pod["containers"][0]["args"]
        yield from [*pod.get("initContainers", ()), *([] if runs else pod["containers"])]


@pytest.mark.parametrize(("where", "names"), [(ON_CLAIMS, ("ephemeral-storage",)), (IN_BUCKETS, ())])
def test_a_quota_or_limits_of_a_namespace_take_all_jobs(
    tmp_path: Path, where: dict[str, Any], names: tuple[str, ...]
) -> None:
    found = list(containers(tmp_path, where, {}))
    assert len(found) >= 2
    for container in found:
        resources = container["resources"]
        for name in ("cpu", "memory", *names):
            asked, most = (exact(resources[kind][name]) for kind in ("requests", "limits"))
            assert asked <= most <= 10 * asked


@pytest.mark.parametrize("where", [ON_CLAIMS, IN_BUCKETS])
def test_steps_without_devices_see_none_of_the_nodes(tmp_path: Path, where: dict[str, Any]) -> None:
    runners = [one for one in containers(tmp_path, where, {}) if one["name"] == "vllm"]
    assert len(runners) == 2
    for runner in runners:
        found = [one["value"] for one in runner["env"] if one["name"] == "NVIDIA_VISIBLE_DEVICES"]
        assert found == ["void"]


def test_the_disk_for_what_is_in_buckets_is_as_the_template_says(tmp_path: Path) -> None:
    """A limit of our own would have pods evicted whose input is larger."""
    given = {"requests": {"ephemeral-storage": "50Gi"}, "limits": {"ephemeral-storage": "90Gi"}}
    runners = [one for one in containers(tmp_path, IN_BUCKETS, given) if one["name"] == "vllm"]
    assert len(runners) == 2
    for runner in runners:
        assert [runner["resources"][kind]["ephemeral-storage"] for kind in ("requests", "limits")] == ["50Gi", "90Gi"]
    for runner in containers(tmp_path, IN_BUCKETS, {}):
        assert "ephemeral-storage" not in {**runner["resources"]["requests"], **runner["resources"]["limits"]}
