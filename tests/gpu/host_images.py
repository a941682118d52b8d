"""Images for a machine that reaches no registry: nearly empty, as containers are given folders of the machine.

The operator's runs the Python that runs this; vLLM's runs the Python that has vLLM. Neither holds a program but a small
script. It must not be used outside a throw-away node: containers see the machine's programs.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cluster.host import REPOSITORY, ClusterError

OPERATOR = "localhost/vllm-operator:host"
APP = "/opt/vllm-operator/app"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
# Distributions link these to /usr, which is mounted.
_LINKS = {name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")}
# What a user set for the GPUs of this machine holds in pods as well.
_KEPT = ("NCCL_", "NVSHMEM_", "TORCH_SYMM_MEM_", "VLLM_", "FLASHINFER_", "CUDA_HOME", "LD_LIBRARY_PATH")
_VERSION = "from importlib.metadata import version; print(version('vllm'))"
_PREFIXES = "import json, sys; print(json.dumps([sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path]))"


@dataclass(frozen=True)
class Interpreter:
    """A Python of this machine, and what its PYTHONPATH has."""

    program: str
    path: tuple[str, ...]

    @cached_property
    def image(self) -> str:
        """The name of vLLM's image: its tag says which vLLM it is, as the plan has to know."""
        return f"localhost/vllm:v{self._said(_VERSION).partition('+')[0]}"

    def _said(self, script: str) -> str:
        environment = {**os.environ, "PYTHONPATH": ":".join(self.path)}
        done = subprocess.run(
            [self.program, "-c", script], capture_output=True, text=True, check=False, env=environment
        )
        if done.returncode:
            raise ClusterError(f"{self.program} does not run: {done.stderr.strip()[-300:]}")
        return done.stdout.strip()

    def folders(self) -> list[str]:
        """What it needs to run. Raises ClusterError where a pod could not see it."""
        found = [one for one in json.loads(self._said(_PREFIXES)) if one.startswith("/") and Path(one).is_dir()]
        if hidden := [one for one in found if one.startswith("/tmp/")]:
            raise ClusterError(f"Pods have a /tmp of their own: move {hidden[0]} elsewhere, and name it anew.")
        return found


def folders(*interpreters: Interpreter) -> dict[str, str]:
    """Target and source of each folder that containers are given; none lies in another."""
    found = {"/usr", *(str(one) for one in map(Path, ("/etc/ld.so.cache", "/etc/alternatives")) if one.exists())}
    for interpreter in interpreters:
        found.update(interpreter.folders())
    least = [one for one in sorted(found) if not any(one.startswith(f"{other}/") for other in found)]
    return {APP: str(REPOSITORY / "operator"), **{one: one for one in least}}


def write(folder: Path, operator: Interpreter, vllm: Interpreter) -> list[Path]:
    """The archives of both images."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    # NVLink multicast may put GPUs that others share out of service.
    safe = {"NCCL_NVLS_ENABLE": "0", "NVSHMEM_DISABLE_NVLS": "1", "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1"}
    program = {
        "Entrypoint": ["python3", "-m", "vllm_operator"],
        "Cmd": ["run"],
        "User": "65532:65532",
        "Env": _env(operator, {"PYTHONPATH": ":".join([APP, *operator.path]), "PYTHONDONTWRITEBYTECODE": "1"}),
    }
    # The operator sets PYTHONPATH to its middleware's folder: vLLM's own comes behind it.
    script = (
        f'#!/bin/sh\nexport PYTHONPATH="$PYTHONPATH:{":".join(vllm.path)}"\n'
        f'exec {vllm.program} -m vllm.entrypoints.cli.main "$@"\n'
    )
    server = {"Env": _env(vllm, {**kept, **safe, "PYTHONDONTWRITEBYTECODE": "1"})}
    return [
        _image(folder / "operator.tar", OPERATOR, program, {}),
        _image(folder / "vllm.tar", vllm.image, server, {"gpu-check/vllm": script}),
    ]


def _env(interpreter: Interpreter, values: Mapping[str, str]) -> list[str]:
    own = Path(interpreter.program).parent
    return [f"PATH=/gpu-check:{own}:{_PATH}", *(f"{name}={value}" for name, value in values.items())]


def _image(archive: Path, name: str, config: Mapping[str, object], scripts: Mapping[str, str]) -> Path:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for link, target in _LINKS.items():
            if Path("/", link).is_symlink():
                member = tarfile.TarInfo(link)
                member.type, member.linkname = tarfile.SYMTYPE, target
                tar.addfile(member)
        for path, text in scripts.items():
            _add(tar, path, text.encode(), 0o755)
        _add(
            tar,
            "etc/passwd",
            b"root:x:0:0:root:/:/bin/sh\nvllm:x:1000:1000::/:/bin/sh\noperator:x:65532:65532::/:/bin/sh\n",
            0o644,
        )
    content = layer.getvalue()
    described = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]},
        "history": [{"created_by": "gpu-check"}],
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as tar:
        _add(tar, "layer.tar", content, 0o644)
        _add(tar, "config.json", json.dumps(described).encode(), 0o644)
        _add(tar, "manifest.json", json.dumps(manifest).encode(), 0o644)
    return archive


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))


def own_interpreter() -> Interpreter:
    """The Python that runs this, for the operator."""
    ours = {str(REPOSITORY / name) for name in ("operator", "tests")}
    words = [str(Path(one).absolute()) for one in os.environ.get("PYTHONPATH", "").split(":") if one]
    return Interpreter(sys.executable, tuple(one for one in words if one not in ours))
