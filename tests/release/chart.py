"""The chart of a release: the repository's, with the images that were pushed, by digest. Nothing else of it changes."""

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cluster.host import REPOSITORY, ClusterError, command
from cluster.programs import program

CHART = REPOSITORY / "charts" / "vllm-operator"
# The settings' keys of images, by the folder in images/.
SETTINGS = {"vllm-cpu": "cpu", "vllm": "gpu", "vllm-ray": "ray"}


def package(version: str, images: Mapping[str, str], folder: Path) -> Path:
    """Write the packaged chart; `images` has name:tag@digest by folder. Returns the archive."""
    with tempfile.TemporaryDirectory(prefix="vllm-operator-chart-") as scratch:
        copy = Path(scratch) / CHART.name
        shutil.copytree(CHART, copy)
        values = copy / "values.yaml"
        values.write_text(with_images(values.read_text(), images))
        words = [f"--version={version}", f"--app-version={version}", f"--destination={folder}"]
        command([program("helm"), "package", copy, *words])
    return folder / f"{CHART.name}-{version}.tgz"


def with_images(values: str, images: Mapping[str, str]) -> str:
    """The text of values.yaml with the images in it; comments and order stay. Raises ClusterError where it differs."""
    name, _, digest = images["operator"].partition("@")
    repository, _, tag = name.rpartition(":")
    lines = {
        r'  repository: "".*': f"  repository: {repository}",
        r'  tag: "".*': f"  tag: {tag}",
        r'  digest: "".*': f'  digest: "{digest}"   # wins over the tag',
        r"settings: \{\}": _settings(images),
    }
    for pattern, line in lines.items():
        values, count = re.subn(f"(?m)^{pattern}$", lambda _, line=line: line, values)  # type: ignore[misc]
        if count != 1:
            raise ClusterError(f"The chart's values.yaml has {count} lines like `{pattern}`; one is expected.")
    return values


def _settings(images: Mapping[str, str]) -> str:
    given = [f"    {key}: {images[image]}" for image, key in SETTINGS.items() if image in images]
    return "\n".join(["settings:", "  images:", *given]) if given else "settings: {}"


def push(archive: Path, registry: str) -> str:
    """Push the packaged chart beside the images; returns what `helm install` takes, without the version."""
    host = registry.partition("/")[0].rpartition(":")[0] or registry.partition("/")[0]
    plain = ["--plain-http"] if host == "localhost" or host.startswith("127.") else []
    folder = f"oci://{registry}/charts"  # vllm-operator itself is the image
    command([program("helm"), "push", archive, folder, *plain])
    return f"{folder}/{CHART.name}"
