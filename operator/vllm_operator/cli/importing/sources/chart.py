"""values.yaml of vLLM's own chart (examples/online_serving/chart-helm), and of charts that are like it."""

from ..documents import Document, Sources
from ..draft import Draft
from ..environment import take_variables, variables_of
from ..part import Part
from ..pods.image import is_vllm, take_image
from ..pods.pod import take_container, take_pod, take_startup
from ..pods.resources import take_resources
from ..pods.rollout import take_strategy
from ..report import Origin, Went
from ..server import Mount, Server
from ..values import number
from ..volumes import finish
from . import objects
from .fields import said
from .scaling import autoscale, hpa, tell_rest
from .serving import launch_of, take_words, tell_script

_KEYS = {
    "containerPort": "8000",
    "serviceName": "the Service is named after the service",
    "servicePort": "clients use port 8000",
    "shm": "the operator sizes /dev/shm",
    "readinessProbe": "the operator's own",
    "livenessProbe": "the operator's own",
    "maxUnavailablePodDisruptionBudget": "the operator makes one",
    "labels": "belong to the chart's objects",
    "nameOverride": "metadata.name",
    "fullnameOverride": "metadata.name",
    "serviceAccount": "the token is never mounted",
    "service": "the operator makes the Service",
    "podSecurityContext": "pods run as Kubernetes' restricted standard wants",
    "securityContext": "pods run as Kubernetes' restricted standard wants",
}
_LEFT = {
    "extraContainers": "pods run vLLM alone: run them as Deployments of their own",
    "extraPorts": "pods have one port: 8000",
    "configs": "name each variable in env",
    "secrets": "see model.tokenSecretRef",
    "externalConfigs": "name each variable in env",
    "customObjects": "apply them beside the service",
    "gpuModels": "set accelerator.product to the label nvidia.com/gpu.product of your nodes",
    "ingress": "stays, and has to lead to the Service, port 8000",
}
DATA = "/data"


def is_chart(document: Document) -> bool:
    """Whether values are of such a chart: an image with vLLM and its command."""
    image = document.root.at("image")
    return is_vllm(image.at("repository").text) and bool(image.at("command") or document.root.at("args"))


def take(document: Document, sources: Sources, draft: Draft) -> bool:
    """Take the values over."""
    root = document.root
    image = root.at("image")
    server = Server(draft, sources, variables_of(root, sources))
    init = root.at("extraInit")
    claim = f"{draft.source_name}-storage-claim"
    if init.at("pvcStorage"):
        source = Part({"claimName": claim}, init.at("pvcStorage").place)
        server.mounts = [
            Mount(DATA, "persistentVolumeClaim", source, init.at("pvcStorage"), init.at("pvcStorage"), claim)
        ]
    take_image(
        server, Part(f"{image.at('repository').text}:{image.at('tag').text or 'latest'}", image.at("repository").place)
    )
    container = Part({"command": image.at("command").value, "args": root.at("args").value}, image.place)
    result = launch_of(server, container)
    take_words(server, result.words or [])
    tell_script(server, result)
    take_variables(server)
    if resources := root.at("resources"):
        take_resources(server, resources)
    take_container(server, Part({}, root.place))
    take_pod(server, root, Part({}, (*root.place, "none")))
    finish(server, Part({}, root.place))
    _init(server, init, claim)
    _scale(server, root)
    take_strategy(draft, root.at("deploymentStrategy"))
    take_startup(server, root)
    for key, path in (("podLabels", "pod.labels"), ("podAnnotations", "pod.annotations")):
        objects.put_all(draft, root.at(key), path)
    said(server, image, {"tag": "is part of image", "pullPolicy": "IfNotPresent"})
    said(server, root, _KEYS)
    said(server, root, _LEFT, Went.LEFT)
    return True


def _init(server: Server, init: Part, claim: str) -> None:
    draft = server.draft
    if not init:
        return
    if server.uses:
        draft.say(
            Origin(init.place, "extraInit"),
            Went.LEFT,
            f"the chart's Job has filled the claim {claim} (RELEASE-storage-claim) from S3: keep it, and correct "
            "its name; "
            "nothing fills it any more",
        )
    else:
        draft.say(init.origin(), Went.OPERATOR, "vLLM downloads what model.uri names")


def _scale(server: Server, root: Part) -> None:
    scaling, replicas = root.at("autoscaling"), root.at("replicaCount")
    if scaling.at("enabled").value is True:
        autoscale(server.draft, hpa(scaling))
        tell_rest(server.draft, scaling)
        if replicas:
            server.draft.say(replicas.origin(), Went.OPERATOR, "the autoscaler decides")
        return
    if scaling:
        server.draft.say(scaling.origin(), Went.OPERATOR, "is off")
    if replicas:
        server.draft.put("replicas", number(replicas.text or "1"), replicas.origin())
