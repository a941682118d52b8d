"""What a replica will serve: tokens per second, and the time to a first token. It informs and refuses nothing. Pure.

The time of a step is `roofline.py`'s; here is which steps are told, and what was not measured of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import floor, log10

from ..api import InferenceServiceSpec
from .effective import engine_of
from .graphs import most_graph_tokens
from .kv_cache import layout
from .margin import of_version
from .plan import Plan, storage
from .quantization import scheme_of
from .rates import rates_of
from .roofline import Engine
from .shapes import Cached, ModelShape
from .work import work_of

PROMPT = 1000
"""Tokens of the prompt whose first token is told, and of the context of requests that decode."""
LONG_PROMPT, LONG_PROMPTS = 4096, 16
"""Tokens of the prompts that prefill is told of, and how many wait at once."""
MOST_REQUESTS, MOST_TENSOR = 256, 2
"""Requests at once, and GPUs that an engine was split over, at most where engines were measured."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What one replica serves: tokens of answers per second, but for `prefill`. Two digits mean something."""

    one: float
    """Of a request that is alone."""
    many: float
    """Of `requests` at once, all together."""
    requests: int
    """As many as the KV cache holds with `context` tokens each, up to maxNumSeqs."""
    context: int
    prefill: float
    """Tokens of long prompts."""
    first_token: float
    """Seconds to the first token of a prompt of `context` tokens, when there is nothing else to do."""
    approximate: tuple[str, ...]
    """What was not measured or is left out, as clauses."""


def speed_of(spec: InferenceServiceSpec, model: ModelShape, plan: Plan) -> Speed | None:
    """How fast a replica that is planned so answers; None where nothing tells.

    Nothing does for a GPU without a data sheet, a part of a GPU, the CPU, models that do not generate, whose matrices
    are not known, or in float32, and where nothing fits.
    """
    rates, scheme = rates_of(plan.gpu), scheme_of(model, spec.quantization)
    if rates is None or scheme is None or plan.capacity is None or plan.fits is False:
        return None
    settings = engine_of(spec, model, plan.gpu)
    model = replace(model, dtype=settings.dtype)
    if model.pooling or model.approximate or settings.dtype == "float32":
        return None
    work, graphs = work_of(model, settings, storage(scheme, settings)), most_graph_tokens(settings, model)
    engine = Engine(work, rates, settings, graphs)
    context = min(PROMPT, plan.capacity.max_model_len)
    _, held = layout(model, settings, 0).tokens(plan.capacity.memory.kv_cache, context, settings)
    count = settings.ranks.data
    # Of one engine; a model without a KV cache takes as many as vLLM does.
    requests = settings.max_num_seqs
    if plan.capacity.max_concurrency is not None:
        requests = max(1, min(int(held), requests))
    long = min(LONG_PROMPT, plan.capacity.max_model_len)
    return Speed(
        one=1 / engine.step_seconds(1, context),
        many=count * requests / engine.step_seconds(requests, context),
        requests=count * requests,
        context=context,
        prefill=count * LONG_PROMPTS * long / engine.prefill_seconds(LONG_PROMPTS, long),
        first_token=engine.prefill_seconds(1, context),
        approximate=tuple(_doubts(spec, model, engine, plan, requests)),
    )


def _doubts(spec: InferenceServiceSpec, model: ModelShape, engine: Engine, plan: Plan, requests: int) -> Iterator[str]:
    """Clauses on what no engine was measured with."""
    settings, ranks = engine.settings, engine.settings.ranks
    if not engine.rates.measured:
        yield f"the speed of {plan.gpu.name} was not measured, and its data sheet is taken"
    if settings.planned.minors:
        yield of_version(settings.planned)
    if ranks.tensor > MOST_TENSOR or ranks.pipeline > 1 or ranks.data > 1:
        yield f"speed was not measured on {ranks.gpus} GPUs split in this way"
    if requests > MOST_REQUESTS:
        yield f"speed was not measured with more than {MOST_REQUESTS} requests at once"
    if settings.eager:
        yield "speed was not measured without CUDA graphs"
    caches = {cache.kind for layer in model.layers for cache in (layer.cache, *layer.more) if cache}
    if Cached.STATE in caches:
        yield "speed was not measured of layers that keep a state"
    if Cached.INDEX in caches:
        yield "sparse attention is taken for one that reads everything"
    if settings.speculative_tokens:
        yield "tokens that are guessed ahead are not counted in the speed"
    if spec.lora:
        yield "what adapters cost is not counted in the speed"


def rounded(value: float) -> int | float:
    """With two digits, which is all that an estimate of speed has: a whole number from 10 on."""
    if value <= 0:
        return 0
    digits = 1 - floor(log10(value))
    found = round(value, digits)
    return int(found) if digits <= 0 else found
