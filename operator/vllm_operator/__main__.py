"""The command line: takes the options of `cli.options`, runs the command, and turns what went wrong into one line.

What a command does not need is not imported: a plan is there at once, and the operator's memory is counted.
"""
# ruff: noqa: PLC0415

import argparse
import os
import sys
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import NoReturn

from .cli.options import BAD_INPUT, command_line
from .cli.terminal import printable


def main() -> None:
    """Entry point of `vllm-operator`, `kubectl-vllm` and `python -m vllm_operator`."""
    try:
        _execute(command_line(Path(sys.argv[0]).name).parse_args())
    except BrokenPipeError:  # the reader, like head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _without_synchronous_client() -> None:
    """`import kubernetes` is followed by nothing but what is asked for of it.

    The package itself imports its synchronous client with requests and oauthlib: 7 MiB and a third of a second, for
    nobody here.
    """
    if "kubernetes" not in sys.modules and (found := find_spec("kubernetes")):
        sys.modules["kubernetes"] = module_from_spec(found)


def _execute(arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "crd":
            _crd(arguments)
        case "rbac":
            from .cli.documents import print_yaml
            from .resources import rules

            print_yaml(rules())
        case "render":
            _render(arguments)
        case "plan":
            _plan(arguments)
        case "import":
            _import(arguments)
        case "status" | "logs" | "classes" | "batch":
            _fleet(arguments)
        case "inspect" | "download" | "transfer":
            sys.exit(_in_a_job(arguments))
        case "run":
            _without_synchronous_client()
            from .kinds import KINDS
            from .loop.operator import Ports, run_operator

            ports = Ports(arguments.metrics_port, arguments.health_port)
            run_operator(KINDS, arguments.settings, arguments.shard, ports)


def _in_a_job(arguments: argparse.Namespace) -> int:
    """What pods of Jobs do."""
    if arguments.command == "inspect":
        from .inspection.command import inspect

        return inspect(arguments.hub, arguments.folder, arguments.revision, arguments.output)
    if arguments.command == "transfer":
        from .transfer.command import run

        return run(arguments)
    from .inspection.fetch import download
    from .inspection.order import Order

    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    order = Order(arguments.hub, arguments.revision, home, arguments.load_format)
    return download(order, arguments.output)


def _crd(arguments: argparse.Namespace) -> None:
    from .api.crd import KINDS, custom_resource_definition
    from .cli.documents import print_yaml

    wanted = [kind for kind in KINDS if arguments.plural in (None, kind.plural)]
    if not wanted:
        print(f"{arguments.prog}: {arguments.plural} is none of {', '.join(k.plural for k in KINDS)}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    print_yaml(*(custom_resource_definition(kind) for kind in wanted))


def _render(arguments: argparse.Namespace) -> None:
    from .cli.class_file import ClassInputError
    from .cli.documents import print_yaml
    from .cli.render import RenderError, render_file

    try:
        print_yaml(*render_file(arguments.filename, arguments.settings, arguments.class_file))
    except (ClassInputError, RenderError) as error:
        print(printable(f"{arguments.prog}: {error}"), file=sys.stderr)
        sys.exit(BAD_INPUT)


def _plan(arguments: argparse.Namespace) -> NoReturn:
    from .cli import plan
    from .cli.plan_question import PlanInputError

    try:
        text, status = plan.run(arguments)
    except PlanInputError as error:
        print(printable(f"{arguments.prog}: {error}"), file=sys.stderr)
        sys.exit(BAD_INPUT)
    print(printable(text), flush=True)
    sys.exit(status)


def _import(arguments: argparse.Namespace) -> NoReturn:
    from .cli.importing import command
    from .cli.importing.documents import ImportInputError

    try:
        status = command.run(arguments)
    except ImportInputError as error:
        print(printable(f"{arguments.prog}: {error}"), file=sys.stderr)
        sys.exit(BAD_INPUT)
    sys.exit(status)


def _fleet(arguments: argparse.Namespace) -> None:
    import logging

    _without_synchronous_client()
    from .cli.fleet import command
    from .cli.fleet.client import FleetError

    logging.getLogger("kubernetes").setLevel(logging.ERROR)  # its warnings would stand before the one clear line
    try:
        if arguments.command == "batch" and arguments.action != "status":
            from .cli.batch_run import command as batch_run

            sys.exit(batch_run.run(arguments))
        print(printable(command.run(arguments)), flush=True)
    except FleetError as error:
        print(printable(f"{arguments.prog}: {error}"), file=sys.stderr)
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
