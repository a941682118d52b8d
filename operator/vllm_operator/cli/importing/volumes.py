"""Where a container's files come from: which volume is the cache, which has a model, and what becomes of the others."""

import posixpath
import re
from typing import Any

from ...api.environment import INSTEAD
from .draft import service_name
from .launch.variables import MODELSCOPE, Variables
from .part import Part
from .report import PRINTED, Origin, Went
from .server import Mount, NotTakenError, Server
from .uris import repository, uri_fault

GUESS = "200Gi"
"""The size of a claim whose size nobody knows."""
# Where libraries keep downloads, if no variable says otherwise.
CACHES = ("/root/.cache/huggingface", "/root/.cache", "/home/vllm/.cache/huggingface", "/.cache/huggingface")
_KEPT_ELSEWHERE = (".cache", "/tmp", ".triton", ".config", "cache", ".local", "flashinfer")  # noqa: S108
_HOME = re.compile(r"^(?:\$\{?(?:HOME|PWD)\}?|\$\(pwd\)|~)(?=/)")
_INLINE = ("hostPath", "nfs")
_DRIVERS = ("nvidia", "/dev/dri", "/dev/kfd", "libcuda", "cuda")


def mounts_of(
    pod: Part, container: Part, variables: Variables, templates: dict[str, Part] | None = None
) -> list[Mount]:
    """The mounts of a container, with the volumes of its pod (and the claim templates of a StatefulSet)."""
    volumes = {volume.at("name").text: volume for volume in pod.at("volumes").each()}
    found = []
    for mount in container.at("volumeMounts").each():
        name = mount.at("name").text
        volume = volumes.get(name, Part(None, mount.place))
        kind = next((key for key, _ in volume.items() if key != "name"), "emptyDir" if volume else "")
        source = volume.at(kind) if kind else volume
        if not volume and templates and name in templates:
            kind, source, volume = "claimTemplate", templates[name], templates[name]
        path = posixpath.normpath(mount.at("mountPath").text or "/")
        found.append(Mount(path, kind, source, volume, mount, name, sub_path(mount, variables)))
    return found


def sub_path(mount: Part, variables: Variables) -> str:
    """The folder of a volume that is mounted, as the kubelet fills it in; what is not known stays, as $(NAME)."""
    text = mount.at("subPath").text or variables.kubernetes(mount.at("subPathExpr").text)
    return text.strip("/")


def locate(server: Server, text: str) -> str:
    """The URI of what vLLM is told as a model, tokenizer or adapter. Raises NotTakenError where it has none."""
    if "$(" in text or "${" in text:
        raise NotTakenError(_no_repository(text))
    if "://" in text:
        uri = text
    elif text.startswith(("/", "./", "~")):
        uri = _in_volume(server, text)
    else:
        uri = repository(text) or ""
        if not uri:
            raise NotTakenError(_no_repository(text))
        if server.variables.of_modelscope:
            raise NotTakenError(f"{text} is a name of ModelScope's, by {MODELSCOPE}: {INSTEAD[MODELSCOPE]}")
    if fault := uri_fault(uri):
        raise NotTakenError(f"{uri}: {fault}")
    return uri


def _no_repository(text: str) -> str:
    if "$" in text:
        return f"the value of {text} is not in the source: write the model's name in its place"
    if ":" in text:
        return f"{text} names one file of a repository: vLLM no longer reads GGUF; use an AWQ, GPTQ or fp8 checkpoint"
    return (
        f"{text or 'no model'} is not organisation/name of the hub: old names without one moved, like gpt2 to "
        "openai-community/gpt2"
    )


def _in_volume(server: Server, path: str) -> str:
    found = server.mounted(path)
    if found is None:
        raise NotTakenError(
            f"{path} is in the image or on a disk that the source does not show: put the model into a "
            "PersistentVolumeClaim, and set model.uri to pvc://claim/path"
        )
    mount, rest = found
    if snapshot := _cached_repository(rest):
        return snapshot
    if "$(" in mount.sub:
        raise NotTakenError(
            f"{path} is in a folder that each pod has a name for ({mount.sub}): set model.uri to pvc://claim/path"
        )
    server.uses[mount.path] = "has the model"
    if elsewhere := _mounted_uri(server, mount, rest.strip("/")):
        return elsewhere
    claim = claim_of(server, mount, "the model")
    return f"pvc://{posixpath.join(claim, mount.sub, rest.strip('/'))}".rstrip("/")


