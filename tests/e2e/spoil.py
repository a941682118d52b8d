"""Models that are no use, made of the tiny one beside it. Runs in a pod."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any


def change(path: Path, **fields: Any) -> None:
    """Sets fields of a JSON object; None removes one."""
    content = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def main(models: Path) -> None:
    """Makes them all."""
    for name in ("no-tokenizer", "no-template", "foreign"):
        shutil.copytree(models / "tiny", models / name)
    for file in (models / "no-tokenizer").glob("*token*"):
        file.unlink()
    (models / "no-template" / "chat_template.jinja").unlink(missing_ok=True)
    change(models / "no-template" / "tokenizer_config.json", chat_template=None)
    tokenizer = json.loads((models / "foreign" / "tokenizer.json").read_text())
    told = tokenizer["added_tokens"]
    more = [{**told[-1], "id": 512 + number, "content": f"<|foreign-{number}|>"} for number in range(200)]
    change(models / "foreign" / "tokenizer.json", added_tokens=told + more)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
