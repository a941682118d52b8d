"""What a user may write in the `spec` of an InferenceService: every field with its unit, an example and its rules.

An omitted field omits the flag, so that vLLM's own default stands: there are no defaults here for what vLLM decides.
"""

from typing import Annotated, Literal

from pydantic import Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from .accelerator import SPEC_RULES as ACCELERATOR_RULES
from .accelerator import Accelerator
from .autoscaling import Autoscaling
from .base import RULES, ApiModel, Bytes, Form, KeyRef, Limits, optional, required, rule, with_rules
from .combinations import RULES as COMBINATION_RULES
from .environment import EnvVar
from .fields import Flag
from .flags import extra_args_rules
from .groups import GROUP_RULES, MOST_NODES
from .kv_cache import KvCache
from .loading import FORMAT_RULES
from .model import PLUGIN_RULE, TOKEN_RULE, ChatTemplate, Lora, Model, ParserPlugins
from .network import MediaDomain, NetworkPolicySettings
from .pod import PodSettings, Resources
from .ray import RAY_SERVE
from .ray import RULES as RAY_RULES
from .rollout import Rollout
from .speculation import Speculative
from .storage import STORE_RULE, Cache
from .tuning import TUNING_RULES, Tuning
from .vocabulary import GONE_QUANTIZATIONS, OLDEST_VLLM_VERSION, QUANTIZATIONS, Dtype

__all__ = ["InferenceServiceSpec", "Speculative"]

ParserName = Annotated[
    str,
    Limits(max_length=64),
    Form(r"[a-z0-9][a-z0-9_-]*", "must be the name of one of vLLM's parsers, like hermes or deepseek_r1"),
]

Image = Annotated[
    str,
    Limits(max_length=512),
    Form(
        r"[A-Za-z0-9][A-Za-z0-9._:/@-]*", "must be an image like vllm/vllm-openai:v0.32.0, without a scheme or spaces"
    ),
]
IMAGE_RULES = [rule("!self.contains('://')", "must be an image like vllm/vllm-openai:v0.32.0, without a scheme")]
ServingClassName = Annotated[
    str,
    Limits(max_length=63),  # it is a label of the pods
    Form(r"([a-z0-9]([-a-z0-9]*[a-z0-9])?)?", 'must be the name of a ServingClass: a-z, 0-9 and -, or "" for none'),
]


