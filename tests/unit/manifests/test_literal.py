"""`$` in any string of a spec, and in the settings, arrives in the container as it was written."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from support.every_field import SAMPLES, dotted, leaves, set_to, spec_schema, two_values
from support.expansion import expanded, started
from vllm_operator.api.batch import InferenceBatch, InferenceBatchSpec
from vllm_operator.api.crd import INFERENCE_BATCH, custom_resource_definition
from vllm_operator.api.resource import InferenceService
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.manifests import inspection, pod_template
from vllm_operator.manifests.batch import BatchParts, check_job, inspect_job, merge_job, run_job
from vllm_operator.manifests.download import download
from vllm_operator.manifests.metadata import Manifest
from vllm_operator.settings import Images, Settings

SECRET = "correct-horse-Battery9"
# Short, as some fields are.
WRITTEN = ("x$(HF_TOKEN)$$y$", "$(VLLM_API_KEY)$z")
TOKEN = {"tokenSecretRef": {"name": "hf", "key": "token"}}
KEY = {"apiKeySecretRef": {"name": "key", "key": "token"}}
CACHE = {"cache": {"claim": {"storage": "10Gi", "accessMode": "ReadWriteMany"}}}
SETTINGS = Settings(images=Images(operator="operator:1"))
STORE = {"endpoint": "http://s3:9000", "region": "eu", "credentialsSecretName": "keys"}
ON_BUCKETS: dict[str, Any] = {
    "servingClassName": "h100",
    "serviceRef": {"name": "llama"},
    "input": {"uri": "s3://data/in.jsonl", "objectStore": STORE},
    "output": {"uri": "s3://data/out", "objectStore": STORE},
}
ON_CLAIMS: dict[str, Any] = {"input": {"uri": "pvc://data/in.jsonl"}, "output": {"uri": "pvc://data/out"}}
OF_A_CONFIG_MAP: dict[str, Any] = {**ON_CLAIMS, "input": {"configMapKeyRef": {"name": "in", "key": "in.jsonl"}}}
# The fields that take `$` and go to a container. All others refuse it, or go elsewhere.
ARRIVE = {
    *("model.uri", "model.tokenizer.uri", "model.classifier.classifierFromToken", "model.loadFormat", "quantization"),
    *("lora.adapters[].uri", "speculative.model", "speculative.quantization", "kvCache.offloadBackend"),
    *("tuning.reasoning.reasoningStartStr", "tuning.reasoning.reasoningEndStr", "extraArgs", "env[].value"),
    "tuning.compilation.passConfig",
}
# Kubernetes, or LeaderWorkerSet, sets these variables in pods.
OURS = {
    "--index=$(JOB_COMPLETION_INDEX)",
    "--node-rank=$(LWS_WORKER_INDEX)",
    "--master-addr=$(LWS_LEADER_ADDRESS)",
}
ARRIVE_OF_A_BATCH = {"input.uri", "output.uri"}


def containers_of(pod: Manifest) -> Iterator[Manifest]:
    """All containers of a template, or of a Job."""
    spec = pod["spec"].get("template", pod)["spec"]
    yield from (*spec.get("initContainers", ()), *spec["containers"])


def service_of(spec: dict[str, Any]) -> InferenceService:
    """A service that has a token, an API key and a cache as well. Raises ValidationError."""
    beside = (KEY if "apiKeySecretRefs" not in spec else {}) | CACHE
    whole = {**beside, **spec, "model": {**TOKEN, **spec["model"]}}
    return InferenceService("default", "test", "7f0c", 1, InferenceServiceSpec.model_validate(whole))


def containers(spec: dict[str, Any], settings: Settings = SETTINGS) -> Iterator[Manifest]:
    """The containers that run for a spec: of a service, of its Jobs, and of the Jobs of a batch of that engine."""
    service = service_of(spec)
    yield from containers_of(pod_template(service, settings))
    yield from containers_of(inspection(service, settings))
    yield from containers_of(download(service, "c" * 40, (), settings))
    yield from of_a_batch(ON_BUCKETS, service, settings)


def of_a_batch(spec: dict[str, Any], engine: InferenceService, settings: Settings = SETTINGS) -> Iterator[Manifest]:
    """The containers of a batch's Jobs. Raises ValidationError."""
    batch = InferenceBatch("default", "test", "7f0c", 1, InferenceBatchSpec.model_validate(spec))
    parts = BatchParts(batch, engine, settings)
    for made in (inspect_job, check_job, run_job, merge_job):
        yield from containers_of(made(parts))


class Secrets(dict[str, str]):
    """Every key of every Secret."""

    def __missing__(self, _: str) -> str:
        return SECRET


def shown(found: Iterator[Manifest], written: str) -> bool:
    """Whether what was written has arrived. Where it is, nothing is another text, and nowhere is a Secret's value."""
    texts: list[str] = []
    for container in found:
        words, environment = started({"args": (), "env": (), **container}, Secrets())
        own = {one["name"] for one in container.get("env", ()) if "secretKeyRef" in one.get("valueFrom", ())}
        texts += [*words, *(text for name, text in environment.items() if name not in own)]
    assert not [text for text in texts if SECRET in text]
    assert not [text for text in texts if "$" in text and text not in OURS and written not in text]
    return any(written in text for text in texts)


