"""Clients go on to ask for the model by the name that they have, whoever gave it: vLLM, a chart or another operator."""

import json
from typing import Any

import pytest
import yaml

from support.imports import deployment, of_text, said_of
from vllm_operator.cli.importing.documents import Sources
from vllm_operator.cli.importing.imports import Imported, imported
from vllm_operator.cli.importing.report import ASKED, Went
from vllm_operator.cli.importing.sources.command_line import document_of
from vllm_operator.settings import Settings

KSERVE = "serving.kserve.io"
MOUNTED = {
    "volumes": [{"name": "w", "persistentVolumeClaim": {"claimName": "weights"}}],
    "containers": [
        {
            "name": "vllm",
            "image": "vllm/vllm-openai:latest",
            "args": ["--model=/models/current"],
            "volumeMounts": [{"name": "w", "mountPath": "/models"}],
        }
    ],
}


def of(body: dict[str, Any]) -> Imported:
    """What a document comes to."""
    return of_text(json.dumps(body))


def line(*words: str) -> Imported:
    """What a command line comes to."""
    return imported(Sources(documents=[document_of(words, 0)]), Settings())


def own(api: str, kind: str, spec: dict[str, Any], name: str = "own", **rest: Any) -> dict[str, Any]:
    """An object of an operator's own kind."""
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec, **rest}


def nim(repository: str, **variables: str) -> dict[str, Any]:
    """A NIMService."""
    env = [{"name": name, "value": value} for name, value in variables.items()]
    return own("apps.nvidia.com/v1alpha1", "NIMService", {"image": {"repository": repository}, "env": env})


def kserve(**model: Any) -> dict[str, Any]:
    """An InferenceService with KServe's own server."""
    held = {"modelFormat": {"name": "huggingface"}, "storageUri": "hf://org/M", **model}
    return own(f"{KSERVE}/v1beta1", "InferenceService", {"predictor": {"model": held}}, "own.name")


def llm(**model: Any) -> dict[str, Any]:
    """An LLMInferenceService."""
    return own(f"{KSERVE}/v1alpha1", "LLMInferenceService", {"model": {"uri": "hf://org/M", **model}}, "own.name")


def workspace(preset: str, **labels: str) -> dict[str, Any]:
    """A Workspace of KAITO's."""
    body = own("kaito.sh/v1beta1", "Workspace", {}, inference={"preset": {"name": preset}})
    body["metadata"]["labels"] = labels
    return body


def stack(**model: Any) -> dict[str, Any]:
    """Values of production-stack's chart."""
    return {"servingEngineSpec": {"modelSpec": [{"name": "m", "modelURL": "org/M", **model}]}}


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (line("vllm", "serve", "org/M"), ["org/M"]),
        (line("docker", "run", "vllm/vllm-openai", "--model", "org/M"), ["org/M"]),
        (line("vllm", "serve", "org/M", "--served-model-name", "a"), ["a"]),
        (line("vllm", "serve", "org/M", "--served-model-name", "m"), None),
        (line("vllm", "serve", "org/M", "--served-model-name", "a", "b"), ["a", "b"]),
        (of(deployment()), ["org/m"]),
        (of({"services": {"m": {"image": "vllm/vllm-openai", "command": "--model org/M"}}}), ["org/M"]),
        (of(stack()), ["org/M"]),
        (of(stack(vllmConfig={"extraArgs": ["--served-model-name=a"]})), ["a"]),
        (of(nim("nvcr.io/nim/meta/llama-3.1-8b-instruct")), ["meta/llama-3.1-8b-instruct"]),
        (of(nim("nvcr.io/nim/meta/llama-3.1-8b-instruct", NIM_SERVED_MODEL_NAME="a")), ["a"]),
        (of(workspace("phi-4")), ["phi-4"]),
        (of(workspace("Qwen/Qwen3-0.6B")), ["qwen3-0.6b"]),
        (of(workspace("phi-4", **{"inferenceset.kaito.sh/created-by": "set"})), ["set"]),
        (of(kserve()), ["own.name"]),
        (of(kserve(args=["--model_name=a"])), ["a"]),
        (of(llm()), ["own.name"]),
        (of(llm(name="org/M")), ["org/M"]),
        (of(own("kubeai.org/v1", "Model", {"url": "hf://org/M"}, "own.name")), ["own.name"]),
        (of(own("kubeai.org/v1", "Model", {"url": "hf://org/M"}, "own")), None),
    ],
)
def test_the_model_keeps_its_name(found: Imported, names: list[str] | None) -> None:
    assert found.documents[-1]["spec"]["model"].get("servedModelNames") == names
    assert len(said_of(found, ASKED)) <= 1


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (deployment(MOUNTED), "clients ask for /models/current, which no service can answer to: have them ask for m"),
        (nim("nvcr.io/nim/nvidia/llm-nim", NIM_MODEL_NAME="hf://org/m"), "ask /v1/models"),
    ],
)
def test_a_name_that_is_lost_has_its_row(body: dict[str, Any], what: str) -> None:
    found = of(body)
    ((went, text),) = said_of(found, ASKED)
    assert went == Went.LEFT
    assert what in text
    assert "servedModelNames" not in found.documents[-1]["spec"]["model"]


def test_a_second_service_of_a_name_answers_to_the_first_name() -> None:
    one, two = deployment(), deployment()
    for body in (one, two):
        body["spec"]["template"]["spec"]["containers"][0]["args"].append("--served-model-name=m")
    found = of_text(yaml.safe_dump_all([one, {**two, "kind": "StatefulSet"}]))
    names = {body["metadata"]["name"]: body["spec"]["model"].get("servedModelNames") for body in found.documents}
    assert names == {"m": None, "m-2": ["m"]}
