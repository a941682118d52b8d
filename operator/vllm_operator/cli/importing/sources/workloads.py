"""Workloads of Kubernetes that run vLLM: Deployment, StatefulSet, Pod, Job and others, LeaderWorkerSet."""

from collections.abc import Iterator

from ..documents import Document, ImportInputError, Sources
from ..draft import Draft
from ..environment import variables_of
from ..launch.command import Launched
from ..part import Part
from ..pods.image import is_vllm
from ..pods.rollout import take_strategy
from ..report import Went
from ..server import Server
from ..volumes import mounts_of
from . import objects
from .fields import said
from .serving import WORKERS, launch_of, take_container_of

# Where the pod template is.
_TEMPLATES: dict[str, tuple[str, ...]] = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Rollout": ("spec", "template"),
    "DeploymentConfig": ("spec", "template"),
    "Job": ("spec", "template"),
    "Pod": (),
    "LeaderWorkerSet": ("spec", "leaderWorkerTemplate", "workerTemplate"),
}
KINDS = tuple(_TEMPLATES)
_SPEC = {
    "selector": "the operator's own labels",
    "revisionHistoryLimit": "the operator keeps what it needs to go back",
    "progressDeadlineSeconds": "startupTimeoutSeconds says how long a start may take",
    "minReadySeconds": "readiness is vLLM's own",
    "serviceName": "the operator makes the Service",
    "podManagementPolicy": "pods start side by side",
    "ordinals": "the operator names pods",
    "backoffLimit": "a service has no end", "completions": "a service has no end",
    "ttlSecondsAfterFinished": "a service has no end", "activeDeadlineSeconds": "a service has no end",
    "completionMode": "a service has no end", "startupPolicy": "the pods of a replica start together",
}  # fmt: skip
# With what Kubernetes does by itself.
_SPEC_LEFT = {
    "persistentVolumeClaimRetentionPolicy": (
        {"whenDeleted": "Retain", "whenScaled": "Retain"},
        "a claim of the operator's stays when the service is deleted, unless cache.claim.retain is false",
    ),
    "paused": (False, "a rollout has no pause: apply the service when it is to roll"),
    "parallelism": (1, "say in replicas how many pods there are"),
}


def template_of(document: Document) -> Part:
    """The pod template of a workload; of a kind that is not known, the only one in it. A Part of None without one."""
    if document.kind not in _TEMPLATES:
        found = list(_templates(document.root))
        return found[0] if len(found) == 1 else document.root.at("none")
    steps = _TEMPLATES[document.kind]
    if document.kind == "LeaderWorkerSet" and document.root.at("spec", "leaderWorkerTemplate", "leaderTemplate"):
        steps = ("spec", "leaderWorkerTemplate", "leaderTemplate")
    return document.root.at(*steps) if steps else document.root


def is_patch(document: Document) -> bool:
    """Whether a workload has containers, and no image for any of them."""
    containers = list(template_of(document).at("spec", "containers").each())
    return bool(containers) and not any(container.at("image") for container in containers)


def _templates(part: Part) -> Iterator[Part]:
    """Whatever has a PodSpec with containers."""
    if part.at("spec", "containers").value:
        yield part
        return
    for key, item in part.items():
        if key != "metadata":
            yield from _templates(item)
    if isinstance(part.value, list):
        for item in part.each():
            yield from _templates(item)


def candidate(document: Document, sources: Sources, draft: Draft) -> tuple[Part, Launched, Server] | None:
    """The container of a workload that runs vLLM's server, and what it runs; None where there is none."""
    pod = template_of(document).at("spec")
    for container in pod.at("containers").each():
        server = _server(document, sources, draft, container)
        result = launch_of(server, container)
        if result.words is not None and (is_vllm(container.at("image").text) or _says_vllm(container)):
            return container, result, server
        if result.other_server == "Ray over several pods":
            return container, result, server
    return None


