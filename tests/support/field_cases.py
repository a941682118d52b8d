"""What people who run models on Kubernetes write, each with its right answer: the files in tests/field/cases."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cluster.host import REPOSITORY

FOLDER = REPOSITORY / "tests" / "field" / "cases"


@dataclass(frozen=True)
class Case:
    """One manifest as its user writes it, and what is to become of it."""

    name: str
    manifest: dict[str, Any]
    refused: list[str]
    """Parts of the sentences that refuse it; none where it is accepted."""
    args: list[str]
    """Parts of vLLM's command line."""
    env: dict[str, str]
    """Variables of vLLM's container."""
    text: list[str]
    """What stands anywhere in the children."""
    settings: dict[str, Any]
    """What the platform team has to allow for that, beside the defaults."""


def read(path: Path) -> Case:
    """The case in a file."""
    answer, manifest = yaml.safe_load_all(path.read_text())
    said = answer["answer"]
    assert len(said.keys() - {"settings"}) == 1, f"{path.name}: the answer is either `refused` or `accepted`"
    accepted = said.get("accepted") or {}
    assert accepted.keys() <= {"args", "env", "text"}
    assert "accepted" in said or said["refused"], f"{path.name}: a refusal says something"
    return Case(
        path.stem,
        manifest,
        said.get("refused", []),
        accepted.get("args", []),
        accepted.get("env", {}),
        accepted.get("text", []),
        said.get("settings", {}),
    )


CASES = [read(path) for path in sorted(FOLDER.glob("*.yaml"))]
