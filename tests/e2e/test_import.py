"""A `vllm serve` line becomes a service that answers, in two commands: `kubectl vllm import`, and `kubectl apply`."""

import json
from pathlib import Path

import yaml

from support.end_to_end import chat
from support.fleet_command import vllm
from support.kube import Kube
from support.serving import CACHE, RESOURCES

LINE = (
    "exec vllm serve $MODEL --max_model_len 2k --max-num-seq 16 --enforce-eager --kv-cache-memory=67108864 "
    "--enable-auto-tool-choice --tool-call-parser hermes --disable-log-requests --port 9000 "
    "--served-model-name tiny"
)


def test_a_vllm_serve_line_becomes_a_ready_service_in_two_commands(kube: Kube, tmp_path: Path) -> None:
    container = {
        "name": "vllm",
        "image": "vllm/vllm-openai-cpu:latest",
        "command": ["bash", "-c", LINE],
        "env": [
            {"name": "MODEL", "value": "/models/tiny"},
            {"name": "VLLM_ENABLE_V1_MULTIPROCESSING", "value": "0"},
        ],
        "resources": RESOURCES,
        "volumeMounts": [{"name": "models", "mountPath": "/models"}, {"name": "cache", "mountPath": "/root/.cache"}],
    }
    volumes = [
        {"name": "models", "persistentVolumeClaim": {"claimName": "tiny-model"}},
        {"name": "cache", "persistentVolumeClaim": {"claimName": CACHE["metadata"]["name"]}},
    ]
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "imported", "namespace": kube.namespace},
        "spec": {"template": {"spec": {"containers": [container], "volumes": volumes}}},
    }
    path = tmp_path / "deployment.yaml"
    path.write_text(yaml.safe_dump(deployment))
    status, text, said = vllm(kube.kubeconfig, "import", "-f", str(path))
    assert status == 0, said
    kube.apply(*yaml.safe_load_all(text))
    kube.ready("imported")
    status, answer = chat(kube.url("imported"), "tiny")
    assert status == 200, answer
    assert json.loads(answer)["usage"]["completion_tokens"] > 0
    kube.run("delete", "vis", "imported", "--wait=false")
