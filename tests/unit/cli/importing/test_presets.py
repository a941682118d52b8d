"""What NVIDIA's and KAITO's kinds say in shapes of their own."""

import json
from typing import Any

import pytest

from support.imports import of_text, said_of
from vllm_operator.cli.importing.report import Went

NIM = """
apiVersion: apps.nvidia.com/v1alpha1
kind: NIMService
metadata: {name: llama}
spec:
  image: {repository: nvcr.io/nim/meta/llama-3.1-8b-instruct, tag: "1.8"}
"""
LONG = {"initialDelaySeconds": 30, "periodSeconds": 10, "failureThreshold": 357}


@pytest.mark.parametrize(
    ("probes", "seconds"),
    [
        ({"startupProbe": {"enabled": True, "probe": LONG}}, 3600),
        ({"startupProbe": {"probe": LONG}}, 3600),
        ({"startupProbe": {"enabled": False, "probe": LONG}}, None),
        ({"startupProbe": {"enabled": True}}, None),
        ({"startupProbe": {}}, None),
        ({"livenessProbe": {"enabled": True, "probe": LONG}}, 3600),
        ({"livenessProbe": {"enabled": False, "probe": LONG}}, None),
        ({"startupProbe": {"enabled": False}, "livenessProbe": {"enabled": True, "probe": LONG}}, 3600),
    ],
)
def test_a_probe_of_nvidias_stands_below_its_switch(probes: dict[str, Any], seconds: int | None) -> None:
    fields = "".join(f"  {name}: {json.dumps(probe)}\n" for name, probe in probes.items())
    assert of_text(NIM + fields).documents[-1]["spec"].get("startupTimeoutSeconds") == seconds


@pytest.mark.parametrize(
    ("value", "caching", "left"),
    [("1", True, []), ("0", False, []), ("true", True, []), ("False", False, []), ("on", None, [Went.LEFT])],
)
def test_a_switch_of_nvidias_is_on_or_off(value: str, caching: object, left: list[Went]) -> None:
    found = of_text(f'{NIM}  env: [{{name: NIM_ENABLE_KV_CACHE_REUSE, value: "{value}"}}]')
    assert found.documents[-1]["spec"].get("kvCache", {}).get("prefixCaching") == caching
    assert [row.went for row in found.report.rows if row.went == Went.LEFT] == left


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('--speculative-config \'{"method": "ngram", "num_speculative_tokens": 2}\'', "speculative"),
        ("--override-generation-config='{\"top_p\": 0.9}' --max-num-seqs=8", "maxNumSeqs"),
        ('--chat-template-content-format "openai" --max-num-seqs 8', "maxNumSeqs"),
    ],
)
def test_more_arguments_of_kserves_are_read_as_by_a_shell(text: str, field: str) -> None:
    env = [{"name": "VLLM_ADDITIONAL_ARGS", "value": text}]
    spec = {"model": {"uri": "hf://org/m"}, "template": {"containers": [{"name": "main", "env": env}]}}
    body = {"apiVersion": "serving.kserve.io/v1alpha1", "kind": "LLMInferenceService", "metadata": {"name": "m"}}
    found = of_text(json.dumps({**body, "spec": spec}))
    assert field in found.documents[-1]["spec"]
    assert not found.report.lost


@pytest.mark.parametrize(
    ("argument", "went"), [("/mnt/models", Went.OPERATOR), ("org/m", Went.OPERATOR), ("org/n", Went.LEFT)]
)
def test_another_model_than_the_one_that_is_fetched_is_told(argument: str, went: Went) -> None:
    container = {"image": "vllm/vllm-openai:latest", "args": ["--model", argument], "storageUri": "hf://org/m"}
    body = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "m"}}
    found = of_text(json.dumps({**body, "spec": {"predictor": {"containers": [container]}}}))
    assert went in [one for one, _ in said_of(found, f"--model {argument}")]


def test_what_a_nimservice_puts_on_its_pods_is_taken_over() -> None:
    spec = of_text(f"{NIM}  groupID: 2000\n  labels: {{kueue.x-k8s.io/queue-name: gpus}}\n").documents[-1]["spec"]
    assert spec["pod"] == {"fsGroup": 2000, "labels": {"kueue.x-k8s.io/queue-name": "gpus"}}