def with_written(plain: Any, written: str) -> Iterator[Any]:
    """A value with this at the end of its text: of a string, of a list's item, of a key and of a value of a map."""
    if isinstance(plain, str):
        yield plain + written
    elif isinstance(plain, list):
        yield from ([*plain[1:], item] for item in with_written(plain[0], written))
    elif isinstance(plain, dict):
        (name, value), *_ = plain.items()
        yield {name + written: value}
        yield from ({name: item} for item in with_written(value, written))


# Each has at least one text in which `$` could stand. Both values of a URI: one is on the hub, and one on a claim.
FIELDS = [
    (path, plain)
    for path, schema in SAMPLES
    for plain in two_values(path, schema)[: 2 if dotted(path) in ARRIVE else 1]
    if "enum" not in schema and list(with_written(plain, ""))
]


@pytest.mark.parametrize(("path", "plain"), FIELDS, ids=[dotted(path) for path, _ in FIELDS])
def test_no_string_of_the_spec_brings_a_secret_along(path: tuple[str, ...], plain: Any) -> None:
    assert not shown(containers(set_to(plain, path, spec_schema())), WRITTEN[0]), "what is refused, is for the `$`"
    arrived = []
    for written in WRITTEN:
        for value in with_written(plain, written):
            try:
                arrived.append(shown(containers(set_to(value, path, spec_schema())), written))
            except ValidationError:
                arrived.append(False)
    assert set(arrived) == {dotted(path) in ARRIVE}


def test_every_field_that_takes_anything_is_tried() -> None:
    assert {dotted(path) for path, _ in FIELDS} >= ARRIVE
    assert len(FIELDS) > 100


def strings(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text of a spec, and where it is."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from strings(value, (*path, name))
        else:
            yield (*path, name), value


def replaced(node: dict[str, Any], path: tuple[str, ...], value: str) -> dict[str, Any]:
    """The spec with another text at a place."""
    name, *rest = path
    return {**node, name: replaced(node[name], tuple(rest), value) if rest else value}


OF_BATCHES = [(spec, path, text) for spec in (ON_BUCKETS, ON_CLAIMS, OF_A_CONFIG_MAP) for path, text in strings(spec)]


@pytest.mark.parametrize(("spec", "path", "plain"), OF_BATCHES, ids=[f"{dotted(p)} {t}" for _, p, t in OF_BATCHES])
def test_no_string_of_a_batch_brings_a_secret_along(spec: dict[str, Any], path: tuple[str, ...], plain: str) -> None:
    engine = service_of({"model": {"uri": "hf://org/name"}})
    assert not shown(of_a_batch(spec, engine), WRITTEN[0])
    arrived = []
    for written in WRITTEN:
        try:
            arrived.append(shown(of_a_batch(replaced(spec, path, plain + written), engine), written))
        except ValidationError:
            arrived.append(False)
    assert set(arrived) == {dotted(path) in ARRIVE_OF_A_BATCH}


def test_every_string_of_a_batch_is_tried() -> None:
    (version,) = custom_resource_definition(INFERENCE_BATCH)["spec"]["versions"]
    own = dict(version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])
    del own["template"]  # as in a service
    texts = {
        dotted(path)
        for path, schema in leaves({"properties": own})
        if schema.get("type") == "string" and "enum" not in schema
    }
    assert {dotted(path) for _, path, _ in OF_BATCHES} == texts


def test_an_argument_and_a_variable_arrive_as_written() -> None:
    written = "x$(HF_TOKEN)$$y$(VLLM_API_KEY)$z$"
    spec = {
        "model": {"uri": "hf://org/name"},
        "extraArgs": [f"--otlp-traces-endpoint=http://{written}"],
        "env": [{"name": "OTEL_SERVICE_NAME", "value": written}],
    }
    words, environment = started(next(containers(spec)), {"token": SECRET})
    assert f"--otlp-traces-endpoint=http://{written}" in words
    assert environment["OTEL_SERVICE_NAME"] == written


def test_a_setting_arrives_as_written() -> None:
    proxy = "http://user:pa$$word@proxy:3128"
    settings = SETTINGS.model_copy(update={"https_proxy": proxy})
    told = [
        started({"args": (), "env": (), **one}, Secrets())[1].get("HTTPS_PROXY")
        for one in containers({"model": {"uri": "hf://org/name"}}, settings)
    ]
    assert set(told) == {proxy}


def test_the_tests_know_how_kubernetes_expands() -> None:
    variables = {"A": "1"}
    cases = {"$(A)": "1", "$$(A)": "$(A)", "$(B)": "$(B)", "$A": "$A", "$$$$": "$$", "$(A": "$(A", "x$": "x$"}
    assert {text: expanded(text, variables) for text in cases} == cases
