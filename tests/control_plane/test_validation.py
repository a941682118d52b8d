"""`kubectl apply` refuses what is wrong and says what to do; it takes what is right. On a real API server."""

import json
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.api import Api
from cluster.control_plane import ControlPlane
from cluster.host import REPOSITORY
from cluster.tools import tool
from control_plane import refused
from support.field_cases import CASES, Case
from support.kube import Kube
from vllm_operator.api import API_VERSION, BATCH_KIND, CLASS_KIND, KIND
from vllm_operator.cli.validation import faults

pytestmark = pytest.mark.control_plane

SERVICES = "/apis/vllm-operator.dev/v1alpha1/namespaces/default/inferenceservices"
# What `kubectl apply` asks for.
BATCHES = "/apis/vllm-operator.dev/v1alpha1/namespaces/default/inferencebatches"
CLASSES = "/apis/vllm-operator.dev/v1alpha1/servingclasses"
STRICT = "fieldValidation=Strict"
COMPLETE = Path(__file__).parent / "complete.yaml"


def kubectl(control_plane: ControlPlane, *words: str | Path, text: str | None = None) -> tuple[int, str]:
    """Exit status and output of a kubectl command."""
    command = [tool("kubectl"), "--kubeconfig", control_plane.kubeconfig, *words]
    result = subprocess.run(
        command, input=text, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return result.returncode, result.stdout


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane) -> Api:
    """An API server that knows our CRDs."""
    status, said = kubectl(control_plane, "apply", "--server-side", "--force-conflicts", "-f", REPOSITORY / "crds")
    assert status == 0, said
    api = control_plane.api()
    Kube(control_plane.kubeconfig, "default").wait(
        "it does", 60, lambda: {api.request("GET", url)[0] for url in (SERVICES, CLASSES, BATCHES)} == {200}
    )
    return api


def service(spec: Any, name: str = "test") -> dict[str, Any]:
    """A manifest."""
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}


def spec_of(text: str) -> dict[str, Any]:
    """The spec of a line of the table: with a model, unless the line is about the model."""
    spec: dict[str, Any] = yaml.safe_load(refused.MODEL) | yaml.safe_load(text)
    return spec


def answer(api: Api, manifest: dict[str, Any]) -> tuple[int, str]:
    """Status and message that creating a manifest gets, without creating it."""
    status, body = api.request("POST", f"{SERVICES}?{STRICT}&dryRun=All", manifest)
    return status, json.loads(body).get("message", "")


@pytest.mark.parametrize(("text", "message"), refused.MODELS)
def test_a_wrong_model_is_refused(api: Api, text: str, message: str) -> None:
    status, said = answer(api, service(yaml.safe_load(text)))
    assert message in said
    assert status in (400, 422)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *refused.ENGINE,
        *refused.ELSEWHERE,
        *refused.WORKLOAD,
        *refused.POD,
        *refused.ARGUMENTS,
        *refused.COMBINED,
        *refused.ENVIRONMENT,
    ],
)
def test_a_wrong_field_is_refused(api: Api, text: str, message: str) -> None:
    status, said = answer(api, service(spec_of(text)))
    assert message in said
    assert status in (400, 422)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_people_write_gets_the_answer_that_render_gives(api: Api, case: Case) -> None:
    status, said = answer(api, case.manifest)
    found = faults(case.manifest, KIND)
    assert (status == 201) == (found == []), said
    # One unknown field hides everything else here, and one wrong value hides every rule.
    if len(found) == 1:
        field, _, sentence = found[0].partition(": ")
        expected = field if field.startswith("unknown field") else sentence.removeprefix("Invalid value: ")
        assert expected.replace("\\", "") in said.replace("\\", "")


@pytest.mark.parametrize(("name", "message"), refused.NAMES)
def test_a_wrong_name_is_refused(api: Api, name: str, message: str) -> None:
    status, said = answer(api, service(spec_of("{}"), name))
    assert (status, message in said) == (422, True), said


def test_a_name_that_is_too_long_for_a_group_in_a_queue_is_refused(api: Api) -> None:
    name, message = refused.QUEUED_NAME
    status, said = answer(api, service(spec_of(refused.IN_A_QUEUE), name))
    assert (status, message in said) == (422, True), said


@pytest.mark.parametrize("wrong", [wrong for wrong, _ in refused.METADATA])
def test_wrong_metadata_is_refused(api: Api, wrong: dict[str, Any]) -> None:
    manifest = service(spec_of("{}"))
    status, said = answer(api, {**manifest, "metadata": {**manifest["metadata"], **wrong}})
    assert status in (400, 422), said


@pytest.mark.parametrize("right", refused.METADATA_TAKEN)
def test_right_metadata_is_taken(api: Api, right: dict[str, Any]) -> None:
    manifest = service(spec_of("{}"))
    assert answer(api, {**manifest, "metadata": {**manifest["metadata"], **right}}) == (201, "")


