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


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        *[(name, "not-a-real-value", True) for name in (
            "HF_TOKEN", "hfToken", "AUTHTOKEN", "API_TOKENS", "TOKEN_FILE_SECRET", "PGPASSWORD", "DB_PASSWD", "APIKEY",
            "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "SOME_CREDENTIALS", "PROXY_AUTHORIZATION",
        )],
        *[(name, "Qwen/Qwen3-8B", False) for name in (
            "MODEL_TOKENIZER", "TOKENIZER", "TOKENIZER_REVISION", "TOKENS_PER_STEP", "MODEL", "DETOKENIZE_WITH",
        )],
        ("MAX_TOKENS", "131072", False),
        ("MAX_TOKEN", "131072", False),
        ("REDIS_PASSWORD", "131072", True),
    ],
)  # fmt: skip
def test_a_name_says_whether_its_value_is_a_credential(name: str, value: str, hidden: object) -> None:
    found = line(f"{name}={value}", "vllm", "serve", "org/m", f"--uds={value}")
    assert (value in found.report.secrets) == hidden
    assert (value in told(found)) != hidden


def test_the_model_may_come_from_a_variable_for_the_tokenizer() -> None:
    service = {"image": IMAGE, "environment": {"MODEL_TOKENIZER": "Qwen/Qwen3-8B"}, "command": "--model Qwen/Qwen3-8B"}
    found = of_text(json.dumps({"services": {"m": service}}))
    assert found.documents[-1]["spec"]["model"]["uri"] == "hf://Qwen/Qwen3-8B"


def named(name: str, key: str, model: str = "org/m") -> Imported:
    """What a Deployment comes to whose API key is written out."""
    pod = {"containers": [{"name": "vllm", "image": IMAGE, "args": [f"--model={model}", "--api-key", key]}]}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "team"}}
    return of_text(json.dumps({**body, "spec": {"template": {"spec": pod}}}))


@pytest.mark.parametrize(("name", "key"), [("qwen-chat", "qwen-chat"), ("my-qwen-chat-2", "qwen-chat")])
def test_a_service_keeps_a_name_that_is_its_key_as_well(name: str, key: str) -> None:
    found = named(name, key)
    assert "***" not in yaml.safe_dump(found.documents)
    assert found.documents[-1]["metadata"]["name"] == name
    (row,) = (row for row in found.report.rows if row.went == Went.LEFT)
    assert row.origin.what == f"name {name}"
    assert f"name {name} " in told(found)
    assert "--api-key ***" in told(found)


def test_objects_that_are_called_after_a_service_keep_their_names_as_well() -> None:
    claim, service = named("qwen-chat", "qwen-chat", "/srv/weights").documents
    assert claim["metadata"]["name"] == "qwen-chat-model"
    assert service["spec"]["model"]["uri"] == "pvc://qwen-chat-model/weights"
    assert service["spec"]["apiKeySecretRef"] == {"name": "qwen-chat-api-key", "key": "key"}


def beside(name: str, values: dict[str, str], *others: dict[str, Any], **annotations: str) -> Imported:
    """What a Deployment comes to that stands in one folder with a Secret and other objects."""
    metadata = {
        "name": name,
        "namespace": "team",
        "annotations": {f"example.com/{key}": annotations[key] for key in annotations},
    }
    pod = {"containers": [{"name": "vllm", "image": IMAGE, "args": ["--model=org/m"]}]}
    server = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": {"spec": pod}}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "litellm-db", "namespace": "team"}}
    bodies = [{**secret, "stringData": values}, *others, server]
    return of_text("\n---\n".join(map(json.dumps, bodies)))


@pytest.mark.parametrize("name", ["llm", "litellm", "my-litellm", "litellm-2"])
@pytest.mark.parametrize("annotation", ["postgresql://app:litellm@db/x", "app:litellm", "-plitellm", "pw litellm"])
def test_a_value_of_a_secret_that_is_a_name_as_well_is_hidden_in_other_texts(name: str, annotation: str) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "litellm", "namespace": "team"}}
    found = beside(name, {"password": "litellm"}, service, dsn=annotation)
    assert found.documents[-1]["metadata"]["name"] == name
    assert annotation not in yaml.safe_dump(found.documents) + told(found)
    (row,) = (row for row in found.report.rows if row.origin.what == "annotation example.com/dsn")
    assert row.went == Went.LEFT


@pytest.mark.parametrize("kind", ["Service", "Deployment", "ConfigMap"])
def test_objects_that_are_no_services_take_no_part_in_names(kind: str) -> None:
    other = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "redis-master", "namespace": "cache"}, "spec": {}}
    found = beside("redis-client", {"host": "redis-master"}, other, backend="redis-master", part="redis-client")
    assert not [row for row in found.report.rows if row.origin.what.startswith("name ")]
    assert found.documents[-1]["metadata"]["annotations"] == {"example.com/part": "redis-client"}


@pytest.mark.parametrize("key", ["secret", "generic", "kubectl", "literal", "create"])
def test_a_key_that_is_a_word_of_ours_spoils_no_command(key: str) -> None:
    command = "kubectl create secret generic m-api-key -n team --from-literal=key=REPLACE_ME"
    assert command in told(named("m", key)).splitlines()


@pytest.mark.parametrize("before", [0, 65])
def test_a_credential_is_hidden_before_a_row_is_cut(before: int) -> None:
    password = "not-a-real-password-of-many-letters"
    command = f"fetch {'x' * before} --from http://user:{password}@host.example.com/model"
    found = line("sh", "-c", f"DB_PASSWORD={password}\n{command}\nvllm serve org/m")
    assert "not-a-real" not in told(found)


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


# None of these is one.
TOKENS = (
    "hf_" + "a" * 12, "api_org_" + "a" * 12, "sk-" + "a" * 12, "ghp_" + "a" * 12, "github_pat_" + "a" * 12,
    "glpat-" + "a" * 12, "AKIA" + "A" * 16, "xoxb-" + "a" * 12, "AIza" + "a" * 24, "eyJ" + "a" * 12 + ".b.c",
    "nvapi-" + "a" * 12, "npm_" + "a" * 12, "dckr_pat_" + "a" * 12, "ya29." + "a" * 12,
    "SG." + "a" * 12 + "." + "b" * 60,
)  # fmt: skip


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_that_is_known_by_how_it_begins_is_not_printed(token: str) -> None:
    shown = told(line("vllm", "serve", "org/m", f"--odd-flag={token}", f"{token}-{'x' * 60}"))
    assert token[:14] not in shown
    assert "***" in shown
