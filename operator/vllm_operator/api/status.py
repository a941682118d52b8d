"""What the operator reports in the `status` of an InferenceService."""

from typing import Annotated, Literal

from .base import ApiModel, Limits, ShortText, optional, required
from .conditions import ConditionType
from .reasons import Reason

_READY, _AVAILABLE = ConditionType.READY.value, Reason.AVAILABLE.value
_CONDITION = {"type": _READY, "status": "True", "reason": _AVAILABLE}


class Condition(ApiModel):
    """One aspect of the service, in the form that `kubectl wait` and GitOps tools read."""

    type: ShortText = required(f"Aspect: {', '.join(f'{kind} ({kind.holds})' for kind in ConditionType)}.", _READY)
    status: Literal["True", "False", "Unknown"] = required("Whether it holds.", "True")
    reason: ShortText = required(
        "One word for why. docs/reasons.md of vllm-operator has them all, with the aspects they are of and what to do.",
        _AVAILABLE,
    )
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


class ResolvedValue(ApiModel):
    """A value that did not come from the service's spec."""

    field: ShortText = required("The field, as the spec would have it.", "maxModelLen")
    value: ShortText = required("Its value; a long one is shortened.", "32768")
    source: ShortText = required(
        "Where it is from: a ServingClass, operator, or plan (tensorParallelSize: auto).",
        "ServingClass h100",
        alias="from",
    )
    why: ShortText | None = optional(
        "Why the plan chose it.", "2 x NVIDIA-L40S is the cheapest of 3 kinds of this cluster that fit"
    )


class ModelStatus(ApiModel):
    """What the inspection of the model found."""

    inspected: ShortText | None = optional("Hash of the model, revision and token that were inspected.", "0f3c9a1b")
    commit: ShortText | None = optional(
        "Commit that the model's branch or tag stood for: all pods serve it.",
        "64d255621f40b42adaf6d1f32a47e1d4534c0f14",
    )
    weights_bytes: int | None = optional("Bytes of the model's weights, as stored.", 39770000000, format="int64")
    architecture: ShortText | None = optional("Class of the model, as its config.json names it.", "LlamaForCausalLM")
    quantization: ShortText | None = optional(
        "How the weights are quantized, in the checkpoint's own word; omitted: it says nothing of that.", "awq"
    )
    chat_template: bool | None = optional(
        "Whether a chat template is among the model's files; omitted: they do not tell.", True
    )
    report: Annotated[str, Limits(max_length=4096)] | None = optional(
        "Written by the first versions of the operator only, which kept config.json here, packed.", "c-n"
    )


class DownloadStatus(ApiModel):
    """How far the download into the cache is; there while pods wait for it. Written every 10 seconds at most."""

    progress: ShortText | None = optional("How much is there, in percent.", "43 %")
    bytes: int | None = optional("Bytes that are there.", 60300000000, format="int64")
    total_bytes: int | None = optional("Bytes of all files that are fetched.", 140200000000, format="int64")
    bytes_per_second: int | None = optional("Bytes per second, of late.", 850000000, format="int64")
    seconds_left: int | None = optional("Seconds until all is there, at that rate.", 94, format="int64")


class SpeedStatus(ApiModel):
    """About what one replica will serve, to two digits: an estimate, which refuses nothing."""

    decode_tokens_per_second: int | None = optional("Of a request that is alone.", 150)
    decode_tokens_per_second_together: int | None = optional("Of requestsTogether, all of them.", 13000)
    requests_together: int | None = optional("As many as the KV cache holds with contextTokens each.", 256)
    context_tokens: int | None = optional("Tokens of each request's context.", 1000)
    prefill_tokens_per_second: int | None = optional("Tokens of prompts.", 39000)
    milliseconds_to_first_token: int | None = optional("Of a prompt of contextTokens, when nothing else runs.", 33)


