"""From the options of `kubectl vllm batch run` to what is made in the cluster. Pure but for the file that it reads."""

import argparse
import re
import secrets
from pathlib import Path
from typing import NamedTuple

from ...api import API_VERSION, BATCH_KIND
from ...api.batch import BUCKET
from ...manifests.metadata import Manifest, compact
from ..fleet.client import AskedWrongError
from ..validation import faults, listed

# As much as a ConfigMap holds.
INPUT_BYTES = 1 << 20
OUTPUT_CLAIM_SIZE = "1Gi"
KEEP_SECONDS = 86400
INPUT_KEY, OUTPUT_FOLDER = "in.jsonl", "out"
_OF_THE_MODEL = ("product", "resource", "gpus", "max_model_len")
_MOST_STEM = 30


class Submission(NamedTuple):
    """What is made: first what the batch needs, which goes with it, then the batch."""

    needs: list[Manifest]
    batch: Manifest


def submission(arguments: argparse.Namespace) -> Submission:
    """What the options ask for. Raises AskedWrongError."""
    _check(arguments)
    name = arguments.name or _name(arguments.filename or Path(arguments.input))
    needs = []
    if arguments.filename:
        text = _requests(arguments.filename)
        needs.append(_object("v1", "ConfigMap", f"{name}-input") | {"data": {INPUT_KEY: text}})
    if arguments.claim is None:
        size = {"requests": {"storage": OUTPUT_CLAIM_SIZE}}
        spec = {"accessModes": ["ReadWriteOnce"], "resources": size}
        needs.append(_object("v1", "PersistentVolumeClaim", f"{name}-output") | {"spec": spec})
    batch = _object(API_VERSION, BATCH_KIND, name) | {"spec": _spec(arguments, name)}
    if found := faults(batch, BATCH_KIND):
        raise AskedWrongError(listed(name, found))
    return Submission(needs, batch)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.service and (given := [one for one in _OF_THE_MODEL if getattr(arguments, one) is not None]):
        flags = ", ".join(f"--{one.replace('_', '-')}" for one in given)
        raise AskedWrongError(f"with --service the engine is the service's: leave out {flags}")
    if any(one and one.startswith(BUCKET) for one in (arguments.input, arguments.claim)):
        raise AskedWrongError(f"{BUCKET} needs a manifest that says how the bucket is reached: apply one with kubectl")
    if arguments.input and not arguments.input.endswith(".jsonl"):
        raise AskedWrongError("--input must be a file that ends in .jsonl: for a folder of files, apply a manifest")
    if arguments.claim is None and arguments.input:
        raise AskedWrongError("--input needs --claim pvc://claim/folder, where there is room for the output")
    if arguments.claim is None and (arguments.parallelism or 1) > 1:
        raise AskedWrongError("several pods need --claim pvc://claim/folder, on a claim that several nodes can mount")


def _requests(path: Path) -> str:
    """The text of the input. Raises AskedWrongError."""
    try:
        with path.open("rb") as file:
            text = file.read(INPUT_BYTES + 1)
        if len(text) > INPUT_BYTES:
            raise AskedWrongError(
                f"{path} has more than {INPUT_BYTES >> 20} MiB: copy it to a claim, and use --input pvc://claim/path"
            )
        return text.decode()
    except OSError as error:
        raise AskedWrongError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise AskedWrongError(f"{path} is not UTF-8: write the requests as JSONL in UTF-8") from error


def _name(path: Path) -> str:
    """A name that is free: of the file, and a random end."""
    stem = re.sub(r"[^a-z0-9]+", "-", path.stem.lower())[:_MOST_STEM].strip("-")
    start = stem if stem[:1].isalpha() else f"batch-{stem}".strip("-")
    return f"{start}-{secrets.token_hex(3)}"


def _object(version: str, kind: str, name: str) -> Manifest:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}}


def _spec(arguments: argparse.Namespace, name: str) -> Manifest:
    template = None
    if arguments.model:
        accelerator = compact({"product": arguments.product, "resource": arguments.resource})
        template = {
            "model": {"uri": arguments.model},
            "accelerator": accelerator or None,
            "tensorParallelSize": arguments.gpus,
            "maxModelLen": arguments.max_model_len,
        }
    key = {"configMapKeyRef": {"name": f"{name}-input", "key": INPUT_KEY}}
    return compact(
        {
            "servingClassName": arguments.serving_class,
            "template": compact(template) if template else None,
            "serviceRef": {"name": arguments.service} if arguments.service else None,
            "input": {"uri": arguments.input} if arguments.input else key,
            "output": {"uri": arguments.claim or f"pvc://{name}-output/{OUTPUT_FOLDER}"},
            "parallelism": arguments.parallelism,
            "onInvalid": "Skip" if arguments.skip_invalid else None,
            "ttlSecondsAfterFinished": KEEP_SECONDS,
        }
    )
