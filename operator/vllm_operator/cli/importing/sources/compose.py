"""docker-compose.yaml: each service of it that runs vLLM's server."""

import re
from collections.abc import Iterator
from typing import Any

from ..documents import Document, Sources
from ..draft import Draft
from ..launch.shell import commands_of
from ..launch.variables import Variable, Variables
from ..part import Part
from ..pods.rollout import take_grace
from ..report import Origin, Went
from ..server import Server
from ..values import UnfitError, size
from .containers import Container, is_server, take_container
from .fields import said

# Of docker stop.
_USUAL_GRACE_SECONDS = 10
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
    for name in dict(document.root.at("services").items()):
        part = _service(document, name, sources)
        server = Server(Draft.blank(name), sources, _variables(part, sources))
        if is_server(_container(part, server.variables), server):
            found.append(name)
    return found


def take(document: Document, sources: Sources, draft: Draft) -> bool:
    """Take the service over that the draft is named after."""
    part = _service(document, draft.source_name, sources)
    draft.report.secrets |= _outer(sources).secrets
    server = Server(draft, sources, _variables(part, sources))
    container = _container(part, server.variables)
    take_container(server, container)
    said(server, part, _OPERATORS)
    said(server, part, _LEFT, Went.LEFT)
    for port in part.at("ports").each():
        draft.say(
            port.origin(f"port {port.text}"), Went.OPERATOR, f"clients in the cluster use http://{draft.name}:8000"
        )
    take_grace(draft, part.at("stop_grace_period"), _USUAL_GRACE_SECONDS)
    _deploy(server, part)
    _tell_others(document, draft, services(document, sources))
    for key in ("volumes", "networks", "version", "name", "secrets", "configs"):
        if other := document.root.at(key):
            draft.say(other.origin(), Went.OPERATOR, "belongs to docker")
    for key, other in document.root.items():
        if key.startswith("x-"):
            draft.say(other.origin(), Went.OPERATOR, "is used where it is named")
    return True


def _tell_others(document: Document, draft: Draft, ours: list[str]) -> None:
    """Rows for the services that are not known to run vLLM; one that extends another may run it all the same."""
    for name, other in document.root.at("services").items():
        base = other.at("extends")
        target = document.root.at("services", base.at("service").text or base.text)
        if name in ours:
            continue
        vllm = base.at("file") or str(target.place[-1]) in ours or target.at("extends")
        if vllm and not other.at("image"):
            draft.say(other.origin(f"service {name}"), Went.LEFT, "may run vLLM: write out what it extends")
        else:
            draft.say(other.origin(f"service {name}"), Went.STAYS, "runs no vLLM: not part of this")


def _service(document: Document, name: str, sources: Sources) -> Part:
    """A service as docker compose reads it: each of its values with the variables filled in; $$ stands for $."""
    outer = _outer(sources)

    def filled(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: filled(item) for key, item in node.items()}
        if isinstance(node, list):
            return [filled(item) for item in node]
        return "$".join(map(outer.shell, node.split("$$"))) if isinstance(node, str) else node

    part = document.root.at("services", name)
    return Part(filled(part.value), part.place)


def _variables(part: Part, sources: Sources) -> Variables:
    """The variables of a service; one without a value has that of whoever starts it."""
    given, variables = dict(_dotenv(sources)), Variables()
    environment = part.at("environment")
    for name, item in environment.items():
        text = item.text if item else given.get(name) or f"${{{name}}}"
        variables.add(Variable(name, item.origin(f"environment {name}"), text))
    for item in environment.each() if isinstance(environment.value, list) else ():
        name, equals, value = item.text.partition("=")
        text = value if equals else given.get(name) or f"${{{name}}}"
        variables.add(Variable(name, item.origin(f"environment {name}"), text))
    return variables


def _outer(sources: Sources) -> Variables:
    """The variables that docker compose fills in."""
    variables = Variables()
    for name, value in _dotenv(sources):
        variables.add(Variable(name, Origin((), f".env {name}"), value))
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
    def words(key: str) -> list[Part]:
        value = part.at(key)
        if isinstance(value.value, str):
            commands = commands_of(value.value.replace("\n", " "), variables)
            return [Part(word, value.place) for command in commands for word in command]
        return list(value.each())

    container = Container(part.at("image"), words("entrypoint"), words("command"))
    for volume in part.at("volumes").each():
        source, target = volume.at("source").text, volume.at("target").text
        if isinstance(volume.value, str):
            source, _, target = volume.value.partition(":")
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


def in_docker(text: str) -> str:
    """A size as docker has it, whose units are all binary: 64g, 64G and 64GB are 64Gi. Raises UnfitError.

    Source: RAMInBytes in size.go of github.com/docker/go-units.
    """
    match = re.fullmatch(r"([0-9.]+) ?([kmgtp])i?b?", text.strip().lower())
    return size(f"{match[1]}{match[2].upper()}i" if match else text.strip().lower().removesuffix("b"))


def _deploy(server: Server, part: Part) -> None:
    deploy, draft = part.at("deploy"), server.draft
    if replicas := deploy.at("replicas"):
        draft.put("replicas", int(replicas.text) if replicas.text.isdecimal() else replicas.text, replicas.origin())
    for kind, ours in (("limits", "limits"), ("reservations", "requests")):
        amounts = deploy.at("resources", kind)
        try:
            if cpus := amounts.at("cpus"):
                draft.put(f"resources.{ours}.cpu", cpus.text, cpus.origin())
            if memory := amounts.at("memory"):
                draft.put(f"resources.{ours}.memory", in_docker(memory.text), memory.origin())
        except UnfitError as error:
            draft.say(amounts.origin(), Went.LEFT, str(error))
    said(
        server,
        deploy,
        {
            "mode": "replicas says it" if deploy.at("mode").text == "replicated" else "see replicas",
            "restart_policy": "pods are started again",
            "placement": "see pod.nodeSelector",
            "update_config": "see rollout",
        },
    )
    for key in ("mem_limit", "cpus", "mem_reservation"):
        if amount := part.at(key):
            draft.say(amount.origin(), Went.LEFT, "set resources.requests and resources.limits")