def test_a_field_beside_the_spec_is_refused(api: Api) -> None:
    status, said = answer(api, {**service(spec_of("{}")), "replicas": 2})
    assert (status, 'unknown field "replicas"' in said) == (400, True), said


def test_one_mistake_gets_one_message(api: Api) -> None:
    for text, _ in (*refused.ARGUMENTS[3:], *refused.ENVIRONMENT[9:]):
        _, said = answer(api, service(spec_of(text)))
        assert said.count("Invalid value") == 1, said


def test_kubectl_shows_the_message(api: Api, control_plane: ControlPlane) -> None:
    manifest = service(spec_of("extraArgs: [--middleware=evil.Middleware]"))
    status, said = kubectl(control_plane, "apply", "-f", "-", text=json.dumps(manifest))
    assert status == 1
    assert "--middleware is the operator's, for its own middleware" in said


@pytest.mark.parametrize("text", refused.ACCEPTED)
def test_what_is_right_is_accepted(api: Api, text: str) -> None:
    assert answer(api, service(spec_of(text))) == (201, "")
    assert faults(service(spec_of(text)), KIND) == []


ODD: list[Any] = [
    None, True, 0, -1, 1, 3, 65, 1.5, 10**12, "", "a", "A b", "auto", "../x", "hf://a/b", "8", "500m", "9Gi", "-1Gi",
    [], ["a"], ["--seed=1"], [{"name": "a"}], {}, {"a": "b"}, {"name": "a", "key": "b"},
]  # fmt: skip


