"""`$` in any string of a spec, and in the settings, arrives in the container as it was written."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from support.every_field import SAMPLES, dotted, set_to, spec_schema
from support.expansion import expanded, started
from vllm_operator.api.resource import InferenceService
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.manifests import inspection, pod_template
from vllm_operator.settings import Settings

SECRET = "correct-horse-Battery9"
WRITTEN = "x$(HF_TOKEN)$$y$(VLLM_API_KEY)$z$"
TOKEN = {"tokenSecretRef": {"name": "hf", "key": "token"}}


def containers(spec: dict[str, Any], settings: Settings) -> Iterator[dict[str, Any]]:
    """The containers that run for a spec, which has a token and an API key."""
    whole = {**spec, "model": {**spec["model"], **TOKEN}, "apiKeySecretRef": {"name": "key", "key": "token"}}
    service = InferenceService("default", "test", "7f0c", 1, InferenceServiceSpec.model_validate(whole))
    yield pod_template(service, settings)["spec"]["containers"][0]
    yield inspection(service, settings)["spec"]["template"]["spec"]["containers"][0]


def texts(path: tuple[str, ...], schema: dict[str, Any]) -> Iterator[Any]:
    """Values with `$` that a field's schema has a place for."""
    if path[-1] == "uri" or path[-2:] == ("speculative", "model"):
        yield f"hf://org/{WRITTEN}"
    elif schema.get("type") == "string" and "enum" not in schema:
        yield WRITTEN
    elif schema.get("type") == "array" and "properties" not in schema["items"]:
        yield [f"--otlp-traces-endpoint=http://{WRITTEN}"]
    elif schema.get("type") == "object":
        yield {"key": WRITTEN}


FIELDS = [(path, value) for path, schema in SAMPLES for value in texts(path, schema)]


@pytest.mark.parametrize(("path", "value"), FIELDS, ids=lambda field: dotted(field) if isinstance(field, tuple) else "")
def test_no_string_of_the_spec_brings_a_secret_along(path: tuple[str, ...], value: Any) -> None:
    try:
        found = list(containers(set_to(value, path, spec_schema()), Settings()))
    except ValidationError:
        return  # refused
    for container in found:
        words, environment = started(container, {"token": SECRET})
        owned = {"HF_TOKEN", "VLLM_API_KEY"}
        shown = [*words, *(text for name, text in environment.items() if name not in owned)]
        assert not [text for text in shown if SECRET in text]
        for text in (text for text in shown if "$" in text):
            assert WRITTEN in text


def test_an_argument_and_a_variable_arrive_as_written() -> None:
    spec = {
        "model": {"uri": "hf://org/name"},
        "extraArgs": [f"--otlp-traces-endpoint=http://{WRITTEN}"],
        "env": [{"name": "OTEL_SERVICE_NAME", "value": WRITTEN}],
    }
    words, environment = started(next(containers(spec, Settings())), {"token": SECRET})
    assert f"--otlp-traces-endpoint=http://{WRITTEN}" in words
    assert environment["OTEL_SERVICE_NAME"] == WRITTEN


def test_a_setting_arrives_as_written() -> None:
    proxy = "http://user:pa$$word@proxy:3128"
    for container in containers({"model": {"uri": "hf://org/name"}}, Settings(https_proxy=proxy)):
        assert started(container, {"token": SECRET})[1]["HTTPS_PROXY"] == proxy


def test_the_tests_know_how_kubernetes_expands() -> None:
    variables = {"A": "1"}
    cases = {"$(A)": "1", "$$(A)": "$(A)", "$(B)": "$(B)", "$A": "$A", "$$$$": "$$", "$(A": "$(A", "x$": "x$"}
    assert {text: expanded(text, variables) for text in cases} == cases
