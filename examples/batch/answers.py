"""The answers of a batch, and what failed, beside its requests.

python answers.py in.jsonl out/in.jsonl out/in.errors.jsonl
"""

import json
import sys
from pathlib import Path
from typing import Any


def rows(path: str) -> dict[str, dict[str, Any]]:
    """The lines of a file by their custom_id."""
    return {row["custom_id"]: row for row in map(json.loads, Path(path).read_text().splitlines())}


requests, answers, errors = map(rows, sys.argv[1:])
for name, request in requests.items():
    if name in answers:
        print(f"{name}: {request['body']['prompt']!r} {answers[name]['response']['body']['choices'][0]['text']!r}")
    else:
        print(f"{name}: {request['body']['prompt']!r} failed: {errors[name]['error']['message']}")
