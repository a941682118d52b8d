"""Fields that people look for and that the API does not have, each with what to write instead.

The CRDs know them only to refuse them: an unknown field would be refused with its name alone, and hide whatever else is
wrong. One field in each row, with the type that people write, so that the sentence is what they read.
"""

from dataclasses import dataclass
from typing import Any

from .base import RULES, rule

_ANY = {"x-kubernetes-preserve-unknown-fields": True}
_OBJECT = {"type": "object", **_ANY}
_LIST = {"type": "array", "maxItems": 64, "x-kubernetes-list-type": "atomic", "items": _OBJECT}
_WORDS = {"type": "array", "maxItems": 256, "x-kubernetes-list-type": "atomic", "items": {"type": "string"}}
_TEXT = {"type": "string", "maxLength": 1024}
_NUMBER = {"type": "integer"}
_AMOUNT = {"x-kubernetes-int-or-string": True, "maxLength": 16, "anyOf": [{"type": "integer"}, {"type": "string"}]}
_RESOURCES = ("requests", "limits")


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A field that is not there."""

    holder: tuple[str, ...]
    """The object of the spec that people look for it in: ("accelerator",)."""
    name: str
    form: dict[str, Any]
    """The structural schema of what people write."""
    instead: str

    @property
    def path(self) -> str:
        """As a user writes it: accelerator.count."""
        return ".".join((*self.holder, self.name))


_POD = "the operator makes the pods"
ELSEWHERE = (
    Elsewhere((), "args", _WORDS, "use the fields of the spec, and extraArgs for flags that have none"),
    Elsewhere((), "apiKeys", _LIST, "use apiKeySecretRefs, the keys of Secrets that hold them"),
    Elsewhere(
        (), "apiServerCount", _NUMBER,
        "a pod has one API process, which alone knows all requests when it drains: use replicas",
    ),
    Elsewhere((), "command", _WORDS, "the operator starts vLLM: use the fields of the spec, and extraArgs"),
    Elsewhere(
        (), "containers", _LIST,
        f"{_POD}, with one container: another one belongs into a Deployment of its own beside the service",
    ),
    Elsewhere(
        (), "envFrom", _LIST,
        "name each variable in env, with valueFrom and the key of the ConfigMap; a token belongs into "
        "model.tokenSecretRef, an API key into apiKeySecretRef",
    ),
    Elsewhere((), "gpus", _NUMBER, "use tensorParallelSize, the number of GPUs of a replica"),
    Elsewhere(
        (), "initContainers", _LIST,
        f"{_POD}: bring files onto a claim with a Job of your own, and use model.uri: pvc://claim/path",
    ),
    Elsewhere((), "nodeSelector", _OBJECT, "use pod.nodeSelector"),
    Elsewhere((), "serviceAccountName", _TEXT, "use pod.serviceAccountName"),
    Elsewhere((), "tolerations", _LIST, "use pod.tolerations"),
    Elsewhere(
        (), "volumeMounts", _LIST,
        "weights come from model.uri: pvc://claim/path, what vLLM downloads and compiles is kept by cache",
    ),
    Elsewhere(
        (), "volumes", _LIST,
        "weights come from model.uri: pvc://claim/path, what vLLM downloads and compiles is kept by cache",
    ),
    Elsewhere(
        ("rollout",), "canary", _OBJECT,
        "make a second InferenceService with the new version, and send a part of the requests there by the weights "
        "of an HTTPRoute (Gateway API) in front of both",
    ),
    Elsewhere(
        ("pod",), "runAsUser", _NUMBER,
        "the platform team decides the user of all pods: leave it out; where the namespace has a range of users, as on "
        "OpenShift, the operator's setting podSecurity.runAsUser: fromNamespace leaves it to that",
    ),
    Elsewhere(
        ("pod",), "securityContext", _OBJECT,
        "pods are restricted as Kubernetes' restricted policy wants; pod.fsGroup sets the group of volumes",
    ),
    Elsewhere(
        ("accelerator",), "resourceClaimTemplateName", _TEXT,
        "the operator makes the ResourceClaimTemplate: name the DeviceClass in accelerator.deviceClass, and what the "
        "template selects in accelerator.deviceSelector",
    ),
    *(
        Elsewhere(
            ("resources", amounts), name, _AMOUNT,
            "use tensorParallelSize, the number of GPUs of a replica, and accelerator.resource for their kind",
        )
        for amounts in _RESOURCES for name in ("nvidia.com/gpu", "amd.com/gpu")
    ),
    *(
        Elsewhere(
            ("resources", amounts), name, _AMOUNT,
            "use accelerator.rdma, which the operator's setting allowedRdmaResources must allow",
        )
        for amounts in _RESOURCES for name in ("rdma/hca", "rdma/ib")
    ),
    Elsewhere(("pod",), "volumes", _LIST, "use model.uri: pvc://claim/path for weights, and cache for what is kept"),
)  # fmt: skip


def with_refusals(spec: dict[str, Any]) -> dict[str, Any]:
    """The structural schema of a spec with the fields that are not there. Changes nothing in what is given."""
    for row in ELSEWHERE:
        spec = _with(spec, row, row.holder)
    return spec


def _with(schema: dict[str, Any], row: Elsewhere, steps: tuple[str, ...]) -> dict[str, Any]:
    properties: dict[str, Any] = schema["properties"]
    if steps:
        return {**schema, "properties": {**properties, steps[0]: _with(properties[steps[0]], row, steps[1:])}}
    if row.name in properties:
        raise ValueError(f"{row.path} is a field")
    escaped = row.name.replace(".", "__dot__").replace("/", "__slash__")
    place = f".{row.name}" if escaped == row.name else f"['{row.name}']"
    refusal = rule(f"!has(self.{escaped})", f"there is no {row.path}: {row.instead}", path=place)
    described = {**row.form, "description": f"Not a field: {row.instead}."}
    return {
        **schema,
        "properties": {**properties, row.name: described},
        RULES: [*schema.get(RULES, []), refusal],
    }
