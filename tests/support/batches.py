"""Inputs of batches, their program as a command, and what it leaves."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

UID = "b1"


def line(custom_id: str, prompt: str, url: str = "/v1/completions") -> bytes:
    """A line of the input."""
    row = {"custom_id": custom_id, "method": "POST", "url": url, "body": {"prompt": prompt, "max_tokens": 8}}
    return json.dumps(row).encode() + b"\n"


def write_input(path: Path, prompts: Iterable[str]) -> Path:
    """A file of requests r0, r1, ... with these prompts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for number, prompt in enumerate(prompts):
            file.write(line(f"r{number}", prompt))
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    """The lines of an output."""
    return [json.loads(text) for text in path.read_bytes().splitlines()]


def where(source: Path, output: Path) -> list[str]:
    """The options that all commands have."""
    return [f"--input={source}", f"--output={output}", f"--uid={UID}"]


def run_words(source: Path, output: Path, index: int = 0, count: int = 1) -> list[str]:
    """The command line of a pod; the port is any that is free."""
    return ["run", *where(source, output), f"--index={index}", f"--count={count}", "--port=0"]
