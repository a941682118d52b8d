"""Runs in vLLM's own environment: parses command lines as `vllm serve` does.

First it prints one line of JSON with what it knows: the catalogue of its flags (`catalogued`), each flag's `dest`,
`choices` and whether it is a `switch`, words that vLLM checks only later, and the names of its environment variables.
Then, for each line of stdin (a JSON list of what follows `vllm serve`), it prints one line: the namespace, or
{"error": message}.
"""

import argparse
import contextlib
import dataclasses
import io
import json
import sys
from enum import Enum
from types import NoneType
from typing import Any, get_args, get_origin

from vllm import envs
from vllm.config.attention import AttentionBackendEnum, IndexerKVDType, MiniMaxM3MSADecodeBackend
from vllm.config.compilation import CompilationMode, CUDAGraphMode, PassConfig
from vllm.config.load import LoadConfig
from vllm.config.speculative import DraftSampleMethod, RejectionSampleMethod, SpeculativeConfig, SpeculativeMethod
from vllm.config.structured_outputs import StructuredOutputsBackend
from vllm.engine.arg_utils import AsyncEngineArgs, get_type_hints
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.entrypoints.launchers.cli_args import FrontendArgs
from vllm.model_executor.layers.quantization import DEPRECATED_QUANTIZATION_METHODS, QUANTIZATION_METHODS
from vllm.model_executor.model_loader import LoadFormats, get_model_loader
from vllm.tokenizers.registry import TokenizerRegistry
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.v1.attention.backends.mla.prefill.registry import MLAPrefillBackendEnum


def words(literal: Any) -> list[str]:
    """The words of a Literal, also of those within it."""
    return [word for part in get_args(literal) for word in (words(part) if get_args(part) else [part])]


def readable(default: Any) -> Any:
    """A flag's default as JSON; None where it is an object of vLLM's own, or is worked out when vLLM starts."""
    if isinstance(default, Enum):
        return readable(default.value)
    if isinstance(default, set | tuple | list):
        return sorted(default)
    return default if isinstance(default, str | int | float | bool | dict) and default != argparse.SUPPRESS else None


def kind(action: argparse.Action) -> str:
    """What follows a flag: nothing (switch), one value, one value of JSON, or several words."""
    if action.nargs == 0:
        return "switch"
    if action.nargs in ("+", "*"):
        return "words"
    takes_json = "JSON keys passed individually" in (action.help or "")
    return "JSON" if takes_json or getattr(action.type, "__name__", "") in ("loads", "union_dict_and_str") else "value"


def catalogued(action: argparse.Action) -> dict[str, Any]:
    """A flag by its first long name, with all other spellings that vLLM has for it."""
    name, *others = sorted(action.option_strings, key=lambda option: not option.startswith("--"))
    negative = [option for option in others if isinstance(action, argparse.BooleanOptionalAction) and "--no-" in option]
    choices = sorted({str(choice) for choice in action.choices or ()} - {"None"})
    return {
        "name": name,
        "negative": negative[0] if negative else None,
        "also": sorted(set(others) - set(negative)),
        "kind": kind(action),
        "default": readable(action.default),
        "choices": choices,
    }


def begins(hint: Any) -> str | None:
    """What JSON of a type begins with: an object, or a list; None for a type that is neither, or both."""
    parts = {get_origin(part) or part for part in get_type_hints(hint)} - {NoneType}
    if len(parts) == 1 and isinstance(part := parts.pop(), type):
        return "{" if issubclass(part, dict) or dataclasses.is_dataclass(part) else "[" if part is list else None
    return None


def tuning() -> dict[str, list[str]]:
    """The words of settings that vLLM takes in JSON."""
    return {
        "passes": [field.name for field in dataclasses.fields(PassConfig) if field.type in (bool, "bool")],
        "modes": [mode.name for mode in CompilationMode],
        "cudagraphModes": [mode.name for mode in CUDAGraphMode],
        "mlaPrefillBackends": [backend.name for backend in MLAPrefillBackendEnum],
        "indexerTypes": words(IndexerKVDType),
        "msaBackends": words(MiniMaxM3MSADecodeBackend),
        "structuredOutputs": words(StructuredOutputsBackend),
    }


LOADER_OPTIONS: dict[str, Any] = {
    "concurrency": 1, "distributed": True, "memory_limit": 1, "enable_multithread_load": True, "num_threads": 1
}  # fmt: skip


def loader_options(load_format: str) -> list[str]:
    """The options that the loader of a format takes."""
    found = []
    for name, value in LOADER_OPTIONS.items():
        with contextlib.suppress(ValueError, KeyError, ImportError):
            get_model_loader(LoadConfig(load_format=load_format, model_loader_extra_config={name: value}))
            found.append(name)
    return found


def facts(serve: argparse.ArgumentParser) -> dict[str, Any]:
    """What the parser accepts, and what vLLM checks after it."""
    flags = {
        option: {
            "dest": action.dest,
            "choices": [str(choice) for choice in action.choices] if action.choices else None,
            "switch": action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction),
        }
        for action in serve._actions
        for option in action.option_strings
    }
    fields = [field for of in (AsyncEngineArgs, FrontendArgs) for field in dataclasses.fields(of)]
    return {
        "flags": flags,
        "begins": {field.name: begins(field.type) for field in fields},
        "catalogue": [catalogued(action) for action in serve._actions if action.option_strings],
        "tuning": tuning(),
        "quantizations": sorted(set(QUANTIZATION_METHODS) - set(DEPRECATED_QUANTIZATION_METHODS)),
        "speculativeMethods": words(SpeculativeMethod),
        "speculativeKeys": [field.name for field in dataclasses.fields(SpeculativeConfig)],
        "draftSampleMethods": words(DraftSampleMethod),
        "rejectionSampleMethods": words(RejectionSampleMethod),
        "attentionBackends": [backend.name for backend in AttentionBackendEnum],
        "variables": sorted(envs.environment_variables),
        "loadFormats": {name: loader_options(name) for name in words(LoadFormats)},
        "tokenizerModes": ["auto", *TokenizerRegistry.tokenizers],
    }


def parsed(parser: FlexibleArgumentParser, argv: list[str]) -> dict[str, Any]:
    """The namespace of one command line, or what the parser says against it."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            namespace: dict[str, Any] = vars(parser.parse_args(["serve", *argv]))
            return namespace
    except SystemExit:
        return {"error": said.getvalue().strip().splitlines()[-1]}
    except ValueError as error:
        return {"error": str(error)}


def plain(value: object) -> Any:
    """A value that JSON does not know, as its fields."""
    return vars(value) if hasattr(value, "__dict__") else str(value)


def main() -> None:
    """Answer until stdin ends."""
    # What vLLM prints while it is imported must not get in between.
    answers, sys.stdout = sys.stdout, sys.stderr
    parser = FlexibleArgumentParser(prog="vllm")
    serve = ServeSubcommand().subparser_init(parser.add_subparsers(dest="subparser"))
    print(json.dumps(facts(serve)), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(parsed(parser, json.loads(line)), default=plain), file=answers, flush=True)


if __name__ == "__main__":
    main()