class _AllowList:
    """The rules of extraArgs. They name the field of each flag, so they are made once all fields are known."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        items, whole = extra_args_rules(InferenceServiceSpec)
        return {**handler(schema), RULES: whole, "item_rules": items}


_ON_CPU = "has(self.accelerator) && has(self.accelerator.resource) && self.accelerator.resource == 'cpu'"

TOKENS_RULE = rule(
    "!has(self.maxNumBatchedTokens) || !has(self.maxNumSeqs) || self.maxNumBatchedTokens >= self.maxNumSeqs",
    "maxNumBatchedTokens must be at least maxNumSeqs: every running sequence takes a token of each batch",
)
SHARED_VOLUME_RULE = rule(
    "!has(self.cache) || !has(self.cache.claim)"
    " || (has(self.cache.claim.accessMode) && self.cache.claim.accessMode == 'ReadWriteMany')"
    " || ((!has(self.replicas) || self.replicas <= 1)"
    " && (!has(self.autoscaling) || self.autoscaling.maxReplicas <= 1))",
    "more than one replica needs cache.claim.accessMode ReadWriteMany: "
    "a ReadWriteOnce volume can be mounted on one node only",
)
DRAFT_RANKS_RULE = rule(
    "!has(self.speculative) || !has(self.speculative.draftTensorParallelSize)"
    " || self.speculative.draftTensorParallelSize == 1 || !has(self.tensorParallelSize)"
    " || (type(self.tensorParallelSize) == int"
    " && self.speculative.draftTensorParallelSize == self.tensorParallelSize)",
    "speculative.draftTensorParallelSize must be 1 or equal to tensorParallelSize",
)
API_KEYS_RULE = rule(
    "!(has(self.apiKeySecretRef) && has(self.apiKeySecretRefs))",
    "set apiKeySecretRef or apiKeySecretRefs, not both: put all keys into the list",
)
EVENTS_RULE = rule(
    "!has(self.kvCache) || !has(self.kvCache.events) || has(self.networkPolicy)"
    " || !(has(self.apiKeySecretRef) || has(self.apiKeySecretRefs))",
    "kvCache.events tells the tokens of prompts to whoever reaches its port, without an API key: set networkPolicy "
    "as well, with the router and the clients in allowFrom",
)
CPU_PIPELINE_RULE = rule(
    f"!({_ON_CPU}) || !has(self.pipelineParallelSize) || self.pipelineParallelSize == 1",
    "pipelineParallelSize must be 1 on the CPU: vLLM's CPU build crashes with more",
)
CPU_OFFLOAD_RULE = rule(
    f"!({_ON_CPU}) || !has(self.kvCache) || !has(self.kvCache.cpuOffload)",
    "kvCache.cpuOffload is for GPUs: on the CPU the KV cache is in host memory already",
)
CPU_WEIGHTS_RULE = rule(
    f"!({_ON_CPU}) || !has(self.weightsCpuOffloadPerGPU)",
    "weightsCpuOffloadPerGPU is for GPUs: on the CPU the weights are in host memory already",
)
AUTO = "auto"
"""Of a tensor parallel size that is yet to be chosen."""
AUTO_ON_CPU_RULE = rule(
    f"!({_ON_CPU}) || !has(self.tensorParallelSize) || type(self.tensorParallelSize) == int",
    "tensorParallelSize: auto chooses among GPUs: on the CPU set a number",
)
# GPUs of one pod: no node has more.
MOST_RANKS = 64
RANKS_RULE = rule(
    f"(has(self.tensorParallelSize) && type(self.tensorParallelSize) == int ? self.tensorParallelSize : 1)"
    f" * (has(self.pipelineParallelSize) ? self.pipelineParallelSize : 1)"
    f" * (has(self.dataParallelSize) ? self.dataParallelSize : 1) <= {MOST_RANKS}",
    f"tensorParallelSize times pipelineParallelSize times dataParallelSize must be at most {MOST_RANKS}: a pod is on "
    "one node",
)

SPEC_RULES = (
    TOKENS_RULE,
    RANKS_RULE,
    rule(
        "!(has(self.replicas) && has(self.autoscaling))",
        "set replicas or autoscaling, not both: the autoscaler decides the number of replicas",
    ),
    DRAFT_RANKS_RULE,
    API_KEYS_RULE,
    EVENTS_RULE,
    SHARED_VOLUME_RULE,
    CPU_PIPELINE_RULE,
    CPU_OFFLOAD_RULE,
    *TUNING_RULES,
    CPU_WEIGHTS_RULE,
    AUTO_ON_CPU_RULE,
    *GROUP_RULES,
    *RAY_RULES.values(),
    *ACCELERATOR_RULES,
    TOKEN_RULE,
    PLUGIN_RULE,
    *FORMAT_RULES,
    *COMBINATION_RULES,
    STORE_RULE,
    rule(
        "!has(self.lora) || !has(self.model.servedModelNames)"
        " || !self.lora.adapters.exists(a, a.name in self.model.servedModelNames)",
        "an adapter in lora.adapters has the name of the model: clients could not choose between them, rename one",
    ),
)


class InferenceServiceSpec(ApiModel):
    """A model, and how vLLM serves it."""

    model_config = with_rules(*SPEC_RULES)

    model: Model = required("Which model is served, and under which names.", {"uri": "hf://Qwen/Qwen3-8B-AWQ"})
    serving_class_name: ServingClassName | None = optional(
        'The ServingClass that fills in what is left out here; omitted: the default class, where there is one; "": '
        "none. A changed name rolls the pods.",
        "h100",
    )
    runtime: Literal["Deployment", "RayServe"] | None = optional(
        "What runs vLLM: pods with its own server (Deployment, the default), or Ray Serve's OpenAI app in a RayService "
        "of KubeRay (RayServe), for teams that run on Ray. RayServe needs image, and refuses the fields that Ray "
        "cannot do.",
        "RayServe",
    )
    image: Image | None = optional(
        "Image with vLLM's OpenAI server; default: the ServingClass's, else the operator's setting, which also says "
        f"which images are allowed. It has vLLM {OLDEST_VLLM_VERSION} or newer.",
        "vllm/vllm-openai:v0.32.0",
        rules=IMAGE_RULES,
    )
    quantization: Annotated[str, Limits(max_length=64)] | None = optional(
        "How the weights are quantized; omitted: what the checkpoint says.",
        "awq",
        flag="quantization",
        rules=[
            rule(
                f"!(self in {list(GONE_QUANTIZATIONS)!r})",
                "vLLM no longer has this quantization: use an AWQ, GPTQ or fp8 checkpoint of the model",
            ),
            rule(
                f"self in {[*QUANTIZATIONS, *GONE_QUANTIZATIONS]!r}",
                f"must be one of {', '.join(QUANTIZATIONS)}; leave it out to use what the checkpoint says",
            ),
        ],
    )
    dtype: Dtype | None = optional("Type of weights and activations that are not quantized.", "bfloat16", flag="dtype")
    tensor_parallel_size: Annotated[int, Field(ge=1, le=MOST_RANKS)] | Literal["auto"] | None = optional(
        "GPUs that each layer is split over; on one node, unless nodesPerReplica is set. auto: the cheapest GPUs of "
        "this cluster that fit, by product and number; chosen when the spec changes, and told in status.resolved.",
        4,
        flag="tensor-parallel-size",
        rules=[
            rule(
                f"type(self) == string ? self == 'auto' : (self >= 1 && self <= {MOST_RANKS})",
                f"must be a number of GPUs from 1 to {MOST_RANKS}, or auto",
            )
        ],
    )
    pipeline_parallel_size: int | None = optional(
        "Groups of layers, each on its own GPUs.", 1, flag="pipeline-parallel-size", ge=1, le=64
    )
    nodes_per_replica: int | None = optional(
        "Pods that the ranks of each replica are spread over, as many in each: for a model that is too large for one "
        "node. Above 1, replicas are groups of pods, and need LeaderWorkerSet. Between 1 and more, pods are replaced. "
        "Omitted: 1; or, where no node has the GPUs, the fewest nodes which keep each layer on one of them.",
        2,
        flag="nnodes",
        ge=1,
        le=MOST_NODES,
    )
    data_parallel_size: int | None = optional(
        "Engines in each pod, which share requests out: each has tensorParallelSize times pipelineParallelSize GPUs, "
        "all weights but experts, and a KV cache of its own. With expertParallel, experts are spread over all GPUs.",
        4,
        flag="data-parallel-size",
        ge=1,
        le=MOST_RANKS,
    )
    expert_parallel: bool | None = optional(
        "Whether whole experts, instead of slices of each, go to each GPU (mixture-of-experts models).",
        True,
        flag="enable-expert-parallel",
    )
    max_model_len: int | Literal["auto"] | None = optional(
        "Longest prompt and answer together, in tokens; auto: the longest that fits the GPU's memory. "
        "Omitted: vLLM's default for the model.",
        32768,
        flag="max-model-len",
        rules=[
            rule(
                "type(self) == string ? self == 'auto' : (self >= 1 && self <= 100000000)",
                "must be a number of tokens from 1, without a unit, or auto",
            )
        ],
    )
    max_num_seqs: int | None = optional("Most sequences that run at once.", 256, flag="max-num-seqs", ge=1, le=65536)
    max_num_batched_tokens: int | None = optional(
        "Most tokens in one step of the engine.", 8192, flag="max-num-batched-tokens", ge=1, le=16777216
    )
    max_queued_requests: int | None = optional(
        "Most requests in flight, waiting or running; above it vLLM answers 503, so that clients can go elsewhere.",
        500,
        flag="max-num-queued-reqs",
        ge=1,
        le=1000000,
    )
    enforce_eager: bool | None = optional(
        "Whether CUDA graphs and compilation are skipped: starts sooner, serves slower.", False, flag="enforce-eager"
    )
    kv_cache: KvCache | None = optional("The KV cache.", {"dtype": "fp8"})
    weights_cpu_offload_per_gpu: Bytes | None = optional(
        "Weights of each GPU's share that stay in host memory, from where the GPU reads them in every step: a larger "
        "model fits, and is slower. Added to the pod's memory request, for all GPUs and half as much again.",
        "10Gi",
        alias="weightsCpuOffloadPerGPU",
        flag=Flag("cpu-offload-gb", "GiB"),
    )
    accelerator: Accelerator = Field(
        default_factory=lambda: Accelerator.model_validate({}),
        description="The kind of device that each rank runs on.",
        examples=[{"resource": "nvidia.com/gpu"}],
    )
    plan_policy: Literal["Enforce", "Warn"] | None = optional(
        "What to do when the memory plan says that the model does not fit the GPUs: Enforce (the default) makes no "
        "pods and takes no GPU; Warn makes them all the same.",
        "Enforce",
        rolls=False,
    )
    replicas: int | None = optional("Number of pods, each with all ranks; omitted: 1.", 2, rolls=False, ge=0, le=1000)
    suspend: bool | None = optional(
        "Whether the service has no pods for now: frees their GPUs, and keeps all but an autoscaler.", True, rolls=False
    )
    autoscaling: Autoscaling | None = optional(
        "Scales the number of pods by vLLM's metrics, instead of replicas.",
        {"minReplicas": 1, "maxReplicas": 8},
        rolls=False,
    )
    cache: Cache | None = optional(
        "Where downloaded weights and compiled kernels are kept.",
        {"claim": {"storage": "200Gi", "accessMode": "ReadWriteMany"}},
    )
    resources: Resources | None = optional("CPU and memory of each pod.", {"requests": {"cpu": "8", "memory": "64Gi"}})
    pod: PodSettings | None = optional("Where and how the pods are scheduled.", {"nodeSelector": {"pool": "gpu"}})
    startup_timeout_seconds: int | None = optional(
        "Seconds that a pod may take to download, load and compile the model before it is restarted (default 1800).",
        1800,
        ge=60,
        le=86400,
    )
    api_key_secret_ref: KeyRef | None = optional(
        "The key that clients must send as Bearer token. A changed key counts in pods that start after it.",
        {"name": "llama-key", "key": "key"},
        flag=Flag("api-key", "otherwise"),
    )
    api_key_secret_refs: list[KeyRef] | None = optional(
        "Several keys, each of which clients may send as Bearer token: one for each tenant, or the old and the new one "
        "during a rotation. What changes in the Secrets counts within two minutes, without a restart.",
        [{"name": "team-a", "key": "key"}, {"name": "team-b", "key": "key"}],
        min_length=1,
        max_length=32,
        list_type="map",
        list_map_keys=["name", "key"],
    )
    lora: Lora | None = optional(
        "LoRA adapters served beside the model.",
        {"adapters": [{"name": "sql", "uri": "pvc://adapters/sql"}]},
        flag=Flag("enable-lora", "presence"),
    )
    speculative: Speculative | None = optional(
        "Speculative decoding.",
        {"method": "ngram", "numSpeculativeTokens": 4},
        flag=Flag("speculative-config", "JSON"),
    )
    tool_call_parser: ParserName | None = optional(
        "How tool calls are read from the model's output; also lets the model choose tools.",
        "hermes",
        flag=("tool-call-parser", Flag("enable-auto-tool-choice", "otherwise")),
    )
    reasoning_parser: ParserName | None = optional(
        "How reasoning is told apart from the answer.", "deepseek_r1", flag="reasoning-parser"
    )
    chat_template: ChatTemplate | None = optional(
        "A chat template other than the tokenizer's own.",
        {"configMapKeyRef": {"name": "chat", "key": "chat.jinja"}},
        flag=Flag("chat-template", "path"),
    )
    parser_plugins: ParserPlugins | None = optional(
        "Parsers of one's own, where the operator's setting allowParserPlugins allows code.",
        {"toolCall": {"name": "parsers", "key": "tool_calls.py"}},
    )
    tuning: Tuning | None = optional(
        "Settings of vLLM's inner parts, as its recipes have them.", {"compilation": {"cudagraphMode": "PIECEWISE"}}
    )
    allowed_media_domains: list[MediaDomain] | None = optional(
        "Hosts from which vLLM may fetch media that requests name by an address; omitted: those of the operator's "
        "setting allowedMediaDomains, and only those are allowed here. What a request holds (data:) is always taken.",
        ["images.example.com"],
        flag=Flag("allowed-media-domains", "otherwise"),
        max_length=32,
        list_type="set",
    )
    network_policy: NetworkPolicySettings | None = optional(
        "Restricts who may reach the port, but for the operator; omitted: no NetworkPolicy. Include your Prometheus.",
        {"allowFrom": [{"podSelector": {}}]},
        rolls=False,
    )
    rollout: Rollout | None = optional("How changes reach the pods.", {"restartedAt": "2026-11-24T12:00:00Z"})
    extra_args: Annotated[list[Annotated[str, Limits(max_length=1024)]], _AllowList()] | None = optional(
        "Further vLLM flags, one per item, as --flag or --flag=value, from an allow-list of flags that neither load "
        "code nor name files nor belong to the operator or a field.",
        ["--seed=1"],
        max_length=32,
        list_type="atomic",
    )
    env: list[EnvVar] | None = optional(
        "Environment variables of vLLM's container.",
        [{"name": "VLLM_LOGGING_LEVEL", "value": "WARNING"}],
        max_length=64,
        list_type="map",
        list_map_keys=["name"],
    )

    @property
    def tensor_size(self) -> int:
        """The tensor parallel size; 1 where it is left out, or not chosen yet."""
        return self.tensor_parallel_size if isinstance(self.tensor_parallel_size, int) else 1

    @property
    def on_ray(self) -> bool:
        """Whether Ray Serve runs the model."""
        return self.runtime == RAY_SERVE

    @property
    def nodes(self) -> int:
        """Pods of each replica."""
        return self.nodes_per_replica or 1


UNREADABLE = InferenceServiceSpec.model_validate({"model": {"uri": "hf://unreadable/spec"}, "replicas": 0})
"""Stands in for a spec that cannot be read: only the status is written then."""
