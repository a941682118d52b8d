"""`vllm-operator render` with a ServingClass: the class's values in the children, or one line for what is wrong."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from vllm_operator.__main__ import main

API_VERSION = "vllm-operator.dev/v1alpha1"


def manifest(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


SERVICE = manifest("InferenceService", "llama", model={"uri": "hf://org/model"}, servingClassName="h100")
OWN = manifest("ServingClass", "h100", accelerator={"product": "NVIDIA-L4"}, namespaces={"matchLabels": {"a": "b"}})


def render(monkeypatch: pytest.MonkeyPatch, folder: Path, *documents: dict[str, Any], own: Any = None) -> None:
    (folder / "service.yaml").write_text(yaml.safe_dump_all(documents))
    arguments = ["vllm-operator", "render", "-f", str(folder / "service.yaml")]
    if own:
        (folder / "class.yaml").write_text(yaml.safe_dump(own))
        arguments += ["--class", str(folder / "class.yaml")]
    monkeypatch.setattr(sys, "argv", arguments)
    main()


def test_the_class_may_be_in_the_same_file_or_in_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    render(monkeypatch, tmp_path, OWN, SERVICE)
    together = capsys.readouterr().out
    render(monkeypatch, tmp_path, SERVICE, own=OWN)
    assert capsys.readouterr().out == together
    (deployment,) = (child for child in yaml.safe_load_all(together) if child["kind"] == "Deployment")
    assert deployment["spec"]["template"]["spec"]["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
    assert deployment["spec"]["template"]["metadata"]["labels"]["vllm-operator.dev/serving-class"] == "h100"


def test_a_class_of_another_revision_leaves_the_name_of_the_pods_revision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def revision(**spec: Any) -> str:
        render(monkeypatch, tmp_path, SERVICE, own=manifest("ServingClass", "h100", **spec))
        children = yaml.safe_load_all(capsys.readouterr().out)
        (deployment,) = (child for child in children if child["kind"] == "Deployment")
        return str(deployment["spec"]["template"]["metadata"]["labels"]["vllm-operator.dev/revision"])

    assert revision() == revision(defaults={"maxModelLen": 4096}), "a changed class must not roll the pods"


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (None, "llama names the ServingClass h100: pass a file that has it with --class"),
        (
            manifest("ServingClass", "h100", limits={"maxReplicas": "x"}),
            'h100: spec.limits.maxReplicas: Invalid value: "x": must be of type integer',
        ),
        (
            {**OWN, "apiVersion": "vllm-operator.dev/v1"},
            "its ServingClass is of vllm-operator.dev/v1, not vllm-operator.dev/v1alpha1",
        ),
        ({**OWN, "apiVersion": "other/v1"}, "llama names the ServingClass h100: pass a file that has it with --class"),
        (manifest("ServingClass", "h100", images={"cuda": "elsewhere/vllm:1"}), "setting allowedImages does not allow"),
    ],
)
def test_what_is_wrong_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], own: Any, said: str
) -> None:
    with pytest.raises(SystemExit) as end:
        render(monkeypatch, tmp_path, SERVICE, own=own)
    said_now = capsys.readouterr()
    assert (end.value.code, said_now.out) == (2, "")
    assert said in said_now.err
    assert said_now.err.count("\n") == 1


PLAIN = {**SERVICE, "spec": {"model": {"uri": "hf://org/model"}}}
FOREIGN = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "sk"}, "spec": 1}


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ([{**PLAIN, "replicas": 2}], 'llama: unknown field "replicas": spec.replicas is meant?'),
        (
            [PLAIN, {**PLAIN, "apiVersion": "vllm-operator.dev/v1"}],
            "InferenceService is of vllm-operator.dev/v1, not",
        ),
        ([{**PLAIN, "apiVersion": None}], "its InferenceService has no apiVersion: write vllm-operator.dev/v1alpha1"),
        (
            [PLAIN, {**PLAIN, "kind": "Inferenceservice"}],
            "vllm-operator.dev has no kind Inferenceservice: InferenceService is meant?",
        ),
        ([FOREIGN], "its InferenceService is of serving.kserve.io/v1beta1, not vllm-operator.dev/v1alpha1"),
        ([{"apiVersion": "v1", "kind": "Pod"}], "has no InferenceService and no InferenceBatch"),
        ([{**OWN, "spec": {"limits": 1}}], "h100: spec.limits: Invalid value"),
        ([{**OWN, "apiVersion": "other/v1"}], "its ServingClass is of other/v1, not vllm-operator.dev/v1alpha1"),
        ([], "has no InferenceService and no InferenceBatch"),
    ],
)
def test_what_kubectl_apply_would_not_take_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], documents: Any, said: str
) -> None:
    with pytest.raises(SystemExit) as end:
        render(monkeypatch, tmp_path, *documents)
    said_now = capsys.readouterr()
    assert (end.value.code, said_now.out) == (2, "")
    assert said in said_now.err
    assert said_now.err.count("\n") == 1


@pytest.mark.parametrize("beside", [[], [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}]])
def test_nothing_is_made_of_classes_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], beside: list[dict[str, Any]]
) -> None:
    render(monkeypatch, tmp_path, *beside, OWN)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "documents",
    [
        [PLAIN, FOREIGN],
        [{"apiVersion": "v1", "kind": "List", "items": [FOREIGN, PLAIN]}],
        [{"apiVersion": API_VERSION, "kind": "InferenceServiceList", "items": [PLAIN]}],
    ],
    ids=["beside another's kind", "in a list", "in a list of its kind"],
)
def test_a_service_is_found_where_kubectl_apply_finds_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], documents: Any
) -> None:
    render(monkeypatch, tmp_path, PLAIN)
    alone = capsys.readouterr().out
    render(monkeypatch, tmp_path, *documents)
    assert capsys.readouterr().out == alone != ""
