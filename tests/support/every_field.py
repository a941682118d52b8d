"""Every leaf field of the spec with two values, the spec that has each, and what must arrive where places.py says.

Fields that Kubernetes defines (affinity, tolerations, peers, environment) get values by their type: they are passed on
as they are. `[]` in a path stands for an item of a list.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from support.places import PLACES, Place
from vllm_operator.api.crd import INFERENCE_SERVICE, custom_resource_definition
from vllm_operator.api.elsewhere import ELSEWHERE
from vllm_operator.api.resource import InferenceService
from vllm_operator.api.spec import InferenceServiceSpec

Schema = dict[str, Any]

# Values that a string of no particular form will not do for, by the path or by its last name.
VALUES: dict[str, tuple[Any, Any]] = {
    "uri": ("hf://org/one", "pvc://models/two"),
    "model.imagePath": ("one", "models/two"),
    "model.loadFormat": ("hf", "safetensors"),
    "model.objectStore.endpoint": ("http://one:9000", "https://two"),
    "memoryLimit": ("1Gi", "8Gi"),
    "speculative.model": ("hf://org/one", "pvc://models/two"),
    "speculative.method": ("eagle", "eagle3"),
    "architectures": (["OneForSequenceClassification"], ["TwoForSequenceClassification"]),
    "cudagraphCaptureSizes": ([1, 2], [1, 4]),
    "compileSizes": ([1, 2], [1, 4]),
    "splittingOps": (["vllm::one"], ["vllm::two"]),
    "customOps": (["+one"], ["-two"]),
    "passConfig": ({"eliminate_noops": True}, {"eliminate_noops": False}),
    "speculative.maxModelLen": (4096, 8192),
    "maxModelLen": (4096, "auto"),
    "tensorParallelSize": (1, 2),
    "nodesPerReplica": (2, 3),
    "quantization": ("awq", "gptq"),
    "kvCache.memoryPerGPU": ("1Gi", "20Gi"),
    "kvCache.cpuOffload": ("1Gi", "32Gi"),
    "kvCache.offloadBackend": ("native", "lmcache"),  # to vLLM's parser; the CRD takes the first
    "weightsCpuOffloadPerGPU": ("1Gi", "10Gi"),
    "accelerator.resource": ("nvidia.com/gpu", "amd.com/gpu"),
    "accelerator.rdma.resource": ("rdma/hca", "rdma/ib"),
    "autoscaling.minReplicas": (1, 2),
    "autoscaling.maxReplicas": (1, 2),
    "autoscaling.targets.waitingRequests": (5, 6),
    "autoscaling.targets.runningRequests": (100, 200),
    "autoscaling.targets.kvCacheUtilizationPercent": (70, 80),
    "autoscaling.targets.timeToFirstTokenMilliseconds": (1000, 2500),
    "cache.claim.storage": ("10Gi", "20Gi"),
    "cpu": (8, "500m"),
    "memory": ("8Gi", "16Gi"),
    "ephemeral-storage": ("8Gi", "16Gi"),
    "startupTimeoutSeconds": (600, 1200),
    "pod.fsGroup": (1001, 1002),
    "cidr": ("192.0.2.0/24", "198.51.100.0/24"),
    "except": (["192.0.2.0/25"], ["192.0.2.128/25"]),
    "rollout.maxUnavailable": (1, 2),
    "rollout.drainDelaySeconds": (0, 40),
    "rollout.restartedAt": ("2026-11-24T12:00:00Z", "2026-11-25T12:00:00Z"),
    "extraArgs": (["--seed=1"], ["--seed=2"]),
    "env[].name": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
}
_BY_TYPE: dict[str, tuple[Any, Any]] = {
    "string": ("one", "two"),
    "boolean": (True, False),
    "array": (["one"], ["two"]),
    "object": ({"name": "one"}, {"name": "two"}),
}
# What is wanted beside a field of an object, by its last name, or beside its first one by the whole path.
COMPANIONS: dict[str, Schema] = {
    "matchExpressions": {"values": ["one"]},
    "matchFields": {"key": "metadata.name", "values": ["one"]},
    "tolerations": {"key": "one"},
    "disableAnyWhitespace": {"backend": "guidance"},
    "disableAdditionalProperties": {"backend": "guidance"},
    "tolerationSeconds": {"effect": "NoExecute"},
    "triggers": {"provider": "KEDA"},
    "deviceSelector": {"deviceClass": "one"},
    "pod.exclusiveTopology": {"nodesPerReplica": 2},
}
# What becomes of those that do not arrive as they are written.
ARRIVED: dict[str, tuple[Any, Any]] = {
    "uri": ("org/one", "/models/models/two"),
    "speculative.model": ("org/one", "/models/models/two"),
    "model.imagePath": ("org/one/one", "org/one/models/two"),
    "memoryLimit": (2**30, 8 * 2**30),
    "speculative.maxModelLen": (4096, 8192),
    "maxModelLen": (4096, -1),
    "kvCache.gpuMemoryUtilizationPercent": (0.01, 0.02),
    "kvCache.memoryPerGPU": (2**30, 20 * 2**30),
    "kvCache.cpuOffload": (1.0, 32.0),
    "weightsCpuOffloadPerGPU": (1.0, 10.0),
    "chatTemplate.fromImage": (
        "/vllm-workspace/examples/template_alpaca.jinja",
        "/vllm-workspace/examples/template_chatglm.jinja",
    ),
    "kvCache.events.port": ("tcp://*:1024", "tcp://*:1025"),
    "kvCache.events.replayPort": ("tcp://*:1024", "tcp://*:1025"),
    "accelerator.resource": ({"nvidia.com/gpu": "1"}, {"amd.com/gpu": "1"}),
    "accelerator.product": ({"nvidia.com/gpu.product": "one"}, {"nvidia.com/gpu.product": "two"}),
    "accelerator.count": ({"nvidia.com/gpu": "1"}, {"nvidia.com/gpu": "2"}),
    "accelerator.deviceClass": ('{"count": 1, "deviceClassName": "one"}', '{"count": 1, "deviceClassName": "two"}'),
    "accelerator.deviceSelector": (
        '{"count": 1, "deviceClassName": "one", "selector": "one"}',
        '{"count": 1, "deviceClassName": "one", "selector": "two"}',
    ),
    "rollout.drainDelaySeconds": (150, 190),
    "accelerator.rdma.resource": ({"rdma/hca": "1"}, {"rdma/ib": "1"}),
    "accelerator.rdma.count": ({"rdma/hca": "1"}, {"rdma/hca": "2"}),
    "autoscaling.provider": (None, "Deployment"),
    "autoscaling.targets.waitingRequests": ("5", "6"),
    "autoscaling.targets.runningRequests": ("100", "200"),
    "autoscaling.targets.kvCacheUtilizationPercent": ("700m", "800m"),
    "autoscaling.targets.timeToFirstTokenMilliseconds": ("1", "2500m"),
    "tuning.compilation.mode": (0, 1),  # vLLM's numbers
    "accelerator.memory": (8 * 2**30, 16 * 2**30),
    "planPolicy": (True, False),
    "suspend": (0, 1),
    "cpu": ("8", "500m"),
    "memory": ("9Gi", "17Gi"),  # and 1 GiB for /dev/shm
    "cache.claim.retain": (None, "7f0c"),  # the uid of the owner
    "startupTimeoutSeconds": (120, 240),  # probes, 5 s apart
    "extraArgs": (1, 2),
}


NOT_FIELDS = {row.path for row in ELSEWHERE}


@cache
def spec_schema() -> Schema:
    """The structural schema of the spec."""
    (version,) = custom_resource_definition(INFERENCE_SERVICE)["spec"]["versions"]
    schema: Schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def leaves(schema: Schema, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """Every field that has no fields of its own, as the steps to it."""
    if "properties" in schema:
        for name, field in schema["properties"].items():
            if dotted((*path, name)) not in NOT_FIELDS:
                yield from leaves(field, (*path, name))
    elif schema.get("type") == "array" and "properties" in schema["items"]:
        yield from leaves(schema["items"], (*path, "[]"))
    else:
        yield path, schema


def two_values(path: tuple[str, ...], schema: Schema) -> tuple[Any, Any]:
    """Two values that a field may have."""
    for name in (dotted(path), path[-1] if path else ""):
        if name in VALUES:
            return VALUES[name]
    if "enum" in schema:
        return schema["enum"][0], schema["enum"][1]
    if schema["type"] == "integer":
        return schema["minimum"], schema["minimum"] + 1
    return _BY_TYPE[schema["type"]]


def minimal(path: tuple[str, ...], schema: Schema) -> Any:
    """The least that a node may be."""
    if "properties" in schema:
        return {name: minimal((*path, name), schema["properties"][name]) for name in schema.get("required", [])}
    if schema.get("type") == "array" and "properties" in schema["items"]:
        return [minimal((*path, "[]"), schema["items"])]
    return two_values(path, schema)[0]


def set_to(value: Any, steps: tuple[str, ...], schema: Schema, path: tuple[str, ...] = ()) -> Any:
    """A minimal node with the field at `steps` set to a value."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if step == "[]":
        return [set_to(value, rest, schema["items"], (*path, step))]
    field = set_to(value, rest, schema["properties"][step], (*path, step))
    beside = {**COMPANIONS.get(path[-2] if path[-1:] == ("[]",) else "", {}), **COMPANIONS.get(step, {})}
    beside |= COMPANIONS.get(dotted(steps), {}) if rest else {}
    return {**minimal(path, schema), **beside, step: field}


