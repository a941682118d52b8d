"""`vllm-operator inspect`: reads a model, leaves the report where Kubernetes looks for it. Runs in the inspect Job."""

import os
from pathlib import Path

from .report import InspectionError, encode, encode_error
from .sources import read_folder, read_hub


def inspect(repository: str | None, folder: Path | None, revision: str | None, output: Path) -> int:
    """Writes the report about a repository of the hub or a folder to `output`; returns the exit status."""
    try:
        facts = read_folder(folder) if folder else read_hub(str(repository), revision, os.environ.get("HF_TOKEN"))
        report = encode(facts)
    except InspectionError as error:
        output.write_text(encode_error(error))
        print(f"{error.reason}: {error}", flush=True)  # noqa: T201 - the Job's log
        return 1
    output.write_text(report)
    print(report, flush=True)  # noqa: T201
    return 0
