"""Variables that decide where weights come from: what they forbid, or lead to, is not what a service has."""

import json

import pytest

from support.imports import deployment, of_text
from vllm_operator.cli.importing.documents import ImportInputError, Sources
from vllm_operator.cli.importing.imports import Imported, imported
from vllm_operator.cli.importing.report import Went
from vllm_operator.cli.importing.sources.command_line import document_of
from vllm_operator.settings import Settings

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def line(*words: str) -> Imported:
    """What a command line comes to."""
    return imported(Sources(documents=[document_of(words, 0)]), Settings())


def cached(mount: dict[str, str], variables: dict[str, str], model: str = "org/m") -> Imported:
    """A Deployment without access to the hub, whose downloads are in a claim."""
    env = [{"name": name, "value": value} for name, value in {**dict.fromkeys(OFFLINE, "1"), **variables}.items()]
    container = {"name": "vllm", "image": "vllm/vllm-openai:latest", "args": [f"--model={model}"], "env": env}
    mounts = [{"name": "c", **mount}, {"name": "w", "mountPath": "/models"}]
    volumes = [
        {"name": name, "persistentVolumeClaim": {"claimName": claim}}
        for name, claim in (("c", "hub"), ("w", "weights"))
    ]
    return of_text(json.dumps(deployment({"containers": [{**container, "volumeMounts": mounts}], "volumes": volumes})))


def env_of(found: Imported) -> list[str]:
    """The names of the variables of a service."""
    return [one["name"] for one in found.documents[-1]["spec"].get("env", [])]


@pytest.mark.parametrize(
    ("mount", "variables", "again"),
    [
        ({"mountPath": "/root/.cache"}, {}, True),
        ({"mountPath": "/root/.cache/huggingface"}, {}, False),
        ({"mountPath": "/root/.cache/huggingface", "subPath": "huggingface"}, {}, True),
        ({"mountPath": "/root/.cache", "subPath": "a"}, {}, False),
        ({"mountPath": "/data"}, {"HF_HOME": "/data"}, False),
        ({"mountPath": "/data"}, {"HF_HOME": "/data/huggingface"}, True),
        ({"mountPath": "/data/.cache"}, {"HF_HOME": "/data/.cache"}, False),
        ({"mountPath": "/data"}, {"HF_HUB_CACHE": "/data/huggingface/hub"}, True),
        ({"mountPath": "/elsewhere"}, {}, False),
    ],
)
def test_pods_ask_the_hub_where_they_have_to_download_once_more(
    mount: dict[str, str], variables: dict[str, str], again: object
) -> None:
    found = cached(mount, variables)
    rows = {row.origin.what: row.went for row in found.report.rows if row.origin.what.endswith("_OFFLINE")}
    assert rows == dict.fromkeys((f"env {name}" for name in OFFLINE), Went.FIELD if again else Went.LEFT)
    assert env_of(found) == (list(OFFLINE) if again else [])


def test_a_variable_that_says_that_the_hub_is_asked_stays() -> None:
    found = cached({"mountPath": "/elsewhere"}, dict.fromkeys(OFFLINE, "0"))
    assert env_of(found) == list(OFFLINE)


def test_a_model_of_a_claim_needs_no_hub() -> None:
    found = cached({"mountPath": "/elsewhere"}, {}, "/models/m")
    assert env_of(found) == list(OFFLINE)


@pytest.mark.parametrize("value", ["True", "1", " true "])
def test_a_model_of_modelscope_is_not_one_of_the_hub(value: str) -> None:
    with pytest.raises(ImportInputError, match=r"is a name of ModelScope's.*copy them to a claim"):
        line("docker", "run", "-e", f"VLLM_USE_MODELSCOPE={value}", "vllm/vllm-openai", "--model", "ZhipuAI/glm-4-9b")


def test_an_adapter_of_modelscope_is_left_out() -> None:
    words = ("hf://org/m", "--lora-modules", "a=hf://org/a", "b=org/b")
    found = line("VLLM_USE_MODELSCOPE=True", "vllm", "serve", *words)
    assert found.documents[-1]["spec"]["lora"]["adapters"] == [{"name": "a", "uri": "hf://org/a"}]
    left = [row.origin.what for row in found.report.rows if row.went == Went.LEFT]
    assert left[:2] == ["adapter b", "env VLLM_USE_MODELSCOPE"]


def test_modelscope_that_is_off_says_nothing() -> None:
    found = line("VLLM_USE_MODELSCOPE=False", "vllm", "serve", "org/m")
    assert found.documents[-1]["spec"]["model"]["uri"] == "hf://org/m"
    assert not found.report.lost
