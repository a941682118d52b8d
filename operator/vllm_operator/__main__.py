"""The command line: `run` the operator, print the `crd`, or `render` a service's children without a cluster."""

import argparse
import sys
from pathlib import Path

import yaml

from .crd import custom_resource_definition
from .handlers import run_operator
from .render import render_file


class _Dumper(yaml.SafeDumper):
    """Writes repeated parts out in full: anchors would make the CRD unreadable."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _print_yaml(*documents: object) -> None:
    yaml.dump_all(documents, sys.stdout, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def main() -> None:
    """Entry point of `vllm-operator` and `python -m vllm_operator`."""
    parser = argparse.ArgumentParser(prog="vllm-operator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("crd", help="print the CustomResourceDefinition")
    run = commands.add_parser("run", help="run the operator")
    render = commands.add_parser("render", help="print the children of the services in a file, without a cluster")
    render.add_argument("-f", "--filename", type=Path, required=True, help="manifest with InferenceServices")
    for command in (run, render):
        command.add_argument("--settings", type=Path, help="YAML file with the operator's settings")
    arguments = parser.parse_args()
    match arguments.command:
        case "crd":
            _print_yaml(custom_resource_definition())
        case "render":
            _print_yaml(*render_file(arguments.filename, arguments.settings))
        case "run":
            run_operator(arguments.settings)


if __name__ == "__main__":
    main()
