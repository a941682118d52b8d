"""A credential of a source is in no manifest, wherever a script or a variable carries it to; its flag is left out."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.imports import of_text
from vllm_operator.cli.importing.command import told
from vllm_operator.cli.importing.documents import Sources, read
from vllm_operator.cli.importing.imports import Imported, imported
from vllm_operator.cli.importing.report import Went
from vllm_operator.cli.importing.sources.command_line import document_of
from vllm_operator.settings import Settings

VALUE = "not-a-real-password"
FLAG = "--otlp-traces-endpoint=http://user:{}@host"
EXPORT = f"export REDIS_PASSWORD={VALUE}\nvllm serve org/m {FLAG.format('$REDIS_PASSWORD')} --max-model-len 4096"
DOCKER = EXPORT.replace("vllm serve", "docker run vllm/vllm-openai --model")
ENV = [{"name": "REDIS_PASSWORD", "value": VALUE}]
ARGS = ["--max-model-len=4096", FLAG.format("$(REDIS_PASSWORD)")]
IMAGE = "vllm/vllm-openai:latest"


def line(*words: str) -> Imported:
    """What a command line comes to."""
    return imported(Sources(documents=[document_of(words, 0)]), Settings())


def deployment(**container: Any) -> Imported:
    """What a Deployment comes to."""
    pod = {"containers": [{"name": "vllm", "image": IMAGE, **container}]}
    spec = {"template": {"spec": pod}}
    return of_text(json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "m"}, "spec": spec}))


def kserve() -> Imported:
    """What an LLMInferenceService comes to."""
    container = {"name": "main", "env": ENV, "args": ARGS}
    spec = {"model": {"uri": "hf://org/m"}, "template": {"containers": [container]}}
    body = {"apiVersion": "serving.kserve.io/v1alpha1", "kind": "LLMInferenceService", "metadata": {"name": "m"}}
    return of_text(json.dumps({**body, "spec": spec}))


def app_template() -> Imported:
    """What values of app-template come to."""
    image = {"repository": "vllm/vllm-openai", "tag": "latest"}
    container = {"image": image, "env": {"REDIS_PASSWORD": VALUE}, "args": ["--model=org/m", *ARGS]}
    return of_text(json.dumps({"controllers": {"m": {"containers": {"app": container}}}}))


def chart() -> Imported:
    """What values of vLLM's chart come to."""
    image = {"repository": "vllm/vllm-openai", "tag": "latest", "command": ["vllm", "serve", "org/m", *ARGS]}
    return of_text(json.dumps({"image": image, "env": ENV}))


def compose() -> Imported:
    """What a docker-compose.yaml comes to."""
    script = f"vllm serve org/m --max-model-len 4096 {FLAG.format('$$REDIS_PASSWORD')}"
    service = {"image": IMAGE, "environment": {"REDIS_PASSWORD": VALUE}, "entrypoint": ["sh", "-c", script]}
    return of_text(json.dumps({"services": {"m": service}}))


@pytest.mark.parametrize(
    "found",
    [
        line("sh", "-c", EXPORT),
        line("sh", "-c", DOCKER),
        line(f"REDIS_PASSWORD={VALUE}", "vllm", "serve", "org/m", FLAG.format(VALUE), "--max-model-len=4096"),
        line("docker", "run", "-e", f"REDIS_PASSWORD={VALUE}", IMAGE, "--model=org/m", *ARGS[:1], FLAG.format(VALUE)),
        deployment(command=["sh", "-c", EXPORT]),
        deployment(args=["--model=org/m", *ARGS], env=ENV),
        kserve(),
        app_template(),
        chart(),
        compose(),
    ],
)
def test_a_flag_with_a_credential_is_left_out(found: Imported) -> None:
    printed = yaml.safe_dump(found.documents) + told(found)
    assert VALUE not in printed
    assert "***" not in yaml.safe_dump(found.documents)
    spec = found.documents[-1]["spec"]
    assert spec["maxModelLen"] == 4096
    assert "extraArgs" not in spec
    assert [row for row in found.report.rows if row.went == Went.LEFT and "holds a credential" in row.text]


def test_a_reference_to_the_host_is_no_credential() -> None:
    found = line("docker", "run", "-e", "HF_TOKEN", "-e", "REDIS_PASSWORD=${HF_TOKEN}", IMAGE, "--model=org/m")
    assert not found.report.secrets


def test_a_credential_that_docker_compose_fills_in_is_left_out(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"REDIS_PASSWORD={VALUE}\n")
    service = {"image": IMAGE, "command": ["--model=org/m", FLAG.format("${REDIS_PASSWORD}")]}
    (tmp_path / "compose.yaml").write_text(json.dumps({"services": {"m": service}}))
    found = imported(read(tmp_path / "compose.yaml"), Settings())
    assert VALUE not in yaml.safe_dump(found.documents) + told(found)
    assert "extraArgs" not in found.documents[-1]["spec"]
    assert found.report.lost
