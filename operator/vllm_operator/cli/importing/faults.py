"""What the API server would say against a manifest: the types of `api/`, and its CEL rules that an import can meet.

A rule that is not here would only show at `kubectl apply`: a test applies every import to a real API server.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ...api.base import LABEL_KEY, LABEL_VALUE, bytes_of
from ...api.spec import MOST_RANKS, InferenceServiceSpec
from ...api.vocabulary import GONE_QUANTIZATIONS, MODEL_FREE_SPECULATION, QUANTIZATIONS
from .rules import broken
from .values import spec_schema

Spec = InferenceServiceSpec


def faults(manifest: Mapping[str, Any]) -> str:
    """The first thing that is wrong, as one sentence; empty where nothing is."""
    try:
        spec = Spec.model_validate(manifest["spec"])
    except ValidationError as error:
        first = error.errors()[0]
        return str(first["msg"]).removeprefix("Value error, ")
    return next(_faults(spec, manifest), "") or next(broken(spec_schema(), manifest["spec"]), "")


def _faults(spec: Spec, manifest: Mapping[str, Any]) -> Iterator[str]:
    yield from _engine(spec)
    yield from _memory(spec)
    yield from _speculation(spec)
    yield from _model(spec, manifest["metadata"]["name"])
    yield from _replicas(spec)
    yield from _amounts(spec)
    yield from _pod(spec)


def _engine(spec: Spec) -> Iterator[str]:
    if spec.quantization in GONE_QUANTIZATIONS:
        yield f"vLLM no longer has {spec.quantization}: use an AWQ, GPTQ or fp8 checkpoint of the model"
    elif spec.quantization and spec.quantization not in QUANTIZATIONS:
        yield f"must be one of {', '.join(QUANTIZATIONS)}; leave it out to use what the checkpoint says"
    if isinstance(spec.max_model_len, int) and not 1 <= spec.max_model_len <= 10**8:
        yield "must be a number of tokens from 1"
    if spec.tensor_size * (spec.pipeline_parallel_size or 1) > MOST_RANKS:
        yield f"tensorParallelSize times pipelineParallelSize must be at most {MOST_RANKS}: a pod is on one node"
    if spec.max_num_batched_tokens and spec.max_num_seqs and spec.max_num_batched_tokens < spec.max_num_seqs:
        yield "maxNumBatchedTokens must be at least maxNumSeqs"


def _memory(spec: Spec) -> Iterator[str]:
    cache = spec.kv_cache
    if cache and cache.memory_per_gpu and cache.gpu_memory_utilization_percent:
        yield "memoryPerGPU makes vLLM ignore gpuMemoryUtilizationPercent: one of them is enough"
    if spec.accelerator.resource == "cpu":
        if (spec.pipeline_parallel_size or 1) > 1:
            yield "pipelineParallelSize must be 1 on the CPU: vLLM's CPU build crashes with more"
        if cache and cache.cpu_offload:
            yield "kvCache.cpuOffload is for GPUs: on the CPU the KV cache is in host memory already"
        if spec.accelerator.product or spec.accelerator.memory:
            yield "accelerator.product and accelerator.memory are for GPUs"


def _speculation(spec: Spec) -> Iterator[str]:
    guess = spec.speculative
    if not guess:
        return
    free = guess.method in MODEL_FREE_SPECULATION
    if free and guess.model:
        yield "speculative.model is not used with this method"
    if not free and not guess.model and not guess.method.endswith("mtp"):
        yield "speculative.model is needed with this method"


def _model(spec: Spec, name: str) -> Iterator[str]:
    model = spec.model
    adapters = spec.lora.adapters if spec.lora else []
    uris = [model.uri, *(adapter.uri for adapter in adapters)]
    uris += [model.tokenizer.uri] if model.tokenizer else []
    uris += [spec.speculative.model] if spec.speculative and spec.speculative.model else []
    if model.revision and not model.uri.startswith("hf://"):
        yield "model.revision is for hf:// only"
    if model.token_secret_ref and not any(uri.startswith("hf://") for uri in uris):
        yield "model.tokenSecretRef is for hf:// only: nothing here is downloaded"
    if len(set(model.served_model_names or [])) < len(model.served_model_names or []):
        yield "a name is there twice"
    if any(adapter.name in (model.served_model_names or [name]) for adapter in adapters):
        yield "an adapter has the name of the model: clients could not choose between them"
    if len({adapter.name for adapter in adapters}) < len(adapters):
        yield "two adapters have the same name"


def _replicas(spec: Spec) -> Iterator[str]:
    if spec.replicas is not None and spec.autoscaling:
        yield "the autoscaler decides the number of replicas"
    claim = spec.cache.claim if spec.cache else None
    most = spec.autoscaling.max_replicas if spec.autoscaling else spec.replicas or 1
    if claim and most > 1 and claim.access_mode != "ReadWriteMany":
        yield "more than one replica needs cache.claim.accessMode ReadWriteMany"
    if spec.cache and bool(spec.cache.claim) == bool(spec.cache.existing_claim):
        yield "cache needs either claim or existingClaim"
    scaling = spec.autoscaling
    if scaling and scaling.min_replicas > scaling.max_replicas:
        yield "autoscaling.minReplicas must not be above autoscaling.maxReplicas"
    if scaling and scaling.min_replicas == 0 and not scaling.triggers:
        yield "autoscaling.minReplicas 0 needs provider KEDA and a trigger: without pods vLLM has no metrics"


def _amounts(spec: Spec) -> Iterator[str]:
    if not spec.resources:
        return
    requests, limits = spec.resources.requests, spec.resources.limits
    if requests and limits:
        if requests.memory and limits.memory and bytes_of(limits.memory) < bytes_of(requests.memory):
            yield "resources.limits.memory must not be below resources.requests.memory"
        if requests.cpu and limits.cpu and _cores(limits.cpu) < _cores(requests.cpu):
            yield "resources.limits.cpu must not be below resources.requests.cpu"
    for amounts in (requests, limits):
        if amounts and any(not re.search("[1-9]", text) for text in (amounts.cpu, amounts.memory) if text):
            yield "must be more than 0: left out, the operator's default holds"


def _cores(text: str) -> float:
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def _pod(spec: Spec) -> Iterator[str]:
    pod = spec.pod
    if not pod:
        return
    for labels in (pod.node_selector, pod.labels):
        for key, value in (labels or {}).items():
            if not re.fullmatch(LABEL_KEY, key) or not re.fullmatch(LABEL_VALUE, value):
                yield f"{key}: {value} is no label of Kubernetes"
    for toleration in pod.tolerations or []:
        if toleration.operator == "Exists" and toleration.value:
            yield "a toleration with operator Exists has no value"
        if not toleration.key and toleration.operator != "Exists":
            yield "a toleration without a key matches every taint: say so with operator Exists"
        if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
            yield "tolerationSeconds needs effect NoExecute"