def _says_vllm(container: Part) -> bool:
    words = [part.text for key in ("command", "args") for part in container.at(key).each()]
    return any("vllm" in word for word in words)


def _server(document: Document, sources: Sources, draft: Draft, container: Part) -> Server:
    pod = template_of(document).at("spec")
    templates = {
        one.at("metadata", "name").text: one for one in document.root.at("spec", "volumeClaimTemplates").each()
    }
    variables = variables_of(container, sources)
    server = Server(
        draft,
        sources,
        variables,
        mounts_of(pod, container, variables, templates),
        node=pod.at("nodeSelector", "kubernetes.io/hostname").text,
        replicas=_replicas(document.root.at("spec", "replicas")),
        nodes=document.root.at("spec", "leaderWorkerTemplate", "size"),
    )
    if document.kind == "LeaderWorkerSet":
        server.variables.given = {"LWS_GROUP_SIZE": server.nodes.text or "1", "LWS_WORKER_INDEX": "0"}
    return server


def _replicas(part: Part) -> int:
    return int(part.text) if part.text.isdecimal() else 1


def take(document: Document, sources: Sources, draft: Draft) -> bool:
    """Take a workload over, where it runs vLLM. Raises ImportInputError where no service can be made of it."""
    found = candidate(document, sources, draft)
    if found is None:
        return False
    container, result, server = found
    _refuse(document, result)
    pod = template_of(document).at("spec")
    take_container_of(server, pod, container, result)
    _spec(server, document)
    objects.take_metadata(draft, document.root.at("metadata"))
    objects.take_pod_metadata(draft, template_of(document).at("metadata"), document)
    return True


def _refuse(document: Document, result: Launched) -> None:
    if result.words is None:
        raise ImportInputError(
            f"{document.label} runs {result.other_server}, which is not served: import what starts vLLM's server, or "
            "write a service with nodesPerReplica, which needs no Ray"
        )


def _spec(server: Server, document: Document) -> None:
    draft, spec = server.draft, document.root.at("spec")
    if document.kind == "Pod":
        return
    _number(draft, spec.at("replicas"))
    if document.kind == "DaemonSet":
        draft.say(
            document.root.at("kind").origin("DaemonSet"),
            Went.LEFT,
            "a service has a number of pods, not one on each node: set replicas, and pod.topologySpreadConstraints",
        )
    for key in ("strategy", "updateStrategy", "rolloutStrategy"):
        take_strategy(draft, spec.at(key))
    for key, part in spec.items():
        if key in _SPEC:
            draft.say(part.origin(key), Went.OPERATOR, _SPEC[key])
    for key, (same, text) in _SPEC_LEFT.items():
        if part := spec.at(key):
            draft.say(part.origin(key), Went.OPERATOR if part.value == same else Went.LEFT, text)
    if document.kind == "LeaderWorkerSet":
        _group(server, spec)
    for claim in spec.at("volumeClaimTemplates").each():
        draft.say(claim.origin("volumeClaimTemplates"), Went.OPERATOR, "its mounts have rows of their own")


def _group(server: Server, spec: Part) -> None:
    own = spec.at("leaderWorkerTemplate")
    if not server.spread:
        said(server, own, {"size": "one pod is one server"})
    if own.at("leaderTemplate"):
        said(server, own, {"workerTemplate": WORKERS})
    texts = {
        "restartPolicy": "the pods of a replica live and die as one",
        "subGroupPolicy": "ranks that share a layer are on one node, where that has the GPUs for them",
    }
    said(server, own, texts)
    said(
        server,
        spec,
        {"networkConfig": "the operator's own"},
    )


def _number(draft: Draft, replicas: Part) -> None:
    if not replicas.text.isdecimal():
        return
    if draft.get("autoscaling"):
        draft.say(replicas.origin("replicas"), Went.OPERATOR, "the autoscaler decides")
    else:
        draft.put("replicas", int(replicas.text), replicas.origin("replicas"))
