"""From config.json to a `Model`: the families' rows, turned into matrices layer by layer.

An architecture that is not in the table is taken for a decoder of Llama's shape, and the plan does not rest on it.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..inspection.images import pixels_of
from ..inspection.sentences import KEY, length_of
from .config import Config, ModelConfigError
from .edges import edges
from .families import FAMILIES, Family
from .items import whole_items
from .kinds import unknown_kind
from .layouts import layer
from .quantization import check_quantization, settings_of
from .shapes import Layer, ModelShape
from .sight import sight_of, with_pixels
from .towers import BY_TYPE, IMAGES_AND_VIDEOS, INPUTS, MULTIMODAL, TOWERS

_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, ZeroDivisionError, AttributeError, OverflowError,
               RecursionError)  # fmt: skip
MOST_BYTES = 1 << 50
_EXPERT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts")
# The same decoder, read out as an embedding, a score or a class: the head is not loaded.
_READ_OUT = ("Model", "ForSequenceClassification", "ForRewardModel", "ForProcessRewardModel", "ForTokenClassification")
_UNKNOWN = Family()


def family_of(config: Config) -> Family | None:
    """The row of an architecture, with its tower; None for one that is not known."""
    name = config.architecture
    if (row := FAMILIES.get(name)) is not None:
        return row
    if name in MULTIMODAL:
        text, tower = MULTIMODAL[name]
        own = FAMILIES.get(text or BY_TYPE.get(str(config.get("model_type")), ""))
        return replace(own, tower=tower) if own else None
    for ending in _READ_OUT:
        base = name.removesuffix(ending)
        if base != name and (row := FAMILIES.get(f"{base}ForCausalLM")) is not None:
            return replace(row, pooling=True, head=False)
    return None


def load_model(config: Path) -> ModelShape:
    """The model that a config.json describes, with a hf_quant_config.json and a length of sentence-transformers beside.

    Raises ModelConfigError.
    """
    try:
        content = json.loads(config.read_text())
        beside = config.with_name("hf_quant_config.json")
        quantization = json.loads(beside.read_text()) if beside.is_file() else None
    except OSError as error:
        raise ModelConfigError(f"{config}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelConfigError(f"{config}: is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelConfigError(f"{config}: is not a config.json: it holds no object")
    names = {path.name for path in config.parent.glob("*_config.json")}
    read = partial(_noted_in, config)
    return model_of(
        content, quantization, max_seq_length=length_of(names, read), image_pixels=pixels_of(names, read)
    )  # fmt: skip


def _noted_in(config: Path, name: str) -> Any:
    """What a file beside a config.json says; None where it cannot be read, as in a folder that is inspected."""
    try:
        return json.loads(config.with_name(name).read_text())
    except (OSError, ValueError, RecursionError):
        return None


def model_of(
    content: Mapping[str, Any],
    quantization: Mapping[str, Any] | None = None,
    header_bytes: int | None = None,
    max_seq_length: int | None = None,
    image_pixels: int | None = None,
) -> ModelShape:
    """The model of a config.json, with hf_quant_config.json and the bytes of all tensors where they are known.

    `max_seq_length`: tokens of the longest sequence, where sentence-transformers notes them apart. `image_pixels`: of
    the largest image that the processor makes, where it says so.

    Raises ModelConfigError for a config that lacks what any model has, or says what none can have.
    """
    try:
        model = _model(content, quantization, header_bytes)
    except ModelConfigError:
        raise
    except _UNREADABLE as error:
        raise ModelConfigError(f"the model config has a value that no model has: {error}") from error
    check_quantization(model)
    if image_pixels and model.sight:
        model = replace(model, sight=with_pixels(model.sight, image_pixels))
    return _noted(model, max_seq_length) if max_seq_length else model


def _noted(model: ModelShape, length: int) -> ModelShape:
    """With the length that sentence-transformers notes, also where it is more than config.json's. Where that names
    none, vLLM takes whatever is asked for."""
    default = length if model.default_length == model.longest else model.default_length
    return replace(
        model, longest=length, default_length=default, yarn_length=0, noted=True,
        longest_key=f"{KEY} of sentence-transformers",
    )  # fmt: skip


def _model(content: Mapping[str, Any], beside: Mapping[str, Any] | None, header_bytes: int | None) -> ModelShape:
    config = Config.of(content)
    found = family_of(config)
    family = found or _UNKNOWN
    layers = _layers(config, family)
    outside = edges(config, family)
    towers = tuple(TOWERS[family.tower](config, config.tower("vision_config"))) if family.tower else ()
    return ModelShape(
        architecture=config.architecture,
        layers=layers,
        hidden=config.hidden,
        vocabulary=config.integer("vocab_size"),
        heads=config.heads,
        kv_heads=config.kv_heads,
        head_size=config.head_size,
        intermediate=config.intermediate,
        dtype=config.dtype,
        tied=config.tied(default=family.tied) or not family.head,
        embedded=config.integer("word_embed_proj_dim", config.hidden),
        **_lengths(config),
        edge_linears=outside.linears,
        edge_elements=outside.elements,
        position_elements=outside.positions,
        towers=towers + outside.towers,
        seeing=len(towers) if config.architecture in MULTIMODAL else 0,
        inputs=INPUTS.get(family.tower, IMAGES_AND_VIDEOS),
        rope_bytes=config.rope_bytes(),
        quantization=settings_of(content, beside),
        header_bytes=_plausible(header_bytes),
        approximate=_doubt(config, layers, known=found is not None),
        known=found is not None,
        stored_dtype=config.stored_dtype,
        **_pooled(config, family),
        **_seeing(config, family),
        softcap=bool(config.get("final_logit_softcapping")),
        head=family.head,
        embedding_on_all=family.embedding_on_all,
        head_on_all=family.head_on_all,
    )


def _lengths(config: Config) -> dict[str, Any]:
    longest, raw, key = config.longest()
    return {
        "longest": longest, "default_length": config.default_length(), "raw_longest": raw,
        "longest_key": f"{key} in config.json", "yarn_length": config.yarn_length(),
        "asked_longest": config.asked_longest,
    }  # fmt: skip


def _seeing(config: Config, family: Family) -> dict[str, Any]:
    return {
        "multimodal": config.vision is not None, "sight": sight_of(config, family.tower),
        "images_whole": config.images_whole, "items": whole_items(config),
    }  # fmt: skip


def _pooled(config: Config, family: Family) -> dict[str, Any]:
    """Whether it embeds, and how it does where it is to."""
    alone = family.both_ways and not family.tower
    return {
        "pooling": family.pooling, "causal": config.causal,
        "encodes": config.encoder or (alone and not config.causal),
    }  # fmt: skip


def _layers(config: Config, family: Family) -> tuple[Layer, ...]:
    """The decoder's layers, with equal ones as one object, so that what is computed for one is found for all."""
    seen: dict[Layer, Layer] = {}
    own = (_keeping(layer(config, family, index)) for index in range(config.layers))
    return tuple(seen.setdefault(one, one) for one in own)


