"""Images that hold the programs of one tool in /bin and nothing else: they are static, so no builder is needed."""

import hashlib
import io
import json
import os
import platform
import tarfile
from pathlib import Path

from cluster.tools import programs, tool, version

# Programs that are asked to run as anybody but root, and are not told as whom.
USER = "65532:65532"


def image_name(name: str) -> str:
    """The name that the image of a tool has in the cluster."""
    return f"localhost/{name}:{version(name) or '1'}"


def program_image(name: str) -> Path:
    """The archive of a tool's image, written on first use; it starts the program of the tool's name."""
    archive = tool(name).parent / "image.tar"
    if archive.is_file():
        return archive
    layer = archive.with_suffix(f".{os.getpid()}.layer")
    scratch = archive.with_suffix(f".{os.getpid()}")
    try:
        with tarfile.open(layer, "w") as tar:
            for program in programs(name):
                tar.add(tool(program), f"bin/{program}", filter=_plain)
        with layer.open("rb") as file:
            config = _config(name, hashlib.file_digest(file, "sha256").hexdigest())
        manifest = [{"Config": "config.json", "RepoTags": [image_name(name)], "Layers": ["layer.tar"]}]
        with tarfile.open(scratch, "w") as tar:
            tar.add(layer, "layer.tar", filter=_plain)
            for file_name, content in (("config.json", config), ("manifest.json", manifest)):
                text = json.dumps(content).encode()
                member = tarfile.TarInfo(file_name)
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text))
        scratch.rename(archive)
    finally:
        layer.unlink(missing_ok=True)
        scratch.unlink(missing_ok=True)
    return archive


def _config(name: str, layer: str) -> dict[str, object]:
    return {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": [f"/bin/{name}"], "User": USER},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
        "history": [{"created_by": "vllm-operator"}],
    }


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Who built it, and when, is not to be seen."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o755
    return member
