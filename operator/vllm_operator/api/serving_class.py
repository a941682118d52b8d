"""What a platform team may write in a ServingClass: once, so that a team writes only its model.

A class is named and used as a StorageClass is. What it may say of a service follows from the fields of the service
(`part_of`): nothing is described twice here, and a new field of the spec can be a default of a class at once.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field

from .accelerator import Accelerator
from .base import ApiModel, IntOrString, Limits, optional, rule, with_rules
from .conditions import ConditionType
from .fields import fields
from .parts import part_of
from .pod import PodSettings
from .reasons import Reason
from .scheduling import LabelSelector
from .spec import IMAGE_RULES, TOKENS_RULE, Image, InferenceServiceSpec
from .status import Condition
from .storage import Claim, holds_weights

# Fields of a service that a class does not default, each with why. Any other field of the spec is one.
NOT_DEFAULTED = {
    "model": "what the team writes",
    "lora": "belongs to the model",
    "speculative": "belongs to the model",
    "chat_template": "belongs to the model",
    "parser_plugins": "belongs to the model",
    "serving_class_name": "names the class",
    "image": "ServingClass.images, by accelerator",
    "accelerator": "ServingClass.accelerator",
    "pod": "ServingClass.pod",
    "cache": "ServingClass.cache",
    "replicas": "how much a service runs is its own; ServingClass.limits bounds it",
    "runtime": "an API that the team works with",
    "nodes_per_replica": "goes with the size of the model",
    "autoscaling": "how much a service runs is its own; ServingClass.limits bounds it",
    "suspend": "how much a service runs is its own",
}
NOT_OF_THE_POD = {
    "topology_spread_constraints": "says how a service's own pods lie to each other",
    "service_account_name": "an account of the service's own namespace, with its rights",
    "labels": "the team's own",
    "annotations": "the team's own",
    "fs_group": "belongs to the volumes of the service",
}
NOT_OF_THE_CACHE = {"retain": "whether a team's data outlives its service is the team's to say"}


if TYPE_CHECKING:  # what is made at import has no type that mypy could know: it is a part of these
    ServingDefaults = InferenceServiceSpec
    ServingPod = PodSettings
    ServingCache = Claim
else:
    ServingDefaults = part_of(
        InferenceServiceSpec,
        "ServingDefaults",
        "What services of the class get where their own spec leaves a field out.",
        NOT_DEFAULTED,
        rules=[TOKENS_RULE],
    )
    ServingPod = part_of(
        PodSettings, "ServingPod", "Where and how the pods of the class are scheduled.", NOT_OF_THE_POD
    )
    ServingCache = part_of(
        Claim,
        "ServingCache",
        "The cache's claim of services of the class.",
        NOT_OF_THE_CACHE,
        rules=(holds_weights("cache.storage"),),
    )


class ServingImages(ApiModel):
    """Images with vLLM's OpenAI server, by accelerator."""

    cuda: Image | None = optional("With NVIDIA GPUs and slices of them.", "vllm/vllm-openai:v0.32.0", rules=IMAGE_RULES)
    rocm: Image | None = optional("With amd.com/gpu.", "vllm/vllm-openai-rocm:v0.32.0", rules=IMAGE_RULES)
    cpu: Image | None = optional(
        "With cpu.", "public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo:v0.32.0", rules=IMAGE_RULES
    )

    def of(self, resource: str) -> str | None:
        """The image for an accelerator resource."""
        return {"amd.com/gpu": self.rocm, "cpu": self.cpu}.get(resource, self.cuda)


# A value as it stands in YAML, or a pattern of it; a number may be written without quotes.
AllowedValue = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, int) else value),
    Limits(max_length=253),
    IntOrString(),
]
AllowedValues = Annotated[
    list[AllowedValue], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"})
]
# Fields that hold one value: what `limits.allowed` may name.
ALLOWED_FIELDS = tuple(
    field.path for field in fields(InferenceServiceSpec) if field.scalar and field.path != "servingClassName"
)


