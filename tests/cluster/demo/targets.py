"""The clusters that the demo can run on, and how to choose one."""

import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from cluster.builders import Docker, builder, docker_answers
from cluster.demo.kubectl import Kubectl
from cluster.host import ClusterError, cache_root, command, logged, say, step
from cluster.images import build, reference
from cluster.node import LocalCluster
from cluster.programs import program
from cluster.tools import tool

NAME = "demo"
KIND_NAME = "vllm-operator-demo"
# Of Docker, for all clusters of kind: it is made with the first and stays after the last.
KIND_NETWORK = "kind"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
# The class that kind makes where the node's image brings no other: its volumes are root's alone.
HOST_PATH = "kubernetes.io/host-path"
# In the node.
FOLDER = "/var/lib/vllm-operator-demo"
# Images that are there already, and need no build.
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

    def provide_volume(self, kubectl: Kubectl) -> None:
        """See to it that a claim without a class gets a volume, or raise with one clear sentence."""
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

    def provide_volume(self, kubectl: Kubectl) -> None:
        """Nothing: it has some."""

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
        """Find kind, or build it."""
        program("kind")

    @property
    def _kubeconfig(self) -> Path:
        return cache_root() / f"{KIND_NAME}.kubeconfig"

    def start(self) -> Kubectl:
        """Create it, unless it is there and answers: one whose creation was cut off is made anew."""
        kind, kubectl = program("kind"), Kubectl(program("kubectl"), self._kubeconfig)
        if KIND_NAME in command([kind, "get", "clusters"]).split():
            if self._answers(kind, kubectl):
                return kubectl
            with step(f"deleting the kind cluster {KIND_NAME}, which does not answer"):
                self._delete()
        log = cache_root() / "logs" / "kind.log"
        node = [f"--image={image}"] if (image := os.environ.get("KIND_IMAGE")) else []
        create = ["create", "cluster", "--name", KIND_NAME, "--kubeconfig", str(self._kubeconfig), "--wait=5m"]
        try:
            with step(f"creating the kind cluster {KIND_NAME}", log=log):
                logged([kind, *create, *node], log)
        except ClusterError as error:
            if node or "failed to pull image" not in str(error):
                raise
            raise ClusterError(f"{error}\nSet KIND_IMAGE to an image for kind's nodes that is in reach.") from error
        return kubectl

    def _answers(self, kind: Path, kubectl: Kubectl) -> bool:
        """Whether it was created to its end, which is when kind writes the kubeconfig, and runs."""
        if not self._kubeconfig.is_file():
            return False
        with suppress(ClusterError):
            command([kind, "export", "kubeconfig", "--name", KIND_NAME, "--kubeconfig", self._kubeconfig])
            kubectl.run("get", "--raw=/readyz", "--request-timeout=10s")
            return True
        return False

    def provide_volume(self, kubectl: Kubectl) -> None:
        """Make one in the node, where its image brings nothing that makes volumes which all users may write."""
        found = default_class(kubectl)
        if found and found["provisioner"] != HOST_PATH:
            return
        command(["docker", "exec", f"{KIND_NAME}-control-plane", "install", "--directory", "--mode=777", FOLDER])
        kubectl.run("apply", "--server-side", "--filename=-", text=json.dumps(volume(found)))

    def build(self, image: str) -> str:
        """The image that the environment names, or one built with Docker."""
        if named := os.environ.get(IMAGE_VARIABLES[image]):
            return named
        Docker().build(image, reference(image), {})
        return reference(image)

    def load(self, image: str) -> None:
        """Hand it to the node, unless it has it; one that is named by its digest, the node pulls itself."""
        name = os.environ.get(IMAGE_VARIABLES[image]) or reference(image)
        if "@" in name:  # what kind hands over keeps no digest
            return
        if not command(["docker", "images", "--quiet", name]).strip():
            with step(f"pulling {name}"):
                logged(["docker", "pull", "--quiet", name], cache_root() / "logs" / f"pull-{image}.log")
        scratch = cache_root() / "images"  # of gigabytes, and /tmp may be memory
        scratch.mkdir(parents=True, exist_ok=True)
        with (
            step(f"loading {name} into kind"),
            tempfile.TemporaryDirectory(prefix=".kind-", dir=scratch) as folder,
        ):
            log = cache_root() / "logs" / f"kind-load-{image}.log"
            load = ["load", "docker-image", name, "--name", KIND_NAME]
            logged([program("kind"), *load], log, {**os.environ, "TMPDIR": folder})

    def remove(self) -> None:
        """Delete the cluster."""
        with step(f"deleting the kind cluster {KIND_NAME}"):
            self._delete()
        built = [name for name in map(reference, IMAGE_VARIABLES) if command(["docker", "images", "--quiet", name])]
        if built:
            say(f"  images stay in Docker for the next demo; to remove them: docker rmi {' '.join(built)}")

    def _delete(self) -> None:
        command([program("kind"), "delete", "cluster", "--name", KIND_NAME, "--kubeconfig", self._kubeconfig])
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
        if missing and not os.environ.get("REGISTRY"):
            raise ClusterError(
                "Images cannot be loaded into a cluster that is not the demo's own: set REGISTRY to where this "
                f"machine may push and the cluster may pull, or {' and '.join(missing)} to images that are there."
            )
        if missing:
            builder()

    def start(self) -> Kubectl:
        """Find out whether it answers."""
        kubectl = Kubectl(program("kubectl"), None, self.context)
        kubectl.run("version", "--request-timeout=10s")
        return kubectl

    def provide_volume(self, kubectl: Kubectl) -> None:
        """Nothing is made in a cluster of the user's that would outlive the demo."""
        found = default_class(kubectl)
        if found is None:
            raise ClusterError(
                "This cluster has no default StorageClass, so the demo's claim of 100 Mi would get no volume: mark one "
                f"with `kubectl annotate storageclass NAME {DEFAULT_CLASS}=true`."
            )
        if found["provisioner"] == HOST_PATH:
            raise ClusterError(
                f"The default StorageClass {found['metadata']['name']} ({HOST_PATH}) makes volumes that only root may "
                f"write, and the demo's pods are not root: mark another with the annotation {DEFAULT_CLASS}=true."
            )

    def build(self, image: str) -> str:
        """The image that the environment names, or one built and pushed, by its digest: nodes keep what a tag was."""
        if named := os.environ.get(IMAGE_VARIABLES[image]):
            return named
        tag = f"{os.environ['REGISTRY'].rstrip('/')}/{reference(image).rpartition('/')[2]}"
        engine = builder()
        engine.build(image, tag, {})
        return f"{tag}@{engine.push(tag)}"

    def load(self, image: str) -> None:
        """Nothing: the cluster pulls."""

    def remove(self) -> None:
        """Nothing: it is the user's."""


