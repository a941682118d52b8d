"""What `vllm-operator plan` is asked about: a service, a model and a GPU, from files, the hub and the options.

Whatever is wrong with them becomes a `PlanInputError`. Nothing is calculated here.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from ..api import KIND, InferenceServiceSpec
from ..api.base import bytes_of, first_fault
from ..inspection.report import Facts, InspectionError, decode
from ..manifests.amounts import memory_limit_bytes
from ..manifests.metadata import Manifest
from ..manifests.names import is_gpu, is_slice
from ..planner import accelerators
from ..planner.accelerators import MIB, Gpu
from ..planner.architectures import load_model, model_of
from ..planner.config import ModelConfigError
from ..planner.shapes import ModelShape
from ..planner.slices import SHARED_SUFFIX, mig
from ..settings import MOST_PRICE, Settings, load
from .class_file import ClassInputError, read_classes, with_class
from .service_file import UnknownObjectError, absence, name_of, services_in
from .validation import faults, listed

LEAST_BYTES, MOST_BYTES = 16 * MIB, 1 << 50
# What a config.json with values of wrong types raises, whatever reads it.
UNREADABLE = (ValueError, TypeError, KeyError, IndexError, ZeroDivisionError, AttributeError, OverflowError)


class PlanInputError(Exception):
    """Input that no plan can be made of. The text is for the user: one line for each thing that is wrong."""


def read_service(options: argparse.Namespace) -> tuple[str, InferenceServiceSpec]:
    """The name of the service in the file, and its spec with what its class gives it. Raises PlanInputError."""
    path: Path = options.filename
    try:
        manifests = services_in(path)
        nothing = "" if manifests else absence(path, KIND)
    except (OSError, UnicodeDecodeError, UnknownObjectError) as error:
        raise PlanInputError(f"{path}: {said(error)}") from error
    except yaml.YAMLError as error:
        raise PlanInputError(f"{path}: is not YAML: {_where(error)}") from error
    if nothing:
        raise PlanInputError(f"{path}: {nothing}")
    manifest = _chosen(path, manifests, options.name)
    name = name_of(manifest)
    if found := faults(manifest, KIND):
        raise PlanInputError(f"{path}: {listed(name, found)}")
    spec = _with_class(options, name, InferenceServiceSpec.model_validate(manifest["spec"]))
    if (resource := spec.accelerator.resource) != "cpu" and not is_gpu(resource):
        raise PlanInputError(f"{path}: {name}: spec.accelerator.resource: {resource} is not planned for")
    return name, spec


def vendor_of(resource: str) -> str:
    """Whose devices a resource is of."""
    return {"amd.com/gpu": "amd", "cpu": "cpu"}.get(resource, "nvidia")


def read_settings(path: Path | None) -> Settings:
    """The operator's settings, or the defaults without a file. Raises PlanInputError."""
    try:
        return load(path)
    except (OSError, UnicodeDecodeError) as error:
        raise PlanInputError(f"{path}: {said(error)}") from error
    except yaml.YAMLError as error:
        raise PlanInputError(f"{path}: is not YAML: {_where(error)}") from error
    except ValidationError as error:
        raise PlanInputError(f"{path}: {': '.join(first_fault(error))}") from error


def read_prices(given: str | None, settings: Settings) -> Mapping[str, float]:
    """What GPUs cost: those of --gpu-prices first, then the settings'. Raises PlanInputError."""
    found: dict[str, float] = {}
    for pair in given.split(",") if given is not None else ():
        name, _, price = (part.strip() for part in pair.partition("="))
        if not accelerators.find(name):
            catalogue = ", ".join(accelerators.names())
            raise PlanInputError(f"--gpu-prices {pair}: the catalogue has no GPU {name!r}, but {catalogue}")
        found[name] = _price(pair, price)
    return {**found, **{name: price for name, price in settings.gpu_prices.items() if name not in found}}


