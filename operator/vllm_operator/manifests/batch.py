"""The Jobs of a batch, one for each step: check the input, answer the requests, make the output of the answers.

All run our runner (vllm/batch/) in vLLM's image, with the pod template of a service of the same engine; only
the pods that answer have devices. A Job is made once and never changed: what changes it is a batch of its own.
"""

import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ..api import API_VERSION, BATCH_KIND, GROUP, QUEUE_LABEL
from ..api.batch import InferenceBatch
from ..api.reasons import Finding
from ..api.resource import InferenceService
from ..settings import Settings
from ..vllm.argv import PORT
from ..vllm.batch import CHECK, MERGE, RUN, runner
from ..vllm.batch import STEPS as OWN_STEPS
from ..vllm.batch.faults import BAD_INPUT, BAD_OUTPUT
from ..vllm.environment import without_gpus
from ..vllm.paths import INPUT_DIR, OUTPUT_DIR, RUNNER_PATH, location, model_location
from .inspection import inspection
from .job import Amounts
from .literal import literal
from .metadata import Manifest, compact
from .names import (
    BATCH_LABEL,
    CLASS_LABEL,
    INSPECTION_LABEL,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    STEP_LABEL,
)
from .pod import Rendering, command_line, pod_template
from .transfer import add_transfers, input_path, push_arguments

RUNNER_ANNOTATION = f"{GROUP}/batch-runner"
# Of the pods: the spec of their engine. The output is made with it, whatever has become of the service, the class or
# the settings by then. A template of pods cannot be changed, so it is what the Job was made of.
ENGINE_ANNOTATION = f"{GROUP}/batch-engine"
# One that is larger is not kept: all annotations of an object may have 256 KiB.
MOST_KEPT = 64 * 1024
# Of the Job that makes the output, where not all was answered: why no more is, whatever is edited or deleted meanwhile.
CAUSE_ANNOTATION = f"{GROUP}/batch-cause"
INSPECT = "inspect"
STEPS = (INSPECT, *OWN_STEPS)
MAX_RETRIES = 2
# Tries of each pod of the run, beside those that a preemption or a drain ended: a request that kills the engine costs
# two.
TRIES_OF_A_POD = 12
TRIES_OF_A_STEP = 3
# Of the container of a step without devices. What it does with the input lies beside the output.
AMOUNTS = Amounts(cpu=("500m", "4"), memory=("1Gi", "4Gi"), ephemeral_storage=("256Mi", "2Gi"))
STOP_SECONDS = 60
_INPUT, _OUTPUT = "batch-input", "batch-output"


@dataclass(frozen=True, slots=True)
class BatchParts:
    """What the Jobs of one batch are made of."""

    batch: InferenceBatch
    engine: InferenceService
    """A service of the same engine: the batch's name, the effective spec, and no uid."""
    settings: Settings
    rendering: Rendering = field(default_factory=Rendering)
    cause: Finding | None = None
    """Why the output is made, where not all was answered."""


def job_name(batch: str, step: str) -> str:
    """Name of the Job of a step, of a batch of this name."""
    return f"{batch}-{step}"


def inspect_job(parts: BatchParts) -> Manifest:
    """The Job that inspects the model, as for a service."""
    batch, engine = parts.batch, parts.engine
    job = inspection(engine, parts.settings)
    labels = {**_labels(batch, INSPECT), INSPECTION_LABEL: engine.inspected}
    spec = job["spec"]
    template = {**spec["template"], "metadata": {"labels": labels}}
    return {**job, "metadata": _metadata(batch, INSPECT, labels), "spec": {**spec, "template": template}}


def check_job(parts: BatchParts) -> Manifest:
    """The Job that reads the input, and leaves what it found as its pod's termination message."""
    batch, spec = parts.batch, parts.engine.spec
    names = [
        *(spec.model.served_model_names or [batch.name]),
        *(one.name for one in (spec.lora.adapters if spec.lora else ())),
    ]
    known = [f"--served-model-name={name}" for name in names]
    if isinstance(spec.max_model_len, int):
        known += [f"--max-model-len={spec.max_model_len}", *_tokenizer(parts)]
    arguments = ["check", *_paths(batch), f"--on-invalid={(batch.spec.on_invalid or 'Fail').lower()}", *known]
    return _short_job(batch, CHECK, _template(parts, CHECK, arguments))


