"""Runs with the oldest vLLM that is supported: as parse.py, and knows nothing but its flags.

First it prints one line of JSON with the names of all flags. Then, for each line of stdin (a JSON list of what follows
`vllm serve`), it prints one line: {}, or {"error": message}.
"""

import contextlib
import io
import json
import sys
from typing import Any

from vllm.entrypoints.cli.serve import ServeSubcommand

try:
    from vllm.utils.argparse_utils import FlexibleArgumentParser
except ImportError:  # before 0.12
    from vllm.utils import FlexibleArgumentParser


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
    flags = [option for action in serve._actions for option in action.option_strings]
    print(json.dumps({"flags": flags}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(parsed(parser, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
