"""`kubectl vllm status`, `logs` and `batch`, run as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path

from cluster.host import REPOSITORY


def vllm(kubeconfig: Path | str, *words: str, seconds: float = 60) -> tuple[int, str, str]:
    """Exit status, stdout and stderr."""
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(REPOSITORY / "operator")}
    command = [sys.executable, "-m", "vllm_operator", *words]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=seconds)
    return result.returncode, result.stdout, result.stderr


def table(kubeconfig: Path | str, *words: str) -> dict[str, list[str]]:
    """The rows of `status` by the service's name, cut at their columns."""
    status, text, said = vllm(kubeconfig, "status", *words)
    assert status == 0, said
    lines = text.partition("\n\n")[0].splitlines()
    cells = [[cell for part in line.split("   ") if (cell := part.strip())] for line in lines]
    assert {len(row) for row in cells} == {len(cells[0])}, text
    return {row[1]: row for row in cells[1:]}
