"""Whether a service fits the GPUs that it may get: from what is known of its model and of nodes to one verdict. Pure.

The arithmetic is the planner's; here is which GPUs to plan for, and what several kinds of them come to together.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from ..api.limits import CACHE_BYTES, KIB
from ..api.reasons import Reason
from ..api.resource import InferenceService
from ..api.spec import AUTO, InferenceServiceSpec
from ..inspection.cache import SizedCache
from ..inspection.kept import facts_of, size_of
from ..inspection.report import InspectionError
from ..manifests.amounts import memory_limit_bytes
from ..manifests.names import is_slice
from ..planner.accelerators import CATALOGUE, Gpu, cpu, priced
from ..planner.alternatives import Advice, Loss, advice
from ..planner.architectures import model_of
from ..planner.config import ModelConfigError
from ..planner.plan import Plan, plan
from ..planner.shapes import ModelShape
from ..planner.speed import Speed, speed_of
from ..snapshots.node import Node
from ..vllm.argv import ranks, ranks_of_replica
from .device_classes import Claimed
from .gpu_kinds import UnknownGpuError, gpu_of, known_gpu
from .nodes import Devices, devices, equipped, in_domain, room, topology_of
from .resolution import LEARNED, Resolved

log = logging.getLogger(__name__)
_BYTES_OF_A_LAYER = 2 * KIB


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is known of a model now: what was found, or why nothing was, or that the Job is still at it."""

    key: str
    packed: bytes = b""
    """What was found: see inspection/kept.py."""
    error: InspectionError | None = None
    pending: bool = False
    elsewhere: bool = False
    """Whether another service of the namespace has the Job: see readers/together.py."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """The verdict on one service. `fits` is None where it is not known."""

    fits: bool | None
    reason: Reason
    message: str
    pending: bool = False
    """Whether it will be known soon."""
    plan: Plan | None = None
    product: str = ""
    """What the plan is for, as nodes are labelled."""
    products: tuple[str, ...] = ()
    """GPU products that the pods have to be pinned to, where others that they could get would not do."""
    chosen: tuple[Resolved, ...] = ()
    """What tensorParallelSize: auto comes to, where that was asked, or over how many nodes a replica has to lie."""
    speed: Speed | None = None
    """What a replica of the plan will serve, where anything is known of that."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What bears on a verdict beside the spec, the model and the nodes."""

    prices: Mapping[str, float] = field(default_factory=dict)
    """What GPUs cost, where the platform team says so."""
    learned: Mapping[str, int] = field(default_factory=dict)
    """By product, the bytes of KV cache on a GPU that other engines got more, or less, than planned."""
    claimed: Claimed | None = None
    """What devices the spec's DeviceClass has, where that is known."""
    fixed_nodes: bool = False
    """Whether the cluster gets no nodes by itself."""


NOT_ASSESSED = Assessment(None, Reason.INSPECTING, "the model is being inspected", pending=True)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kind of device that the pods could get."""

    gpu: Gpu
    product: str = ""
    most: int | None = None
    """The most that one node has, where nodes are known."""


_MODELS = SizedCache[ModelShape](CACHE_BYTES)


def _model(packed: bytes) -> ModelShape:
    return _MODELS.get(packed, lambda: _worked_out(packed))


def _worked_out(packed: bytes) -> tuple[ModelShape, int]:
    facts = facts_of(packed)
    model = model_of(facts.config, facts.quantization, facts.weights_bytes, facts.max_seq_length, facts.image_pixels)
    return model, _BYTES_OF_A_LAYER * (1 + len(model.layers)) + size_of(packed)


def assess(
    service: InferenceService,
    inspection: Inspection,
    nodes: Sequence[Node],
    image: str,
    outlook: Outlook | None = None,
) -> Assessment:
    """Whether the service fits. `image`: what runs where the spec names none."""
    spec, known = service.spec.model_copy(update={"image": service.spec.image or image}), outlook or Outlook()

    def verdict(model: ModelShape) -> Assessment:
        plans = [(one, _planned(spec, model, one, known)) for one in _candidates(spec, nodes, known.claimed)]
        found = _together(spec, model, plans, _Market.of(spec, nodes, known.prices))
        return replace(found, speed=speed_of(spec, model, found.plan)) if found.plan else found

    found = of_model(inspection, verdict)
    return found if found.pending else _placed(spec, found, nodes, fixed=known.fixed_nodes)


def _planned(spec: InferenceServiceSpec, model: ModelShape, one: Candidate, outlook: Outlook) -> Plan:
    learned = outlook.learned.get(one.product or one.gpu.name, 0)
    return plan(spec, model, priced(one.gpu, outlook.prices), one.most, learned)


def learned_by(resolved: Sequence[Resolved]) -> Mapping[str, int]:
    """What was learned when the spec was resolved, by product."""
    values: Any = next((one.value for one in resolved if one.field == LEARNED), {})
    known = values if isinstance(values, Mapping) else {}
    return {product: size for product, size in known.items() if isinstance(size, int)}


def of_model(inspection: Inspection, verdict: Callable[[ModelShape], Assessment]) -> Assessment:
    """The verdict on what is known of a model; where that is nothing, or nothing can be made of it, that is told."""
    if inspection.pending:
        return NOT_ASSESSED
    if inspection.error:
        return Assessment(None, inspection.error.reason, f"the model could not be inspected: {inspection.error}")
    try:
        return verdict(_model(inspection.packed))
    except ModelConfigError as error:
        return Assessment(None, Reason.MODEL_NOT_PLANNED, f"the planner cannot read the model's config.json: {error}")
    except UnknownGpuError as error:
        return Assessment(None, *error.args)
    except Exception as error:  # anybody writes a config.json, and whatever it leads to is about this one model
        _log_once(inspection.key, type(error).__name__)
        text = (
            f"the planner cannot make a plan of the model's config.json ({type(error).__name__}; the operator's log "
            "has more): the pods are made without one, and vLLM says whether it can serve the model"
        )
        return Assessment(None, Reason.MODEL_NOT_PLANNED, text)


@lru_cache(maxsize=1024)
def _log_once(model: str, what: str) -> None:
    """The traceback, for a planner that is to be mended: once for each model."""
    log.warning("no plan of the model that was inspected as %s, after %s", model, what, exc_info=True)


def keeps_from_running(spec: InferenceServiceSpec, assessment: Assessment) -> bool:
    """Whether pods of this spec must not be made, or not yet: the spec's planPolicy decides."""
    if spec.tensor_parallel_size == AUTO:  # nobody knows how many GPUs a pod is to have
        return True
    return assessment.pending or (assessment.fits is False and spec.plan_policy != "Warn")


