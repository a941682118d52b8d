"""The plan as JSON for scripts: the keys are API (`vllm-operator plan -o json`). Decides nothing."""

from collections.abc import Iterable
from math import isfinite
from typing import Any

from .alternatives import Alternative, Loss
from .plan import Capacity, Plan
from .speed import Speed, rounded
from .survey import Shape

_LOSSES = {
    Loss.KV_CACHE_PRECISION: "kvCachePrecision",
    Loss.WEIGHT_PRECISION: "weightPrecision",
    Loss.CONTEXT: "context",
}


def as_json(
    result: Plan, others: Iterable[Alternative] = (), notes: Iterable[str] = (), speed: Speed | None = None
) -> dict[str, Any]:
    """One plan as an object. Bytes are of one GPU, the fullest; tokens and sequences of a replica; null: not known."""
    return {
        "fits": result.fits,
        "reason": str(result.reason),
        "message": result.message,
        "gpu": result.gpu.name,
        "gpusPerReplica": result.gpus_per_replica,
        "totalBytes": result.gpu.total_bytes,
        **_capacity(result.capacity),
        "approximate": bool(result.approximate),
        "approximateBecause": list(result.approximate),
        "vllmVersion": result.vllm_version,
        "speed": _speed(speed),
        "notes": list(notes),
        "alternatives": [_alternative(other) for other in others],
    }


def as_row(shape: Shape, speed: Speed | None = None) -> dict[str, Any]:
    """The fewest GPUs of a kind that fit, beside the plan of the spec as it is; null: none do, or it is not known."""
    fits, capacity = bool(shape.plan.fits), shape.plan.capacity
    return {
        "smallestTensorParallelSize": shape.tensor if fits else None,
        "priceRank": _price(shape.price) if fits else None,
        "smallest": {
            "reason": str(shape.plan.reason),
            "message": shape.plan.message,
            "tensorParallelSize": shape.tensor,
            "gpusPerReplica": shape.plan.gpus_per_replica,
            "kvCacheTokens": capacity and capacity.kv_cache_tokens,
            "maxConcurrency": capacity and _rounded(capacity.max_concurrency),
            "maxModelLenThatFits": capacity and capacity.max_model_len_that_fits,
            "speed": _speed(speed),
        },
    }


def _speed(speed: Speed | None) -> dict[str, Any] | None:
    """An estimate, of one replica: tokens per second, and seconds."""
    if speed is None:
        return None
    return {
        "decodeTokensPerSecond": rounded(speed.one),
        "decodeTokensPerSecondTogether": rounded(speed.many),
        "requestsTogether": speed.requests,
        "contextTokens": speed.context,
        "prefillTokensPerSecond": rounded(speed.prefill),
        "secondsToFirstToken": rounded(speed.first_token),
        "promptTokens": speed.context,
        "approximateBecause": list(speed.approximate),
    }


def _price(price: float) -> float | None:
    return round(price, 4) if isfinite(price) else None


def _capacity(capacity: Capacity | None) -> dict[str, Any]:
    memory = capacity.memory if capacity else None
    return {
        "requestedBytes": memory and memory.requested,
        "weightsBytes": memory and memory.weights,
        "overheadBytes": memory and memory.overhead,
        "activationBytes": memory and memory.activation,
        "cudaGraphBytes": memory and memory.graphs,
        "otherBytes": memory and memory.other,
        "kvCacheBytes": memory and memory.kv_cache,
        "kvCacheNeededBytes": capacity and capacity.needed_bytes,
        "marginBytes": capacity and capacity.margin_bytes,
        "kvCacheTokens": capacity and capacity.kv_cache_tokens,
        "maxConcurrency": capacity and _rounded(capacity.max_concurrency),
        "maxModelLen": capacity and capacity.max_model_len,
        "maxModelLenThatFits": capacity and capacity.max_model_len_that_fits,
        "blockSize": capacity and capacity.block_size,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _alternative(other: Alternative) -> dict[str, Any]:
    capacity = other.plan.capacity
    assert capacity, "an alternative fits, so it has been laid out"
    return {
        "change": other.change,
        "patch": other.patch,
        "loses": [name for loss, name in _LOSSES.items() if loss & other.loss],
        "gpu": other.plan.gpu.name,
        "gpusPerReplica": other.plan.gpus_per_replica,
        "kvCacheTokens": capacity.kv_cache_tokens,
        "maxConcurrency": _rounded(capacity.max_concurrency),
        "maxModelLen": capacity.max_model_len,
        "priceRank": _price(other.price),
    }
