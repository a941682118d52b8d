"""A hub in the cluster of the end-to-end tests: its models, and the pod that serves them."""

import json

from cluster.host import REPOSITORY
from support.end_to_end import hub_address
from support.hub import TOKEN, safetensors
from support.kube import Kube, Object

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "torch_dtype": "bfloat16",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1024,
    "max_position_embeddings": 4096,
}
FILES = {"config.json": json.dumps(CONFIG), "model.safetensors": safetensors(a=("BF16", [8, 8], 128)).decode("latin-1")}
MODELS: dict[str, Object] = {
    "org/plain": {"files": FILES},
    "org/cached": {"files": FILES},
    "org/private": {"files": FILES, "private": True},
    "org/gated": {"files": FILES, "gated": True},
    "org/renamed": {"files": {}, "moved_to": "org/plain"},
    "org/busy": {"files": FILES, "status": 429},
}


def hub_pod(kube: Kube) -> list[Object]:
    """The hub as a pod with a Service, from the operator's own image."""
    source = (REPOSITORY / "tests" / "support" / "hub.py").read_text()
    labels = {"app": "hub"}
    container = {
        "name": "hub",
        "image": "localhost/vllm-operator:dev",
        "command": ["python", "/hub/hub.py", "/hub/models.json", "8080"],
        "volumeMounts": [{"name": "hub", "mountPath": "/hub"}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "hub"},
            "data": {"hub.py": source, "models.json": json.dumps(MODELS)},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "hub", "labels": labels},
            "spec": {"containers": [container], "volumes": [{"name": "hub", "configMap": {"name": "hub"}}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "hub"},
            "spec": {
                "clusterIP": hub_address(kube.kubeconfig),
                "selector": labels,
                "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}],
            },
        },
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub-token"}, "stringData": {"token": TOKEN}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "old-token"}, "stringData": {"token": "hf_old"}},
    ]
