"""Values of the chart app-template (bjw-s), as HelmReleases of Flux have them: each controller that runs vLLM."""

import posixpath
from collections.abc import Iterator
from typing import Any

from ..documents import Document, Sources
from ..draft import Draft
from ..environment import take_env_from, take_variables, variable_of
from ..launch.command import launched
from ..launch.variables import Variable, Variables
from ..part import Part
from ..pods.image import is_vllm, starts_server, take_image
from ..pods.pod import take_container, take_pod
from ..pods.resources import take_resources
from ..pods.rollout import take_strategy
from ..report import Went
from ..server import Mount, Server
from ..values import number
from ..volumes import CACHES, finish, sub_path, take_cache
from . import objects
from .fields import said
from .serving import take_words, tell_script

_AROUND = {
    "service": "the operator makes the Service, port 8000",
    "serviceMonitor": "the operator makes one",
    "serviceAccount": "the token is never mounted",
    "global": "the operator names its objects",
}
_AROUND_LEFT = {
    "ingress": "make an Ingress that leads to the Service, port 8000",
    "route": "make an HTTPRoute that leads to the Service, port 8000",
    "networkpolicies": "say who may reach the port in networkPolicy.allowFrom",
    "rbac": "pods have no rights in the cluster",
    "configMaps": "apply them beside the service",
    "secrets": "make them beside the service",
    "rawResources": "apply them beside the service",
}
_CONTROLLER = {
    "type": "the operator makes a Deployment",
    "strategy": "rollout says it",
    "annotations": "belong to the Deployment",
    "labels": "belong to the Deployment",
    "enabled": "apply the service or not",
    "revisionHistoryLimit": "the operator keeps what it needs to go back",
}


def _values(document: Document) -> Part:
    return document.root.at("spec", "values") if document.kind == "HelmRelease" else document.root


def servers(document: Document, sources: Sources) -> list[str]:
    """The controllers that run vLLM, by name."""
    found = []
    for name, controller in _values(document).at("controllers").items():
        if next(_containers(controller, sources), None):
            found.append(name)
    return found


def _containers(controller: Part, sources: Sources) -> Iterator[tuple[str, Part]]:
    for name, container in controller.at("containers").items():
        image = container.at("image", "repository").text
        words = list(container.at("command").each()), list(container.at("args").each())
        result = launched(*words, _variables(container, sources), own=starts_server(image))
        vllm = is_vllm(image) or any("vllm" in part.text for part in (*words[0], *words[1]))
        if result.words is not None and vllm:
            yield name, container


def _variables(container: Part, sources: Sources) -> Variables:
    variables = Variables()
    env = container.at("env")
    for item in env.each() if isinstance(env.value, list) else ():
        variables.add(variable_of(item, sources))
    for name, part in env.items():
        if isinstance(part.value, dict):
            held = {"name": name, **part.value}
            variables.add(variable_of(Part(held, part.place), sources))
        else:
            variables.add(Variable(name, part.origin(f"env {name}"), part.text))
    return variables


def take(document: Document, sources: Sources, draft: Draft) -> bool:
    """Take the controller over that the draft is named after."""
    values = _values(document)
    controller = values.at("controllers", draft.source_name)
    name, container = next(_containers(controller, sources))
    if document.name:
        draft.name = document.name if len(servers(document, sources)) == 1 else f"{document.name}-{draft.source_name}"
    variables = _variables(container, sources)
    server = Server(draft, sources, variables, _mounts(values, (draft.source_name, name), variables))
    image = container.at("image")
    digest = image.at("digest").text
    tag = image.at("tag").text + (f"@{digest}" if digest else "")
    take_image(server, Part(f"{image.at('repository').text}:{tag or 'latest'}", image.place))
    words = list(container.at("command").each()), list(container.at("args").each())
    result = launched(*words, server.variables, own=starts_server(image.at("repository").text))
    take_words(server, result.words or [])
    tell_script(server, result)
    take_variables(server)
    take_env_from(server, container)
    for folder in CACHES:
        if not draft.get("cache") and take_cache(server, folder):
            break
    take_resources(server, container.at("resources"))
    take_container(server, container)
    _pod(server, values, controller, container)
    finish(server, Part({}, values.place))
    _around(server, document, values)
    return True


def _mounts(values: Part, container: tuple[str, str], variables: Variables) -> list[Mount]:
    found = []
    for name, volume in values.at("persistence").items():
        kind = volume.at("type").text or "persistentVolumeClaim"
        source = Part(_source(volume, kind), volume.place)
        whole = volume
        if kind == "persistentVolumeClaim" and not volume.at("existingClaim"):
            kind, whole = "claimTemplate", Part({"spec": _claim(volume)}, volume.place)
        places = [*volume.at("globalMounts").each(), *volume.at("advancedMounts", *container).each()]
        if not places and not volume.at("advancedMounts"):
            places = [Part({"path": f"/{name}"}, volume.place)]
        for mount in places:
            path = posixpath.normpath(mount.at("path").text or f"/{name}")
            found.append(Mount(path, kind, source, whole, mount, name, sub_path(mount, variables)))
    return found


def _source(volume: Part, kind: str) -> dict[str, str]:
    """A volume's source as Kubernetes has it."""
    match kind:
        case "hostPath":
            return {"path": volume.at("hostPath").text}
        case "nfs":
            return {"server": volume.at("server").text, "path": volume.at("path").text}
        case "configMap" | "secret":
            return {"name": volume.at("name").text or volume.at("identifier").text}
        case _:
            return {"claimName": volume.at("existingClaim").text}


def _claim(volume: Part) -> dict[str, Any]:
    """The claim that the chart makes of a volume."""
    modes = [volume.at("accessMode").text] if volume.at("accessMode") else []
    storage = {"requests": {"storage": volume.at("size").text or "100Gi"}}
    return {"accessModes": modes, "storageClassName": volume.at("storageClass").text, "resources": storage}


def _pod(server: Server, values: Part, controller: Part, container: Part) -> None:
    for holder in (values.at("defaultPodOptions"), controller.at("pod")):
        take_pod(server, holder, container)
        objects.put_on_pods(server.draft, holder, {})
    for kind in ("initContainers", "containers"):
        for other, part in controller.at(kind).items():
            if part.place != container.place:
                text = "pods run vLLM alone: do its work in the image, or in a Deployment or Job of its own"
                server.draft.say(part.origin(f"container {other}"), Went.LEFT, text)
    if replicas := controller.at("replicas"):
        server.draft.put("replicas", number(replicas.text or "1"), replicas.origin("replicas"))
    steps = controller.at("rollingUpdate")
    limits = {"maxSurge": steps.at("surge").value, "maxUnavailable": steps.at("unavailable").value}
    take_strategy(server.draft, Part({"rollingUpdate": limits} if steps else None, steps.place))
    said(server, controller, _CONTROLLER)
    said(server, container, {"probes": "the operator's own: start, readiness with draining, and hangs"})


def _around(server: Server, document: Document, values: Part) -> None:
    said(server, values, _AROUND)
    said(server, values, _AROUND_LEFT, Went.LEFT)
    mounted = {mount.name for mount in server.mounts}
    for name, volume in values.at("persistence").items():
        if name not in mounted:
            text = "vLLM's container does not mount it: not needed"
            server.draft.say(volume.origin(f"persistence {name}"), Went.OPERATOR, text)
    if document.kind != "HelmRelease":
        return
    objects.take_metadata(server.draft, document.root.at("metadata"))
    for key, part in document.root.at("spec").items():
        if key != "values":
            server.draft.say(part.origin(), Went.OPERATOR, "belongs to Flux")
