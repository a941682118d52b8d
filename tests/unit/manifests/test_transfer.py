"""The containers that copy from and to buckets: which there are, and that nobody else has the credentials."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from vllm_operator.cli.options import command_line
from vllm_operator.cli.render import render_file

BUCKET: dict[str, Any] = {"uri": "s3://data/in.jsonl", "objectStore": {"credentialsSecretName": "in-keys"}}
OUTPUT: dict[str, Any] = {
    "uri": "s3://data/out",
    "objectStore": {"endpoint": "http://127.0.0.1:9", "region": "eu", "credentialsSecretName": "out-keys"},
}
ON_CLAIM = {"uri": "pvc://data/out"}


def pods(folder: Path, source: dict[str, Any], output: dict[str, Any]) -> list[dict[str, Any]]:
    """The specs of the pods of all steps."""
    template = {"model": {"uri": "hf://a/b"}, "accelerator": {"product": "NVIDIA-L4"}}
    spec = {"template": template, "input": source, "output": output, "parallelism": 2}
    meta = {"name": "nightly"}
    body = {"apiVersion": "vllm-operator.dev/v1alpha1", "kind": "InferenceBatch", "metadata": meta, "spec": spec}
    (folder / "batch.yaml").write_text(yaml.safe_dump(body))
    (folder / "settings.yaml").write_text("images: {operator: operator:1}")
    return [job["spec"]["template"]["spec"] for job in render_file(folder / "batch.yaml", folder / "settings.yaml")]


def test_only_the_containers_that_copy_have_the_credentials(tmp_path: Path) -> None:
    for pod in pods(tmp_path, BUCKET, OUTPUT):
        (runner,) = pod["containers"]
        said = json.dumps([runner, pod["volumes"]])
        assert "-keys" not in said
        assert "AWS_" not in said
        for container in pod["initContainers"]:
            secrets = {one["name"]: one["valueFrom"]["secretKeyRef"]["name"] for one in container["env"]}
            assert set(secrets) == {f"{part}_AWS_{key}" for part in ("INPUT", "OUTPUT") for key in KEYS}
            assert {name[:2]: secret for name, secret in secrets.items()} == {"IN": "in-keys", "OU": "out-keys"}
        assert pod["automountServiceAccountToken"] is False


KEYS = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")


@pytest.mark.parametrize(
    ("source", "output", "names"),
    [
        (BUCKET, OUTPUT, ["fetch", "push"]),
        (BUCKET, ON_CLAIM, ["fetch"]),
        ({"uri": "pvc://data/in.jsonl"}, OUTPUT, ["fetch", "push"]),
        ({"uri": "pvc://data/in.jsonl"}, ON_CLAIM, []),
    ],
)
def test_what_is_on_claims_needs_no_copy(
    tmp_path: Path, source: dict[str, Any], output: dict[str, Any], names: list[str]
) -> None:
    for pod in pods(tmp_path, source, output):
        there = pod.get("initContainers", [])
        assert [one["name"] for one in there] == names
        assert [one.get("restartPolicy") for one in there] == [None, "Always"][: len(there)]
        volumes = {one["name"] for one in pod["volumes"]}
        for container in (*there, *pod["containers"]):
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        (runner,) = pod["containers"]
        assert ("--push=/batch/push" in runner["args"]) == ("push" in names)


def test_their_command_lines_are_understood(tmp_path: Path) -> None:
    steps = []
    for pod in pods(tmp_path, BUCKET, OUTPUT):
        for container in pod["initContainers"]:
            words = [word.replace("$(JOB_COMPLETION_INDEX)", "1") for word in container["args"]]
            given = command_line("vllm-operator").parse_args(words)
            assert (given.input_uri, given.input_endpoint, given.input_region) == ("s3://data/in.jsonl", None, None)
            assert (given.output_uri, given.output_endpoint, given.output_region) == (
                "s3://data/out",
                "http://127.0.0.1:9",
                "eu",
            )
            steps.append((given.action, given.step, given.index))
    assert steps == [
        (action, step, int(step == "run")) for step in ("check", "run", "merge") for action in ("fetch", "push")
    ]
