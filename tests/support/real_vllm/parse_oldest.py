"""Runs with the oldest vLLM that is supported: as parse.py, and knows only what it has.

First it prints one line of JSON: the names of all `flags`; the `keys` of those of its JSON flags that the API has
fields for; and the `words` of each flag and key that has a list of them. Then, for each line of stdin (a JSON list of
what follows `vllm serve`), it prints one line: {}, or {"error": message}.
"""

import argparse
import ast
import contextlib
import dataclasses
import io
import json
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import vllm
from vllm.config import CompilationConfig, SpeculativeConfig, StructuredOutputsConfig
from vllm.config.compilation import PassConfig
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS

try:
    from vllm.utils.argparse_utils import FlexibleArgumentParser
except ImportError:  # before 0.12
    from vllm.utils import FlexibleArgumentParser

OBJECTS = {
    "compilation-config": CompilationConfig,
    "compilation-config.pass_config": PassConfig,
    "speculative-config": SpeculativeConfig,
    "structured-outputs-config": StructuredOutputsConfig,
}


def words(hint: Any) -> Iterator[str]:
    """The words of the Literals and enumerations in a type."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        yield from (member.name for member in hint)
    for part in get_args(hint):
        yield from [str(part)] if get_origin(hint) is Literal else words(part)


def load_formats() -> list[str]:
    """The load formats, off the source: their loaders want packages that are not installed here."""
    text = Path(vllm.__path__[0], "model_executor", "model_loader", "__init__.py").read_text()
    named = [node for node in ast.parse(text).body if isinstance(node, ast.Assign)]
    (listed,) = (node.value for node in named if ast.unparse(node.targets[0]) == "LoadFormats")
    return [node.value for node in ast.walk(listed) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def choices(action: argparse.Action) -> list[str]:
    """The words of a flag: of one that plug-ins add to, the parser only shows them."""
    shown: list[Any] = action.metavar if isinstance(action.metavar, list) else []
    return [str(word) for word in action.choices or shown]


def facts(serve: argparse.ArgumentParser) -> dict[str, Any]:
    """What this vLLM has."""
    flags = {option.removeprefix("--"): choices(one) for one in serve._actions for option in one.option_strings}
    hints = {name: get_type_hints(of) for name, of in OBJECTS.items()}
    keys = {f"{name}.{key}": list(words(hint)) for name, of in hints.items() for key, hint in of.items()}
    checked_later = {"load-format": load_formats(), "quantization": list(QUANTIZATION_METHODS)}
    return {
        "flags": [option for one in serve._actions for option in one.option_strings],
        "keys": {name: [field.name for field in dataclasses.fields(of)] for name, of in OBJECTS.items()},
        "words": {name: known for name, known in {**flags, **keys, **checked_later}.items() if known},
    }


def parsed(parser: Any, argv: list[str]) -> dict[str, Any]:
    """What the parser says against a command line."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parser.parse_args(["serve", *argv])
            return {}
    except SystemExit:
        return {"error": said.getvalue().strip().splitlines()[-1]}
    except ValueError as error:
        return {"error": str(error)}


def main() -> None:
    """Answer until stdin ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    parser = FlexibleArgumentParser(prog="vllm")
    serve = ServeSubcommand().subparser_init(parser.add_subparsers(dest="subparser"))
    print(json.dumps(facts(serve)), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(parsed(parser, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