def _mounted_uri(server: Server, mount: Mount, path: str) -> str:
    """The URI of an image, or of a bucket of Google's, that is mounted as a volume; empty for other volumes."""
    if mount.kind == "image":
        server.image_path = path
        return f"oci://{mount.source.at('reference').text}"
    bucket = mount.source.at("volumeAttributes", "bucketName").text
    if mount.kind == "csi" and "gcsfuse" in mount.source.at("driver").text and bucket:
        return f"gs://{posixpath.join(bucket, path)}"
    return ""


def _cached_repository(path: str) -> str | None:
    """hf:// of a path into a hub cache: .../models--org--name/snapshots/<commit>."""
    for step in path.split("/"):
        if step.startswith("models--"):
            return repository(step.removeprefix("models--").replace("--", "/", 1))
    return None


def claim_of(server: Server, mount: Mount, purpose: str) -> str:
    """The claim that a mount is of; one is written for a folder of the node or of NFS. Raises NotTakenError."""
    match mount.kind:
        case "persistentVolumeClaim":
            name = mount.source.at("claimName").text
            _keep(server, name)
            return name
        case "hostPath" | "nfs":
            return _written(server, mount, purpose)
        case "claimTemplate":
            raise NotTakenError(
                f"each pod has a claim of its own (volumeClaimTemplates {mount.name}): copy the model into one claim "
                "for all pods, and set model.uri to pvc://claim/path"
            )
        case "emptyDir":
            raise NotTakenError(
                f"{mount.path} is empty when the pod starts (emptyDir {mount.name}), and something else fills it: set "
                "model.uri to where the model comes from, or put it into a PersistentVolumeClaim"
            )
        case kind:
            raise NotTakenError(
                f"{mount.path} is a volume of the kind {kind or 'unknown'}: put the model into a "
                "PersistentVolumeClaim, "
                "and set model.uri to pvc://claim/path"
            )


def claim_to_fill(server: Server, path: str, origin: Origin) -> bool:
    """A claim in the place of a model's folder that no pod can have: somebody copies the model there. Whether it is."""
    path = _HOME.sub("", path)
    found = server.mounted(path)
    if not path.startswith(("/", "./", "~")) or "$" in path or (found and "$" in found[0].sub):
        return False
    draft, folder = server.draft, re.sub(r"[^A-Za-z0-9._-]+", "-", posixpath.basename(posixpath.normpath(path)))
    if not draft.source_name:
        draft.name = service_name(folder)
    name = service_name(f"{draft.name}-model")
    if draft.fault("model.uri", uri := f"pvc://{name}/{folder}"):
        return False  # such as /models/.., which is no folder of a model
    draft.put("model.uri", uri, origin)
    draft.report.rows.pop()
    why = (
        f"no pod has this folder: copy it into claim {name} before you apply the service (the claim's size is a guess)"
    )
    draft.say(origin, Went.LEFT, f"model.uri: {uri}, but {why}; or set model.uri to where the model comes from")
    draft.others.append(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, **({"namespace": draft.namespace} if draft.namespace else {})},
            "spec": {
                "accessModes": ["ReadWriteMany" if server.replicas > 1 else "ReadWriteOnce"],
                "resources": {"requests": {"storage": GUESS}},
            },
        }
    )
    return True


def _keep(server: Server, name: str) -> None:
    """A claim of the source is printed with the service."""
    found = server.sources.find("PersistentVolumeClaim", name)
    if found is None:
        return
    spec = {key: part.value for key, part in found.root.at("spec").items() if part}
    kept = ("name", "namespace", "labels")
    metadata = {key: part.value for key, part in found.root.at("metadata").items() if key in kept}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
    if claim not in server.draft.others:
        server.draft.others.append(claim)
    server.draft.say(found.root.origin(found.label), Went.FIELD, PRINTED)


