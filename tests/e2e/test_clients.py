"""The files in examples/clients, run as a user runs them, against the real vLLM."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.end_to_end import KEY
from support.kube import Kube
from support.serving import EXAMPLES

CLIENTS = sorted([*(EXAMPLES / "clients").glob("*.py"), *(EXAMPLES / "clients").glob("*.sh")])


def run(client: Path, url: str, model: str, key: str = "none") -> str:
    """What a client prints; it must end well."""
    environment = {**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": key, "MODEL": model}
    command = ["bash" if client.suffix == ".sh" else sys.executable, str(client)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("client", CLIENTS, ids=lambda path: path.name)
def test_the_client_gets_its_answers(fleet: Kube, client: Path) -> None:
    assert run(client, fleet.url("tiny"), "tiny").strip()


def test_the_openai_sdk_says_what_is_wrong_with_a_model_and_a_key(fleet: Kube) -> None:
    fleet.ready("keyed")
    said = run(EXAMPLES / "clients" / "openai_errors.py", fleet.url("keyed"), "keyed", KEY)
    assert "wrong model: 404" in said
    assert "wrong key:  401" in said


def test_there_are_clients_to_run() -> None:
    assert {path.name for path in CLIENTS} >= {"openai_sdk.py", "langchain_chat.py", "llamaindex_chat.py", "curl.sh"}