def _tokenizer(parts: BatchParts) -> list[str]:
    """What the check counts tokens by, as vLLM would; nothing where that has another tokenizer than transformers'.

    Without a revision of its own, a tokenizer has the model's (vllm/config/model.py of 0.32).
    """
    spec, model = parts.engine.spec, parts.engine.spec.model
    if model.format == "mistral" or any(one.startswith("--tokenizer-mode=") for one in spec.extra_args or ()):
        return []
    own = model.tokenizer
    name = location(own.uri) if own else model_location(model)
    revision = (own and own.revision) or parts.rendering.commit or model.revision
    templates = any(one.startswith("--default-chat-template-kwargs=") for one in spec.extra_args or ())
    return [
        f"--tokenizer={literal(name)}",
        *([f"--tokenizer-revision={literal(revision)}"] if revision else []),
        *(["--not-of-chats"] if spec.chat_template or templates else []),
    ]


def merge_job(parts: BatchParts) -> Manifest:
    """The Job that makes the output of all that was answered."""
    batch = parts.batch
    arguments = ["merge", *_paths(batch), f"--count={batch.pods}"]
    job = _short_job(batch, MERGE, _template(parts, MERGE, arguments))
    if parts.cause:
        job["metadata"]["annotations"] = {CAUSE_ANNOTATION: json.dumps(parts.cause)}
    return job


def run_job(parts: BatchParts) -> Manifest:
    """The Job whose pods answer the requests; Kueue holds it where the batch names a queue."""
    batch, spec = parts.batch, parts.batch.spec
    retries = MAX_RETRIES if spec.max_retries_per_request is None else spec.max_retries_per_request
    arguments = [
        "run",
        *_paths(batch),
        "--index=$(JOB_COMPLETION_INDEX)",
        f"--count={batch.pods}",
        f"--max-retries={retries}",
        f"--max-inflight={spec.max_in_flight or 0}",
        f"--port={PORT}",
        "--",
    ]
    served = command_line(parts.engine, parts.settings, parts.rendering)
    template = _template(parts, RUN, arguments)
    _container(template)["args"] += [literal(argument) for argument in served]
    labels = _labels(batch, RUN) | ({QUEUE_LABEL: batch.queue} if batch.queue else {})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(batch, RUN, labels),
        "spec": {
            "completionMode": "Indexed",
            "completions": batch.pods,
            "parallelism": batch.pods,
            "backoffLimitPerIndex": TRIES_OF_A_POD,
            "podFailurePolicy": _FAILURES,
            "template": template,
        },
    }


# A pod that was preempted, evicted, or whose node is gone has not failed: it costs no try. Where the input is wrong, or
# the output cannot be written, another try would find the same.
_FAILURES: Manifest = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [BAD_INPUT, BAD_OUTPUT]}},
    ]
}


def _short_job(batch: InferenceBatch, step: str, template: Manifest) -> Manifest:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(batch, step, _labels(batch, step)),
        "spec": {"backoffLimit": TRIES_OF_A_STEP, "podFailurePolicy": _FAILURES, "template": template},
    }


def _labels(batch: InferenceBatch, step: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "vllm-batch",
        MANAGED_BY_LABEL: MANAGED_BY,
        BATCH_LABEL: batch.name,
        STEP_LABEL: step,
    }


