"""Runs in vLLM's own environment: parses the command lines given on stdin as vLLM does, and describes the parser.

stdin: a JSON list of argv lists, each what follows `vllm serve`. stdout: JSON with `parsed`, one entry per command
line (a namespace, or {"error": message}), and `flags`, full name -> its choices and whether it is a switch.
"""

import argparse
import contextlib
import io
import json
import sys
from typing import Any

from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.utils.argparse_utils import FlexibleArgumentParser


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


def main() -> None:
    """Answer one question."""
    parser = FlexibleArgumentParser(prog="vllm")
    serve = ServeSubcommand().subparser_init(parser.add_subparsers(dest="subparser"))
    flags = {
        option: {
            "dest": action.dest,
            "choices": [str(choice) for choice in action.choices] if action.choices else None,
            "switch": action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction),
        }
        for action in serve._actions
        for option in action.option_strings
    }
    answer = {"flags": flags, "parsed": [parsed(parser, argv) for argv in json.load(sys.stdin)]}
    json.dump(answer, sys.stdout, default=str)


if __name__ == "__main__":
    main()
