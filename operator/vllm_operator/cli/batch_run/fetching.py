"""The output of a batch, on a claim of the cluster, brought to a file here, with no rights but the user's.

A pod of the user's mounts the claim read-only and prints both files, each in a container of its own, into their logs.
A log is rotated at 10 MiB where nobody has set it otherwise, so no more than LOG_BYTES is taken that way.
"""

import asyncio
import base64
import binascii
import secrets
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ...api.batch import BUCKET
from ...api.conditions import find
from ...api.resource import Body
from ...manifests.job import Amounts
from ...manifests.metadata import Manifest, compact
from ...manifests.security import container_security, pod_security
from ...settings import PodSecurity
from ...vllm.batch.merging import output_names
from ...vllm.paths import OUTPUT_DIR
from ..fleet.client import FleetError, UserClient
from . import printing
from .following import Sleep

LOG_BYTES = 8 << 20
FILE_BYTES = 256 << 20
POLL_SECONDS = 1.0
# Until its image is there, and the claim where it runs.
POD_SECONDS = 600
# Of each container. On the node it has its log alone.
AMOUNTS = Amounts(cpu=("100m", "1"), memory=("64Mi", "256Mi"), ephemeral_storage=("64Mi", "256Mi"))
ANSWERS, ERRORS = CONTAINERS = ("answers", "errors")
# OpenShift says so of a pod that names its user where the namespace does.
_OF_OPENSHIFT = "unable to validate against any security context constraint"
# Claims may lie where only pods with GPUs go.
_TOLERATED = ("nvidia.com/gpu", "amd.com/gpu")


def where(batch: Body) -> tuple[str, str, tuple[str, str]]:
    """The claim of the output, the folder on it, and the names of the two files. Raises FleetError."""
    spec = batch["spec"]
    if spec["output"]["uri"].startswith(BUCKET):
        at = (spec["output"].get("objectStore") or {}).get("endpoint") or "AWS"
        raise FleetError(f"the output is in a bucket, so take it from there: {_uri(batch)} at {at}")
    claim, _, folder = spec["output"]["uri"].removeprefix("pvc://").partition("/")
    ref, uri = spec["input"].get("configMapKeyRef"), spec["input"].get("uri") or ""
    name = ref["key"] if ref else PurePosixPath(uri.removeprefix("pvc://").partition("/")[2]).name
    if not ref and not name.endswith(".jsonl"):
        raise FleetError(f"the input is a folder, so the output is many files: they are in {spec['output']['uri']}")
    return claim, folder, output_names(name)


def pod(batch: Body, security: PodSecurity) -> Manifest:
    """The pod that prints the output. Raises FleetError where it is not known what to print, or with what."""
    claim, folder, names = where(batch)
    meta, image = batch["metadata"], (batch.get("status") or {}).get("image")
    if not image:
        raise FleetError(f"status.image of batch {meta['name']} is empty: take the output from {_uri(batch)}")
    owner = {"apiVersion": batch["apiVersion"], "kind": batch["kind"], "name": meta["name"], "uid": meta["uid"]}
    secrets_of_image = ((batch["spec"].get("template") or {}).get("pod") or {}).get("imagePullSecrets")
    program = Path(printing.__file__).read_text()
    containers = [
        {
            "name": container,
            "image": image,
            "command": ["python3", "-I", "-c", program],
            "args": [str(PurePosixPath(OUTPUT_DIR, folder, name)), str(FILE_BYTES), str(LOG_BYTES)],
            "resources": AMOUNTS.to_manifest(),
            "securityContext": container_security(),
            "volumeMounts": [{"name": "output", "mountPath": OUTPUT_DIR, "readOnly": True}],
        }
        for container, name in zip(CONTAINERS, names, strict=True)
    ]
    spec = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": POD_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "imagePullSecrets": [{"name": one} for one in secrets_of_image] if secrets_of_image else None,
        "securityContext": pod_security(None, security),
        "tolerations": [{"key": key, "operator": "Exists"} for key in _TOLERATED],
        "containers": containers,
        "volumes": [{"name": "output", "persistentVolumeClaim": {"claimName": claim}}],
    }
    name = f"{meta['name']}-fetch-{secrets.token_hex(2)}"
    metadata = {"name": name, "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": compact(spec)}


