"""`vllm-operator inspect`: reads a model, leaves the report where Kubernetes looks for it. Runs in the inspect Job."""

import os
import traceback
from pathlib import Path

from ..api.reasons import Reason
from .report import Facts, InspectionError, encode, encode_error
from .sources import read_folder, read_hub


def inspect(repository: str | None, folder: Path | None, revision: str | None, output: Path) -> int:
    """Writes the report about a repository of the hub or a folder to `output`; returns the exit status."""
    try:
        report = encode(_facts(repository, folder, revision))
    except InspectionError as error:
        output.write_text(encode_error(error))
        print(f"{error.reason}: {error}", flush=True)  # noqa: T201 - the Job's log
        return 1
    output.write_text(report)
    print(report, flush=True)  # noqa: T201
    return 0


def _facts(repository: str | None, folder: Path | None, revision: str | None) -> Facts:
    """What is found. Raises InspectionError whatever happens: the operator has no other word of it."""
    try:
        return read_folder(folder) if folder else read_hub(str(repository), revision, os.environ.get("HF_TOKEN"))
    except InspectionError:
        raise
    except Exception as error:
        traceback.print_exc()
        text = f"the model's files are like no model's ({type(error).__name__}): the inspect Job's log has more"
        raise InspectionError(Reason.UNREADABLE, text) from error
