"""Models that are no use, made of the tiny one beside it. Runs in a pod."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

BF16_BYTES = 2
WIDE = 1 << 18


def change(path: Path, **fields: Any) -> None:
    """Sets fields of a JSON object; None removes one."""
    content = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def widen(path: Path, old: int, new: int) -> None:
    """Tensors of zeros, with another size wherever the old one stands: a file with a hole, so that it takes no room."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    end = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            tensor["shape"] = [new if size == old else size for size in tensor["shape"]]
            size = BF16_BYTES
            for length in tensor["shape"]:
                size *= length
            tensor["data_offsets"] = [end, end := end + size]
    content = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(content).to_bytes(8, "little") + content)
        file.truncate(8 + len(content) + end)


def main(models: Path) -> None:
    """Makes them all."""
    for name in ("no-tokenizer", "no-template", "foreign", "fat"):
        shutil.copytree(models / "tiny", models / name)
    for file in (models / "no-tokenizer").glob("*token*"):
        file.unlink()
    (models / "no-template" / "chat_template.jinja").unlink(missing_ok=True)
    change(models / "no-template" / "tokenizer_config.json", chat_template=None)
    tokenizer = json.loads((models / "foreign" / "tokenizer.json").read_text())
    told = tokenizer["added_tokens"]
    more = [{**told[-1], "id": 512 + number, "content": f"<|foreign-{number}|>"} for number in range(200)]
    change(models / "foreign" / "tokenizer.json", added_tokens=told + more)
    # At least 1.5 GiB of weights: 512 is the size of the feed-forward layers, and perhaps of the vocabulary.
    config = json.loads((models / "fat" / "config.json").read_text())
    wide = {key: WIDE for key in ("intermediate_size", "vocab_size") if config[key] == 512}
    change(models / "fat" / "config.json", **wide)
    widen(models / "fat" / "model.safetensors", 512, WIDE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