@pytest.mark.parametrize(
    ("kind", "config", "size", "left"),
    [
        ("Standard_NC24ads_A100_v4", "", None, False),
        ("Standard_ND96isr_H100_v5", "", 8, False),
        ("Standard_ND96isr_H100_v5", "tensor-parallel-size: 4", 4, False),
        ("Standard_Unheard_Of", "", None, True),
        ("Standard_Unheard_Of", "tensor-parallel-size: 4", 4, False),
    ],
)
def test_kaito_uses_all_gpus_of_a_machine(kind: str, config: str, size: int | None, left: object) -> None:
    flags = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    flags["data"] = {"inference_config.yaml": f"vllm: {{{config}}}"}
    body: dict[str, Any] = {"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "m"}}
    body |= {"resource": {"instanceType": kind}, "inference": {"preset": {"name": "phi-4"}, "config": "c"}}
    found = of_text(f"{json.dumps(flags)}\n---\n{json.dumps(body)}")
    assert found.documents[-1]["spec"].get("tensorParallelSize") == size
    assert (Went.LEFT in dict(said_of(found, "GPUs of instanceType"))) == left


STACK = """
servingEngineSpec:
  startupProbe: {initialDelaySeconds: 15, periodSeconds: 10, failureThreshold: 600}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  nodeSelectorTerms: [{matchExpressions: [{key: gpu, operator: Exists}]}]
  modelSpec:
    - {name: m, modelURL: org/m, pvcLabels: {a: b}, pvcMatchLabels: {c: d}}
"""


def test_production_stacks_own_settings_are_taken_over_or_told() -> None:
    found = of_text(STACK)
    spec = found.documents[-1]["spec"]
    assert spec["startupTimeoutSeconds"] == 6015
    assert spec["rollout"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert "affinity" in spec["pod"]
    left = [row.origin.what.rsplit(".", 1)[-1] for row in found.report.rows if row.went == Went.LEFT]
    assert sorted(left) == ["pvcLabels", "pvcMatchLabels"]


RUNTIME = """
apiVersion: production-stack.vllm.ai/v1alpha1
kind: VLLMRuntime
metadata: {name: m}
spec:
  model: {modelURL: org/m}
"""


@pytest.mark.parametrize(
    ("source", "cache", "left"),
    [
        (f"{NIM}  storage: {{pvc: {{size: 50Gi, storageClass: fast}}}}", {"storageClassName": "fast"}, []),
        (f"{NIM}  storage: {{pvc: {{create: true, size: 50Gi, subPath: a}}}}", {}, ["subPath"]),
        (f"{NIM}  storage: {{pvc: {{name: a, subPath: b}}, readOnly: true}}", None, ["subPath", "readOnly"]),
        (f"{RUNTIME}  storageConfig: {{enabled: true, size: 50Gi, accessMode: ReadWriteMany}}",
         {"accessMode": "ReadWriteMany"}, []),
        (f"{RUNTIME}  storageConfig: {{enabled: true, size: 50Gi, mountPath: /data}}", {}, ["mountPath"]),
    ],
)  # fmt: skip
def test_each_part_of_a_claim_has_its_row(source: str, cache: dict[str, str] | None, left: list[str]) -> None:
    found = of_text(source)
    claim = found.documents[-1]["spec"]["cache"].get("claim")
    assert claim == (None if cache is None else {"storage": "50Gi", **cache})
    assert [row.origin.what.rsplit(".", 1)[-1] for row in found.report.rows if row.went == Went.LEFT] == left


@pytest.mark.parametrize(
    ("uri", "model"),
    [
        ("hf://org/m:7ae5576", {"uri": "hf://org/m", "revision": "7ae5576"}),
        ("hf://org/m:main", {"uri": "hf://org/m", "revision": "main"}),
        ("hf://org/m", {"uri": "hf://org/m"}),
        ("pvc://models/m", {"uri": "pvc://models/m"}),
    ],
)
def test_a_commit_behind_a_repository_of_kserves_is_its_revision(uri: str, model: dict[str, str]) -> None:
    held = {"modelFormat": {"name": "huggingface"}, "storageUri": uri}
    body = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "m"}}
    found = of_text(json.dumps({**body, "spec": {"predictor": {"model": held}}}))
    assert found.documents[-1]["spec"]["model"] == model
    assert not found.report.lost
