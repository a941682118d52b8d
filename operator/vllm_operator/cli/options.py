"""The options of every command. Decides nothing, and imports nothing that takes long: `--help` is there at once."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from .. import __version__
from ..vllm.batch import STEPS

BAD_INPUT = 2
CLASS_HELP = "manifest with the ServingClass that a service names (default: in the same file)"
IMPORT_HELP = """an object of the cluster, like deployment/llama; or the command line after --: vllm serve ..., or
docker run ... vllm/vllm-openai ..."""
OUTPUT_HELP = "where the answers go; what failed goes to FILE with .errors.jsonl at its end"
CLAIM_HELP = "where the cluster keeps the output: pvc://claim/folder (default: a claim of its own that goes with it)"
DESCRIPTION = """Run the operator, print its CRDs or RBAC rules; show a fleet's status, its classes or its batches,
explain one service with logs, or import what serves with vLLM today; and without a cluster plan a service's memory,
render its children or inspect a model. As kubectl-vllm on the PATH it is `kubectl vllm` as well."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """End the program with the message."""
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


class _Version(argparse.Action):
    """Prints the versions, and imports the vocabulary only then."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version, and the vLLM that it is made for")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from ..api.vocabulary import VLLM_VERSION  # noqa: PLC0415

        print(f"vllm-operator {__version__}, made for vLLM {VLLM_VERSION}")  # noqa: T201
        parser.exit()


def command_line(name: str) -> Parser:
    """The parser of all commands. `name` is that of the program: kubectl finds its plugins as `kubectl-vllm`."""
    parser = Parser(prog="kubectl vllm" if name.startswith("kubectl") else "vllm-operator", description=DESCRIPTION)
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(dest="command", required=True)
    definitions = commands.add_parser("crd", help="print the CustomResourceDefinitions")
    definitions.add_argument("plural", nargs="?", metavar="PLURAL", help="of one kind (default: of all)")
    commands.add_parser("rbac", help="print the rules of RBAC that the operator needs")
    run = commands.add_parser("run", help="run the operator")
    run.add_argument("--shard", type=int, default=0, help="which of the setting shards it is (default: %(default)s)")
    run.add_argument("--metrics-port", type=int, default=8080, help="port of /metrics (default: %(default)s)")
    run.add_argument("--health-port", type=int, default=8081, help="port of /healthz, /readyz (default: %(default)s)")
    render = commands.add_parser(
        "render", help="print what is made of the services and batches in a file, without a cluster"
    )
    render.add_argument("-f", "--filename", type=Path, required=True, help="manifest with InferenceServices or batches")
    render.add_argument("--class", dest="class_file", type=Path, metavar="FILE", help=CLASS_HELP)
    bring = commands.add_parser("import", help="write InferenceServices for what serves with vLLM today")
    plan = commands.add_parser("plan", help="say whether a service fits a GPU, and what it would serve")
    for command in (run, render, bring, plan):
        command.add_argument("--settings", type=Path, help="YAML file with the operator's settings")
    _add_import(bring)
    _add_plan(plan)
    _add_status(commands.add_parser("status", help="show the services of a namespace or of the cluster at a glance"))
    _add_logs(commands.add_parser("logs", help="explain one service: conditions, pods, and what tells in their logs"))
    _add_classes(commands.add_parser("classes", help="show what the ServingClasses give and limit, and who uses them"))
    _add_batch(commands.add_parser("batch", help="answer the requests of a file, and show how far the batches are"))
    _add_inspect(commands.add_parser("inspect", help="say what a model is made of, without its weights"))
    _add_download(commands.add_parser("download", help="fetch a model of the hub into a cache, as the Job does"))
    _add_transfer(commands.add_parser("transfer", help="copy a batch's files from or to buckets, as its pods do"))
    for command in commands.choices.values():
        command.set_defaults(prog=command.prog)
    return parser


def _add_import(parser: Parser) -> None:
    parser.description = """Prints InferenceServices on stdout, and on stderr where each part of the source went. Exit
    status 0: all was taken over; 3: something has to be looked at; 2: not understood."""
    parser.add_argument("source", nargs="*", metavar="KIND/NAME | -- COMMAND", help=IMPORT_HELP)
    parser.add_argument("-f", "--filename", type=Path, help="manifests, values.yaml, docker-compose.yaml; - is stdin")
    _add_cluster(parser)


def _add_plan(parser: Parser) -> None:
    parser.add_argument("-f", "--filename", type=Path, required=True, help="manifest with an InferenceService")
    parser.add_argument("--name", help="which of the file's services, where it has several")
    parser.add_argument("--class", dest="class_file", type=Path, metavar="FILE", help=CLASS_HELP)
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
    parser.add_argument(
        "--gpu-prices", metavar="NAME=PRICE,...", help="what GPUs cost, in any unit (default: the settings', else ours)"
    )
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="default: %(default)s")


def _add_status(parser: Parser) -> None:
    parser.add_argument("name", nargs="?", help="one service (default: all of the namespace)")
    _add_cluster(parser)
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="the services of all namespaces")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="default: %(default)s")


def _add_logs(parser: Parser) -> None:
    parser.add_argument("name", help="the service")
    _add_cluster(parser)


