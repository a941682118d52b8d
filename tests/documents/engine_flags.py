"""Writes what the pinned vLLM's own parser knows of its flags into the operator's catalogue: `make engine-flags`.

It installs vLLM's CPU build on first use, so it is no part of `make generated`. Run it when the pinned vLLM changes:
the difference is what changed. tests/vllm_parser holds the file against the parser.
"""

import json
from typing import Any

from cluster.host import REPOSITORY
from support.real_vllm.environment import Parser

FACTS = REPOSITORY / "operator" / "vllm_operator" / "api" / "flags" / "vllm.json"


def written(catalogue: list[dict[str, Any]]) -> str:
    """The file: one flag a line, by name."""
    lines = (json.dumps(flag) for flag in sorted(catalogue, key=lambda flag: str(flag["name"])))
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    parser = Parser()
    FACTS.write_text(written(parser.facts["catalogue"]))
    parser.close()