def test_without_a_cluster_the_same_is_accepted(api: Api) -> None:
    """Each leaf of a complete spec, in turn, with values that nobody thought of: both accept it, or neither."""
    complete = next(yaml.safe_load_all(COMPLETE.read_text()))["spec"]
    choose, differ = random.Random(7), []
    for path, value in ((path, value) for path in _places(complete) for value in choose.sample(ODD, 5)):
        changed = service(_with(complete, path, value))
        status, said = answer(api, changed)
        if (status == 201) != (faults(changed, KIND) == []):
            differ.append((path, value, said, faults(changed, KIND)))
    assert differ == []


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value in a manifest, objects and lists too."""
    if path:
        yield path
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from _places(value, (*path, key))


def _with(node: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copied = node.copy()
    copied[path[0]] = _with(node[path[0]], path[1:], value)
    return copied


@pytest.mark.parametrize(
    "path", [COMPLETE, *sorted((REPOSITORY / "examples").rglob("*.yaml"))], ids=lambda path: path.name
)
def test_examples_are_accepted(api: Api, path: Path) -> None:
    for manifest in yaml.safe_load_all(path.read_text()):
        if manifest.get("kind") == KIND:
            manifest["metadata"].pop("namespace", None)
            assert answer(api, manifest) == (201, "")
        if manifest.get("kind") == CLASS_KIND:
            assert answer_to_class(api, manifest["spec"], manifest["metadata"]["name"]) == (201, "")


def answer_to_class(api: Api, spec: Any, name: str = "test") -> tuple[int, str]:
    """As `answer`, about a ServingClass."""
    manifest = {"apiVersion": API_VERSION, "kind": CLASS_KIND, "metadata": {"name": name}, "spec": spec}
    status, body = api.request("POST", f"{CLASSES}?{STRICT}&dryRun=All", manifest)
    return status, json.loads(body).get("message", "")


@pytest.mark.parametrize(("text", "message"), refused.CLASSES)
def test_a_wrong_class_is_refused(api: Api, text: str, message: str) -> None:
    status, said = answer_to_class(api, yaml.safe_load(text))
    assert message in said
    assert status in (400, 422)


def answer_to_batch(api: Api, text: str) -> tuple[int, str]:
    """As `answer`, about an InferenceBatch that differs from a right one in this."""
    spec = yaml.safe_load(refused.BATCH) | yaml.safe_load(text)
    given = {key: value for key, value in spec.items() if value is not None}
    manifest = {"apiVersion": API_VERSION, "kind": BATCH_KIND, "metadata": {"name": "test"}, "spec": given}
    status, body = api.request("POST", f"{BATCHES}?{STRICT}&dryRun=All", manifest)
    return status, json.loads(body).get("message", "")


@pytest.mark.parametrize(("text", "message"), refused.BATCHES)
def test_a_wrong_batch_is_refused(api: Api, text: str, message: str) -> None:
    status, said = answer_to_batch(api, text)
    assert message in said
    assert status in (400, 422)


def test_a_right_batch_is_taken(api: Api) -> None:
    status, said = answer_to_batch(api, "{}")
    assert status == 201, said


@pytest.mark.parametrize(("name", "message"), refused.CLASS_NAMES)
def test_a_wrong_name_of_a_class_is_refused(api: Api, name: str, message: str) -> None:
    status, said = answer_to_class(api, {}, name)
    assert (status, message in said) == (422, True), said


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "default: true",
        "limits: {allowed: {tensorParallelSize: [1, 2, '4'], image: ['registry/*'], enforceEager: ['false']}}",
        "{defaults: {maxModelLen: 4096}, limits: {maxModelLen: 4096}}",
        "cache: {storageClassName: fast}",
        "namespaces: {}",
    ],
)
def test_a_right_class_is_accepted(api: Api, text: str) -> None:
    assert answer_to_class(api, yaml.safe_load(text)) == (201, "")


UPDATES = [
    ("cache: {claim: {storage: 10Gi}}", "cache: {claim: {storage: 20Gi}}", ""),
    ("cache: {claim: {storage: 10Gi}}", "cache: {claim: {storage: 10Gi, accessMode: ReadWriteOnce}}", ""),
    ("cache: {claim: {storage: 1Ti}}", "cache: {claim: {storage: 1000Gi}}", "can grow but not shrink"),
    (
        "cache: {claim: {storage: 1Gi}}",
        "cache: {claim: {storage: 1Gi, accessMode: ReadWriteMany}}",
        "cache.claim.accessMode cannot be changed: make a claim with the other mode yourself",
    ),
    (
        "cache: {claim: {storage: 1Gi, storageClassName: fast}}",
        "cache: {claim: {storage: 1Gi, storageClassName: slow}}",
        "cache.claim.storageClassName cannot be changed: make a claim of the other class yourself",
    ),
    (
        "cache: {claim: {storage: 1Gi}}",
        "cache: {claim: {storage: 1Gi, storageClassName: slow}}",
        "cache.claim.storageClassName cannot be changed",
    ),
    ("cache: {claim: {storage: 1Gi}}", "cache: {existingClaim: mine}", ""),
    ("{}", "{tensorParallelSize: 2, maxModelLen: 4096}", ""),
]


@pytest.mark.parametrize(("before", "after", "message"), UPDATES)
def test_updates(api: Api, before: str, after: str, message: str) -> None:
    status, body = api.request("POST", f"{SERVICES}?{STRICT}", service(spec_of(before), "updated"))
    assert status == 201, body
    try:
        changed = json.loads(body) | {"spec": spec_of(after)}
        status, body = api.request("PUT", f"{SERVICES}/updated?{STRICT}", changed)
        assert status == (422 if message else 200), body
        assert message in json.loads(body).get("message", "")
    finally:
        api.request("DELETE", f"{SERVICES}/updated")


def test_scaling_obeys_the_rules(api: Api) -> None:
    status, body = api.request(
        "POST", f"{SERVICES}?{STRICT}", service(spec_of("cache: {claim: {storage: 1Gi}}"), "one")
    )
    assert status == 201, body
    try:
        kind = "application/merge-patch+json"
        status, body = api.request("PATCH", f"{SERVICES}/one/scale", {"spec": {"replicas": 2}}, kind)
        assert (status, "ReadWriteMany" in body) == (422, True), body
        status, body = api.request("PATCH", f"{SERVICES}/one/scale", {"spec": {"replicas": 0}}, kind)
        assert (status, json.loads(body)["spec"].get("replicas", 0)) == (200, 0)
    finally:
        api.request("DELETE", f"{SERVICES}/one")


def test_explain_documents_the_spec(api: Api, control_plane: ControlPlane) -> None:
    _, tree = kubectl(control_plane, "explain", "vis.spec", "--recursive")
    assert "gpuMemoryUtilizationPercent\t<integer>" in tree
    _, field = kubectl(control_plane, "explain", "vis.spec.kvCache.cpuOffload")
    assert "over all ranks" in field
    assert "Example: 32Gi" in field


def test_get_has_the_columns(api: Api, control_plane: ControlPlane) -> None:
    status, body = api.request("POST", f"{SERVICES}?{STRICT}", service(spec_of("{}"), "shown"))
    assert status == 201, body
    try:
        _, table = kubectl(control_plane, "get", "vis", "shown")
        columns = ["NAME", "MODEL", "READY", "REPLICAS", "GPUS", "REASON", "PROGRESS", "AGE"]
        assert table.splitlines()[0].split() == columns
        about = {"type": "Ready", "status": "False", "reason": "Downloading", "message": "Downloading 43 %"}
        condition = {**about, "lastTransitionTime": "2026-11-24T12:00:00Z", "observedGeneration": 1}
        told = {"observedGeneration": 1, "conditions": [condition], "download": {"progress": "43 %"}}
        status, body = api.request("PUT", f"{SERVICES}/shown/status", {**json.loads(body), "status": told})
        assert status == 200, body
        _, table = kubectl(control_plane, "get", "vis", "shown")
        assert re.search(r"False .* Downloading +43 % ", table)
    finally:
        api.request("DELETE", f"{SERVICES}/shown")
