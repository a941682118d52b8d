"""What docker compose fills in and counts in its own way."""

from typing import Any

import pytest

from support.imports import of_text, said_of
from vllm_operator.cli.importing.imports import Imported
from vllm_operator.cli.importing.report import Went
from vllm_operator.cli.importing.sources.compose import in_docker
from vllm_operator.cli.importing.values import UnfitError


def compose(service: str, others: str = "") -> Imported:
    """A docker-compose.yaml with a service that runs vLLM."""
    return of_text(f"services:\n  llm: {{image: vllm/vllm-openai, command: [--model, org/m], {service}}}\n{others}")


def spec(service: str) -> dict[str, Any]:
    """The spec that it comes to."""
    found: dict[str, Any] = compose(service).documents[-1]["spec"]
    return found


@pytest.mark.parametrize("environment", ["{HF_TOKEN: }", "{HF_TOKEN: null}", "[HF_TOKEN]", '{HF_TOKEN: "${HF_TOKEN}"}'])
def test_a_token_of_whoever_starts_it_is_a_reference(environment: str) -> None:
    found = spec(f"environment: {environment}")
    assert found["model"]["tokenSecretRef"] == {"name": "llm-hf-token", "key": "token"}


@pytest.mark.parametrize("environment", ["{VLLM_LOGGING_LEVEL: }", "[VLLM_LOGGING_LEVEL]"])
def test_another_variable_of_whoever_starts_it_is_left_out(environment: str) -> None:
    found = compose(f"environment: {environment}")
    assert "env" not in found.documents[-1]["spec"]
    assert [went for went, _ in said_of(found, "environment VLLM_LOGGING_LEVEL")] == [Went.LEFT]


def test_variables_are_filled_in_wherever_they_stand() -> None:
    devices = "devices: [{driver: nvidia, count: '${GPUS:-2}', capabilities: [gpu]}]"
    resources = "{limits: {memory: '${MEMORY-64G}'}, reservations: {" + devices + "}}"
    found = compose("deploy: {replicas: '${REPLICAS:-3}', resources: " + resources + "}")
    service = found.documents[-1]["spec"]
    assert service["replicas"] == 3
    assert service["resources"] == {"limits": {"memory": "64Gi"}}
    assert [text for _, text in said_of(found, "nvidia.com/gpu=2")]


@pytest.mark.parametrize(
    ("deploy", "what"),
    [
        ("replicas: '${REPLICAS}'", "deploy.replicas"),
        ("resources: {reservations: {devices: [{count: '${GPUS}', capabilities: [gpu]}]}}", "gpus ${GPUS}"),
    ],
)
def test_a_variable_that_is_not_known_has_its_row(deploy: str, what: str) -> None:
    assert [went for went, _ in said_of(compose(f"deploy: {{{deploy}}}"), what)] == [Went.LEFT]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64G", "64Gi"), ("64g", "64Gi"), ("64GB", "64Gi"), ("64GiB", "64Gi"), ("1.5g", "1.5Gi"), ("512m", "512Mi"),
        ("512 mb", "512Mi"), ("100k", "100Ki"), ("1t", "1Ti"), ("1024", "1Ki"), ("2048b", "2Ki"),
    ],
)  # fmt: skip
def test_units_of_docker_are_binary(text: str, size: str) -> None:
    assert in_docker(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1g", "1.2.3g"])
def test_what_is_no_size_is_said(text: str) -> None:
    with pytest.raises(UnfitError):
        in_docker(text)


@pytest.mark.parametrize(
    ("other", "went"),
    [
        ("{extends: {service: llm}, ports: ['1:1']}", Went.LEFT),
        ("{extends: llm}", Went.LEFT),
        ("{extends: {file: base.yaml, service: llm}}", Went.LEFT),
        ("{extends: {service: web}}", Went.STAYS),
        ("{extends: {service: llm}, image: nginx}", Went.STAYS),
        ("{image: nginx}", Went.STAYS),
    ],
)
def test_a_service_that_extends_vllms_is_told(other: str, went: Went) -> None:
    found = compose("init: true", f"  other: {other}\n  web: {{image: nginx}}\n")
    assert [one for one, _ in said_of(found, "service other")] == [went]


@pytest.mark.parametrize(
    ("service", "what", "went"),
    [
        ("platform: linux/arm64", "platform", Went.LEFT),
        ("group_add: [video]", "group_add", Went.LEFT),
        ("deploy: {mode: global}", "deploy.mode", Went.LEFT),
        ("deploy: {mode: replicated}", "deploy.mode", Went.OPERATOR),
        ("deploy: {placement: {constraints: [node.role == worker]}}", "deploy.placement", Went.LEFT),
        ("deploy: {update_config: {order: start-first}}", "deploy.update_config", Went.LEFT),
    ],
)
def test_a_setting_that_only_has_a_field_to_see_is_left_out(service: str, what: str, went: Went) -> None:
    assert [one for one, _ in said_of(compose(service), what)] == [went]
