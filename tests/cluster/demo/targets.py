"""The clusters that the demo can run on, and how to choose one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from cluster.demo.kubectl import Kubectl
from cluster.host import REPOSITORY, ClusterError, cache_root, command, logged, step
from cluster.images import build, reference
from cluster.node import LocalCluster
from cluster.tools import tool

NAME = "demo"
KIND_NAME = "vllm-operator-demo"
IMAGE_VARIABLES = {"operator": "OPERATOR_IMAGE", "vllm-cpu": "VLLM_CPU_IMAGE"}


class Target(Protocol):
    """A cluster to run the demo on."""

    own: bool
    """Whether the demo makes the whole cluster, and removes it."""
    description: str
    """Which cluster it is and why it was chosen, in words."""

    def check(self) -> None:
        """Raise with one clear sentence where something is missing."""
        ...

    def start(self) -> Kubectl:
        """Make the cluster or find it running."""
        ...

    def build(self, image: str) -> str:
        """Build images/<image> and return the name that it has in the cluster."""
        ...

    def load(self, image: str) -> None:
        """Make a built image known to the cluster."""
        ...

    def remove(self) -> None:
        """Remove the cluster, where it is the demo's own."""
        ...


class Local:
    """Real etcd, kube-apiserver, containerd, kubelet ... as processes of this machine."""

    own = True

    def __init__(self, because: str) -> None:
        self.description = f"the local cluster of this machine, because {because}"

    def check(self) -> None:
        """Nothing: starting it says what is missing."""

    def start(self) -> Kubectl:
        """Start it, or find it running."""
        return Kubectl(tool("kubectl"), LocalCluster.start(NAME).kubeconfig)

    def build(self, image: str) -> str:
        """Build with buildah."""
        return build(image)[0]

    def load(self, image: str) -> None:
        """Import into containerd."""
        LocalCluster(NAME).load(build(image)[1])

    def remove(self) -> None:
        """End its processes and remove its state."""
        LocalCluster(NAME).stop()


class Kind:
    """Kubernetes in Docker."""

    own = True

    def __init__(self, because: str) -> None:
        self.description = f"a kind cluster of its own ({KIND_NAME}), because {because}"

    def check(self) -> None:
        """Nothing: that Docker answers was the reason to choose it."""

    @property
    def _kubeconfig(self) -> Path:
        return cache_root() / f"{KIND_NAME}.kubeconfig"

    def start(self) -> Kubectl:
        """Create it, unless it is there."""
        kind = tool("kind")
        if KIND_NAME not in command([kind, "get", "clusters"]).split():
            create: list[str | Path] = [
                kind,
                "create",
                "cluster",
                "--name",
                KIND_NAME,
                "--wait=5m",
                "--kubeconfig",
                self._kubeconfig,
            ]
            with step(f"creating the kind cluster {KIND_NAME}"):
                logged(create, cache_root() / "logs" / "kind.log")
        command([kind, "export", "kubeconfig", "--name", KIND_NAME, "--kubeconfig", self._kubeconfig])
        return Kubectl(_kubectl(), self._kubeconfig)

    def build(self, image: str) -> str:
        """Build with Docker."""
        return docker_build(image, reference(image))

    def load(self, image: str) -> None:
        """Hand it to the node as an archive."""
        archive = cache_root() / "images" / f"{image}-docker.tar"
        archive.parent.mkdir(parents=True, exist_ok=True)
        try:
            with step(f"loading {reference(image)} into kind"):
                command(["docker", "save", "--output", archive, reference(image)])
                command([tool("kind"), "load", "image-archive", archive, "--name", KIND_NAME])
        finally:
            archive.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the cluster."""
        command([tool("kind"), "delete", "cluster", "--name", KIND_NAME, "--kubeconfig", self._kubeconfig])
        self._kubeconfig.unlink(missing_ok=True)


class Current:
    """The cluster of a context of the user's kubeconfig, used because the user said so."""

    own = False

    def __init__(self, context: str) -> None:
        self.context = context
        self.description = f"the context {context} of your kubeconfig, because CLUSTER=current says so"

    def check(self) -> None:
        """Images must come from somewhere that the cluster can pull from."""
        missing = [name for name in IMAGE_VARIABLES.values() if not os.environ.get(name)]
        if not missing:
            return
        if not os.environ.get("REGISTRY"):
            raise ClusterError(
                "Images cannot be loaded into a cluster that is not the demo's own: set REGISTRY to where this "
                f"machine may push and the cluster may pull (needs Docker), or {' and '.join(missing)} to images "
                "that are there."
            )
        if not docker_answers():
            raise ClusterError("REGISTRY is set, but no Docker engine answers here to build and push the images with.")

    def start(self) -> Kubectl:
        """Find out whether it answers."""
        kubectl = Kubectl(_kubectl(), None, self.context)
        kubectl.run("version", "--request-timeout=10s")
        return kubectl

    def build(self, image: str) -> str:
        """The image that the environment names, or one built and pushed."""
        if named := os.environ.get(IMAGE_VARIABLES[image]):
            return named
        pushed = f"{os.environ['REGISTRY'].rstrip('/')}/{reference(image).rpartition('/')[2]}"
        docker_build(image, pushed)
        with step(f"pushing {pushed}"):
            logged(["docker", "push", pushed], cache_root() / "logs" / f"push-{image}.log")
        return pushed

    def load(self, image: str) -> None:
        """Nothing: the cluster pulls."""

    def remove(self) -> None:
        """Nothing: it is the user's."""


def docker_answers() -> bool:
    """Whether there is a Docker engine to talk to."""
    try:
        answer = subprocess.run(["docker", "info"], check=False, capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def docker_build(image: str, tag: str) -> str:
    """Build images/<image> with Docker."""
    with step(f"building the image {tag}"):
        arguments = ["docker", "build", "--file", f"images/{image}/Dockerfile", "--tag", tag, "."]
        environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
        logged(arguments, cache_root() / "logs" / f"image-{image}.log", cwd=REPOSITORY, env=environment)
    return tag


def _kubectl() -> Path:
    found = shutil.which("kubectl")
    return Path(found) if found else tool("kubectl")


def current_context() -> str:
    """The context that kubectl uses by itself."""
    config = json.loads(command([_kubectl(), "config", "view", "--output=json"]))
    if not (context := str(config.get("current-context") or "")):
        raise ClusterError("CLUSTER=current, but your kubeconfig has no current context (kubectl config use-context).")
    return context


def choose() -> Target:
    """The cluster that the user asks for, else one of the demo's own that this machine can run."""
    match os.environ.get("CLUSTER", ""):
        case "current":
            return Current(current_context())
        case "kind":
            if not docker_answers():
                raise ClusterError("CLUSTER=kind, but no Docker engine answers on this machine (docker info).")
            return Kind("CLUSTER=kind says so")
        case "local":
            return Local("CLUSTER=local says so")
        case "":
            pass
        case other:
            raise ClusterError(f"CLUSTER={other}: it can be current, kind or local, or be left out.")
    if docker_answers():
        return Kind("a Docker engine answers")
    if sys.platform == "linux" and os.geteuid() == 0:
        return Local("no Docker engine answers and this is Linux as root")
    lacking = "is not Linux" if sys.platform != "linux" else "is Linux, but you are not root"
    raise ClusterError(
        f"No cluster to run on: no Docker engine answers (for kind), and this {lacking} (for the local cluster); "
        "start Docker, or name a cluster of yours with CLUSTER=current."
    )
