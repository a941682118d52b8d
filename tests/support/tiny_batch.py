"""Batches of the tiny model on the tests' node: requests in a ConfigMap, answers on a claim."""

import json

import yaml

from support.kube import Kube, Object
from support.serving import CACHE, EXAMPLES, RESOURCES

REQUESTS = 20


def line(number: int, **body: object) -> str:
    """A request of OpenAI's batch format."""
    asked = {"prompt": f"Count to {number}:", "max_tokens": 8, "temperature": 0, **body}
    return json.dumps({"custom_id": f"request-{number}", "method": "POST", "url": "/v1/completions", "body": asked})


def batch(node: str, name: str, key: str, **spec: object) -> Object:
    """A batch that answers an input in pods on a node."""
    template = yaml.safe_load((EXAMPLES / "tiny.yaml").read_text())["spec"]
    del template["replicas"]
    # The tiny model's claim is for one node.
    engine = {
        **template,
        "cache": {"existingClaim": CACHE["metadata"]["name"]},
        "resources": RESOURCES,
        "pod": {"nodeSelector": {"kubernetes.io/hostname": node}},
    }
    given = {
        "template": engine,
        "input": {"configMapKeyRef": {"name": "requests", "key": key}},
        "output": {"uri": f"pvc://answers/{name}"},
        **spec,
    }
    meta = {"name": name}
    return {"apiVersion": "vllm-operator.dev/v1alpha1", "kind": "InferenceBatch", "metadata": meta, "spec": given}


def files() -> list[Object]:
    """The inputs good.jsonl and bad.jsonl, and a claim for the outputs."""
    good = [line(number) for number in range(REQUESTS)]
    inputs = {"good.jsonl": "\n".join(good), "bad.jsonl": "\n".join([*good, "{", line(0)])}
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    return [
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "answers"}, "spec": spec},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "requests"}, "data": inputs},
    ]


def node(kube: Kube) -> str:
    """The name of a node."""
    return str(kube.list("nodes")[0]["metadata"]["labels"]["kubernetes.io/hostname"])
