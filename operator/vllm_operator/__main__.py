"""The command line: `run` the operator, print the `crd`, `render` a service's children without a cluster, or `inspect`
a model."""

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
    run.add_argument("--metrics-port", type=int, default=8080, help="port of /metrics (default: %(default)s)")
    run.add_argument("--health-port", type=int, default=8081, help="port of /healthz (default: %(default)s)")
    render = commands.add_parser("render", help="print the children of the services in a file, without a cluster")
    render.add_argument("-f", "--filename", type=Path, required=True, help="manifest with InferenceServices")
    inspect = commands.add_parser("inspect", help="say what a model is made of, without its weights")
    model = inspect.add_mutually_exclusive_group(required=True)
    model.add_argument("--hub", metavar="ORGANISATION/NAME", help="a model on the hub; HF_TOKEN and HF_ENDPOINT hold")
    model.add_argument("--folder", type=Path, help="a folder with config.json and safetensors")
    inspect.add_argument("--revision", help="commit, tag or branch on the hub")
    inspect.add_argument("--output", type=Path, default=Path("/dev/null"), help="where to leave the report as well")
    for command in (run, render):
        command.add_argument("--settings", type=Path, help="YAML file with the operator's settings")
    arguments = parser.parse_args()
    match arguments.command:
        case "crd":
            _print_yaml(custom_resource_definition())
        case "render":
            _print_yaml(*render_file(arguments.filename, arguments.settings))
        case "inspect":
            # huggingface_hub is for this command alone, and the operator's memory is counted.
            from .inspection.command import inspect as inspect_model  # noqa: PLC0415

            sys.exit(inspect_model(arguments.hub, arguments.folder, arguments.revision, arguments.output))
        case "run":
            run_operator(arguments.settings, arguments.metrics_port, arguments.health_port)


if __name__ == "__main__":
    main()
