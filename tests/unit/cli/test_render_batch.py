"""`vllm-operator render` of batches: what keeps one from being rendered is one sentence."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from vllm_operator.cli.class_file import ClassInputError
from vllm_operator.cli.render import RenderError, render_file

LEAST: dict[str, Any] = {
    "template": {"model": {"uri": "hf://a/b"}, "accelerator": {"product": "NVIDIA-L4"}},
    "input": {"uri": "pvc://data/in.jsonl"},
    "output": {"uri": "pvc://data/out"},
}


def render(folder: Path, **spec: Any) -> list[dict[str, Any]]:
    given = {key: value for key, value in {**LEAST, **spec}.items() if value is not None}
    body = {
        "apiVersion": "vllm-operator.dev/v1alpha1",
        "kind": "InferenceBatch",
        "metadata": {"name": "b"},
        "spec": given,
    }
    file = folder / "batch.yaml"
    file.write_text(yaml.safe_dump(body))
    return render_file(file, None)


def test_a_batch_is_three_jobs(tmp_path: Path) -> None:
    assert [job["metadata"]["name"] for job in render(tmp_path)] == ["b-check", "b-run", "b-merge"]


def test_what_the_api_server_would_refuse(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="gs:// is not for batches: use s3://bucket/path or pvc://claim/path"):
        render(tmp_path, input={"uri": "gs://b/in.jsonl"})


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            {"template": None, "serviceRef": {"name": "x"}},
            "serviceRef names x: put that InferenceService into the same",
        ),
        ({"template": {**LEAST["template"], "image": "evil:1"}}, "allowedImages"),
        ({"template": {**LEAST["template"], "tensorParallelSize": "auto"}}, "auto is chosen in a cluster"),
        ({"servingClassName": "h100"}, "there is no ServingClass h100"),
        ({"output": {"uri": "s3://data/out"}}, "does not know its own image (setting images.operator), which copies"),
    ],
)
def test_what_the_operator_would_refuse(tmp_path: Path, spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ClassInputError) as error:
        render(tmp_path, **spec)
    assert said in str(error.value)


@pytest.mark.parametrize("written", [True, False], ids=["of the service", "of its class"])
@pytest.mark.parametrize(("mode", "claim"), [("ReadWriteMany", "llama-cache"), ("ReadWriteOnce", None)])
def test_the_cache_of_a_service(tmp_path: Path, mode: str, claim: str | None, *, written: bool) -> None:
    cache = {"storage": "100Gi", "accessMode": mode}
    lends: dict[str, Any] = {**LEAST["template"], **({"cache": {"claim": cache}} if written else {})}
    own = {"default": True, **({} if written else {"cache": cache})}
    refers = {"serviceRef": {"name": "llama"}, "input": LEAST["input"], "output": LEAST["output"], "parallelism": 4}
    kinds = [("ServingClass", "h100", own), ("InferenceService", "llama", lends), ("InferenceBatch", "b", refers)]
    file = tmp_path / "all.yaml"
    file.write_text(
        yaml.safe_dump_all(
            {"apiVersion": "vllm-operator.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
            for kind, name, spec in kinds
        )
    )
    (run,) = (one for one in render_file(file, None) if one["metadata"]["name"] == "b-run")
    volumes = {one["name"]: one for one in run["spec"]["template"]["spec"]["volumes"]}
    assert volumes["cache"].get("persistentVolumeClaim", {}).get("claimName") == claim