async def fetch(client: UserClient, namespace: str, batch: Body, target: Path, sleep: Sleep = asyncio.sleep) -> None:
    """Writes the answers to `target`, and what failed, if anything did, beside it. Raises FleetError."""
    name = await _begun(client, namespace, batch)
    try:
        statuses = await _ended(client, namespace, name, sleep)
        found = {}
        for container in CONTAINERS:
            _check(batch, statuses.get(container))
            found[container] = unpacked(await client.whole_log(namespace, name, container, LOG_BYTES))
    finally:
        await client.delete("Pod", namespace, name)
    _write(target, found[ANSWERS])
    if found[ERRORS]:
        _write(errors_file(target), found[ERRORS])


async def _begun(client: UserClient, namespace: str, batch: Body) -> str:
    """Makes the pod, and returns its name. Raises FleetError."""
    manifest = pod(batch, PodSecurity(run_as_user="fixed"))
    try:
        await client.create("Pod", namespace, manifest)
    except FleetError as error:
        if _OF_OPENSHIFT not in str(error):
            raise
        manifest = pod(batch, PodSecurity(run_as_user="fromNamespace"))
        await client.create("Pod", namespace, manifest)
    return str(manifest["metadata"]["name"])


def errors_file(target: Path) -> Path:
    """Where what failed goes, beside the answers."""
    return target.with_name(output_names(target.name)[1])


def unpacked(log: str) -> bytes:
    """The file that a log holds. Raises FleetError where a part of it is missing."""
    try:
        unpacker = zlib.decompressobj(printing.GZIP)
        content = unpacker.decompress(base64.b64decode(log), FILE_BYTES + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise FleetError("the log of the pod that prints the output is damaged: fetch it again") from error
    if not unpacker.eof:
        raise FleetError("a part of the log of the pod that prints the output is missing: fetch it again")
    return content


async def _ended(client: UserClient, namespace: str, name: str, sleep: Sleep) -> dict[str, int]:
    """The exit statuses of the pod's containers. Raises FleetError where it does not come to its end."""
    said = ""
    for _ in range(int(POD_SECONDS / POLL_SECONDS)):
        status = (await client.get("Pod", namespace, name)).get("status") or {}
        if status.get("phase") in ("Succeeded", "Failed"):
            ended = ((one["name"], (one.get("state") or {}).get("terminated")) for one in _containers(status))
            return {container: state["exitCode"] for container, state in ended if state}
        said = _waits_for(status) or said
        await sleep(POLL_SECONDS)
    raise FleetError(f"the pod that prints the output did not run{f': {said}' if said else ''}; fetch it again")


def _containers(status: Mapping[str, Any]) -> list[Any]:
    return list(status.get("containerStatuses") or ())


def _waits_for(status: Mapping[str, Any]) -> str:
    """Why a pod does not run yet, as Kubernetes says it."""
    scheduled = find(status, "PodScheduled")
    waiting = [(one.get("state") or {}).get("waiting") or {} for one in _containers(status)]
    texts = [one.get("message") or one.get("reason") for one in (*waiting, scheduled)]
    return next((str(text) for text in texts if text), "")


def _check(batch: Body, status: int | None) -> None:
    """Raises FleetError unless a file was printed as a whole."""
    match status:
        case 0:
            return
        case printing.TOO_LARGE:
            raise FleetError(f"the output is too large to come through a log: take it from {_uri(batch)}")
        case printing.NOT_THERE:
            raise FleetError(f"the output is not in {_uri(batch)} any more, or cannot be read there")
        case _:
            raise FleetError(f"the pod that prints the output was ended before that; it is in {_uri(batch)}")


def _uri(batch: Body) -> str:
    return str(batch["spec"]["output"]["uri"])


def _write(path: Path, content: bytes) -> None:
    """Writes a file so that it is whole or as it was. Raises FleetError."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise FleetError(f"cannot write {path}: {error.strerror or error}") from error