def has_kind_network() -> bool:
    """Whether Docker has the network of kind's clusters."""
    return bool(command(["docker", "network", "ls", "--quiet", "--filter", f"name=^{KIND_NETWORK}$"]))


def remove_kind_network() -> None:
    """Remove it, unless something is in it, be it stopped."""
    with suppress(ClusterError):
        if not command(["docker", "ps", "--all", "--quiet", f"--filter=network={KIND_NETWORK}"]).strip():
            command(["docker", "network", "rm", KIND_NETWORK])


def default_class(kubectl: Kubectl) -> dict[str, Any] | None:
    """The StorageClass of a claim that names none; None where there is none."""
    found: list[dict[str, Any]] = (kubectl.get("storageclasses") or {"items": []})["items"]
    marked = (one for one in found if one["metadata"].get("annotations", {}).get(DEFAULT_CLASS) == "true")
    return next(marked, None)


def volume(of: dict[str, Any] | None) -> dict[str, Any]:
    """A volume in the node, for a claim that gets this class."""
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": of["metadata"]["name"] if of else "",
        "hostPath": {"path": FOLDER, "type": "Directory"},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "vllm-operator-demo"}, "spec": spec}


def current_context() -> str:
    """The context that kubectl uses by itself."""
    config = json.loads(command([program("kubectl"), "config", "view", "--output=json"]))
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
