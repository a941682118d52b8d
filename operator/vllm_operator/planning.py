"""`vllm-operator plan`: from files, or the hub, and a GPU's name to a plan as text. Needs no cluster.

Whatever is wrong with the input becomes one line (`PlanInputError`); what is reckoned is decided in `planner`.
"""

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from .api import API_VERSION, InferenceServiceSpec
from .api.base import bytes_of
from .inspection.report import Facts, InspectionError, decode
from .manifests.pod import memory_limit_bytes
from .planner import accelerators
from .planner.accelerators import CATALOGUE, MIB, Gpu
from .planner.alternatives import alternatives, hints
from .planner.architectures import load_model, model_of
from .planner.config import ModelConfigError
from .planner.form import as_json
from .planner.picture import comparison, picture
from .planner.plan import Plan, plan
from .planner.shapes import Model
from .service_file import Manifest, services_in

STATUS = {True: 0, False: 3, None: 4}
BAD_INPUT = 2
LEAST_BYTES, MOST_BYTES = 16 * MIB, 1 << 50
_VENDORS = {"nvidia.com/gpu": "nvidia", "amd.com/gpu": "amd", "cpu": "cpu"}
# What a config.json with values of wrong types raises, whatever reads it.
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, ZeroDivisionError, AttributeError, OverflowError)


class PlanInputError(Exception):
    """Input that no plan can be made of. The text is one line for the user."""


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
    name, spec = _service(options)
    if options.gpus_per_node is not None and options.gpus_per_node < 1:
        raise PlanInputError(f"--gpus-per-node {options.gpus_per_node}: must be at least 1")
    gpus = _gpus(options, spec)
    model = _model(options, spec)
    try:
        if gpus is None:
            text, fits = _compared(name, spec, model, options)
        else:
            text, fits = _planned(name, spec, model, gpus, options)
    except _UNREADABLE as error:
        raise PlanInputError(f"the model's config.json cannot be reckoned with: {_said(error)}") from error
    return text, STATUS[fits]


def _planned(
    name: str, spec: InferenceServiceSpec, model: Model, gpu: Gpu, options: argparse.Namespace
) -> tuple[str, bool | None]:
    result = plan(spec, model, gpu, options.gpus_per_node)
    others = alternatives(spec, model, gpu, options.gpus_per_node)
    notes = list(_notes(spec, model, result))
    if not result.fits:
        notes += hints(spec, model, gpu, options.gpus_per_node)
    if options.output == "json":
        return json.dumps({"service": name, **as_json(result, others, notes)}, indent=2), result.fits
    return picture(name, result, others, notes), result.fits


def _compared(
    name: str, spec: InferenceServiceSpec, model: Model, options: argparse.Namespace
) -> tuple[str, bool | None]:
    vendor = _VENDORS[spec.accelerator.resource]
    gpus = sorted((gpu for gpu in CATALOGUE if gpu.vendor == vendor), key=lambda gpu: gpu.cost)
    results = [plan(spec, model, gpu, options.gpus_per_node) for gpu in gpus]
    verdicts = {result.fits for result in results}
    fits = True if True in verdicts else None if None in verdicts else False
    if options.output == "json":
        content = [as_json(result, (), _notes(spec, model, result)) for result in results]
        return json.dumps({"service": name, "fits": fits, "gpus": content}, indent=2), fits
    return comparison(name, results), fits


def _notes(spec: InferenceServiceSpec, model: Model, result: Plan) -> Iterator[str]:
    gpu = result.gpu
    if gpu.vendor == "nvidia" and gpu.capability == (0, 0):
        yield "without --compute-capability, rules on what the GPU can compute were not checked"
    if result.approximate:
        yield f"the planner does not know the architecture {model.architecture}, so the numbers are approximate"
    if gpu.vendor == "cpu":
        yield "on the CPU, GPU stands for the process of a rank, and its memory for the node's or the pod's limit"
    product = spec.accelerator.product
    if product and accelerators.find(product) not in {None, gpu}:
        yield f"the spec asks for {product}, and this is the plan for {gpu.name}"


# --- the service ---


