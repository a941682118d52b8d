"""docker-compose.yaml: each service of it that runs vLLM's server."""

import re
from collections.abc import Iterator

from ..documents import Document, Sources
from ..draft import Draft
from ..launch.shell import commands_of
from ..launch.variables import Variable, Variables
from ..part import Part
from ..report import Origin, Went
from ..server import Server
from ..values import UnfitError, size
from .containers import Container, is_server, take_container
from .fields import said

_OPERATORS = {
    "container_name": "the operator names pods",
    "restart": "pods are started again",
    "ipc": "the operator sizes /dev/shm",
    "shm_size": "the operator sizes /dev/shm",
    "runtime": "the device plugin gives pods their GPUs",
    "healthcheck": "the operator's own probes",
    "networks": "clients use the Service",
    "hostname": "the operator names pods",
    "tty": "vLLM needs none",
    "stdin_open": "vLLM needs none",
    "profiles": "apply the service or not",
    "expose": "port 8000",
    "depends_on": "services start independently",
    "logging": "kubectl logs",
    "platform": "see pod.nodeSelector",
    "pull_policy": "IfNotPresent",
    "working_dir": "paths are whole",
    "labels": "belong to docker",
    "init": "pods need none",
    "stop_grace_period": "see rollout.drainTimeoutSeconds",
    "stop_signal": "SIGTERM",
    "user": "pods run as user 1000",
    "group_add": "see pod.fsGroup",
    "attach": "kubectl logs",
    "network_mode": "clients use the Service",
}
_LEFT = {
    "ulimits": "pods have the node's limits: vLLM pins what it needs without",
    "privileged": "pods have no privileges",
    "cap_add": "pods have no capabilities",
    "security_opt": "pods run as Kubernetes' restricted standard wants",
    "devices": "devices come by accelerator.resource",
    "extra_hosts": "put names into the cluster's DNS",
    "build": "build and push the image, and name it in image",
    "secrets": "see model.tokenSecretRef and apiKeySecretRef",
    "configs": "see chatTemplate",
    "env_file": "is not read, as it holds secrets: name the variables in the file itself",
    "extends": "write out what it adds",
    "dns": "pods have the cluster's DNS",
    "tmpfs": "pods have a /tmp",
    "develop": "is for development",
    "sysctls": "pods have none",
}


def services(document: Document, sources: Sources) -> list[str]:
    """The names of the services that run vLLM."""
    found = []
    for name, part in document.root.at("services").items():
        server = Server(Draft.blank(name), sources, _variables(document, part, sources))
        if is_server(_container(part, server.variables), server):
            found.append(name)
    return found


def take(document: Document, sources: Sources, draft: Draft) -> bool:
    """Take the service over that the draft is named after."""
    part = document.root.at("services", draft.source_name)
    server = Server(draft, sources, _variables(document, part, sources))
    container = _container(part, server.variables)
    take_container(server, container)
    said(server, part, _OPERATORS)
    said(server, part, _LEFT, Went.LEFT)
    for port in part.at("ports").each():
        draft.say(
            port.origin(f"port {port.text}"), Went.OPERATOR, f"clients in the cluster use http://{draft.name}:8000"
        )
    _deploy(server, part)
    for name, other in document.root.at("services").items():
        if name not in services(document, sources):
            draft.say(other.origin(f"service {name}"), Went.STAYS, "runs no vLLM: not part of this")
    for key in ("volumes", "networks", "version", "name", "secrets", "configs"):
        if other := document.root.at(key):
            draft.say(other.origin(), Went.OPERATOR, "belongs to docker")
    for key, other in document.root.items():
        if key.startswith("x-"):
            draft.say(other.origin(), Went.OPERATOR, "is used where it is named")
    return True


def _variables(document: Document, part: Part, sources: Sources) -> Variables:
    variables = Variables()
    for name, value in _dotenv(sources):
        variables.add(Variable(name, Origin((document.number, "services"), f".env {name}"), value))
    environment = part.at("environment")
    outer = Variables(dict(variables.by_name))
    variables.by_name.clear()
    for name, item in environment.items():
        variables.add(Variable(name, item.origin(f"environment {name}"), outer.shell(item.text)))
    for item in environment.each() if isinstance(environment.value, list) else ():
        name, equals, value = item.text.partition("=")
        known = outer.shell(value) if equals else outer.literal(name) or f"${{{name}}}"
        variables.add(Variable(name, item.origin(f"environment {name}"), known))
    variables.outer = outer.by_name
    return variables


def _dotenv(sources: Sources) -> Iterator[tuple[str, str]]:
    """The variables in .env, with which compose fills in what it reads."""
    file = sources.folder / ".env" if sources.folder else None
    if file is None or not file.is_file() or not file.resolve().is_relative_to(sources.folder or file):
        return
    for line in file.read_text(errors="replace")[:65536].splitlines():
        if match := re.match(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$", line):
            yield match[1], match[2].strip("\"'")


def _container(part: Part, variables: Variables) -> Container:
    outer = Variables(variables.outer)

    def words(key: str) -> list[Part]:
        value = part.at(key)
        if isinstance(value.value, str):
            text = outer.shell(value.value)
            return [
                Part(word, value.place)
                for command in commands_of(text.replace("\n", " "), variables)
                for word in command
            ]
        return [Part(outer.shell(one.text), one.place) for one in value.each()]

    container = Container(
        Part(outer.shell(part.at("image").text), part.at("image").place), words("entrypoint"), words("command")
    )
    for volume in part.at("volumes").each():
        source, target = volume.at("source").text, volume.at("target").text
        if isinstance(volume.value, str):
            source, _, target = outer.shell(volume.value).partition(":")
        container.folders.append((source, target.split(":")[0], volume.origin(f"volume {source}:{target}")))
    devices = part.at("deploy", "resources", "reservations", "devices", 0)
    if devices:
        ids = devices.at("device_ids")
        count = f"device={','.join(one.text for one in ids.each())}" if ids else devices.at("count").text or "all"
        container.gpus = Part(count, part.at("deploy", "resources", "reservations", "devices").place)
    elif part.at("gpus"):
        container.gpus = (
            part.at("gpus") if isinstance(part.at("gpus").value, str | int) else Part("all", part.at("gpus").place)
        )
    return container


def _deploy(server: Server, part: Part) -> None:
    deploy, draft = part.at("deploy"), server.draft
    if replicas := deploy.at("replicas"):
        draft.put("replicas", int(replicas.text) if replicas.text.isdigit() else 1, replicas.origin())
    for kind, ours in (("limits", "limits"), ("reservations", "requests")):
        amounts = deploy.at("resources", kind)
        try:
            if cpus := amounts.at("cpus"):
                draft.put(f"resources.{ours}.cpu", cpus.text, cpus.origin())
            if memory := amounts.at("memory"):
                draft.put(f"resources.{ours}.memory", size(memory.text.upper().rstrip("B")), memory.origin())
        except UnfitError as error:
            draft.say(amounts.origin(), Went.LEFT, str(error))
    said(
        server,
        deploy,
        {
            "mode": "see replicas",
            "restart_policy": "pods are started again",
            "placement": "see pod.nodeSelector",
            "update_config": "see rollout",
        },
    )
    for key in ("mem_limit", "cpus", "mem_reservation"):
        if amount := part.at(key):
            draft.say(amount.origin(), Went.LEFT, "set resources.requests and resources.limits")
