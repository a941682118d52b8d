"""What a user may write in the `spec` of an InferenceService: every field with its unit, an example and its rules.

An omitted field omits the flag, so that vLLM's own default stands: there are no defaults here for anything that vLLM decides.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from . import vocabulary as words
from .base import ApiModel, Bytes, KeyRef, ObjectName, rule, schema, with_rules
from .pod import EnvVar, NetworkPeer, PodSettings, Resources

# hf://organisation/name or pvc://claim/path/in/the/claim
URI_PATTERN = r"^(hf://[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*|pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)$"
_URI_RULES = [
    rule("!self.startsWith('s3://') && !self.startsWith('oci://')", "s3:// and oci:// are not supported yet: copy the model into a PersistentVolumeClaim and use pvc://claim/path"),
    rule(f"self.startsWith('s3://') || self.startsWith('oci://') || self.matches('{URI_PATTERN}')", "must be hf://organisation/name or pvc://claim/path"),
    rule("!self.contains('/../') && !self.contains('/./') && !self.endsWith('/..') && !self.endsWith('/.')", "must not contain . or .. as a part of the path"),
]
Uri = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Revision = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/-]+$", min_length=1, max_length=128)]
ParserName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$", min_length=1, max_length=128)]


class Tokenizer(ApiModel):
    """A tokenizer other than the model's own."""

    model_config = with_rules(rule("!has(self.revision) || self.uri.startsWith('hf://')", "tokenizer.revision is for hf:// only: a claim has no revisions"))

    uri: Uri = Field(description="Where the tokenizer is: hf://organisation/name or pvc://claim/path.", examples=["hf://meta-llama/Llama-3.1-8B-Instruct"], json_schema_extra=schema(rules=_URI_RULES))
    revision: Revision | None = Field(None, description="Commit, tag or branch of the tokenizer's repository.", examples=["5206a32e0bd3067aef1ce90f5528ade7d866253f"])


class Model(ApiModel):
    """Which model is served, and under which names."""

    model_config = with_rules(
        rule("!has(self.revision) || self.uri.startsWith('hf://')", "model.revision is for hf:// only: a claim has no revisions"),
        rule("!has(self.tokenSecretRef) || self.uri.startsWith('hf://') || (has(self.tokenizer) && self.tokenizer.uri.startsWith('hf://'))", "model.tokenSecretRef is for hf:// only: a claim needs no token"),
    )

    uri: Uri = Field(description="Where the model is: hf://organisation/name, or pvc://claim/path in this namespace.", examples=["hf://Qwen/Qwen3-8B-AWQ"], json_schema_extra=schema(rules=_URI_RULES))
    revision: Revision | None = Field(None, description="Commit of the model's repository; pin it, so that every replica serves the same weights.", examples=["9216db5781bf21249d130ec9da846c4624c16137"])
    served_model_names: Annotated[list[ModelName], Field(min_length=1, max_length=8)] | None = Field(
        None, description="Names that clients may use as `model`; default: the name of the service. The first one labels the metrics.", examples=[["llama-70b"]], json_schema_extra=schema(list_type="set")
    )
    token_secret_ref: KeyRef | None = Field(None, description="The Hugging Face token, for gated or private models.", examples=[{"name": "hf-token", "key": "token"}])
    tokenizer: Tokenizer | None = Field(None, description="A tokenizer other than the model's own.", examples=[{"uri": "hf://meta-llama/Llama-3.1-8B-Instruct"}])
    trust_remote_code: bool | None = Field(None, description="Whether Python code from the model's repository may run in the pod. Only for repositories that you trust.", examples=[False])


