"""The command line: `run` the operator, print the `crd`; show a fleet's `status`, or explain one service with `logs`;
and without a cluster `plan` a service's memory, `render` its children or `inspect` a model. As `kubectl-vllm` on the
PATH it is `kubectl vllm` as well."""

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import NoReturn

import yaml

from .cli import plan as planning
from .cli.fleet import options
from .cli.plan_question import PlanInputError


class _Dumper(yaml.SafeDumper):
    """Writes repeated parts out in full: anchors would make the CRD unreadable."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Source code line by line, as kubectl shows it."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if text.count("\n") > 1 else None)


_Dumper.add_representer(str, _text)


def _print_yaml(*documents: object) -> None:
    yaml.dump_all(documents, sys.stdout, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(planning.BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main() -> None:
    """Entry point of `vllm-operator`, `kubectl-vllm` and `python -m vllm_operator`."""
    name = Path(sys.argv[0]).name
    parser = _Parser(prog="kubectl vllm" if name.startswith("kubectl") else "vllm-operator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("crd", help="print the CustomResourceDefinition")
    run = commands.add_parser("run", help="run the operator")
    run.add_argument("--metrics-port", type=int, default=8080, help="port of /metrics (default: %(default)s)")
    run.add_argument("--health-port", type=int, default=8081, help="port of /healthz (default: %(default)s)")
    render = commands.add_parser("render", help="print the children of the services in a file, without a cluster")
    render.add_argument("-f", "--filename", type=Path, required=True, help="manifest with InferenceServices")
    plan = commands.add_parser("plan", help="say whether a service fits a GPU, and what it would serve")
    planning.add_arguments(plan)
    plan.set_defaults(prog=plan.prog)
    _add_fleet(commands)
    inspect = commands.add_parser("inspect", help="say what a model is made of, without its weights")
    model = inspect.add_mutually_exclusive_group(required=True)
    model.add_argument("--hub", metavar="ORGANISATION/NAME", help="a model on the hub; HF_TOKEN and HF_ENDPOINT hold")
    model.add_argument("--folder", type=Path, help="a folder with config.json and safetensors")
    inspect.add_argument("--revision", help="commit, tag or branch on the hub")
    inspect.add_argument("--output", type=Path, default=Path("/dev/null"), help="where to leave the report as well")
    for command in (run, render):
        command.add_argument("--settings", type=Path, help="YAML file with the operator's settings")
    try:
        _execute(parser.parse_args())
    except BrokenPipeError:  # the reader, like head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _add_fleet(commands: "argparse._SubParsersAction[_Parser]") -> None:
    status = commands.add_parser("status", help="show the services of a namespace or of the cluster at a glance")
    logs = commands.add_parser("logs", help="explain one service: conditions, pods, and what tells in their logs")
    options.add_status_arguments(status)
    options.add_logs_arguments(logs)
    for command in (status, logs):
        command.set_defaults(prog=command.prog)


def _execute(arguments: argparse.Namespace) -> None:
    # What a command does not need is not imported: a plan is there at once, and the operator's memory is counted.
    # ruff: noqa: PLC0415
    match arguments.command:
        case "crd":
            from .api.crd import custom_resource_definition

            _print_yaml(custom_resource_definition())
        case "render":
            from .cli.render import render_file

            _print_yaml(*render_file(arguments.filename, arguments.settings))
        case "plan":
            _plan(arguments)
        case "status" | "logs":
            _fleet(arguments)
        case "inspect":
            from .inspection.command import inspect

            sys.exit(inspect(arguments.hub, arguments.folder, arguments.revision, arguments.output))
        case "run":
            from .kinds import KINDS
            from .loop.operator import run_operator

            run_operator(KINDS, arguments.settings, arguments.metrics_port, arguments.health_port)


def _plan(arguments: argparse.Namespace) -> NoReturn:
    try:
        text, status = planning.run(arguments)
    except PlanInputError as error:
        print(f"{arguments.prog}: {error}", file=sys.stderr)
        sys.exit(planning.BAD_INPUT)
    print(text, flush=True)
    sys.exit(status)


def _fleet(arguments: argparse.Namespace) -> None:
    from .cli.fleet import command
    from .cli.fleet.client import FleetError

    logging.getLogger("kubernetes").setLevel(logging.ERROR)  # its warnings would stand before the one clear line
    try:
        print(command.run(arguments), flush=True)
    except FleetError as error:
        print(f"{arguments.prog}: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