@dataclass(frozen=True, slots=True)
class _Market:
    """GPUs that may be offered: those of the nodes that the pods could be on, or any where no nodes are known."""

    gpus: Sequence[Gpu]
    per_node: Mapping[str, int] | None
    """The most of one node, by the name of the GPU."""

    @classmethod
    def of(cls, spec: InferenceServiceSpec, nodes: Sequence[Node], prices: Mapping[str, float]) -> "_Market":
        """What there is for a service, whatever product it asks for now."""
        if not nodes:
            return cls([priced(gpu, prices) for gpu in CATALOGUE], None)
        known: dict[str, Candidate] = {}
        for one in products_of(_anywhere(spec), nodes):
            known[one.gpu.name] = max(one, known.get(one.gpu.name, one), key=lambda kind: kind.most or 0)
        gpus = [priced(one.gpu, prices) for one in known.values()]
        return cls(gpus, {name: one.most for name, one in known.items() if one.most})


def _anywhere(spec: InferenceServiceSpec) -> InferenceServiceSpec:
    """The spec with any product."""
    return spec.model_copy(update={"accelerator": spec.accelerator.model_copy(update={"product": None})})


def products_of(spec: InferenceServiceSpec, nodes: Sequence[Node]) -> list[Candidate]:
    """The kinds of GPU on nodes that the pods could be on, by product; none of which nothing tells the memory."""
    kinds = [(one, known_gpu(spec, one.product, [one])) for one in devices(spec, nodes)]
    return [Candidate(gpu, one.product, one.most) for one, gpu in kinds if gpu]


def _together(
    spec: InferenceServiceSpec, model: ModelShape, plans: Sequence[tuple[Candidate, Plan]], market: _Market
) -> Assessment:
    """One verdict for all kinds: the worst of those that fit stands for them, and the others are kept away from."""
    usable = [entry for entry in plans if entry[1].fits] or [entry for entry in plans if entry[1].fits is None]
    if not usable:
        candidate, best = max(plans, key=lambda entry: _left(entry[1]))
        per_node = (
            candidate.most if market.per_node is None else {best.gpu.name: candidate.most or 0, **market.per_node}
        )
        found = advice(spec, model, candidate.gpu, per_node, market.gpus)
        message = f"{best.message}{_ways_out(found)}{_note(best)}"
        return Assessment(False, best.reason, message, plan=best, product=candidate.product)
    possible = [entry for entry in plans if entry[1].fits is not False]
    if spec.accelerator.device_class and len(possible) < len(plans):
        return _either(spec, plans)
    products = tuple(candidate.product for candidate, _ in possible) if len(possible) < len(plans) else ()
    candidate, worst = min(usable, key=lambda entry: _left(entry[1]))
    pinned = f"; the pods are kept to {', '.join(products)}" if products else ""
    message = f"{worst.message}{pinned}{_note(worst)}{_between_nodes(spec)}"
    return Assessment(worst.fits, worst.reason, message, plan=worst, product=candidate.product, products=products)


