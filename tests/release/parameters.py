"""What a release is told, checked before anything is built."""

import re
from dataclasses import dataclass

from cluster.digests import parts
from cluster.host import ClusterError

# https://semver.org, without build metadata: an image's tag cannot have a plus sign.
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?")
REGISTRY = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
IMAGES = ("operator", "vllm-cpu", "vllm", "vllm-ray")
# vLLM's own image is used for GPUs as it is: images/vllm is for clusters that pull from no public registry, and
# images/vllm-ray for teams that run on Ray.
USUAL = ("operator", "vllm-cpu")


@dataclass(frozen=True)
class Release:
    """One release."""

    registry: str
    """Host, port and folder, as in an image's name."""
    version: str
    images: tuple[str, ...]
    url: str
    """Where the files will lie for download; empty: nobody said."""
    commit: str
    """Of the source; empty where it is no git repository."""

    def tag(self, image: str) -> str:
        """The name and tag of an image; vLLM's begins with vLLM's version, which plans read from it."""
        version = self.version if image == "operator" else f"{vllm_version()}-{self.version}"
        name = "vllm-operator" if image == "operator" else image
        return f"{self.registry}/{name}:{version}"

    @property
    def labels(self) -> dict[str, str]:
        """Of every image."""
        words = {"version": self.version, "revision": self.commit, "licenses": "Apache-2.0"}
        return {f"org.opencontainers.image.{key}": value for key, value in words.items() if value}


def vllm_version() -> str:
    """Of the vLLM in the images."""
    from vllm_operator.api.vocabulary import VLLM_VERSION  # noqa: PLC0415 (half a second, which a refusal does not need)

    return VLLM_VERSION


def check(release: Release) -> None:
    """Raises ClusterError, in one sentence, where something cannot be."""
    if not release.registry or not release.version:
        raise ClusterError("make release needs both: REGISTRY=registry.example.com/team VERSION=1.2.3")
    if not VERSION.fullmatch(release.version):
        raise ClusterError(f"VERSION={release.version}: write it as in 1.2.3 or 1.2.3-rc.1 (no v, no +).")
    if not REGISTRY.fullmatch(release.registry):
        raise ClusterError(
            f"REGISTRY={release.registry}: write the registry's host and a folder, as in registry.example.com/team, "
            "without a scheme, in small letters."
        )
    if parts(f"{release.registry}/x:1")[0] == "registry-1.docker.io":
        raise ClusterError(f"REGISTRY={release.registry}: begin with the registry's host, as in docker.io/NAME.")
    if unknown := sorted(set(release.images) - set(IMAGES)):
        raise ClusterError(f"IMAGES: there is no {', '.join(unknown)}; there are {', '.join(IMAGES)}.")
    if "operator" not in release.images:
        raise ClusterError("IMAGES: the operator is missing, and the chart installs it.")
    if release.url and not release.url.startswith("https://"):
        raise ClusterError(f"URL={release.url}: krew downloads by https:// only.")
