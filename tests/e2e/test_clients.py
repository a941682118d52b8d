"""The files in examples/clients, run as a user runs them, against the real vLLM."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.conftest import EXAMPLES
from e2e.kube import Kube

CLIENTS = sorted((EXAMPLES / "clients").glob("*.py"))


@pytest.mark.parametrize("client", CLIENTS, ids=lambda path: path.stem)
def test_the_client_gets_its_answers(fleet: Kube, client: Path) -> None:
    environment = {**os.environ, "OPENAI_BASE_URL": fleet.url("tiny"), "OPENAI_API_KEY": "none", "MODEL": "tiny"}
    result = subprocess.run(
        [sys.executable, client], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.strip()


def test_there_are_clients_to_run() -> None:
    assert {path.stem for path in CLIENTS} >= {"openai_sdk", "langchain_chat", "llamaindex_chat"}