class KvCache(ApiModel):
    """The KV cache: how much memory it gets, and how it is stored."""

    model_config = with_rules(
        rule("!(has(self.gpuMemoryUtilizationPercent) && has(self.memoryPerGPU))", "set gpuMemoryUtilizationPercent or memoryPerGPU, not both: memoryPerGPU makes vLLM ignore the other")
    )

    dtype: Literal[words.KV_CACHE_DTYPES] | None = Field(None, description="Type of the stored keys and values. fp8 halves the memory per token of bfloat16.", examples=["fp8"])  # type: ignore[valid-type]
    gpu_memory_utilization_percent: int | None = Field(None, ge=1, le=100, description="Percent of each GPU's memory that vLLM may use for everything (vLLM's default: 92).", examples=[90])
    memory_per_gpu: Bytes | None = Field(None, alias="memoryPerGPU", description="Size of the KV cache on each GPU, in bytes (on the CPU: of each rank), instead of a percentage.", examples=["20Gi"])
    block_size: Literal[words.BLOCK_SIZES] | None = Field(None, description="Tokens per KV cache block.", examples=[16])  # type: ignore[valid-type]
    prefix_caching: bool | None = Field(None, description="Whether requests that start alike share their KV cache (vLLM's default: yes).", examples=[True])
    cpu_offload: Bytes | None = Field(None, description="Host memory for KV cache blocks that leave the GPU, over all ranks; added to the pod's memory request.", examples=["32Gi"])


class Accelerator(ApiModel):
    """The kind of device that each rank runs on."""

    model_config = with_rules(
        rule("!has(self.product) || self.resource != 'cpu'", "accelerator.product is for GPUs: remove it, or set accelerator.resource to nvidia.com/gpu or amd.com/gpu"),
    )

    resource: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        "nvidia.com/gpu", description="Resource that each rank asks for: nvidia.com/gpu, amd.com/gpu or cpu.", examples=["nvidia.com/gpu"],
        json_schema_extra=schema(
            rules=[
                rule("!self.startsWith('nvidia.com/mig-')", "MIG slices are not supported yet: their memory and their lack of peer access are not planned for; use nvidia.com/gpu (whole GPUs)"),
                rule("!self.endsWith('.shared')", "time-sliced GPUs are not supported yet: nothing separates their memory, so vLLM's would collide; use nvidia.com/gpu (whole GPUs)"),
                rule("self.startsWith('nvidia.com/mig-') || self.endsWith('.shared') || self in ['nvidia.com/gpu', 'amd.com/gpu', 'cpu']", "must be nvidia.com/gpu, amd.com/gpu or cpu"),
            ]
        ),
    )  # fmt: skip
    product: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", max_length=63)] | None = Field(
        None, description="GPU product as the nodes are labelled (nvidia.com/gpu.product, amd.com/gpu.product-name).", examples=["NVIDIA-H100-80GB-HBM3"]
    )


class Claim(ApiModel):
    """A PersistentVolumeClaim that the operator makes for the cache."""

    model_config = with_rules(
        rule("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)", "cache.claim.storageClassName cannot be changed: make a claim of the other class and name it in cache.existingClaim", path=".storageClassName"),
        rule("has(self.accessMode) == has(oldSelf.accessMode) && (!has(self.accessMode) || self.accessMode == oldSelf.accessMode)", "cache.claim.accessMode cannot be changed: make a claim with the other mode and name it in cache.existingClaim", path=".accessMode"),
        rule("quantity(self.storage).compareTo(quantity(oldSelf.storage)) >= 0", "cache.claim.storage can grow but not shrink: Kubernetes cannot shrink a volume", path=".storage"),
    )

    storage: Bytes = Field(description="Size of the volume in bytes; at least the model's weights.", examples=["200Gi"])
    storage_class_name: ObjectName | None = Field(None, description="StorageClass; omitted: the cluster's default. Cannot be changed later.", examples=["fast"])
    access_mode: Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"] | None = Field(None, description="Access mode (default ReadWriteOnce). More than one replica needs ReadWriteMany. Cannot be changed later.", examples=["ReadWriteMany"])
    retain: bool | None = Field(None, description="Whether the claim stays when the service is deleted (default: yes).", examples=[True])


class Cache(ApiModel):
    """Where downloaded weights and compiled kernels are kept. Omitted: in the pod, and lost with it."""

    model_config = with_rules(rule("has(self.claim) != has(self.existingClaim)", "cache needs either claim or existingClaim, and not both"))

    claim: Claim | None = Field(None, description="A claim that the operator makes, named after the service with the suffix -cache.", examples=[{"storage": "200Gi", "accessMode": "ReadWriteMany"}])
    existing_claim: ObjectName | None = Field(None, description="A claim that exists in this namespace.", examples=["shared-cache"])