def _keeping(one: Layer) -> Layer:
    """The layer. Raises ModelConfigError where it keeps something of a token, or a sequence, that has no bytes."""
    for cache in (one.cache, *one.more):
        if cache is None:
            continue
        kept = cache.elements, cache.conv_elements, cache.state_elements, cache.page_bytes, cache.token_bytes
        if max(kept) <= 0:
            raise ModelConfigError(f"the model config leaves the {cache.kind} cache of a layer no width")
    return one


def _plausible(size: int | None) -> int | None:
    """Bytes of all tensors, where the headers made sense."""
    return size if isinstance(size, int) and 0 < size < MOST_BYTES else None


def _doubt(config: Config, layers: tuple[Layer, ...], *, known: bool) -> str:
    """Why the matrices are not known for sure."""
    if not known:
        return f"the planner does not know the architecture {config.architecture}"
    if strange := unknown_kind(config):
        return f"the planner does not know the layers of type {strange:.40}"
    named = next((key for key in _EXPERT_KEYS if key in config.given and _some(config.text.get(key))), None)
    if named and not any(one.experts for one in layers):
        return f"the model config has experts ({named}), and the planner knows none of {config.architecture}"
    return ""


def _some(value: Any) -> bool:
    """Whether a number of experts, or a list of them, says that there are several."""
    values = value if isinstance(value, list) else [value]
    return any(isinstance(one, int) and one > 1 for one in values)
