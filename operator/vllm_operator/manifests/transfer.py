"""The containers that copy the input and output of a batch from and to buckets, beside the runner in its pods.

They are of the operator's image, and they alone have the keys of Secrets. Decides nothing about what is copied.
"""

from pathlib import PurePosixPath

from ..api.batch import InferenceBatch
from ..api.pod import PodSettings
from ..api.resource import InferenceService
from ..api.storage import STORE_KEYS, ObjectStore
from ..settings import Settings
from ..vllm.batch import RUN
from ..vllm.environment import outside, store_key
from ..vllm.paths import CA_PATH, INPUT_DIR, OUTPUT_DIR, PUSH_DIR
from .job import pull_secrets
from .literal import literal, literal_values
from .metadata import Manifest, compact
from .security import container_security

FETCH, PUSH = ("fetch", "push")
"""The containers' names."""
# As those of other Jobs, at most ten times what is asked for. No limit of the disk: the input lies there, and what the
# pod has answered.
_RESOURCES: Manifest = {"requests": {"cpu": "200m", "memory": "128Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
_FOLDERS = {"input": INPUT_DIR, "output": OUTPUT_DIR}
_PUSH_VOLUME = "batch-push"


def input_path(batch: InferenceBatch) -> str:
    """Where the runner finds what is copied from a bucket."""
    name = batch.uris["input"].rpartition("/")[2]
    return f"{INPUT_DIR}/{name}" if name else INPUT_DIR


def push_arguments(batch: InferenceBatch) -> list[str]:
    """What the runner is told where its output goes to a bucket."""
    return [f"--push={PUSH_DIR}"] if "output" in batch.buckets() else []


def add_transfers(
    batch: InferenceBatch, step: str, engine: InferenceService, settings: Settings, spec: Manifest
) -> None:
    """Gives a pod the containers that copy, if the batch has buckets: one that ends before the runner begins, and one
    that stays beside it. The volumes of both folders are there, as the runner mounts them."""
    buckets = batch.buckets()
    if not buckets:
        return
    (runner,) = spec["containers"]
    folders = {_FOLDERS[part] for part in buckets}
    mounts = [{**one, "readOnly": None} for one in runner["volumeMounts"] if one["mountPath"] in folders]
    if settings.ca_config_map:
        mounts.append({"name": "ca", "mountPath": str(PurePosixPath(CA_PATH).parent), "readOnly": True})
    if "output" in buckets:
        spec["volumes"].append({"name": _PUSH_VOLUME, "emptyDir": {}})
        shared = {"name": _PUSH_VOLUME, "mountPath": PUSH_DIR}
        runner["volumeMounts"].append(shared)
        mounts.append(shared)
    containers = [_container(batch, step, FETCH, settings, mounts)]
    if "output" in buckets:
        # Of a container that is always restarted, Kubernetes sees to it that it ends after the others.
        containers.append({**_container(batch, step, PUSH, settings, mounts), "restartPolicy": "Always"})
    spec["initContainers"] = [compact(one) for one in containers]
    pod = engine.spec.pod or PodSettings.model_validate({})
    if secrets := pull_secrets(pod, settings):
        spec["imagePullSecrets"] = secrets


def _container(batch: InferenceBatch, step: str, action: str, settings: Settings, mounts: list[Manifest]) -> Manifest:
    words = ["transfer", action, f"--step={step}", f"--uid={batch.uid}", "--message=/dev/termination-log"]
    environment: list[Manifest] = [{"name": name, "value": value} for name, value in outside(settings).items()]
    for part, store in batch.buckets().items():
        words += _place(part, batch.uris[part], store)
        environment += _keys(part, store)
    words += [*(f"--{part}={folder}" for part, folder in _FOLDERS.items()), f"--push={PUSH_DIR}"]
    # Kubernetes sets the variable in the pods of an indexed Job.
    index = ["--index=$(JOB_COMPLETION_INDEX)"] if step == RUN else []
    return {
        "name": action,
        "image": settings.images.operator,
        "imagePullPolicy": "IfNotPresent",
        "args": [*(literal(word) for word in words), *index],
        "env": literal_values(environment) or None,
        "resources": _RESOURCES,
        "volumeMounts": mounts,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(),
    }


def _place(part: str, uri: str, store: ObjectStore | None) -> list[str]:
    given = {"uri": uri, "endpoint": store and store.endpoint, "region": store and store.region}
    return [f"--{part}-{name}={value}" for name, value in given.items() if value]


def _keys(part: str, store: ObjectStore | None) -> list[Manifest]:
    """The credentials, as variables of that part of the spec alone: the other may be elsewhere."""
    secret = store.credentials_secret_name if store else None
    if secret is None:
        return []
    return [
        {"name": f"{part.upper()}_{key}", "valueFrom": {"secretKeyRef": store_key(secret, key)}} for key in STORE_KEYS
    ]