class LoraAdapter(ApiModel):
    """One LoRA adapter; clients choose it by its name as `model`."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=128)] = Field(description="Name that clients use as `model`.", examples=["sql"])
    uri: Uri = Field(description="Where the adapter is: hf://organisation/name or pvc://claim/path.", examples=["pvc://adapters/sql"], json_schema_extra=schema(rules=_URI_RULES))


class Lora(ApiModel):
    """LoRA adapters that are served beside the model."""

    adapters: Annotated[list[LoraAdapter], Field(min_length=1, max_length=32)] = Field(description="The adapters.", examples=[[{"name": "sql", "uri": "pvc://adapters/sql"}]], json_schema_extra=schema(list_type="map", list_map_keys=["name"]))
    max_rank: Literal[words.LORA_RANKS] | None = Field(None, description="Largest rank among the adapters (vLLM's default: 16).", examples=[16])  # type: ignore[valid-type]


class Speculative(ApiModel):
    """Speculative decoding: a cheap guess of the next tokens that the model checks."""

    model_config = with_rules(
        rule(
            f"self.method in {list(words.MODEL_FREE_SPECULATION)!r} || self.method.endsWith('mtp') || has(self.model)",
            "speculative.model is needed with this method: name the draft model (hf:// or pvc://)",
        ),
        rule(f"!(self.method in {list(words.MODEL_FREE_SPECULATION)!r}) || !has(self.model)", "speculative.model is not used with this method: remove it"),
    )

    method: Literal[words.SPECULATIVE_METHODS] = Field(description="How tokens are guessed.", examples=["eagle3"])  # type: ignore[valid-type]
    model: Uri | None = Field(None, description="Draft model: hf://organisation/name or pvc://claim/path.", examples=["hf://yuhuili/EAGLE3-LLaMA3.1-Instruct-8B"], json_schema_extra=schema(rules=_URI_RULES))
    num_speculative_tokens: int = Field(ge=1, le=64, description="Tokens guessed per step.", examples=[4])


class ChatTemplate(ApiModel):
    """A chat template other than the tokenizer's own."""

    config_map_key_ref: KeyRef = Field(description="The ConfigMap and key that hold the Jinja template.", examples=[{"name": "templates", "key": "chat.jinja"}])


class AutoscalingTargets(ApiModel):
    """What each pod should have at most, on average."""

    waiting_requests: int = Field(5, ge=1, le=10000, description="Requests that wait in vLLM's queue, per pod.", examples=[5])


class Autoscaling(ApiModel):
    """Scales the number of pods by what vLLM feels. Needs custom metrics in the cluster (prometheus-adapter)."""

    model_config = with_rules(rule("self.minReplicas <= self.maxReplicas", "autoscaling.minReplicas must not be above autoscaling.maxReplicas"))

    min_replicas: int = Field(1, ge=1, le=1000, description="Fewest pods.", examples=[1])
    max_replicas: int = Field(ge=1, le=1000, description="Most pods.", examples=[8])
    targets: AutoscalingTargets = Field(default_factory=AutoscalingTargets, description="When to scale.", examples=[{"waitingRequests": 5}])


class NetworkPolicySettings(ApiModel):
    """Restricts who may reach the port. Include your Prometheus."""

    allow_from: Annotated[list[NetworkPeer], Field(max_length=32)] = Field(description="Peers that may connect; an empty list lets nobody in.", examples=[[{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "team-b"}}}]], json_schema_extra=schema(list_type="atomic"))


class Rollout(ApiModel):
    """How changes reach the pods."""

    restarted_at: Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})$")] | None = Field(
        None, description="A time (RFC 3339). Changing it renders the pods anew, with the operator's current defaults, and rolls them.", examples=["2026-11-24T12:00:00Z"]
    )