def _service(options: argparse.Namespace) -> tuple[str, InferenceServiceSpec]:
    path: Path = options.filename
    try:
        manifests = services_in(path)
    except (OSError, UnicodeDecodeError) as error:
        raise PlanInputError(f"{path}: {_said(error)}") from error
    except yaml.YAMLError as error:
        raise PlanInputError(f"{path}: is not YAML: {_where(error)}") from error
    manifest = _chosen(path, manifests, options.name)
    name, given = str(_metadata(manifest).get("name") or "service"), manifest.get("spec")
    if not isinstance(given, Mapping):
        raise PlanInputError(f"{path}: {name} has no spec")
    try:
        spec = InferenceServiceSpec.model_validate(given)
    except ValidationError as error:
        faults = [_fault(fault) for fault in error.errors()]
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        raise PlanInputError(f"{path}: {name}: {'; '.join(faults[:3])}{more}") from error
    if unknown := next(_dropped(given, spec.to_manifest(), "spec"), None):
        raise PlanInputError(f"{path}: {name}: {unknown}: there is no such field")
    if (resource := spec.accelerator.resource) not in _VENDORS:
        raise PlanInputError(f"{path}: {name}: spec.accelerator.resource: {resource} is not planned for")
    return name, spec


def _chosen(path: Path, manifests: list[Manifest], name: str | None) -> Manifest:
    foreign = [str(one.get("apiVersion")) for one in manifests if one.get("apiVersion") != API_VERSION]
    manifests = [one for one in manifests if one.get("apiVersion") == API_VERSION]
    if not manifests:
        what = f"its InferenceService is of {foreign[0]}, not {API_VERSION}" if foreign else "has no InferenceService"
        raise PlanInputError(f"{path}: {what}")
    names = [str(_metadata(one).get("name")) for one in manifests]
    if name is not None and name not in names:
        raise PlanInputError(f"{path}: has no InferenceService {name}, but {', '.join(names)}")
    if name is None and len(manifests) > 1:
        raise PlanInputError(
            f"{path}: has {len(manifests)} InferenceServices, pick one with --name: {', '.join(names)}"
        )
    return manifests[0 if name is None else names.index(name)]


def _metadata(manifest: Manifest) -> Mapping[str, Any]:
    metadata = manifest.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def _fault(fault: Mapping[str, Any]) -> str:
    path = ".".join(["spec", *(str(part) for part in fault["loc"] if part not in {"int", "literal['auto']"})])
    return f"{path}: {str(fault['msg']).removeprefix('Value error, ')}"


def _dropped(given: Any, kept: Any, path: str) -> Iterator[str]:
    """Fields that were given and that the API does not have: most often misspelt, and then the plan would be wrong."""
    if isinstance(given, Mapping) and isinstance(kept, Mapping):
        for key, value in given.items():
            if value is not None and key not in kept:
                yield f"{path}.{key}"
            else:
                yield from _dropped(value, kept.get(key), f"{path}.{key}")
    elif isinstance(given, list) and isinstance(kept, list):
        for index, (one, other) in enumerate(zip(given, kept, strict=False)):
            yield from _dropped(one, other, f"{path}[{index}]")


# --- the model ---


def _model(options: argparse.Namespace, spec: InferenceServiceSpec) -> Model:
    path: Path | None = options.model_config or options.report
    try:
        if options.model_config and not options.model_config.is_dir():
            model = load_model(options.model_config)
        else:
            facts = _facts(options, spec)
            model = model_of(facts.config, facts.quantization, facts.weights_bytes)
    except ModelConfigError as error:
        raise PlanInputError(str(error) if path is None or str(path) in str(error) else f"{path}: {error}") from error
    except InspectionError as error:
        hub = " (here the token is HF_TOKEN; offline, pass --model-config)" if path is None else ""
        raise PlanInputError(f"{error}{hub}") from error
    except _UNREADABLE as error:
        raise PlanInputError(f"{path or spec.model.uri}: cannot be read as a config.json: {_said(error)}") from error
    sizes = {"layers": len(model.layers), "attention heads": model.heads, "width": model.hidden}
    if missing := next((what for what, size in sizes.items() if size < 1), None):
        raise PlanInputError(f"{path or spec.model.uri}: this config.json is of a model with no {missing}")
    return model


