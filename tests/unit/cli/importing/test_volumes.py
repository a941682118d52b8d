"""Which folder of a claim a container's files are in, where the mount says it with variables."""

import json
from typing import Any

import pytest

from support.imports import deployment, of_text
from vllm_operator.cli.importing.documents import ImportInputError
from vllm_operator.cli.importing.imports import Imported

ENV = [
    {"name": "MODEL", "value": "qwen"},
    {"name": "NAMED", "value": "$(MODEL)-v2"},
    {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
]


def of(body: dict[str, Any]) -> Imported:
    """What a document comes to."""
    return of_text(json.dumps(body))


def mounted(**mount: str) -> dict[str, Any]:
    """A Deployment that serves a model from a claim."""
    container = {"name": "vllm", "image": "vllm/vllm-openai:latest", "args": ["--model=/models/current"], "env": ENV}
    mounts = [{"name": "w", "mountPath": "/models", **mount}]
    volumes = [{"name": "w", "persistentVolumeClaim": {"claimName": "weights"}}]
    return deployment({"containers": [{**container, "volumeMounts": mounts}], "volumes": volumes})


def app_template(**mount: str) -> dict[str, Any]:
    """The same as values of app-template."""
    image = {"repository": "vllm/vllm-openai", "tag": "latest"}
    container = {"image": image, "args": ["--model=/models/current"], "env": {"MODEL": "qwen"}}
    volume = {"existingClaim": "weights", "globalMounts": [{"path": "/models", **mount}]}
    return {"controllers": {"m": {"containers": {"app": container}}}, "persistence": {"w": volume}}


@pytest.mark.parametrize(
    ("body", "folder"),
    [
        (mounted(), ""),
        (mounted(subPath="a/b"), "a/b/"),
        (mounted(subPath="$(MODEL)"), "refused"),
        (mounted(subPathExpr="$(MODEL)"), "qwen/"),
        (mounted(subPathExpr="all/$(NAMED)/"), "all/qwen-v2/"),
        (mounted(subPathExpr="$(POD)"), "refused"),
        (mounted(subPathExpr="$(NO_SUCH)"), "refused"),
        (app_template(subPathExpr="$(MODEL)"), "qwen/"),
    ],
)
def test_a_folder_is_filled_in_as_the_kubelet_does(body: dict[str, Any], folder: str) -> None:
    if folder == "refused":
        with pytest.raises(ImportInputError, match=r"set model.uri to pvc://claim/path"):
            of(body)
    else:
        assert of(body).documents[-1]["spec"]["model"]["uri"] == f"pvc://weights/{folder}current"
