"""What the operator reports in the `status` of an InferenceService."""

from typing import Annotated, Literal

from .base import ApiModel, Limits, ShortText, optional, required

_CONDITION = {"type": "Ready", "status": "True", "reason": "Available"}


class Condition(ApiModel):
    """One aspect of the service, in the form that `kubectl wait` and GitOps tools read."""

    type: ShortText = required(
        "Aspect: SpecValid, WorkloadAvailable, MonitoringAvailable, Ready, Reconciling or Stalled.", "Ready"
    )
    status: Literal["True", "False", "Unknown"] = required("Whether it holds.", "True")
    reason: ShortText = required("One word for why.", "Available")
    message: Annotated[str, Limits(max_length=4096)] = required(
        "One or two sentences for why, and what to do.", "2 of 2 pods serve"
    )
    last_transition_time: ShortText = required(
        "When the status last changed.", "2026-11-24T12:00:00Z", format="date-time"
    )
    observed_generation: int = required("Generation of the spec that this is about.", 3)


class EngineStatus(ApiModel):
    """What vLLM itself reports once it serves."""

    kv_cache_tokens: int | None = optional("Tokens that the KV cache of one replica holds.", 409600)
    max_model_len: int | None = optional("Longest prompt and answer together, in tokens, that vLLM accepts.", 32768)


class InferenceServiceStatus(ApiModel):
    """Written by the operator."""

    observed_generation: int | None = optional("Generation of the spec that this status is about.", 3)
    conditions: list[Condition] | None = optional(
        "What is true of the service now.", [_CONDITION], max_length=16, list_type="map", list_map_keys=["type"]
    )
    replicas: int | None = optional("Pods that exist.", 2)
    ready_replicas: int | None = optional("Pods that serve the current spec.", 2)
    selector: str | None = optional(
        "Label selector of the pods, for the scale subresource.", "app.kubernetes.io/instance=llama-70b", max_length=512
    )
    gpus: int | None = optional("GPUs that all wanted replicas take together.", 8)
    url: str | None = optional(
        "Base URL of the OpenAI API within the cluster.", "http://llama-70b.team-a.svc:8000/v1", max_length=512
    )
    image: str | None = optional("Image that the pods run.", "vllm/vllm-openai:v0.32.0", max_length=512)
    vllm_version: ShortText | None = optional("Version that vLLM reports.", "0.32.0")
    engine: EngineStatus | None = optional(
        "What vLLM reports about its KV cache.", {"kvCacheTokens": 409600, "maxModelLen": 32768}
    )
