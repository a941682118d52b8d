"""The steps of a release, in order. The folder appears at the end, whole, or not at all."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import yaml

from cluster.builders import builder
from cluster.host import REPOSITORY, ClusterError, step
from release import chart
from release.parameters import Release, check
from release.plugin import archive, krew

# Where an image keeps the bill of materials of its Python packages.
BILLS = {
    "operator": "/opt/operator/sbom.cdx.json",
    "vllm-cpu": "/opt/vllm/sbom.cdx.json",
    "vllm-ray": "/opt/vllm-ray.cdx.json",
}
SUMS = "SHA256SUMS"


def source_commit() -> str:
    """The commit that is checked out; empty where git knows none, or where files differ from it."""
    git = ["git", "-C", str(REPOSITORY)]
    told = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False)
    return told.stdout.strip() if told.returncode == 0 and not changed.stdout.strip() else ""


def make(release: Release, target: Path, platforms: Iterable[archive.Platform] = archive.PLATFORMS) -> str:
    """Build, push and write everything; returns the chart's address in the registry. Raises ClusterError."""
    check(release)
    if target.exists():
        raise ClusterError(f"{target} is there: a version is released once. Choose another VERSION, or remove it.")
    scratch = target.with_name(f".{target.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        images = _images(release, scratch)
        with step("packaging the chart and the CRDs"):
            packaged = chart.package(release.version, images, scratch)
            crds = sorted((REPOSITORY / "crds").glob("*.yaml"))
            (scratch / "crds.yaml").write_text("---\n".join(file.read_text() for file in crds))
        _plugin(release, scratch, platforms)
        _sums(scratch)
        with step("pushing the chart"):
            address = chart.push(packaged, release.registry)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return address


def _images(release: Release, folder: Path) -> dict[str, str]:
    """Build and push; returns name:tag@digest by image."""
    engine = builder()
    for image in release.images:
        engine.build(image, release.tag(image), release.labels)
    pushed = {image: f"{release.tag(image)}@{engine.push(release.tag(image))}" for image in release.images}
    for image in release.images:
        if image in BILLS:
            (folder / f"sbom-{image}.cdx.json").write_bytes(engine.read(release.tag(image), BILLS[image]))
    (folder / "images.txt").write_text("".join(f"{one}\n" for one in pushed.values()))
    return pushed


def _plugin(release: Release, folder: Path, platforms: Iterable[archive.Platform]) -> None:
    with step("packing the kubectl plugin"):
        archives = {one: archive.write(one, release.version, folder) for one in platforms}
    manifest = krew.manifest(release.version, archives, release.url)
    (folder / "krew-vllm.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


def _sums(folder: Path) -> None:
    """In the form of sha256sum --check."""
    files = sorted(folder.iterdir())
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (folder / SUMS).write_text("".join(lines))