_EXTRA_ARG_NAME = "self.split('=', 2)[0]"
_EXTRA_ARG_RULES = [
    rule(
        f"{_EXTRA_ARG_NAME} in {[*words.EXTRA_VALUE_FLAGS, *words.EXTRA_SWITCH_FLAGS]!r}",
        "this flag is not on the list of vLLM flags that extraArgs may pass: write it in full, or use the field of the spec that sets it",
        message_expression=f"{_EXTRA_ARG_NAME} + ' is not on the list of vLLM flags that extraArgs may pass (full names only): use the field of the spec that sets it, or see the documentation of spec.extraArgs'",
    ),
]

SPEC_RULES = (
    rule("!has(self.maxNumBatchedTokens) || !has(self.maxNumSeqs) || self.maxNumBatchedTokens >= self.maxNumSeqs", "maxNumBatchedTokens must be at least maxNumSeqs: every running sequence takes a token of each batch"),
    rule("!(has(self.replicas) && has(self.autoscaling))", "set replicas or autoscaling, not both: the autoscaler decides the number of replicas"),
    rule(
        "!has(self.cache) || !has(self.cache.claim) || (has(self.cache.claim.accessMode) && self.cache.claim.accessMode == 'ReadWriteMany') || ((!has(self.replicas) || self.replicas <= 1) && (!has(self.autoscaling) || self.autoscaling.maxReplicas <= 1))",
        "more than one replica needs cache.claim.accessMode ReadWriteMany: a ReadWriteOnce volume can be mounted on one node only",
    ),
    rule("!has(self.accelerator) || self.accelerator.resource != 'cpu' || !has(self.pipelineParallelSize) || self.pipelineParallelSize == 1", "pipelineParallelSize must be 1 on the CPU: vLLM's CPU build crashes with more"),
    rule("!has(self.accelerator) || self.accelerator.resource != 'cpu' || !has(self.kvCache) || !has(self.kvCache.cpuOffload)", "kvCache.cpuOffload is for GPUs: on the CPU the KV cache is in host memory already"),
)