def _add_classes(parser: Parser) -> None:
    _add_cluster(parser, namespace=False)
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="default: %(default)s")


def _add_batch(parser: Parser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    _add_batch_run(actions.add_parser("run", help="answer the requests of a file: submit, follow, fetch the answers"))
    fetch = actions.add_parser("fetch", help="follow a batch to its end, and fetch the answers")
    fetch.add_argument("name", help="the batch")
    fetch.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=OUTPUT_HELP)
    _add_cluster(fetch)
    status = actions.add_parser("status", help="how far the batches of a namespace or of the cluster are")
    status.add_argument("name", nargs="?", help="one batch (default: all of the namespace)")
    _add_cluster(status)
    status.add_argument("-A", "--all-namespaces", action="store_true", help="the batches of all namespaces")
    status.add_argument("-o", "--output", choices=["text", "json"], default="text", help="default: %(default)s")


def _add_batch_run(parser: Parser) -> None:
    parser.description = """Makes an InferenceBatch, shows how far it is, and fetches the answers. Ctrl-C leaves the
    batch running. Exit status 0: all was answered; 3: some requests are in the file of errors; 1: it failed; 2: not
    understood."""
    requests = parser.add_mutually_exclusive_group(required=True)
    requests.add_argument("-f", "--filename", type=Path, metavar="FILE", help="requests in JSONL, up to 1 MiB")
    requests.add_argument("--input", metavar="URI", help="requests on a claim: pvc://claim/in.jsonl")
    engine = parser.add_mutually_exclusive_group(required=True)
    engine.add_argument("--model", metavar="URI", help="hf://organisation/name, pvc://claim/path, ...")
    engine.add_argument("--service", metavar="NAME", help="an InferenceService whose model and tuning are taken")
    parser.add_argument("--product", help="GPU product with --model, like NVIDIA-L4 (default: the class's)")
    parser.add_argument("--resource", help="device with --model, like amd.com/gpu or cpu (default: the class's)")
    parser.add_argument("--gpus", type=int, metavar="N", help="GPUs of each pod with --model (default: 1)")
    parser.add_argument("--max-model-len", type=int, metavar="TOKENS", help="with --model (default: the model's)")
    parser.add_argument("--class", dest="serving_class", metavar="NAME", help="ServingClass (default: the default one)")
    parser.add_argument("--parallelism", type=int, metavar="PODS", help="pods that share the requests (default: 1)")
    parser.add_argument("--skip-invalid", action="store_true", help="invalid lines go to the errors (default: fail)")
    parser.add_argument("--claim", metavar="URI", help=CLAIM_HELP)
    parser.add_argument("--name", help="of the batch (default: the file's, and a random end)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=OUTPUT_HELP)
    _add_cluster(parser)


def _add_cluster(parser: Parser, *, namespace: bool = True) -> None:
    if namespace:
        parser.add_argument("-n", "--namespace", help="default: the namespace of the kubeconfig's context")
    parser.add_argument("--kubeconfig", metavar="FILE", help="default: $KUBECONFIG, ~/.kube/config")
    parser.add_argument("--context", help="of the kubeconfig (default: the current one)")


def _add_inspect(parser: Parser) -> None:
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--hub", metavar="ORGANISATION/NAME", help="a model on the hub; HF_TOKEN and HF_ENDPOINT hold")
    model.add_argument("--folder", type=Path, help="a folder with config.json and safetensors")
    parser.add_argument("--revision", help="commit, tag or branch on the hub")
    parser.add_argument("--output", type=Path, default=Path("/dev/null"), help="where to leave the report as well")


def _add_download(parser: Parser) -> None:
    parser.add_argument("--hub", metavar="ORGANISATION/NAME", required=True, help="HF_TOKEN and HF_ENDPOINT hold")
    parser.add_argument("--revision", metavar="COMMIT", required=True, help="the commit to fetch")
    parser.add_argument("--load-format", help="how vLLM will load it (default: vLLM looks)")
    parser.add_argument("--output", type=Path, default=Path("/dev/null"), help="where to leave why it failed")


def _add_transfer(parser: Parser) -> None:
    parser.add_argument("action", choices=["fetch", "push"], help="before a step of a batch, or beside it")
    parser.add_argument("--step", choices=STEPS, required=True)
    parser.add_argument("--uid", required=True, help="of the batch")
    parser.add_argument("--index", type=int, default=0, help="which share of the requests")
    for field in ("input", "output"):
        parser.add_argument(f"--{field}-uri", metavar="URI", help="s3://bucket/path (default: it is no bucket)")
        parser.add_argument(f"--{field}-endpoint", metavar="URL", help="where the bucket is (default: AWS)")
        parser.add_argument(f"--{field}-region", help="of the bucket")
        keys = f"its folder here; {field.upper()}_AWS_ACCESS_KEY_ID and so on hold"
        parser.add_argument(f"--{field}", type=Path, required=True, metavar="FOLDER", help=keys)
    parser.add_argument("--push", type=Path, required=True, metavar="FOLDER", help="where the runner asks for a push")
    parser.add_argument("--message", type=Path, default=Path("/dev/null"), help="where to leave why it failed")