def dotted(path: tuple[str, ...]) -> str:
    """The path as the table writes it."""
    return ".".join(path).replace(".[]", "[]")


@dataclass(frozen=True)
class Sample:
    """A field, where it arrives, two services that differ in it, and what must arrive of each."""

    path: str
    place: Place
    steps: tuple[str, ...]
    services: tuple[InferenceService, InferenceService]
    arrived: tuple[Any, Any]


def listed(path: tuple[str, ...]) -> str | None:
    """The entry of the table that a field belongs to: its own, or that of the nearest object that holds it."""
    for length in range(len(path), 0, -1):
        name = dotted(path[:length]).removesuffix("[]")
        if name in PLACES:
            return name
    return None


def sample(path: tuple[str, ...], schema: Schema) -> Sample:
    """The sample of one field. Raises KeyError for a field that arrives nowhere."""
    name = listed(path)
    if name is None:
        raise KeyError(f"{dotted(path)} arrives nowhere")
    place, values = PLACES[name], two_values(path, schema)
    rest = path[len(name.split(".")) :]
    steps = place.place.partition(" ")[2] if place.kind == "child" else place.place
    default = ARRIVED.get(path[-1], values)
    first, second = (
        InferenceService(
            "default", "test", "7f0c", 1, InferenceServiceSpec.model_validate(set_to(value, path, spec_schema()))
        )
        for value in values
    )
    return Sample(dotted(path), place, (*steps.split("."), *rest), (first, second), ARRIVED.get(dotted(path), default))