class InferenceServiceSpec(ApiModel):
    """A model, and how vLLM serves it."""

    model_config = with_rules(*SPEC_RULES)

    model: Model = Field(description="Which model is served, and under which names.", examples=[{"uri": "hf://Qwen/Qwen3-8B-AWQ"}])
    image: Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$")] | None = Field(
        None, description="Image with vLLM's OpenAI server; default: the operator's setting, which also says which images are allowed.", examples=["vllm/vllm-openai:v0.32.0"]
    )
    quantization: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        None, description="How the weights are quantized; omitted: what the checkpoint says.", examples=["awq"],
        json_schema_extra=schema(rules=[
            rule(f"!(self in {list(words.GONE_QUANTIZATIONS)!r})", "vLLM no longer has this quantization: use an AWQ, GPTQ or fp8 checkpoint of the model"),
            rule(f"self in {[*words.QUANTIZATIONS, *words.GONE_QUANTIZATIONS]!r}", f"must be one of {', '.join(words.QUANTIZATIONS)}; leave it out to use what the checkpoint says"),
        ]),
    )  # fmt: skip
    dtype: Literal[words.DTYPES] | None = Field(None, description="Type of weights and activations that are not quantized.", examples=["bfloat16"])  # type: ignore[valid-type]
    tensor_parallel_size: int | None = Field(None, ge=1, le=64, description="GPUs that each layer is split over; they are all on one node.", examples=[4])
    pipeline_parallel_size: int | None = Field(None, ge=1, le=64, description="Groups of layers, each on its own GPUs.", examples=[1])
    expert_parallel: bool | None = Field(None, description="Whether whole experts, instead of slices of each, go to each GPU (mixture-of-experts models).", examples=[True])
    max_model_len: int | Literal["auto"] | None = Field(
        None, description="Longest prompt and answer together, in tokens; auto: the longest that fits the GPU's memory. Omitted: the model's own.", examples=[32768],
        json_schema_extra=schema(rules=[rule("type(self) == string ? self == 'auto' : (self >= 1 && self <= 100000000)", "must be a number of tokens from 1, or auto")]),
    )
    max_num_seqs: int | None = Field(None, ge=1, le=65536, description="Most sequences that run at once.", examples=[256])
    max_num_batched_tokens: int | None = Field(None, ge=1, le=16777216, description="Most tokens in one step of the engine.", examples=[8192])
    max_queued_requests: int | None = Field(None, ge=1, le=1000000, description="Most requests in flight, waiting or running; above it vLLM answers 503, so that clients can go elsewhere.", examples=[500])
    enforce_eager: bool | None = Field(None, description="Whether CUDA graphs and compilation are skipped: starts sooner, serves slower.", examples=[False])
    kv_cache: KvCache | None = Field(None, description="The KV cache.", examples=[{"dtype": "fp8"}])
    accelerator: Accelerator = Field(default_factory=lambda: Accelerator(resource="nvidia.com/gpu"), description="The kind of device that each rank runs on.", examples=[{"resource": "nvidia.com/gpu"}])
    replicas: int | None = Field(None, ge=0, le=1000, description="Number of pods, each with all ranks; omitted: 1.", examples=[2])
    autoscaling: Autoscaling | None = Field(None, description="Scales the number of pods by vLLM's metrics, instead of replicas.", examples=[{"minReplicas": 1, "maxReplicas": 8}])
    cache: Cache | None = Field(None, description="Where downloaded weights and compiled kernels are kept.", examples=[{"claim": {"storage": "200Gi", "accessMode": "ReadWriteMany"}}])
    resources: Resources | None = Field(None, description="CPU and memory of each pod.", examples=[{"requests": {"cpu": "8", "memory": "64Gi"}}])
    pod: PodSettings | None = Field(None, description="Where and how the pods are scheduled.", examples=[{"nodeSelector": {"pool": "gpu"}}])
    startup_timeout_seconds: int | None = Field(None, ge=60, le=86400, description="Seconds that a pod may take to download, load and compile the model before it is restarted (default 1800).", examples=[1800])
    api_key_secret_ref: KeyRef | None = Field(None, description="The key that clients must send as Bearer token.", examples=[{"name": "llama-key", "key": "key"}])
    lora: Lora | None = Field(None, description="LoRA adapters served beside the model.", examples=[{"adapters": [{"name": "sql", "uri": "pvc://adapters/sql"}]}])
    speculative: Speculative | None = Field(None, description="Speculative decoding.", examples=[{"method": "ngram", "numSpeculativeTokens": 4}])
    tool_call_parser: ParserName | None = Field(None, description="How tool calls are read from the model's output; also lets the model choose tools.", examples=["hermes"])
    reasoning_parser: ParserName | None = Field(None, description="How reasoning is told apart from the answer.", examples=["deepseek_r1"])
    chat_template: ChatTemplate | None = Field(None, description="A chat template other than the tokenizer's own.", examples=[{"configMapKeyRef": {"name": "templates", "key": "chat.jinja"}}])
    network_policy: NetworkPolicySettings | None = Field(None, description="Restricts who may reach the port; omitted: no NetworkPolicy.", examples=[{"allowFrom": [{"podSelector": {}}]}])
    rollout: Rollout | None = Field(None, description="How changes reach the pods.", examples=[{"restartedAt": "2026-11-24T12:00:00Z"}])
    extra_args: Annotated[list[Annotated[str, StringConstraints(max_length=1024, pattern=r"^--[a-z0-9][a-z0-9-]*(=.*)?$")]], Field(max_length=32)] | None = Field(
        None, description="Further vLLM flags, one per item, as --flag or --flag=value, from an allow-list of flags that neither load code nor belong to the operator.", examples=[["--seed=1"]],
        json_schema_extra=schema(list_type="atomic", item_rules=_EXTRA_ARG_RULES),
    )
    env: Annotated[list[EnvVar], Field(max_length=64)] | None = Field(None, description="Environment variables of vLLM's container.", examples=[[{"name": "VLLM_LOGGING_LEVEL", "value": "DEBUG"}]], json_schema_extra=schema(list_type="map", list_map_keys=["name"]))
