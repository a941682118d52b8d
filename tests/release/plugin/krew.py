"""Krew's manifest of the plugin (krew.sigs.k8s.io/docs/developer-guide/plugin-manifest), for its archives."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from release.plugin.archive import LAUNCHER, Platform

DESCRIPTION = """\
plan: whether a model fits a GPU, and which do, before one is taken. status, logs, classes: what is served in the
cluster and why something is not, read with your own rights. render: what the operator would make of a service.
It needs Python 3.11 to 3.14, and downloads nothing."""


def manifest(version: str, archives: Mapping[Platform, Path], url: str) -> dict[str, Any]:
    """The manifest; without a URL it can be installed with krew's --archive only."""
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "vllm"},
        "spec": {
            "version": f"v{version}",
            "shortDescription": "Plan and look after models served by vllm-operator",
            "description": DESCRIPTION,
            "platforms": [_platform(platform, archive, url) for platform, archive in archives.items()],
        },
    }


def _platform(platform: Platform, archive: Path, url: str) -> dict[str, Any]:
    return {
        "selector": {"matchLabels": {"os": platform.system, "arch": platform.machine}},
        "uri": f"{url.rstrip('/')}/{archive.name}" if url else archive.name,
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "bin": LAUNCHER.name,
    }
