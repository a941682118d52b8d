"""`make bench-images`: models in images, on a real node with Debian's containerd, which mounts none, and with 2.4.

A registry on the node, and a door to it that wants a password. With Debian's containerd (1.6) the status says what is
missing. With containerd 2.4, built from its Go module, a service by tag and one by digest are planned before any pod of
vLLM is made, serve, and cannot write the model; a tag that is not there, and a registry without `imagePullSecrets`, are
told. A line for each with its seconds, and an exit status of 1 where one of them does not come about. Needs root; takes
about five minutes on two cores, and two more to build containerd at first.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.rollout import READY_SECONDS
from bench.steps import goes_through
from cluster import images
from cluster.host import cache_root
from cluster.node import LocalCluster
from cluster.tools import tool
from support import guarded_registry, serving
from support.end_to_end import call
from support.kube import Kube, conditions
from support.loopback_registry import loopback_registry
from vllm_operator.manifests.names import INSPECTION_LABEL

PORT, GUARDED_PORT = 5057, 5058
REPOSITORY, FOLDER, TAG = "models/tiny", "models/tiny", "1"
DOCKERFILE = f"FROM scratch\nCOPY model /{FOLDER}\n"
# Until a user is told what is wrong.
TOLD_SECONDS = 60


@dataclass
class Bench:
    """A cluster, and where the image of the model is."""

    kube: Kube
    registry: str
    digest: str
    guarded: str = f"localhost:{GUARDED_PORT}"

    def apply(self, name: str, image: str) -> None:
        """Applies the tiny service with its model in an image."""
        service = serving.tiny(name)
        service["spec"]["model"] = {"uri": f"oci://{image}", "imagePath": FOLDER}
        self.kube.apply(service)

    def told(self, name: str, *words: str) -> str:
        """What Ready says, once it has these words."""

        def said() -> str:
            ready = conditions(self.kube.get("vis", name) or {}).get("Ready", {})
            text = f"{ready.get('reason')}: {ready.get('message')}"
            return text if all(word in text for word in words) else ""

        return str(self.kube.wait(f"{name} says {words}", TOLD_SECONDS, said))

    def serves(self, name: str) -> str:
        """That it was planned before it had a pod, serves, and cannot write the model."""
        self.kube.ready(name, READY_SECONDS)
        fits = conditions(self.kube.get("vis", name) or {})["Fits"]
        assert (fits["status"], fits["reason"]) == ("True", "Fits"), fits
        of_service = f"app.kubernetes.io/instance={name}"
        pods = self.kube.list("pods", f"{of_service},app.kubernetes.io/name=vllm")
        (pod,) = [one for one in pods if "deletionTimestamp" not in one["metadata"]]
        # What the inspection found is kept as soon as it is known.
        known = self.kube.list("controllerrevisions", f"{of_service},{INSPECTION_LABEL}")
        times = [one["metadata"]["creationTimestamp"] for one in (*known, pod)]
        assert known, "nothing is kept of the inspection"
        assert times == sorted(times), times
        status, text = call(f"{self.kube.url(name)}/completions", {"model": name, "prompt": "Hello", "max_tokens": 4})
        assert status == 200, text
        asked = f"import os; print(os.statvfs('/model-image/{FOLDER}').f_flag & os.ST_RDONLY)"
        assert self.kube.run("exec", pod["metadata"]["name"], "--", "python3", "-c", asked).strip() == "1"
        self.kube.run("delete", "vis", name, "--wait=false")
        return "planned before its pod was made, Ready, answers /v1/completions, and the model is read-only"


def by_tag(bench: Bench) -> str:
    """As most people will."""
    bench.apply("by-tag", f"{bench.registry}/{REPOSITORY}:{TAG}")
    return bench.serves("by-tag")


def by_digest(bench: Bench) -> str:
    """As they should."""
    bench.apply("by-digest", f"{bench.registry}/{REPOSITORY}@{bench.digest}")
    return bench.serves("by-digest")


def wrong_tag(bench: Bench) -> str:
    """The registry has no such tag."""
    image = f"{bench.registry}/{REPOSITORY}:none"
    bench.apply("wrong-tag", image)
    said = bench.told("wrong-tag", "ImagePullFailed", image, "does not exist")
    bench.kube.run("delete", "vis", "wrong-tag", "--wait=false")
    return said


def private_without_secret(bench: Bench) -> str:
    """The registry wants a password, and the service has none."""
    image = f"{bench.guarded}/{REPOSITORY}:{TAG}"
    bench.apply("private", image)
    return bench.told("private", "ImagePullFailed", image, "pod.imagePullSecrets")


def private_with_secret(bench: Bench) -> str:
    """The same service is given the password."""
    login = {"auths": {bench.guarded: {"auth": guarded_registry.CREDENTIALS}}}
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson"}
    text = {".dockerconfigjson": json.dumps(login)}
    bench.kube.apply({**secret, "metadata": {"name": "registry"}, "stringData": text})
    bench.kube.merge("vis", "private", {"spec": {"pod": {"imagePullSecrets": [{"name": "registry"}]}}})
    return bench.serves("private")


def old_containerd(bench: Bench) -> str:
    """A runtime that mounts no images."""
    bench.apply("old", f"{bench.registry}/{REPOSITORY}:{TAG}")
    return bench.told("old", "ImageVolumesMissing", "containerd 2.1")


Step = Callable[[Bench], str]
WITH_OLD: tuple[Step, ...] = (old_containerd,)
WITH_NEW: tuple[Step, ...] = (by_tag, by_digest, wrong_tag, private_without_secret, private_with_secret)


@contextmanager
def bench_of(cluster: LocalCluster) -> Iterator[Bench]:
    """The operator, and a registry with an image of the tiny model."""
    serving.install_operator(cluster)
    kube = Kube(cluster.kubeconfig, "bench")
    serving.make_models(kube)
    claim = kube.get("pvc", "tiny-model") or {}
    model = cluster.state / "volumes" / claim["spec"]["volumeName"] / "tiny"
    (node, *_) = cluster.nodes
    with loopback_registry(cluster, PORT) as registry:
        door = [sys.executable, guarded_registry.__file__, str(GUARDED_PORT), str(PORT)]
        node.processes.start("door", [*node.enclosure.inside, *door])
        try:
            yield Bench(kube, registry, _pushed(model, f"{registry}/{REPOSITORY}:{TAG}"))
        finally:
            node.processes.end("door")


def _pushed(model: Path, tag: str) -> str:
    """Makes an image of a folder as docs/weights.md says, pushes it, and returns its digest."""
    logs = cache_root() / "logs"
    with tempfile.TemporaryDirectory(prefix="vllm-operator-model-") as scratch:
        shutil.copytree(model, Path(scratch) / "model")
        (Path(scratch) / "Dockerfile").write_text(DOCKERFILE)
        images.build_folder(Path(scratch), tag, logs / "image-model.log")
    return images.push(tag, logs / "push-model.log")


def _try(steps: tuple[Step, ...]) -> bool:
    """Goes through the steps on a cluster of its own; whether all came about."""
    cluster = serving.start("bench-images")
    try:
        node = cluster.api().get("/api/v1/nodes/node") or {}
        print(node["status"]["nodeInfo"]["containerRuntimeVersion"], flush=True)
        with bench_of(cluster) as bench:
            return goes_through(steps, bench, after_a_failure=True)
    finally:
        cluster.stop()


def main() -> int:
    """Goes through the steps with both runtimes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", choices=("debian", "built"), help="only this containerd")
    chosen = parser.parse_args().runtime
    built = tool("containerd").parent if chosen != "debian" else Path()
    held = chosen == "built" or _try(WITH_OLD)
    if chosen != "debian":
        os.environ["PATH"] = f"{built}:{os.environ['PATH']}"
        held = _try(WITH_NEW) and held
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
