"""What the operator reports in the `status` of an InferenceService."""

from typing import Annotated, Literal

from pydantic import Field

from .base import ApiModel, ShortText, schema


class Condition(ApiModel):
    """One aspect of the service, in the form that `kubectl wait` and GitOps tools read."""

    type: ShortText = Field(description="Aspect: SpecValid, WorkloadAvailable, MonitoringAvailable, Ready, Reconciling or Stalled.", examples=["Ready"])
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.", examples=["True"])
    reason: ShortText = Field(description="One word for why.", examples=["Available"])
    message: str = Field(max_length=4096, description="One or two sentences for why, and what to do.", examples=["2 of 2 pods serve"])
    last_transition_time: ShortText = Field(description="When the status last changed.", examples=["2026-11-24T12:00:00Z"], json_schema_extra={"format": "date-time"})
    observed_generation: int = Field(description="Generation of the spec that this is about.", examples=[3])


class EngineStatus(ApiModel):
    """What vLLM itself reports once it serves."""

    kv_cache_tokens: int | None = Field(None, description="Tokens that the KV cache of one replica holds.", examples=[409600])
    max_model_len: int | None = Field(None, description="Longest prompt and answer together, in tokens, that vLLM accepts.", examples=[32768])


class InferenceServiceStatus(ApiModel):
    """Written by the operator."""

    observed_generation: int | None = Field(None, description="Generation of the spec that this status is about.", examples=[3])
    conditions: Annotated[list[Condition], Field(max_length=16)] | None = Field(None, description="What is true of the service now.", examples=[[]], json_schema_extra=schema(list_type="map", list_map_keys=["type"]))
    replicas: int | None = Field(None, description="Pods that exist.", examples=[2])
    ready_replicas: int | None = Field(None, description="Pods that serve the current spec.", examples=[2])
    selector: str | None = Field(None, max_length=512, description="Label selector of the pods, for the scale subresource.", examples=["app.kubernetes.io/instance=llama-70b"])
    gpus: int | None = Field(None, description="GPUs that all wanted replicas take together.", examples=[8])
    url: str | None = Field(None, max_length=512, description="Base URL of the OpenAI API within the cluster.", examples=["http://llama-70b.team-a.svc:8000/v1"])
    image: str | None = Field(None, max_length=512, description="Image that the pods run.", examples=["vllm/vllm-openai:v0.32.0"])
    vllm_version: ShortText | None = Field(None, description="Version that vLLM reports.", examples=["0.32.0"])
    engine: EngineStatus | None = Field(None, description="What vLLM reports about its KV cache.", examples=[{"kvCacheTokens": 409600, "maxModelLen": 32768}])