def _price(pair: str, text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = 0.0
    if not 0 < price <= MOST_PRICE:
        raise PlanInputError(f"--gpu-prices {pair}: must be like H100=2.5,L40S=0.9, with numbers above 0")
    return price


def _with_class(options: argparse.Namespace, name: str, spec: InferenceServiceSpec) -> InferenceServiceSpec:
    try:
        classes = read_classes([options.filename, *([options.class_file] if options.class_file else [])])
        result = with_class(name, spec, classes, read_settings(options.settings))
    except ClassInputError as error:
        raise PlanInputError(str(error)) from error
    return result.spec


def _chosen(path: Path, manifests: list[Manifest], name: str | None) -> Manifest:
    names = [name_of(one) for one in manifests]
    if name is not None and name not in names:
        raise PlanInputError(f"{path}: has no InferenceService {name}, but {', '.join(names)}")
    if name is None and len(manifests) > 1:
        raise PlanInputError(
            f"{path}: has {len(manifests)} InferenceServices, pick one with --name: {', '.join(names)}"
        )
    return manifests[0 if name is None else names.index(name)]


def read_model(options: argparse.Namespace, spec: InferenceServiceSpec) -> ModelShape:
    """The model: from a config.json, a report or the hub. Raises PlanInputError."""
    path: Path | None = options.model_config or options.report
    try:
        if options.model_config and not options.model_config.is_dir():
            model = load_model(options.model_config)
        else:
            facts = _facts(options, spec)
            model = model_of(
                facts.config, facts.quantization, facts.weights_bytes, facts.max_seq_length, facts.image_pixels
            )
    except ModelConfigError as error:
        raise PlanInputError(str(error) if path is None or str(path) in str(error) else f"{path}: {error}") from error
    except InspectionError as error:
        hub = " (here the token is HF_TOKEN; offline, pass --model-config)" if path is None else ""
        raise PlanInputError(f"{error}{hub}") from error
    except UNREADABLE as error:
        raise PlanInputError(f"{path or spec.model.uri}: cannot be read as a config.json: {said(error)}") from error
    sizes = {"layers": len(model.layers), "attention heads": model.heads, "width": model.hidden}
    if missing := next((what for what, size in sizes.items() if size < 1), None):
        raise PlanInputError(f"{path or spec.model.uri}: this config.json is of a model with no {missing}")
    return model


def _facts(options: argparse.Namespace, spec: InferenceServiceSpec) -> Facts:
    if options.report:
        try:
            return decode(options.report.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise PlanInputError(f"{options.report}: {said(error)}") from error
    uri = spec.model.uri
    if not options.model_config and not uri.startswith("hf://"):
        raise PlanInputError(f"{uri} cannot be read from here: pass its config.json with --model-config")
    # huggingface_hub takes a second to import, and most plans need no hub.
    from ..inspection.sources import read_folder, read_hub  # noqa: PLC0415

    if options.model_config:
        return read_folder(options.model_config)
    return read_hub(uri.removeprefix("hf://"), spec.model.revision, os.environ.get("HF_TOKEN"))


def read_gpu(options: argparse.Namespace, spec: InferenceServiceSpec) -> Gpu | None:
    """The GPU to plan for; None: all of the catalogue. Raises PlanInputError."""
    vendor = vendor_of(spec.accelerator.resource)
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
    if name is None and is_slice(own.resource):
        name = own.resource
    if own.count or own.resource.endswith(".shared") or (name or "").endswith(SHARED_SUFFIX):
        raise PlanInputError(
            "only nodes tell how many pods share a GPU: the operator plans a share of one where the service is applied"
        )
    gpu = (accelerators.find(name) or mig(name)) if name else None
    if gpu is None and own.memory and options.gpu is None:
        return Gpu(name or f"GPU of {own.memory}", bytes_of(own.memory), (0, 0), vendor=vendor)
    if name is None:
        raise PlanInputError(
            "which GPU? The spec has no accelerator.product: pass --gpu NAME, --gpu all or --gpu-memory"
        )
    if gpu is None:
        catalogue = ", ".join(accelerators.names())
        raise PlanInputError(f"the catalogue has no GPU {name!r}: pass --gpu-memory, or one of {catalogue}")
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
    return said(error)


def said(error: Exception) -> str:
    """What an exception says, on one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__
