"""`vllm-operator plan`: the plan of a service in a file, as text for people or JSON for scripts. Needs no cluster.

What it is asked about is read in `plan_question`; the arithmetic is in `planner`.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..api.spec import AUTO, InferenceServiceSpec
from ..assess.policy import fault
from ..planner import accelerators
from ..planner.accelerators import Gpu, by_price, priced
from ..planner.alternatives import advice, hints
from ..planner.form import as_json, as_row
from ..planner.picture import comparison, picture
from ..planner.plan import Plan, plan
from ..planner.shapes import ModelShape
from ..planner.speed import Speed, speed_of
from ..planner.survey import Shape, sized, survey
from ..settings import Settings
from .plan_question import (
    UNREADABLE,
    PlanInputError,
    read_gpu,
    read_model,
    read_prices,
    read_service,
    read_settings,
    said,
    vendor_of,
)

STATUS = {True: 0, False: 3, None: 4}


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked: a service by its name, and what it is planned with."""

    name: str
    spec: InferenceServiceSpec
    model: ModelShape
    settings: Settings
    prices: Mapping[str, float]
    per_node: int | None
    json: bool

    @property
    def catalogue(self) -> list[Gpu]:
        """The GPUs of the spec's vendor, cheapest first."""
        return by_price(vendor_of(self.spec.accelerator.resource), self.prices)


def run(options: argparse.Namespace) -> tuple[str, int]:
    """The plan as text, and the exit status: 0 it fits, 3 it does not, 4 that is unknown. Raises PlanInputError."""
    name, spec = read_service(options)
    if options.gpus_per_node is not None and options.gpus_per_node < 1:
        raise PlanInputError(f"--gpus-per-node {options.gpus_per_node}: must be at least 1")
    gpu = read_gpu(options, spec)
    settings = read_settings(options.settings)
    prices = read_prices(options.gpu_prices, settings)
    model = read_model(options, spec)
    asked = _Question(name, spec, model, settings, prices, options.gpus_per_node, options.output == "json")
    try:
        text, fits = _compared(asked) if gpu is None else _planned(asked, priced(gpu, prices))
    except UNREADABLE as error:
        raise PlanInputError(f"no plan can be made of the model's config.json: {said(error)}") from error
    return text, STATUS[fits]


def _planned(asked: _Question, gpu: Gpu) -> tuple[str, bool | None]:
    spec, chosen = asked.spec, ""
    if spec.tensor_parallel_size == AUTO:
        (shape,) = survey(spec, asked.model, [gpu], asked.per_node)
        spec, chosen = sized(spec, shape.tensor), _chosen(shape)
    result = plan(spec, asked.model, gpu, asked.per_node)
    found = advice(spec, asked.model, gpu, asked.per_node, asked.catalogue)
    speed = speed_of(spec, asked.model, result)
    notes = [*([chosen] if chosen else []), *_notes(spec, result), *_of_speed(speed), *_refusal(asked)]
    if not result.fits:
        notes += hints(spec, asked.model, gpu, asked.per_node)
    if found.none:
        notes.append(found.none)
    if asked.json:
        content = {"service": asked.name, **as_json(result, found.alternatives, notes, speed)}
        return json.dumps({**content, "noAlternatives": found.none or None}, indent=2), result.fits
    return picture(asked.name, result, found.alternatives, notes, speed), result.fits


def _chosen(shape: Shape) -> str:
    """What tensorParallelSize: auto comes to on one kind of GPU."""
    size, name = shape.tensor, shape.plan.gpu.name
    if shape.plan.fits:
        return (
            f"tensorParallelSize auto: {size} is the smallest that fits {name}; in a cluster the cheapest shape counts"
        )
    return f"tensorParallelSize auto: no size fits {name}, and this is the plan for {size}"


def _compared(asked: _Question) -> tuple[str, bool | None]:
    """The service on each kind of GPU: as it is written, and the smallest shape that fits."""
    gpus = asked.catalogue
    shapes = survey(asked.spec, asked.model, gpus, asked.per_node)
    auto = asked.spec.tensor_parallel_size == AUTO
    results = [
        shape.plan if auto else plan(asked.spec, asked.model, gpu, asked.per_node)
        for gpu, shape in zip(gpus, shapes, strict=True)
    ]
    speeds = [speed_of(sized(asked.spec, shape.tensor), asked.model, shape.plan) for shape in shapes]
    verdicts = {result.fits for result in results}
    fits = True if True in verdicts else None if None in verdicts else False
    if asked.json:
        refusal = list(_refusal(asked))
        content = [
            {**_on(asked, result, refusal), **as_row(shape, speed)}
            for result, shape, speed in zip(results, shapes, speeds, strict=True)
        ]
        return json.dumps({"service": asked.name, "fits": fits, "gpus": content}, indent=2), fits
    return comparison(asked.name, shapes, speeds), fits


def _on(asked: _Question, result: Plan, refusal: list[str]) -> dict[str, Any]:
    """The spec as it is on one kind of GPU."""
    speed = speed_of(asked.spec, asked.model, result)
    return as_json(result, (), [*_notes(asked.spec, result), *_of_speed(speed), *refusal], speed)


def _of_speed(speed: Speed | None) -> Iterator[str]:
    """What the figures of speed leave out."""
    if speed and speed.approximate:
        yield f"tokens/s are a rough estimate: {'; '.join(speed.approximate)}"


def _refusal(asked: _Question) -> Iterator[str]:
    """What the operator would say instead of making pods, by the settings that are given or its defaults."""
    if finding := fault(asked.spec, asked.settings):
        yield f"no pods would be made ({finding[0]}): {finding[1]}"


def _notes(spec: InferenceServiceSpec, result: Plan) -> Iterator[str]:
    gpu = result.gpu
    if result.note:
        yield result.note
    if gpu.vendor == "cpu":
        yield "on the CPU, GPU stands for the process of a rank, and its memory for the node's or the pod's limit"
    product = spec.accelerator.product
    known = accelerators.find(product) if product else None
    if known and known.name != gpu.name:
        yield f"the spec asks for {product}, and this is the plan for {gpu.name}"
