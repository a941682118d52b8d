"""What the bytes of a checkpoint, read from its safetensors headers, say about the weights that were reckoned.

Where the matrices of an architecture are known, the headers are a check; where not, the headers are the weights.
Nothing is decided here: `plan.py` makes the verdict of it.
"""

from dataclasses import dataclass, replace

from .effective import EngineSettings
from .quantization import Scheme, scheme_of
from .schemes import DTYPE_BYTES
from .shapes import ModelShape
from .weights import Ranks, Storage, Weights, offloadable_bytes, rank_weights

FEWER, MORE = 0.97, 1.1
"""A checkpoint may lack what vLLM pads, and have what it does not load: layers to draft with, a table of positions."""
HEAD_SHARE = 0.01
"""Of the whole, that the bytes with or without an output head may be off by."""
TWICE = (1.94, 2.12)
"""The same weights in two forms, or in float32: vLLM loads one, in its own type."""
UNSPLIT_SHARE = 0.1
"""Of a rank's part, where nobody knows what is split: what may be on every rank besides."""
ONLINE_SHARE = 0.25
"""The same where vLLM quantizes it while loading, and it is not known which part."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """The weights of one rank, and how sure they are."""

    weights: Weights
    margin: int = 0
    """Bytes that a rank's weights may be off by."""
    why: str = ""
    """Why they are not sure, as a clause; "" where they are."""
    sure: bool = True
    """Whether the plan may say that it fits."""


def weighed(model: ModelShape, engine: EngineSettings, storage: Storage, stage: int) -> Weighed:
    """The weights of a rank of a pipeline stage, by what is known of them, less those that the host's memory holds."""
    found = _known(model, engine, storage, stage)
    if not engine.offloaded_bytes:
        return found
    most = offloadable_bytes(model, storage, engine.ranks, stage, found.weights.parameters)
    return replace(found, weights=replace(found.weights, offloaded=min(engine.offloaded_bytes, most)))


def _known(model: ModelShape, engine: EngineSettings, storage: Storage, stage: int) -> Weighed:
    reckoned = rank_weights(model, storage, engine.ranks, stage)
    if model.header_bytes is None:
        return Weighed(reckoned, 0, model.approximate, sure=not model.approximate)
    if model.approximate:
        return _by_bytes(model, engine, storage, reckoned)
    last = stage == engine.ranks.pipeline - 1
    return _checked(model, reckoned, _head_bytes(model, engine.ranks) if last else 0)


def _by_bytes(model: ModelShape, engine: EngineSettings, storage: Storage, reckoned: Weights) -> Weighed:
    """By the headers alone: an equal part for each rank."""
    held, share = float(model.header_bytes or 0), UNSPLIT_SHARE
    if model.stored_dtype == "float32":
        held /= 2
    if engine.quantization and not model.quantization:
        held, share = _quantized(held, storage.scheme, DTYPE_BYTES[model.dtype])
    part = int(held / engine.ranks.engine_gpus)
    extra = share if engine.ranks.engine_gpus > 1 or share > UNSPLIT_SHARE else UNSPLIT_SHARE / 2
    return Weighed(replace(reckoned, parameters=part, copies=0, rounding=0), int(extra * part), model.approximate)


def _quantized(held: float, scheme: Scheme, size: int) -> tuple[float, float]:
    """What vLLM makes of a checkpoint while loading, and by which share of it that may be off.

    Of experts alone it is anything between all as it was and all quantized: nobody knows what experts there are.
    """
    least = held * scheme.bits / (8 * size)
    if not scheme.experts_only:
        return least, ONLINE_SHARE
    return (held + least) / 2, (held - least) / (held + least)


def _checked(model: ModelShape, reckoned: Weights, own_head: int) -> Weighed:
    """As reckoned, unless the headers are far from it: then by them, and the difference is doubt."""
    expected, head = checkpoint_bytes(model), _head_bytes(model, Ranks())
    held = model.header_bytes or 0
    ratio = held / expected if expected else 1.0
    if FEWER <= ratio <= MORE or TWICE[0] <= ratio <= TWICE[1]:
        return Weighed(reckoned)
    if model.tied and _near(held, expected + head):  # stored all the same, and not loaded
        return Weighed(reckoned)
    if not model.tied and _near(held, expected - head):  # an embedder, or tied after all: vLLM takes no head either
        return Weighed(replace(reckoned, parameters=reckoned.parameters - own_head))
    parameters = int(reckoned.parameters * ratio)
    why = f"the checkpoint has {held / 1e9:.2f} GB and its config.json describes a model of {expected / 1e9:.2f} GB"
    return Weighed(replace(reckoned, parameters=parameters), abs(parameters - reckoned.parameters), why)


def has_own_head(model: ModelShape) -> bool:
    """Whether the bytes say that the checkpoint of a model with tied embeddings has an output head all the same."""
    if model.header_bytes is None or model.approximate:
        return False
    held, head = model.header_bytes, _head_bytes(model, Ranks())
    expected = checkpoint_bytes(model) + head
    off = min(HEAD_SHARE * expected, head / 2)
    return any(abs(held - times * expected) < times * off for times in (1, 2))


def _near(held: int, expected: int) -> bool:
    return any(abs(held - times * expected) <= HEAD_SHARE * times * expected for times in (1, 2))


def _head_bytes(model: ModelShape, ranks: Ranks) -> int:
    """Bytes of an output head that is not quantized."""
    return model.vocabulary * (model.embedded or model.hidden) * DTYPE_BYTES[model.dtype] // ranks.tensor


def checkpoint_bytes(model: ModelShape) -> int:
    """Bytes that a checkpoint of the model should have: on one GPU, before vLLM quantizes or leaves out anything."""
    scheme: Scheme | None = scheme_of(model, None)
    if scheme is None:
        return 0
    return rank_weights(replace(model, text_only=False), Storage(scheme), Ranks(), 0).parameters
