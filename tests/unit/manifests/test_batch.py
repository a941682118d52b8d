"""What the containers of a batch's Jobs ask of a node, so that the quotas and limits of a namespace take them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from vllm_operator.api.quantities import exact
from vllm_operator.cli.render import render_file

ON_CLAIMS = {"input": {"uri": "pvc://data/in.jsonl"}, "output": {"uri": "pvc://data/out"}}
IN_BUCKETS = {"input": {"uri": "s3://data/in.jsonl"}, "output": {"uri": "s3://data/out"}}


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


def test_the_disk_for_what_is_in_buckets_is_as_the_template_says(tmp_path: Path) -> None:
    """A limit of our own would have pods evicted whose input is larger."""
    given = {"requests": {"ephemeral-storage": "50Gi"}, "limits": {"ephemeral-storage": "90Gi"}}
    runners = [one for one in containers(tmp_path, IN_BUCKETS, given) if one["name"] == "vllm"]
    assert len(runners) == 2
    for runner in runners:
        assert [runner["resources"][kind]["ephemeral-storage"] for kind in ("requests", "limits")] == ["50Gi", "90Gi"]
    for runner in containers(tmp_path, IN_BUCKETS, {}):
        assert "ephemeral-storage" not in {**runner["resources"]["requests"], **runner["resources"]["limits"]}
