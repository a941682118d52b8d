"""The tiny model of examples/tiny-model, made by vLLM's own environment on this machine (about a minute) and kept."""

import os
import subprocess
from pathlib import Path

from cluster.host import REPOSITORY, cache_root, content_hash, lock, step
from support.real_vllm.environment import interpreter

_PROGRAM = REPOSITORY / "examples" / "tiny-model" / "make_tiny_model.py"
# Of the environment of a user's shell, what vLLM needs; and where it may keep what it makes.
QUIET = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "PATH": os.environ.get("PATH", os.defpath),
    "HOME": os.environ.get("HOME", "/tmp"),
}


def tiny_model() -> Path:
    """Its folder."""
    folder = cache_root() / f"tiny-{content_hash([_PROGRAM])}"
    with lock("tiny-model"):
        if not folder.exists():
            with step("making the tiny model (about 1 min)"):
                subprocess.run([interpreter(), _PROGRAM, f"--output={folder}"], check=True, env=QUIET)
    return folder
