"""Containers outside Kubernetes, of docker and compose: image, command, variables, folders and GPUs, as one value."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..environment import take_variables
from ..launch.command import launched
from ..part import Part
from ..pods.image import is_vllm, starts_server, take_image
from ..pods.resources import ranks_of, take_devices
from ..report import Origin, Went
from ..server import Mount, Server
from ..volumes import CACHES, GUESS
from .serving import take_words, tell_script


@dataclass
class Container:
    """A container as docker and compose have it."""

    image: Part
    entrypoint: Sequence[Part] = ()
    command: Sequence[Part] = ()
    folders: list[tuple[str, str, Origin]] = field(default_factory=list)
    """From where (a folder of the host, or a volume's name), to where, and how it is told."""
    gpus: Part | None = None
    """How many GPUs it gets; `all` is not known here."""


def is_server(container: Container, server: Server) -> bool:
    """Whether a container runs vLLM's server."""
    result = launched(
        container.entrypoint, container.command, server.variables, own=starts_server(container.image.text)
    )
    said = any("vllm" in part.text for part in (*container.entrypoint, *container.command))
    return result.words is not None and (is_vllm(container.image.text) or said)


def take_container(server: Server, container: Container) -> None:
    """Take a container over. Raises ImportInputError where no service can be made of it."""
    server.mounts = [_mount(source, target, origin) for source, target, origin in container.folders]
    take_image(server, container.image)
    own = starts_server(container.image.text)
    result = launched(container.entrypoint, container.command, server.variables, own=own)
    take_words(server, result.words or [])
    tell_script(server, result)
    take_variables(server)
    _folders(server, container)
    if container.gpus is not None:
        _gpus(server, container.gpus)


def _mount(source: str, target: str, origin: Origin) -> Mount:
    at = Part(source, origin.place)
    return Mount(posixpath.normpath(target or "/"), "folder", at, at, at, source)


def _folders(server: Server, container: Container) -> None:
    """A folder of the host does not follow into a cluster: of a cache it is enough to have one there."""
    for source, target, origin in container.folders:
        path = posixpath.normpath(target or "/")
        if path in CACHES or "huggingface" in path:
            claim = {"storage": GUESS}
            if str(server.draft.get("model.uri")).startswith("pvc:"):
                server.draft.say(origin, Went.OPERATOR, "not needed: nothing is downloaded from the hub")
            elif not server.draft.get("cache"):
                server.draft.put("cache.claim", claim, origin, "downloaded once more; the size is a guess")
            else:
                server.draft.say(origin, Went.OPERATOR, "is in the cache as well")
        elif "cache" in path or path in ("/dev/shm", "/tmp"):  # noqa: S108
            server.draft.say(origin, Went.OPERATOR, "what vLLM compiles and writes is in the cache, or in the pod")
        else:
            server.draft.say(
                origin,
                Went.LEFT,
                f"{source} is a folder of one machine: copy what {path} has to be into a PersistentVolumeClaim",
            )


def _gpus(server: Server, gpus: Part) -> None:
    text = gpus.text.strip("\"'")
    device = text.partition("device=")[2]
    count = len(device.split(",")) if device else int(text) if text.isdecimal() else None
    if count is None and "$" in text:
        server.draft.say(gpus.origin(f"gpus {text}"), Went.LEFT, "how many is not known: pods ask for one a rank")
    elif count is None:
        ranks = ranks_of(server)
        server.draft.say(gpus.origin(f"gpus {text}"), Went.FIELD, f"one GPU for each rank: {ranks}")
    else:
        take_devices(server, "nvidia.com/gpu", count, gpus)