def _written(server: Server, mount: Mount, purpose: str) -> str:
    """A PersistentVolume and a claim for a folder that the pod had directly."""
    draft = server.draft
    name = service_name(f"{draft.name}-{mount.name}")
    modes = ["ReadOnlyMany" if purpose == "the model" else "ReadWriteMany"]
    amount = {"storage": "1Ti"}
    source = {key: part.value for key, part in mount.source.items() if part}
    spec: dict[str, Any] = {
        "capacity": amount,
        "accessModes": modes,
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        mount.kind: source,
    }
    if server.node and mount.kind == "hostPath":
        here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [server.node]}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}}
    namespace = {"namespace": draft.namespace} if draft.namespace else {}
    volume_name = service_name(f"{draft.namespace}-{name}" if draft.namespace else name)
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume_name}, "spec": spec}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, **namespace},
        "spec": {
            "accessModes": modes,
            "storageClassName": "",
            "volumeName": volume_name,
            "resources": {"requests": dict(amount)},
        },
    }
    if claim not in draft.others:
        draft.others += [volume, claim]
    where = "on the node" if mount.kind == "hostPath" else "of the NFS server"
    draft.say(
        mount.volume.origin(f"volume {mount.name}"),
        Went.FIELD,
        f"claim {name}, with a PersistentVolume for the folder {where}, which the platform team has to allow and apply",
    )
    return name


def take_cache(server: Server, folder: str, origin: Origin | None = None) -> bool:
    """Make the volume that holds the downloads the service's cache; whether there is one."""
    found = server.mounted(folder)
    if found is None:
        return False
    mount, rest = found
    if mount.path in server.uses:
        return True
    if mount.kind == "claimTemplate":
        return _own_claim(server, mount)
    if mount.kind not in ("persistentVolumeClaim", *_INLINE):
        return False
    claim = claim_of(server, mount, "the cache")
    server.uses[mount.path] = "is the cache"
    # The operator has the hub's cache in huggingface/ of the claim.
    same = posixpath.join(mount.sub, rest).strip("/") in ("huggingface", "huggingface/hub")
    server.draft.found_again |= same
    note = "the downloads are found again" if same else "downloaded once more: the cache has folders of its own there"
    server.draft.put("cache.existingClaim", claim, origin or mount.mount.origin(f"mount {mount.path}"), note)
    return True


def _own_claim(server: Server, mount: Mount) -> bool:
    """A claim template for the downloads becomes a claim that the operator makes."""
    spec = mount.volume.at("spec")
    modes = [mode.text for mode in spec.at("accessModes").each()]
    claim: dict[str, Any] = {"storage": spec.at("resources", "requests", "storage").text or "100Gi"}
    if spec.at("storageClassName").text:
        claim["storageClassName"] = spec.at("storageClassName").text
    if server.replicas > 1 or "ReadWriteMany" in modes:
        claim["accessMode"] = "ReadWriteMany"
    server.uses[mount.path] = "is the cache"
    shared = ", one for all pods: its class has to offer ReadWriteMany" if server.replicas > 1 else ""
    origin = mount.volume.origin(f"volumeClaimTemplates {mount.name}")
    return server.draft.put("cache.claim", claim, origin, f"downloaded once more{shared}")


def finish(server: Server, pod: Part) -> None:
    """Say what became of every volume and mount."""
    mounted = {mount.name for mount in server.mounts}
    for mount in server.mounts:
        went, text = _fate(server, mount)
        server.draft.say(mount.mount.origin(f"mount {mount.path}"), went, text)
        if mount.volume:
            server.draft.say(mount.volume.origin(f"volume {mount.name}"), went, text)
    for volume in pod.at("volumes").each():
        if volume.at("name").text not in mounted:
            server.draft.say(
                volume.origin(f"volume {volume.at('name').text}"),
                Went.OPERATOR,
                "vLLM's container does not mount it: not needed",
            )


def _fate(server: Server, mount: Mount) -> tuple[Went, str]:
    if mount.path in server.uses:
        return Went.FIELD, server.uses[mount.path]
    if mount.path == "/dev/shm":  # noqa: S108
        return Went.OPERATOR, "it gives the pods a /dev/shm of the size that vLLM needs"
    if mount.kind == "emptyDir" or any(word in mount.path for word in _KEPT_ELSEWHERE):
        return (
            Went.OPERATOR,
            "what vLLM downloads, compiles and writes goes to the cache, or to volumes of the pod's own",
        )
    if any(word in mount.path.lower() for word in _DRIVERS):
        return Went.OPERATOR, "drivers and devices come with the device plugin"
    if mount.kind in ("configMap", "secret") and "ca-cert" in mount.name + mount.path:
        return Went.LEFT, "certificates to trust are the operator's setting caConfigMap: ask the platform team"
    return Went.LEFT, (
        f"nothing that was taken over reads {mount.path}, and pods have no other volumes: use pvc:// in model.uri, "
        "chatTemplate, or an image that has the files"
    )