def _metadata(batch: InferenceBatch, step: str, labels: dict[str, str]) -> Manifest:
    owner = {
        "apiVersion": API_VERSION,
        "kind": BATCH_KIND,
        "name": batch.name,
        "uid": batch.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    owners = [owner] if batch.uid else None
    name = job_name(batch.name, step)
    return compact({"name": name, "namespace": batch.namespace, "labels": labels, "ownerReferences": owners})


def _paths(batch: InferenceBatch) -> list[str]:
    """Where the runner finds the input and leaves the output, and what names what it keeps there."""
    ref, uris, buckets = batch.spec.input.config_map_key_ref, batch.uris, batch.buckets()
    if "input" in buckets:
        given = input_path(batch)
    else:
        given = f"{INPUT_DIR}/{ref.key}" if ref else _below(INPUT_DIR, uris["input"])
    output = OUTPUT_DIR if "output" in buckets else _below(OUTPUT_DIR, uris["output"])
    where = [f"--input={literal(given)}", f"--output={literal(output)}", f"--uid={batch.uid}"]
    return [*where, *push_arguments(batch)]


def _below(folder: str, uri: str) -> str:
    _, _, path = uri.removeprefix("pvc://").partition("/")
    return str(PurePosixPath(folder, path))


def _container(template: Manifest) -> Manifest:
    container: Manifest = template["spec"]["containers"][0]
    return container


def _template(parts: BatchParts, step: str, arguments: list[str]) -> Manifest:
    """The pods of a step: those of a service of this engine, with the runner in the place of vLLM's server."""
    batch, engine = parts.batch, parts.engine
    template = pod_template(engine, parts.settings, parts.rendering)
    spec, container = template["spec"], _container(template)
    # A server is drained, and ended when it hangs; the runner sees to both itself.
    del container["lifecycle"], container["livenessProbe"]
    container["command"] = ["python3", "-I", RUNNER_PATH]
    container["args"] = arguments
    container["env"] = [*container["env"], {"name": "POD_UID", "valueFrom": _field("metadata.uid")}]
    container["readinessProbe"]["httpGet"]["path"] = "/health"
    if step != RUN:
        for part in ("startupProbe", "readinessProbe", "ports"):
            del container[part]
        container["env"] = without_gpus(container["env"])
        container["resources"] = _amounts(batch, container["resources"])
    _mount(batch, spec, container)
    add_transfers(batch, step, engine, parts.settings, spec)
    spec["restartPolicy"] = "Never"
    spec["terminationGracePeriodSeconds"] = STOP_SECONDS
    for constraint in spec.get("topologySpreadConstraints", ()):
        constraint["labelSelector"] = {"matchLabels": {BATCH_LABEL: batch.name, STEP_LABEL: step}}
    return {"metadata": _pod_metadata(batch, step, engine, template["metadata"]), "spec": spec}


def _amounts(batch: InferenceBatch, given: Manifest) -> Manifest:
    """What a step without devices takes; with buckets as much disk as is `given`: input and output lie on it."""
    amounts = AMOUNTS.to_manifest()
    if not batch.buckets():
        return amounts
    disk = "ephemeral-storage"
    return {kind: compact({**named, disk: given.get(kind, {}).get(disk)}) for kind, named in amounts.items()}


def _pod_metadata(batch: InferenceBatch, step: str, engine: InferenceService, given: Manifest) -> Manifest:
    pod = engine.spec.pod
    own = {key: value for key, value in ((pod.labels if pod else None) or {}).items() if key != QUEUE_LABEL}
    kept = json.dumps(engine.spec.given(), sort_keys=True) if step in (RUN, MERGE) else ""
    ours = {RUNNER_ANNOTATION: runner(), **({ENGINE_ANNOTATION: kept} if 0 < len(kept) <= MOST_KEPT else {})}
    of_class = {key: value for key, value in given["labels"].items() if key == CLASS_LABEL}
    return {
        "labels": {**own, **of_class, **_labels(batch, step)},
        "annotations": {**((pod.annotations if pod else None) or {}), **ours},
    }


def _field(path: str) -> Manifest:
    return {"fieldRef": {"fieldPath": path}}


def _mount(batch: InferenceBatch, spec: Manifest, container: Manifest) -> None:
    """Gives a pod the runner, the input and the output. A claim is one volume, however often it is mounted."""
    file = {"path": PurePosixPath(RUNNER_PATH).name, **_field(f"metadata.annotations['{RUNNER_ANNOTATION}']")}
    volumes: list[Manifest] = [one for one in spec["volumes"] if one["name"] not in ("middleware", "configuration")]
    volumes.append({"name": "runner", "downwardAPI": {"items": [file]}})
    folder = str(PurePosixPath(RUNNER_PATH).parent)
    mounts = [one for one in container["volumeMounts"] if one["name"] not in ("middleware", "configuration")]
    mounts.append({"name": "runner", "mountPath": folder, "readOnly": True})
    claims = batch.claims()
    if ref := batch.spec.input.config_map_key_ref:
        items = [{"key": ref.key, "path": ref.key}]
        volumes.append({"name": _INPUT, "configMap": {"name": ref.name, "items": items}})
        mounts.append({"name": _INPUT, "mountPath": INPUT_DIR, "readOnly": True})
    else:
        mounts.append({"name": _volume(volumes, claims.get("input"), _INPUT), "mountPath": INPUT_DIR, "readOnly": True})
    mounts.append({"name": _volume(volumes, claims.get("output"), _OUTPUT, writes=True), "mountPath": OUTPUT_DIR})
    spec["volumes"], container["volumeMounts"] = volumes, mounts


def _volume(volumes: list[Manifest], claim: str | None, name: str, *, writes: bool = False) -> str:
    """The name of the volume of a claim, which is added where there is none. None: of what is copied from a bucket."""
    if claim is None:
        volumes.append({"name": name, "emptyDir": {}})
        return name
    found: Any = next((one for one in volumes if one.get("persistentVolumeClaim", {}).get("claimName") == claim), None)
    if found is None:
        found = {"name": name, "persistentVolumeClaim": {"claimName": claim}}
        volumes.append(found)
    if writes:
        found["persistentVolumeClaim"].pop("readOnly", None)
    return str(found["name"])
