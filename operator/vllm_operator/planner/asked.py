"""The model as vLLM sees it with what extraArgs and env say: without a head, with whole towers or none, other caches.

What a flag changes of the engine is in `effective.py`, what no plan counts in `uncounted.py`.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from ..api import InferenceServiceSpec
from .extras import switch_of, value_of, variable_of
from .served import WHOLE_TOWERS
from .shapes import Cached, Layer, LayerCache, ModelShape, Split
from .versions import is_since, version_of

_POOLING = {("--runner", "pooling"), ("--convert", "embed"), ("--convert", "classify")}
_WINDOWS = frozenset({Cached.SLIDING, Cached.CHUNKED})
_EAGLE = ("eagle", "eagle3")
HYBRID_OFF = "disable-hybrid-kv-cache-manager"
TOWERS_WHOLE = "--mm-encoder-tp-mode=data"
CHUNKS = "VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE"


def as_asked(spec: InferenceServiceSpec, model: ModelShape) -> ModelShape:
    """The model with all that the spec changes of it."""
    for change in (_pooling, _whole_towers, _without_towers, _without_windows, _with_whole_caches, _with_state_type):
        model = change(spec, model)
    return model


def kinds_of(model: ModelShape) -> frozenset[Cached]:
    """What the layers of a model keep."""
    layers = {id(layer): layer for layer in model.layers}.values()
    return frozenset(cache.kind for layer in layers for cache in (layer.cache, *layer.more) if cache is not None)


def _pooling(spec: InferenceServiceSpec, model: ModelShape) -> ModelShape:
    """Without its output head, where vLLM is to embed with it or to score."""
    words = " ".join(spec.extra_args or []).replace("=", " ").split()
    pooling = any(pair in _POOLING for pair in pairwise(words)) or spec.model.classifier is not None
    return replace(model, pooling=True, tied=True, head=False) if pooling and not model.pooling else model


def _whole_towers(spec: InferenceServiceSpec, model: ModelShape) -> ModelShape:
    """Each rank has the whole of the towers, for a part of the images, where the model can do that."""
    if value_of(spec, "mm-encoder-tp-mode") != "data" or model.architecture not in WHOLE_TOWERS:
        return model
    return replace(model, towers=tuple((_whole(layer), count) for layer, count in model.towers))


# Before it, most models had their towers all the same.
_TOWERS_LEFT_OUT = (0, 16)


def _without_towers(spec: InferenceServiceSpec, model: ModelShape) -> ModelShape:
    """Towers for images and sound get no weights where no request may have any (models/interfaces.py)."""
    if not is_since(version_of(spec.image), _TOWERS_LEFT_OUT):
        return model
    if not model.seeing or not (switch_of(spec, "language-model-only") or _limited(spec, model.inputs)):
        return model
    return replace(model, text_only=True, multimodal=False)


def _limited(spec: InferenceServiceSpec, inputs: tuple[str, ...]) -> bool:
    """Whether a request may have none of these inputs (config/multimodal.py, `get_limit_per_prompt`)."""
    try:
        limits = json.loads(value_of(spec, "limit-mm-per-prompt") or "null")
    except ValueError:
        return False
    found = [limits.get(name) if isinstance(limits, dict) else None for name in inputs]
    return all((one.get("count") if isinstance(one, dict) else one) == 0 for one in found)


def _whole(layer: Layer) -> Layer:
    linears = tuple(replace(linear, split=Split.NONE) for linear in layer.linears)
    return replace(
        layer, linears=linears, elements=layer.elements + layer.split_elements, split_elements=0,
        float32_elements=layer.float32_elements + layer.split_float32_elements, split_float32_elements=0,
    )  # fmt: skip


def _without_windows(spec: InferenceServiceSpec, model: ModelShape) -> ModelShape:
    """--disable-sliding-window: layers with a window see all, and no sequence is longer than it (config/model.py)."""
    if not switch_of(spec, "disable-sliding-window"):
        return model
    layers = {id(layer): layer for layer in model.layers}.values()
    windows = [layer.cache.window for layer in layers if layer.cache and layer.cache.kind is Cached.SLIDING]
    shortest = min(windows, default=model.longest)
    if shortest >= model.longest:
        return model
    length = min(model.default_length, shortest)
    return replace(_cached(model, _full), longest=shortest, default_length=length, longest_key="sliding_window")


def _with_whole_caches(spec: InferenceServiceSpec, model: ModelShape) -> ModelShape:
    """Where vLLM has one kind of cache for all layers, those with a window keep everything too, if any layer does
    (config/vllm.py; v1/core/kv_cache_utils.py, `unify_hybrid_kv_cache_specs`)."""
    off = switch_of(spec, HYBRID_OFF)
    chunks = off is None and whole_chunks(spec)
    if not off and not chunks:
        return model
    kinds = kinds_of(model)
    unified = Cached.FULL in kinds and bool(kinds & _WINDOWS) and (off or Cached.CHUNKED in kinds)
    return _cached(model, _full) if unified else model


def whole_chunks(spec: InferenceServiceSpec) -> bool:
    """Whether vLLM has one kind of cache for a model with chunked attention, unless it is told otherwise."""
    guesses = spec.speculative is not None and spec.speculative.method in _EAGLE
    return variable_of(spec, CHUNKS) == "0" or guesses


def _with_state_type(spec: InferenceServiceSpec, model: ModelShape) -> ModelShape:
    """--mamba-ssm-cache-dtype goes before what config.json says; Kimi's states have one type, whatever is asked
    (layers/mamba/mamba_utils.py, gdn/kimi_gdn_linear_attn.py)."""
    dtype = value_of(spec, "mamba-ssm-cache-dtype")
    if dtype in (None, "auto") or model.architecture.startswith("Kimi") or Cached.STATE not in kinds_of(model):
        return model
    return _cached(model, lambda cache: replace(cache, state_dtype=dtype) if cache.kind is Cached.STATE else cache)


def _full(cache: LayerCache) -> LayerCache:
    return replace(cache, kind=Cached.FULL, window=0) if cache.kind in _WINDOWS else cache


def _cached(model: ModelShape, change: Callable[[LayerCache], LayerCache]) -> ModelShape:
    """The model with other caches; equal layers stay one object."""
    changed = {
        id(layer): replace(
            layer, cache=layer.cache and change(layer.cache), more=tuple(change(cache) for cache in layer.more)
        )
        for layer in {id(layer): layer for layer in model.layers}.values()
    }
    same: dict[Layer, Layer] = {}
    return replace(model, layers=tuple(same.setdefault(changed[id(one)], changed[id(one)]) for one in model.layers))
