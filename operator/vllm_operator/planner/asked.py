"""The model as vLLM sees it with what extraArgs and env say: without a head, with whole towers or none, other caches.

What a flag changes of the engine is in `effective.py`, what no plan counts in `uncounted.py`.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import isqrt
from typing import Any

from ..api import InferenceServiceSpec
from .extras import switch_of, value_of, variable_of
from .served import WHOLE_TOWERS
from .shapes import Cached, Layer, LayerCache, ModelShape, Seen, Split
from .versions import is_since, version_of

_POOLING = {("--runner", "pooling"), ("--convert", "embed"), ("--convert", "classify")}
_WINDOWS = frozenset({Cached.SLIDING, Cached.CHUNKED})
# Ways to guess from the model's own hidden states (config/speculative.py, `use_eagle`); all *mtp are one of them.
_EAGLE = ("eagle", "eagle3", "dflash", "dspark")
_SIDES, _FRAMES_OF_STEP = ("width", "height"), 2
HYBRID_OFF = "disable-hybrid-kv-cache-manager"
TOWERS_WHOLE = "--mm-encoder-tp-mode=data"
CHUNKS = "VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE"
# vLLM 0.11 has one kind of cache for more than 0.32 (config/vllm.py). Between the two, no source was read.
_ONE_KIND_BEFORE, SEVERAL_KINDS_SINCE = (0, 12), (0, 32)
_YARN_AS_IT_IS = (0, 32)
# vLLM 0.11 ends with --disable-sliding-window where such a length is asked for (config/model.py).
_MORE_THAN_A_WINDOW = (0, 32)


def as_asked(spec: InferenceServiceSpec, model: ModelShape) -> ModelShape:
    """The model with all that the spec changes of it."""
    for change in _CHANGES:
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


def _without_caches(_spec: InferenceServiceSpec, model: ModelShape) -> ModelShape:
    """Nothing is kept of tokens that see later ones, too (layers/attention/encoder_only_attention.py)."""
    if not model.encodes or not model.pooling:
        return model
    return _layered(model, lambda layer: replace(layer, cache=None, more=()))


def _has_whole_towers(spec: InferenceServiceSpec, model: ModelShape) -> bool:
    return value_of(spec, "mm-encoder-tp-mode") == "data" and model.architecture in WHOLE_TOWERS


def _whole_towers(spec: InferenceServiceSpec, model: ModelShape) -> ModelShape:
    """Each rank has the whole of the towers, for a part of the images, where the model can do that."""
    if not _has_whole_towers(spec, model):
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
    return replace(model, text_only=True, multimodal=False, sight=None)


def _seen(spec: InferenceServiceSpec, model: ModelShape) -> ModelShape:
    """With the images and videos that a request may have, where vLLM sends some through the tower to measure."""
    sight = model.sight
    if sight is None or switch_of(spec, "skip-mm-profiling"):
        return replace(model, sight=None)
    limits = limits_of(spec)
    items = tuple(_bounded(item, sight.patch, limits) for item in sight.items if at_most(limits, item.kind) != 0)
    return replace(model, sight=replace(sight, items=items, split=not _has_whole_towers(spec, model)))


def _bounded(item: Seen, patch: int, limits: dict[str, Any]) -> Seen:
    """With the number, the sizes and the frames that --limit-mm-per-prompt has vLLM measure with."""
    count, options = at_most(limits, item.kind), limits.get(item.kind)
    said = options if isinstance(options, dict) else {}
    side, frames = isqrt(item.patches), said.get("num_frames")
    width, height = (
        min(side, -(-size // patch)) if isinstance(size := said.get(name), int) else side for name in _SIDES
    )
    return replace(
        item, most=count if isinstance(count, int) else None,
        patches=max(1, width * height) if said.keys() & set(_SIDES) else item.patches,
        sent=max(1, -(-frames // _FRAMES_OF_STEP)) if isinstance(frames, int) else None,
    )  # fmt: skip


def _limited(spec: InferenceServiceSpec, inputs: tuple[str, ...]) -> bool:
    """Whether a request may have none of these inputs (config/multimodal.py, `get_limit_per_prompt`)."""
    limits = limits_of(spec)
    return all(at_most(limits, name) == 0 for name in inputs)


def limits_of(spec: InferenceServiceSpec) -> dict[str, Any]:
    """What --limit-mm-per-prompt says of each kind of input."""
    try:
        limits = json.loads(value_of(spec, "limit-mm-per-prompt") or "{}")
    except ValueError:
        return {}
    return limits if isinstance(limits, dict) else {}


def at_most(limits: dict[str, Any], kind: str) -> Any:
    """How many of a kind of input a request may have; None: as many as the model takes."""
    said = limits.get(kind)
    return said.get("count") if isinstance(said, dict) else said


def _whole(layer: Layer) -> Layer:
    linears = tuple(replace(linear, split=Split.NONE) for linear in layer.linears)
    return replace(
        layer, linears=linears, elements=layer.elements + layer.split_elements, split_elements=0,
        float32_elements=layer.float32_elements + layer.split_float32_elements, split_float32_elements=0,
    )  # fmt: skip


def _with_old_yarn(spec: InferenceServiceSpec, model: ModelShape) -> ModelShape:
    """What the positions of a config with YaRN come to in older vLLMs (config/model.py, `_get_and_verify_max_len`)."""
    length = model.yarn_length
    if not length or is_since(version_of(spec.image), _YARN_AS_IT_IS):
        return model
    return replace(model, longest=length, default_length=length, longest_key="original_max_position_embeddings")


def _without_windows(spec: InferenceServiceSpec, model: ModelShape) -> ModelShape:
    """--disable-sliding-window: layers with a window see all, and no sequence is longer than it (config/model.py),
    unless sentence-transformers notes another length."""
    if not switch_of(spec, "disable-sliding-window"):
        return model
    layers = {id(layer): layer for layer in model.layers}.values()
    windows = [layer.cache.window for layer in layers if layer.cache and layer.cache.kind is Cached.SLIDING]
    shortest = min(windows, default=model.longest)
    if shortest >= model.longest:
        return model
    more = model.asked_longest if is_since(version_of(spec.image), _MORE_THAN_A_WINDOW) else 0
    model = replace(_cached(model, _full), asked_longest=more)
    if model.noted:
        return model
    length = min(model.default_length, shortest)
    return replace(model, longest=shortest, default_length=length, longest_key="sliding_window in config.json")


def _with_whole_caches(spec: InferenceServiceSpec, model: ModelShape) -> ModelShape:
    """Where vLLM has one kind of cache for all layers, those with a window keep everything too, if any layer does
    (v1/core/kv_cache_utils.py, `unify_hybrid_kv_cache_specs`)."""
    kinds = kinds_of(model)
    unified = Cached.FULL in kinds and bool(kinds & _WINDOWS) and one_kind_for(spec, model)
    return _cached(model, _full) if unified else model


def one_kind_for(spec: InferenceServiceSpec, model: ModelShape) -> str:
    """The setting with which vLLM has one kind of cache for all layers of the model; "" where it has several, or may
    have (`may_be_one_kind`)."""
    off = switch_of(spec, HYBRID_OFF)
    if off:
        return f"--{HYBRID_OFF}"
    if off is None and Cached.CHUNKED in kinds_of(model) and whole_chunks(spec):
        return f"{CHUNKS}=0 or EAGLE"
    return _in_old(spec, model) if not is_since(version_of(spec.image), _ONE_KIND_BEFORE) else ""


def may_be_one_kind(spec: InferenceServiceSpec, model: ModelShape) -> str:
    """What makes it unknown, of the image's vLLM, whether all layers have one kind of cache, as a clause; "" where it
    is known, or changes nothing."""
    version, kinds = version_of(spec.image), kinds_of(model)
    between = is_since(version, _ONE_KIND_BEFORE) and not is_since(version, SEVERAL_KINDS_SINCE)
    several = len(kinds) > 1 and kinds & {*_WINDOWS, Cached.STATE}
    if not between or not several or one_kind_for(spec, model):
        return ""
    setting = _in_old(spec, model)
    return setting and f"whether vLLM {version} has all layers keep everything with {setting} is not known"


def _in_old(spec: InferenceServiceSpec, model: ModelShape) -> str:
    """What of a service has vLLM 0.11 keep the same in all layers, whatever --no-disable-hybrid-kv-cache-manager says;
    "" for nothing. It moves blocks to the host for --kv-offloading-backend alone, and newer ones also without."""
    cache, old = spec.kv_cache, not is_since(version_of(spec.image), _ONE_KIND_BEFORE)
    if cache and cache.events:
        return "kvCache.events"
    if cache and cache.cpu_offload and (cache.offload_backend or not old):
        return "kvCache.cpuOffload"
    whole = whole_chunks(spec) or variable_of(spec, CHUNKS) is None
    return "chunked attention" if Cached.CHUNKED in kinds_of(model) and whole else ""


def whole_chunks(spec: InferenceServiceSpec) -> bool:
    """Whether vLLM has one kind of cache for a model with chunked attention, unless it is told otherwise."""
    method = spec.speculative.method if spec.speculative else ""
    return variable_of(spec, CHUNKS) == "0" or method in _EAGLE or method.endswith("mtp")


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
    """The model with other caches."""

    def changed(layer: Layer) -> Layer:
        caches = tuple(change(cache) for cache in layer.more)
        return replace(layer, cache=layer.cache and change(layer.cache), more=caches)

    return _layered(model, changed)


def _layered(model: ModelShape, change: Callable[[Layer], Layer]) -> ModelShape:
    """The model with other layers; equal ones stay one object."""
    changed = {key: change(layer) for key, layer in {id(layer): layer for layer in model.layers}.items()}
    same: dict[Layer, Layer] = {}
    return replace(model, layers=tuple(same.setdefault(changed[id(one)], changed[id(one)]) for one in model.layers))


_CHANGES: tuple[Callable[[InferenceServiceSpec, ModelShape], ModelShape], ...] = (
    _pooling, _without_caches, _whole_towers, _without_towers, _seen, _with_old_yarn, _without_windows,
    _with_whole_caches, _with_state_type,
)  # fmt: skip