class ServingLimits(ApiModel):
    """What services of the class may ask for. What is deployed is never taken away when a limit is tightened."""

    gpus_per_service: int | None = optional("Most GPUs of one service, all replicas together.", 16, ge=0, le=100000)
    gpus_per_namespace: int | None = optional(
        "Most GPUs of all services and batches of the class in one namespace; those that have pods come first, then "
        "the oldest.",
        64,
        ge=0,
        le=1000000,
    )
    max_replicas: int | None = optional("Most replicas of one service.", 4, ge=1, le=1000)
    max_model_len: int | None = optional(
        "Longest prompt and answer together, in tokens; a service or the class's defaults must then set maxModelLen.",
        131072,
        ge=1,
        le=100000000,
    )
    allowed: dict[Annotated[str, Limits(max_length=64)], AllowedValues] | None = optional(
        "By field of the service, the values that it may have; * and ? stand for any characters and for one, but not "
        "for a slash, and ** for anything. A field that has no value is not restricted.",
        {"quantization": ["fp8", "awq"], "image": ["registry.example.com/vllm:*"]},
        max_length=64,
        rules=[
            rule(
                f"self.all(k, k in {list(ALLOWED_FIELDS)!r})",
                "a key of limits.allowed must be a field of an InferenceService that holds one value, like "
                "quantization, kvCache.dtype or image",
            )
        ],
    )


class ServingClassSpec(ApiModel):
    """What services of the class get, and what they may ask for. A service's own values win, within the limits."""

    model_config = with_rules(
        rule(
            "!has(self.defaults) || !has(self.defaults.maxModelLen) || !has(self.limits)"
            " || !has(self.limits.maxModelLen) || (type(self.defaults.maxModelLen) == int"
            " && self.defaults.maxModelLen <= self.limits.maxModelLen)",
            "defaults.maxModelLen must be a number that is not above limits.maxModelLen: no service could run with it",
        ),
        rule(
            "!has(self.defaults) || !has(self.defaults.rollout) || !has(self.defaults.rollout.restartedAt)",
            "defaults.rollout.restartedAt would roll nothing: set it in the services that should take the class anew",
        ),
    )

    default: bool | None = optional(
        "Whether services that name no class have this one; of several defaults the newest holds.", True
    )
    namespaces: LabelSelector | None = optional(
        "Which namespaces may use the class, by their labels; omitted: all.", {"matchLabels": {"team": "a"}}
    )
    accelerator: Accelerator | None = optional(
        "The kind of device that each rank runs on.",
        {"resource": "nvidia.com/gpu", "product": "NVIDIA-H100-80GB-HBM3"},
    )
    images: ServingImages | None = optional(
        "Images with vLLM's OpenAI server, by accelerator. The operator's settings must allow them.",
        {"cuda": "vllm/vllm-openai:v0.32.0"},
    )
    pod: ServingPod | None = optional(
        "Where and how the pods are scheduled, beside what a service says: labels of nodes, tolerations, affinity and "
        "pull secrets are added to the service's own.",
        {"nodeSelector": {"pool": "h100"}},
    )
    cache: ServingCache | None = optional(
        "The cache's claim of services that have none of their own; with storage, each gets one.",
        {"storage": "200Gi", "storageClassName": "fast", "accessMode": "ReadWriteMany"},
    )
    defaults: ServingDefaults | None = optional(
        "Any tuning field of a service, for those that leave it out.", {"maxModelLen": 32768}
    )
    limits: ServingLimits | None = optional("What services of the class may ask for.", {"gpusPerService": 16})


class ServingClassStatus(ApiModel):
    """Written by an operator of the whole cluster. Nothing in it depends on how many services use the class."""

    observed_generation: int | None = optional("Generation of the spec that this status is about.", 3)
    conditions: list[Condition] | None = optional(
        "What is true of the class now.",
        [{"type": ConditionType.READY.value, "status": "True", "reason": Reason.VALID.value}],
        max_length=16,
        list_type="map",
        list_map_keys=["type"],
    )


@dataclass(frozen=True, slots=True)
class ServingClass:
    """A ServingClass in the cluster (or in a file, with an empty uid)."""

    name: str
    uid: str
    generation: int
    created: str
    """When, as in metadata.creationTimestamp; of several default classes the newest holds."""
    spec: ServingClassSpec