def _either(spec: InferenceServiceSpec, plans: Sequence[tuple[Candidate, Plan]]) -> Assessment:
    """A class whose devices do not all do: pods cannot be kept to some of them by a label of nodes."""
    fitting = ", ".join(candidate.gpu.name for candidate, one in plans if one.fits is not False)
    others = ", ".join(candidate.gpu.name for candidate, one in plans if one.fits is False)
    name = spec.accelerator.device_class
    text = f"pods may get any device of class {name}: it fits {fitting}, and not {others}"
    return Assessment(None, Reason.GPU_UNKNOWN, f"{text}; narrow it with accelerator.deviceSelector, and set product")


def _note(plan: Plan) -> str:
    """What the plan does not know."""
    return f"; {plan.note}" if plan.note else ""


def _between_nodes(spec: InferenceServiceSpec) -> str:
    """What it costs where a layer is split over nodes. Ranks of a stage are neighbours, as vLLM numbers them."""
    each = ranks(spec)
    if spec.nodes == 1 or each % spec.tensor_size == 0:
        return ""
    within = f": tensorParallelSize {each} with pipelineParallelSize {spec.nodes} keeps each layer on a node"
    return (
        "; layers are split over nodes, which then talk several times for each layer of each token, and need RDMA or "
        f"the like for that{within if ranks_of_replica(spec) == spec.tensor_size else ''}"
    )


def _placed(spec: InferenceServiceSpec, found: Assessment, nodes: Sequence[Node], *, fixed: bool) -> Assessment:
    """The verdict on a group, of which Kubernetes places each pod alone: whether all of them find GPUs."""
    held = room(spec, nodes, found.products) if spec.nodes > 1 else None
    if held is None or held == spec.nodes or found.fits is False:
        return found
    short = _short_of_nodes(spec, held, nodes)
    if fixed:
        return replace(found, fits=False, reason=Reason.TOO_FEW_NODES, message=short)
    kept = "; meanwhile a pod that finds some keeps them" if held else ""
    return replace(found, message=f"{found.message}; {short}{kept}")


def _short_of_nodes(spec: InferenceServiceSpec, held: int, nodes: Sequence[Node]) -> str:
    """For how many pods of a replica there are GPUs, and what to do."""
    label = topology_of(spec)
    if label and not in_domain(spec, equipped(spec, nodes)[0]):
        return (
            f"no node that the pods could be on has the label {label} of pod.exclusiveTopology, and no pod gets one "
            "without it: label the nodes by their domain, or name another label"
        )
    where = f"no domain of {label} has GPUs for more than" if label else "the nodes have GPUs for"
    return (
        f"{where} {held} of the {spec.nodes} pods of a replica, even when nothing else runs: add "
        "nodes, or ask for fewer GPUs"
    )


def _ways_out(found: Advice) -> str:
    """The cheapest, and the cheapest that gives up nothing; or why there is none."""
    offers = found.alternatives
    lossless = [offer for offer in offers if offer.loss == Loss.NONE]
    shown = dict.fromkeys(offer.change for offer in [*offers[:1], *lossless[:1]])
    return f": it fits with {', or with '.join(shown)}" if shown else f"; {found.none}"


def _left(plan: Plan) -> int:
    """Memory for the KV cache over all GPUs of a replica, to compare plans by."""
    return plan.capacity.memory.left * plan.gpus_per_replica if plan.capacity else 0


def _candidates(spec: InferenceServiceSpec, nodes: Sequence[Node], claimed: Claimed | None) -> list[Candidate]:
    """The kinds of device to plan for. Raises UnknownGpuError where none is known."""
    accelerator = spec.accelerator
    if accelerator.resource == "cpu":
        return [Candidate(_cpu(spec))]
    # What a class has, no label tells.
    found = _of_class(spec, claimed) if accelerator.device_class else devices(spec, nodes)
    if accelerator.product:
        most = max((one.most for one in found), default=None)
        return [Candidate(gpu_of(spec, accelerator.product, found), accelerator.product, most)]
    if found:
        return [Candidate(gpu_of(spec, one.product, [one]), one.product, one.most) for one in found]
    if is_slice(accelerator.resource):
        return [Candidate(gpu_of(spec, accelerator.resource, []))]
    if accelerator.memory:
        return [Candidate(gpu_of(spec, "the GPU", []))]
    told = (
        (claimed.why if claimed else "")
        or f"nothing tells the memory of devices of class {accelerator.device_class}: set accelerator.memory"
        if accelerator.device_class
        else f"no node that the pods could be on tells its kind of {accelerator.resource}: set accelerator.product"
    )
    raise UnknownGpuError(Reason.GPU_UNKNOWN, told)


def _of_class(spec: InferenceServiceSpec, claimed: Claimed | None) -> list[Devices]:
    product = spec.accelerator.product
    return [one for one in (claimed.devices if claimed else ()) if product in (None, one.product)]


def _cpu(spec: InferenceServiceSpec) -> Gpu:
    limit = memory_limit_bytes(spec)
    if limit is None:
        raise UnknownGpuError(
            Reason.GPU_UNKNOWN,
            "on the CPU the plan needs to know the memory: set resources.limits.memory",
        )
    return cpu(limit)
