"""What builds the project's images and pushes them: a Docker engine where one answers, else buildah (Linux, as root).

BASE_IMAGE names another base than the Dockerfiles do: a Debian 12 with python3, python3-venv and python3-pip, from a
registry that is reached here; VLLM_IMAGE another one of vLLM, for images/vllm and images/vllm-ray.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from cluster import images
from cluster.host import REPOSITORY, ClusterError, cache_root, command, logged, step


class Builder(Protocol):
    """Builds images/<image> under a tag, pushes a tag, and reads files of what it built."""

    def build(self, image: str, tag: str, labels: Mapping[str, str]) -> None:
        """Build it; a label for the version is what the program in it says of itself. Raises ClusterError."""
        ...

    def push(self, tag: str) -> str:
        """Push it and return the digest that the registry keeps it under. Raises ClusterError."""
        ...

    def read(self, tag: str, path: str) -> bytes:
        """A file of the image. Raises ClusterError."""
        ...


class Docker:
    """The Docker engine of this machine."""

    def build(self, image: str, tag: str, labels: Mapping[str, str]) -> None:
        """By `docker build`, of what .dockerignore leaves of the repository."""
        log = cache_root() / "logs" / f"image-{image}.log"
        with step(f"building the image {tag}", log=log):
            arguments = ["docker", "build", "--file", f"images/{image}/Dockerfile", "--tag", tag]
            other = images.bases(image)
            arguments += [*images.build_arguments(labels), *images.based(other)]
            try:
                logged([*arguments, "."], log, {**os.environ, **_buildkit()}, REPOSITORY)
            except ClusterError as error:
                if other or "docker.io" not in str(error):
                    raise
                hint = f"If that is Docker Hub out of reach: {images.instead(image)}"
                raise ClusterError(f"{error}\n{hint}") from error

    def push(self, tag: str) -> str:
        """With the credentials of `docker login`."""
        with step(f"pushing {tag}"):
            logged(["docker", "push", tag], _push_log(tag))
        name = tag.rpartition(":")[0]
        told = json.loads(command(["docker", "image", "inspect", "--format", "{{json .RepoDigests}}", tag]))
        for one in told or []:
            if one.startswith(f"{name}@"):
                return str(one.partition("@")[2])
        raise ClusterError(f"{tag} was pushed, but Docker knows no digest of it.")

    def read(self, tag: str, path: str) -> bytes:
        """Without running it."""
        container = command(["docker", "create", tag]).strip()
        try:
            return images.first_file(_bytes(["docker", "cp", f"{container}:{path}", "-"]))
        finally:
            command(["docker", "rm", container])


class Buildah:
    """buildah, with a storage of its own."""

    def build(self, image: str, tag: str, labels: Mapping[str, str]) -> None:
        """From what the Dockerfile copies of the repository, and nothing else."""
        images.build_tagged(image, tag, labels)

    def push(self, tag: str) -> str:
        """With the credentials of `buildah login` or `docker login`."""
        with step(f"pushing {tag}"):
            return images.push(tag, _push_log(tag))

    def read(self, tag: str, path: str) -> bytes:
        """Without running it."""
        return images.read(tag, path)


def _buildkit() -> dict[str, str]:
    """Docker before 23 uses BuildKit only when told to; later ones do where they have buildx, and fail when told to."""
    told = re.match(r"\d+", command(["docker", "version", "--format", "{{.Client.Version}}"]))
    return {"DOCKER_BUILDKIT": "1"} if told and int(told[0]) < 23 else {}


def _push_log(tag: str) -> Path:
    return cache_root() / "logs" / f"push-{tag.rpartition('/')[2].replace(':', '-')}.log"


def _bytes(words: list[str]) -> bytes:
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode:
        raise ClusterError(f"`{' '.join(words)}` failed: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return done.stdout


def docker_answers() -> bool:
    """Whether there is a Docker engine to talk to."""
    try:
        answer = subprocess.run(["docker", "info"], check=False, capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def builder() -> Builder:
    """The builder of this machine. Raises ClusterError where it has none."""
    if docker_answers():
        return Docker()
    if sys.platform == "linux" and os.geteuid() == 0:
        return Buildah()
    raise ClusterError(
        "Nothing here can build images: start Docker (docker info has to answer), or run this as root on Linux, "
        "where buildah does it."
    )
