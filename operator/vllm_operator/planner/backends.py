"""Which types of the KV cache vLLM can attend with: the rows of its attention backends, and the rules on kvCache.dtype.

Source: vLLM 0.32, platforms/cuda.py (`_get_backend_priorities`), v1/attention/backends and what their implementations
raise; a test holds each row against the class. Only NVIDIA's GPUs are here.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from ..api.reasons import Reason
from .extras import value_of
from .quantization import kv_dtype_of, method_of
from .rules import Question, Refusal
from .shapes import Cached, LayerCache, ModelShape

_NATIVE = ("auto", "float16", "bfloat16")
_FP8 = ("fp8", "fp8_e4m3")
_ALL = (7, 8, 9, 10, 12)
_OLD_FP8 = (8, 9)
"""From here on GPUs compute with fp8 themselves, as Triton's kernels want it."""
_CAPABILITIES = ((7, 5), (8, 0), (8, 9), (9, 0), (10, 0), (12, 0))
"""Where what a backend takes begins to differ."""


class Kind(StrEnum):
    """What a backend is for, as people call it."""

    COMMON = "attention"
    LATENT = "latent attention (MLA)"
    SPARSE = "sparse attention"


@dataclass(frozen=True, slots=True)
class Backend:
    """What one backend takes on some GPUs; a name has as many rows as it needs."""

    name: str
    """vLLM's, as --attention-backend takes it."""
    kind: Kind
    majors: tuple[int, ...]
    """Of the compute capabilities that it runs on."""
    dtypes: tuple[str, ...]
    least: tuple[int, int] = (7, 5)
    """The least compute capability of these."""
    heads: tuple[int, ...] = ()
    """Widths of heads that it takes; none: any."""
    sinks: bool = True
    """Whether it takes a softmax with sinks."""
    images: bool = True
    """Whether it lets the tokens of an image see each other (`supports_mm_prefix`)."""

    def takes(self, wanted: "_Wanted", capability: tuple[int, int]) -> bool:
        """Whether it serves this model with this type on a GPU of this capability."""
        runs = self.kind is wanted.kind and capability[0] in self.majors and capability >= self.least
        heads = not self.heads or wanted.heads <= {*self.heads}
        softmax = (self.sinks or not wanted.sinks) and (self.images or not wanted.images)
        return runs and wanted.dtype in self.dtypes and heads and softmax


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a service asks of a backend."""

    kind: Kind
    dtype: str
    heads: frozenset[int]
    sinks: bool
    images: bool


_HEADS = (64, 128, 256, 512)
_OF_FLASHINFER = (*_NATIVE, *_FP8, "fp8_e5m2")
BACKENDS: tuple[Backend, ...] = (
    Backend("FLASH_ATTN", Kind.COMMON, (8, 9, 10, 12), _NATIVE),
    Backend("FLASH_ATTN", Kind.COMMON, (9, 10), _FP8),
    Backend("FLASHINFER", Kind.COMMON, (8,), _OF_FLASHINFER, (8, 0), _HEADS, sinks=False, images=False),
    Backend("FLASHINFER", Kind.COMMON, (9, 12), _OF_FLASHINFER, (9, 0), _HEADS, images=False),
    Backend("FLASHINFER", Kind.COMMON, (8, 9, 12), ("nvfp4",), (8, 0), _HEADS[1:], sinks=False, images=False),
    Backend("FLASHINFER", Kind.COMMON, (10,), (*_OF_FLASHINFER, "nvfp4", "nvfp4_4over6"), (10, 0), _HEADS,
            images=False),
    Backend("TRITON_ATTN", Kind.COMMON, _ALL, (*_NATIVE, "int4_per_token_head", "int8_per_token_head")),
    Backend("TRITON_ATTN", Kind.COMMON, _ALL, (*_FP8, "fp8_e5m2", "fp8_per_token_head"), _OLD_FP8),
    Backend("FLEX_ATTENTION", Kind.COMMON, _ALL, _NATIVE, sinks=False),
    Backend("TURBOQUANT", Kind.COMMON, _ALL, ("turboquant_k8v4", "turboquant_4bit_nc", "turboquant_k3v4_nc",
            "turboquant_3bit_nc"), sinks=False, images=False),
    Backend("FLASH_ATTN_MLA", Kind.LATENT, (9,), _NATIVE),
    Backend("FLASHMLA", Kind.LATENT, (9,), (*_NATIVE, *_FP8)),
    Backend("FLASHINFER_MLA", Kind.LATENT, (10,), (*_NATIVE, *_FP8)),
    Backend("CUTLASS_MLA", Kind.LATENT, (10,), (*_NATIVE, *_FP8)),
    Backend("TRITON_MLA", Kind.LATENT, _ALL, _NATIVE),
    Backend("TRITON_MLA", Kind.LATENT, _ALL, _FP8, _OLD_FP8),
    Backend("FLASH_ATTN_MLA_SPARSE", Kind.SPARSE, (9,), _NATIVE),
    Backend("FLASHMLA_SPARSE", Kind.SPARSE, (9,), ("auto", "bfloat16", "fp8_ds_mla", "fp8")),
    Backend("FLASHMLA_SPARSE", Kind.SPARSE, (10,), ("auto", "bfloat16", "fp8_ds_mla", "fp8", "nvfp4_ds_mla")),
    Backend("FLASHINFER_MLA_SPARSE_SM90", Kind.SPARSE, (9,), ("auto", "bfloat16", *_FP8)),
    Backend("FLASHINFER_MLA_SPARSE", Kind.SPARSE, (10,), (*_NATIVE, *_FP8)),
    Backend("FLASHINFER_MLA_SPARSE_SM120", Kind.SPARSE, (12,), ("auto", *_FP8, "fp8_ds_mla")),
)  # fmt: skip

# Models that bring backends of their own: models/mimo_v2.py, models/kimi_k3.
_OWN_BACKENDS = frozenset({
    "KimiK3ForConditionalGeneration", "MiMoV2FlashForCausalLM", "MiMoV2ForCausalLM",
})  # fmt: skip
_SINKS = frozenset({"GptOssForCausalLM", "GraniteMoeSWAForCausalLM", "GraniteSWAForCausalLM"})
# Checkpoints that may bring scales of the cache, which are of e4m3 (layers/attention/attention.py).
_SCALED = frozenset({"fp8", "modelopt", "modelopt_fp4", "modelopt_mixed", "modelopt_mxfp8", "quark"})


def check(question: Question) -> Refusal | None:
    """A type of the KV cache that no backend takes, for this model or on this GPU; or a GPU that none runs on."""
    capability, dtype, model = question.capability, _dtype(question), question.model
    if capability is None or model.pooling or capability[0] not in _ALL:
        return None
    if dtype == "bfloat16" and capability < (8, 0):
        return Refusal(
            Reason.KV_DTYPE_GPU,
            f"a KV cache of bfloat16 needs a GPU of compute capability 8.0 and {question.capability_words}: "
            "set kvCache.dtype to float16",
        )
    old = dtype.startswith("fp8") and capability < _OLD_FP8
    kind = _kind(model)
    if kind is None or not (old or (question.as_shipped and _is_sure(model))):
        return None
    return _scales(question, dtype) or _untaken(question, _wanted(question, kind, dtype), capability)


def _untaken(question: Question, wanted: _Wanted, capability: tuple[int, int]) -> Refusal | None:
    """What is left where no backend takes the type; where none takes any, the GPU is to blame."""
    named = _named(question)
    usable = [one for one in BACKENDS if one.kind is wanted.kind and named in (None, one.name)]
    if not usable or any(one.takes(wanted, capability) for one in usable):
        return None
    model, backend = question.model.architecture, f"the backend {named}" if named else f"vLLM's {wanted.kind}"
    if not any(one.takes(replace(wanted, dtype="auto"), capability) for one in usable):
        needs = _needs(question, usable, replace(wanted, dtype="auto"))
        other = "backend" if named else "GPU"
        return Refusal(Reason.ATTENTION, f"{backend} {needs or f'does not serve {model}'}: use another {other}")
    if needs := _needs(question, usable, wanted):
        words = f"a KV cache of {wanted.dtype} {needs}: {_way_out(question, wanted)}, or use another GPU"
        return Refusal(Reason.KV_DTYPE_GPU, words)
    return Refusal(
        Reason.KV_DTYPE_MODEL,
        f"{backend} takes no KV cache of {wanted.dtype} with {model}: {_way_out(question, wanted)}",
    )


def _needs(question: Question, usable: list[Backend], wanted: _Wanted) -> str:
    """The compute capabilities on which it would do; "" where it does on none."""
    found = [able for able in _CAPABILITIES if any(one.takes(wanted, able) for one in usable)]
    shown = found[:1] if found and question.gpu.capability < found[0] else found
    words = " or ".join(f"{major}.{minor}" for major, minor in shown)
    return f"needs a GPU of compute capability {words} with this model and {question.capability_words}" if words else ""


def _scales(question: Question, dtype: str) -> Refusal | None:
    """Scales of a checkpoint are for fp8_e4m3, and vLLM takes some checkpoints for ones that have them."""
    model = question.model
    method, scheme = method_of(model), (model.quantization or {}).get("kv_cache_scheme")
    if dtype != "fp8_e5m2" or not (method in _SCALED or (method == "compressed-tensors" and scheme)):
        return None
    return Refusal(
        Reason.KV_DTYPE_MODEL,
        f"a KV cache of fp8_e5m2 does not go with a checkpoint of {method}: set kvCache.dtype to fp8",
    )


def _dtype(question: Question) -> str:
    """What the user or the checkpoint asks for, before vLLM makes a format of its own of it."""
    cache = question.spec.kv_cache
    asked = cache.dtype if cache and cache.dtype != "auto" else None
    # models/config.py takes the one for the other.
    native = asked == "bfloat16" and question.model.architecture == "DeepseekV32ForCausalLM"
    return "auto" if native else asked or kv_dtype_of(question.model)


def _named(question: Question) -> str | None:
    """The backend that the user names."""
    tuning = question.spec.tuning
    own = tuning.attention.backend if tuning and tuning.attention else None
    return own or value_of(question.spec, "attention-backend")


def _kind(model: ModelShape) -> Kind | None:
    """What attends in the model; None: nothing, or more than a decoder."""
    kinds = {one.kind for one in _caches(model)}
    if Cached.CROSS in kinds or not kinds - {Cached.STATE}:
        return None
    return Kind.SPARSE if Cached.INDEX in kinds else Kind.LATENT if Cached.LATENT in kinds else Kind.COMMON


def _is_sure(model: ModelShape) -> bool:
    """Whether its attention is known, and is none of the model's own."""
    own = any(one.block or (one.kind is Cached.INDEX and not one.token_bytes) for one in _caches(model))
    return model.known and not own and model.architecture not in _OWN_BACKENDS


def _caches(model: ModelShape) -> list[LayerCache]:
    layers = {id(layer): layer for layer in model.layers}.values()
    return [one for layer in layers for one in (layer.cache, *layer.more) if one is not None]


def _wanted(question: Question, kind: Kind, dtype: str) -> _Wanted:
    model = question.model
    heads = frozenset(one.elements // 2 for one in _caches(model) if one.kind is not Cached.STATE)
    images = model.images_whole and not model.text_only and not question.is_older  # 0.11 asks no backend for it
    return _Wanted(kind, dtype, heads, model.architecture in _SINKS, images)


def _way_out(question: Question, wanted: _Wanted) -> str:
    """What to write: nothing, unless it is the checkpoint that asks for the type."""
    asks = kv_dtype_of(question.model) == wanted.dtype
    return f"set kvCache.dtype to {question.engine.dtype}" if asks else "remove kvCache.dtype"