def _facts(options: argparse.Namespace, spec: InferenceServiceSpec) -> Facts:
    if options.report:
        try:
            return decode(options.report.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise PlanInputError(f"{options.report}: {_said(error)}") from error
    uri = spec.model.uri
    if not options.model_config and not uri.startswith("hf://"):
        raise PlanInputError(f"{uri} cannot be read from here: pass its config.json with --model-config")
    # huggingface_hub takes a second to import, and most plans need no hub.
    from .inspection.sources import read_folder, read_hub  # noqa: PLC0415

    if options.model_config:
        return read_folder(options.model_config)
    return read_hub(uri.removeprefix("hf://"), spec.model.revision, os.environ.get("HF_TOKEN"))


# --- the GPU ---


def _gpus(options: argparse.Namespace, spec: InferenceServiceSpec) -> Gpu | None:
    """The GPU to plan for; None: all of the catalogue."""
    vendor = _VENDORS[spec.accelerator.resource]
    asked, memory = options.gpu is not None, options.gpu_memory is not None
    if asked and memory:
        raise PlanInputError("give --gpu or --gpu-memory, not both")
    if options.compute_capability is not None and not memory:
        raise PlanInputError("--compute-capability goes with --gpu-memory: the catalogue knows that of its GPUs")
    capability = (0, 0) if options.compute_capability is None else _capability(options.compute_capability)
    if memory:
        size = _memory(options.gpu_memory)
        name = "CPU" if vendor == "cpu" else f"GPU of {size / accelerators.GIB:.4g} GiB"
        return Gpu(name, size, capability, vendor=vendor)
    if vendor == "cpu":
        return _cpu(options, spec)
    if asked and options.gpu.lower() == "all":
        return None
    return _named(options, spec, vendor)


def _named(options: argparse.Namespace, spec: InferenceServiceSpec, vendor: str) -> Gpu:
    """The GPU that the options name, else the spec: by its product, or by the memory that it says."""
    own = spec.accelerator
    name: str | None = own.product if options.gpu is None else options.gpu
    gpu = accelerators.find(name) if name else None
    if gpu is None and own.memory and options.gpu is None:
        return Gpu(name or f"GPU of {own.memory}", bytes_of(own.memory), (0, 0), vendor=vendor)
    if name is None:
        raise PlanInputError(
            "which GPU? The spec has no accelerator.product: pass --gpu NAME, --gpu all or --gpu-memory"
        )
    if gpu is None:
        known = ", ".join(accelerators.names())
        raise PlanInputError(f"the catalogue has no GPU {name!r}: pass --gpu-memory, or one of {known}")
    if gpu.vendor != vendor:
        raise PlanInputError(f"{gpu.name} is none of the GPUs that spec.accelerator.resource asks for ({vendor})")
    return gpu


def _cpu(options: argparse.Namespace, spec: InferenceServiceSpec) -> Gpu:
    if options.gpu is not None:
        raise PlanInputError(
            f"--gpu {options.gpu}: spec.accelerator.resource is cpu; pass the node's with --gpu-memory"
        )
    if limit := memory_limit_bytes(spec):
        return accelerators.cpu(limit)
    raise PlanInputError("how much memory? Set spec.resources.limits.memory, or pass the node's with --gpu-memory")


def _memory(quantity: str) -> int:
    try:
        size = bytes_of(quantity)
    except (ValueError, OverflowError):
        raise PlanInputError(f"--gpu-memory {quantity}: must be bytes, or a quantity like 80Gi") from None
    if size < LEAST_BYTES:
        raise PlanInputError(f"--gpu-memory {quantity}: {size:,} bytes are too few, give a quantity like 80Gi")
    if size > MOST_BYTES:
        raise PlanInputError(f"--gpu-memory {quantity}: no GPU has that much, give a quantity like 80Gi")
    return size


def _capability(text: str) -> tuple[int, int]:
    major, dot, minor = text.partition(".")
    if not (major.isdecimal() and dot and minor.isdecimal() and len(minor) == 1 and 1 <= int(major) < 100):
        raise PlanInputError(f"--compute-capability {text}: must be like 9.0")
    return int(major), int(minor)


def _where(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"{error.problem} in line {mark.line + 1}, column {mark.column + 1}"
    return _said(error)


def _said(error: Exception) -> str:
    """What an exception says, on one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__
