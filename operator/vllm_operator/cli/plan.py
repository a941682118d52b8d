"""`vllm-operator plan`: the plan of a service in a file, as text for people or JSON for scripts. Needs no cluster.

What it is asked about is read in `plan_question`; the arithmetic is in `planner`.
"""

import argparse
import json
from collections.abc import Iterator

from ..api import InferenceServiceSpec
from ..assess.policy import refused
from ..planner import accelerators
from ..planner.accelerators import CATALOGUE, Gpu
from ..planner.alternatives import alternatives, hints
from ..planner.form import as_json
from ..planner.picture import comparison, picture
from ..planner.plan import Plan, plan
from ..planner.shapes import ModelShape
from .plan_question import UNREADABLE, VENDORS, PlanInputError, read_gpu, read_model, read_service, read_settings, said

STATUS = {True: 0, False: 3, None: 4}


def run(options: argparse.Namespace) -> tuple[str, int]:
    """The plan as text, and the exit status: 0 it fits, 3 it does not, 4 that is unknown. Raises PlanInputError."""
    name, spec = read_service(options)
    if options.gpus_per_node is not None and options.gpus_per_node < 1:
        raise PlanInputError(f"--gpus-per-node {options.gpus_per_node}: must be at least 1")
    gpu = read_gpu(options, spec)
    model = read_model(options, spec)
    try:
        if gpu is None:
            text, fits = _compared(name, spec, model, options)
        else:
            text, fits = _planned(name, spec, model, gpu, options)
    except UNREADABLE as error:
        raise PlanInputError(f"no plan can be made of the model's config.json: {said(error)}") from error
    return text, STATUS[fits]


def _planned(
    name: str, spec: InferenceServiceSpec, model: ModelShape, gpu: Gpu, options: argparse.Namespace
) -> tuple[str, bool | None]:
    result = plan(spec, model, gpu, options.gpus_per_node)
    others = alternatives(spec, model, gpu, options.gpus_per_node)
    notes = [*_notes(spec, result), *_refusal(spec, options)]
    if not result.fits:
        notes += hints(spec, model, gpu, options.gpus_per_node)
    if options.output == "json":
        return json.dumps({"service": name, **as_json(result, others, notes)}, indent=2), result.fits
    return picture(name, result, others, notes), result.fits


def _compared(
    name: str, spec: InferenceServiceSpec, model: ModelShape, options: argparse.Namespace
) -> tuple[str, bool | None]:
    vendor = VENDORS[spec.accelerator.resource]
    gpus = sorted((gpu for gpu in CATALOGUE if gpu.vendor == vendor), key=lambda gpu: gpu.cost)
    results = [plan(spec, model, gpu, options.gpus_per_node) for gpu in gpus]
    verdicts = {result.fits for result in results}
    fits = True if True in verdicts else None if None in verdicts else False
    if options.output == "json":
        refusal = list(_refusal(spec, options))
        content = [as_json(result, (), [*_notes(spec, result), *refusal]) for result in results]
        return json.dumps({"service": name, "fits": fits, "gpus": content}, indent=2), fits
    return comparison(name, results), fits


def _refusal(spec: InferenceServiceSpec, options: argparse.Namespace) -> Iterator[str]:
    """What the operator would say instead of making pods, by the settings that are given or its defaults."""
    if finding := refused(spec, read_settings(options.settings)):
        yield f"no pods would be made ({finding[0]}): {finding[1]}"


def _notes(spec: InferenceServiceSpec, result: Plan) -> Iterator[str]:
    gpu = result.gpu
    if result.note:
        yield result.note
    if gpu.vendor == "cpu":
        yield "on the CPU, GPU stands for the process of a rank, and its memory for the node's or the pod's limit"
    product = spec.accelerator.product
    if product and accelerators.find(product) not in {None, gpu}:
        yield f"the spec asks for {product}, and this is the plan for {gpu.name}"
