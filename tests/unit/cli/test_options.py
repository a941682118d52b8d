"""The command starts at once: what takes long to import is left to the commands that need it."""

import resource
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from cluster.host import REPOSITORY

# Each takes a good part of the half second that a command has.
SLOW = ("aiohttp", "huggingface_hub", "kopf", "kubernetes", "prometheus_client", "pydantic", "yaml")
CPU_SECONDS = 0.5
RUN = """
import atexit, sys
atexit.register(lambda: print(*sorted(set(sys.modules) & set({slow!r})), file=sys.stderr))
from vllm_operator.__main__ import main
sys.argv[1:] = {words!r}
main()
"""


class Ran(NamedTuple):
    """What a command printed, which of the slow packages it imported, and its CPU time."""

    output: str
    imported: str
    seconds: float


def run(*words: str) -> Ran:
    command = [sys.executable, "-c", RUN.format(slow=SLOW, words=list(words))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {"PYTHONPATH": str(REPOSITORY / "operator")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Ran(done.stdout, done.stderr.strip(), seconds)


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], *([name, "--help"] for name in ("plan", "status", "run"))]
)
def test_a_command_starts_in_half_a_second_of_cpu(words: list[str]) -> None:
    ran = run(*words)
    assert ran.output
    assert ran.imported == ""
    assert ran.seconds < CPU_SECONDS


@pytest.mark.parametrize("words", [["status"], ["run", "--settings=none.yaml"]])
def test_who_asks_the_api_server_loads_no_client_that_nobody_uses(words: list[str], tmp_path: Path) -> None:
    loaded = ("kubernetes.aio.client", "kubernetes.dynamic", "oauthlib", "requests")
    command = [sys.executable, "-c", RUN.format(slow=loaded, words=words)]
    environment = {"PYTHONPATH": str(REPOSITORY / "operator"), "KUBECONFIG": str(tmp_path / "none")}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode
    assert ran.stderr.splitlines()[-1] == "kubernetes.aio.client"


def test_the_version_is_the_projects_and_names_vllms() -> None:
    chart = (REPOSITORY / "charts" / "vllm-operator" / "Chart.yaml").read_text()
    (version,) = (line.removeprefix("appVersion: ") for line in chart.splitlines() if line.startswith("appVersion: "))
    values = (REPOSITORY / "charts" / "vllm-operator" / "values.yaml").read_text()
    said = run("--version").output
    assert said.startswith(f"vllm-operator {version}, made for vLLM ")
    assert f"vllm/vllm-openai:v{said.split()[-1]}" in values
