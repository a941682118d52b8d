"""`vllm-operator plan`: the plan of a service in a file, as text for people or JSON for scripts. Needs no cluster.

What it is asked about is read in `plan_input`; what is reckoned is decided in `planner`.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from .api import InferenceServiceSpec
from .plan_input import UNREADABLE, VENDORS, PlanInputError, read_gpu, read_model, read_service, said
from .planner import accelerators
from .planner.accelerators import CATALOGUE, Gpu
from .planner.alternatives import alternatives, hints
from .planner.form import as_json
from .planner.picture import comparison, picture
from .planner.plan import Plan, plan
from .planner.shapes import Model

STATUS = {True: 0, False: 3, None: 4}
BAD_INPUT = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("-f", "--filename", type=Path, required=True, help="manifest with an InferenceService")
    parser.add_argument("--name", help="which of the file's services, where it has several")
    model = parser.add_mutually_exclusive_group()
    model.add_argument(
        "--model-config", type=Path, metavar="CONFIG", help="the model's config.json, or its folder (default: the hub)"
    )
    model.add_argument("--report", type=Path, help="what `vllm-operator inspect` wrote about the model")
    parser.add_argument("--gpu", metavar="NAME", help="a GPU of the catalogue, or all (default: the spec's product)")
    parser.add_argument(
        "--gpu-memory", metavar="BYTES", help="memory of a GPU as CUDA reports it, or of the CPU's node, like 80Gi"
    )
    parser.add_argument("--compute-capability", metavar="X.Y", help="of the GPU with --gpu-memory, like 9.0")
    parser.add_argument("--gpus-per-node", type=int, metavar="N", help="GPUs of the largest node")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="default: %(default)s")


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
        raise PlanInputError(f"the model's config.json cannot be reckoned with: {said(error)}") from error
    return text, STATUS[fits]


def _planned(
    name: str, spec: InferenceServiceSpec, model: Model, gpu: Gpu, options: argparse.Namespace
) -> tuple[str, bool | None]:
    result = plan(spec, model, gpu, options.gpus_per_node)
    others = alternatives(spec, model, gpu, options.gpus_per_node)
    notes = list(_notes(spec, result))
    if not result.fits:
        notes += hints(spec, model, gpu, options.gpus_per_node)
    if options.output == "json":
        return json.dumps({"service": name, **as_json(result, others, notes)}, indent=2), result.fits
    return picture(name, result, others, notes), result.fits


def _compared(
    name: str, spec: InferenceServiceSpec, model: Model, options: argparse.Namespace
) -> tuple[str, bool | None]:
    vendor = VENDORS[spec.accelerator.resource]
    gpus = sorted((gpu for gpu in CATALOGUE if gpu.vendor == vendor), key=lambda gpu: gpu.cost)
    results = [plan(spec, model, gpu, options.gpus_per_node) for gpu in gpus]
    verdicts = {result.fits for result in results}
    fits = True if True in verdicts else None if None in verdicts else False
    if options.output == "json":
        content = [as_json(result, (), _notes(spec, result)) for result in results]
        return json.dumps({"service": name, "fits": fits, "gpus": content}, indent=2), fits
    return comparison(name, results), fits


def _notes(spec: InferenceServiceSpec, result: Plan) -> Iterator[str]:
    gpu = result.gpu
    if gpu.vendor == "nvidia" and gpu.capability == (0, 0):
        yield "without --compute-capability, rules on what the GPU can compute were not checked"
    if result.approximate and result.capacity:
        yield f"{result.approximate}, so the numbers are approximate"
    if gpu.vendor == "cpu":
        yield "on the CPU, GPU stands for the process of a rank, and its memory for the node's or the pod's limit"
    product = spec.accelerator.product
    if product and accelerators.find(product) not in {None, gpu}:
        yield f"the spec asks for {product}, and this is the plan for {gpu.name}"