class PlanStatus(ApiModel):
    """How the memory of each GPU will be used, worked out before a GPU is taken."""

    gpu: ShortText | None = optional("GPU product that the plan is for.", "NVIDIA-H100-80GB-HBM3")
    vllm_version: ShortText | None = optional("Version of vLLM whose memory use the plan knows.", "0.32.0")
    approximate: list[ShortText] | None = optional(
        "Why the numbers are approximate: what was not measured, or is not known of the model, its GPU or its image; "
        "omitted where all was.",
        ["vLLM 0.33.0 was not measured, and 0.32.0 is the nearest"],
        max_length=16,
        list_type="atomic",
    )
    total_bytes: int | None = optional("Memory of one GPU as CUDA reports it, in bytes.", 85017493504, format="int64")
    weights_bytes: int | None = optional("Weights on one GPU, in bytes.", 9943924736, format="int64")
    overhead_bytes: int | None = optional(
        "Activations, CUDA graphs and other memory on one GPU, in bytes.", 3435973836, format="int64"
    )
    kv_cache_bytes: int | None = optional("KV cache on one GPU, in bytes.", 62000000000, format="int64")
    kv_cache_tokens: int | None = optional("Tokens that the KV cache of one replica holds.", 409600, format="int64")
    max_model_len: int | None = optional("Longest prompt and answer together, in tokens.", 32768)
    max_model_len_that_fits: int | None = optional(
        "Longest prompt and answer that the KV cache has room for, in tokens.", 131072
    )
    speed: SpeedStatus | None = optional(
        "About what one replica will serve, where that can be told.", {"decodeTokensPerSecond": 150}
    )
    learned_bytes: int | None = optional(
        "By how much the KV cache on one GPU is planned larger (or, negative, smaller) as other engines got more or "
        "less than planned; at most the plan's margin of error, in bytes.",
        -104857600,
        format="int64",
    )
    learned_from: ShortText | None = optional(
        "Whose engines taught that, by GPU product.", "NVIDIA-L40S: services llama-8b, qwen and 2 other namespaces"
    )
    difference_percent: ShortText | None = optional(
        "By how many percent the KV cache that vLLM reports is larger (or, negative, smaller) than planned.", "-0.3"
    )


class InferenceServiceStatus(ApiModel):
    """Written by the operator."""

    observed_generation: int | None = optional(
        "Generation of the spec that this status is about; -1 before the operator has seen the service.", 3
    )
    conditions: list[Condition] | None = optional(
        "What is true of the service now.", [_CONDITION], max_length=16, list_type="map", list_map_keys=["type"]
    )
    replicas: int | None = optional("Pods that exist.", 2)
    wanted_replicas: int | None = optional(
        "Pods that there should be, by the spec or the autoscaler; a Deployment that is made again starts with them.", 2
    )
    ready_replicas: int | None = optional("Pods that serve the current spec.", 2)
    selector: str | None = optional(
        "Label selector of the pods, for the scale subresource.", "app.kubernetes.io/instance=llama-70b", max_length=512
    )
    gpus: int | None = optional("GPUs that all wanted replicas take together.", 8)
    startup_seconds: int | None = optional(
        "Seconds that a pod takes from its start until it serves, rounded up to 15, 30, 60, 120, 300, 600, 900, 1200 "
        "or 1800: pods are added no faster.",
        300,
    )
    url: str | None = optional(
        "Base URL of the OpenAI API within the cluster.", "http://llama-70b.team-a.svc:8000/v1", max_length=512
    )
    image: str | None = optional("Image that the pods run.", "vllm/vllm-openai:v0.32.0", max_length=512)
    resolved: list[ResolvedValue] | None = optional(
        "The values that did not come from the spec, as they hold for the pods. They are kept with the pods' template: "
        "a changed ServingClass is told by the condition Outdated.",
        [{"field": "maxModelLen", "value": "32768", "from": "ServingClass h100"}],
        max_length=128,
        list_type="map",
        list_map_keys=["field"],
    )
    vllm_version: ShortText | None = optional("Version that vLLM reports.", "0.32.0")
    model: ModelStatus | None = optional("What the model is made of.", {"commit": "64d2556"})
    download: DownloadStatus | None = optional(
        "How far the download into the cache is; there while pods wait for it.", {"progress": "43 %"}
    )
    plan: PlanStatus | None = optional(
        "How the memory of each GPU will be used, worked out before a GPU is taken.", {"kvCacheTokens": 409600}
    )
    engine: EngineStatus | None = optional(
        "What vLLM reports about its KV cache.", {"kvCacheTokens": 409600, "maxModelLen": 32768}
    )