def at(node: Any, steps: tuple[str, ...]) -> Any:
    """What is at a place; None where there is nothing. `[]` is the last item, where the operator's own come first."""
    for step in steps:
        if isinstance(node, list):
            named = [item for item in node if isinstance(item, dict) and item.get("name") == step]
            node = node[-1] if step == "[]" else node[int(step)] if step.isdigit() else named[0]
        else:
            node = node.get(step) if isinstance(node, dict) else None
    return node


def is_at(value: Any, found: Any) -> bool:
    """Whether a value arrived: as it is, as a part of a map, or as one of the scalars of something larger."""
    if isinstance(value, dict) and isinstance(found, dict):
        return value.items() <= found.items() or any(is_at(value, inner) for inner in found.values())
    if isinstance(value, list) and isinstance(found, dict):
        return any(is_at(value, inner) for inner in found.values())
    if isinstance(found, dict | list) and not isinstance(value, dict | list):
        return value in list(scalars(found))
    return bool(found == value) and type(found) is type(value)


def scalars(node: Any) -> Iterator[Any]:
    """Every value below a node that has none below itself."""
    if isinstance(node, dict):
        for item in node.values():
            yield from scalars(item)
    elif isinstance(node, list):
        for item in node:
            yield from scalars(item)
    else:
        yield node


SAMPLES = [(path, schema) for path, schema in leaves(spec_schema())]
