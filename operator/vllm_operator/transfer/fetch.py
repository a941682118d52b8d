"""`transfer fetch`: brings into a pod what its step reads. Runs before the step's own container.

The fence of a merge (vllm/batch/merging.py) is made here where the output is a bucket: an object that is made once
says how far each journal counts, and only that much is brought.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ..vllm.batch import CHECK, RUN
from ..vllm.batch.lines import ERRORS
from ..vllm.batch.merging import FENCE, REPORT, output_names
from ..vllm.batch.survey import parts_key
from .bucket import BucketError, MissingError, Place, together, write_at
from .parts import KEPT, Segment, joined, length, segments
from .plain import created, writable

FILE_BYTES = 255  # of a name


class WrongInputError(Exception):
    """The input is not what it should be. Its text is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a pod reads and writes."""

    step: str
    uid: str
    index: int
    input: Place | None
    """None: it is no bucket."""
    output: Place | None
    input_folder: Path
    output_folder: Path
    push_folder: Path

    @property
    def parts(self) -> Path:
        """Where the runner keeps what it has."""
        return self.output_folder / parts_key(self.uid)


def fetch_input(order: Order) -> None:
    """Brings the file, or the files of a folder. Raises BucketError and WrongInputError."""
    place = order.input
    if place is None:
        return
    names = sorted(_names(place))
    source = replace(place, uri=place.uri.rpartition("/")[0])
    if order.output:
        _refuse_overwriting(source, order.output, names)
    order.input_folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        with created(order.input_folder, name) as file:
            source.download(name, file)


def _names(place: Place) -> Iterator[str]:
    if not place.uri.endswith("/"):
        yield place.uri.rpartition("/")[2]
        return
    found = [one.key for one in place.files() if one.key.endswith(".jsonl") and not one.key.startswith(".")]
    if not found:
        raise WrongInputError(f"no object in {place.uri} ends in .jsonl: name the files of requests so")
    for name in found:
        if len(name.encode()) > FILE_BYTES or "\0" in name:
            raise WrongInputError(f"the name of {name[:80]}... in {place.uri} is too long for a file: rename it")
        if name.endswith(ERRORS):
            raise WrongInputError(f"{place.uri}{name} is named like a file of errors: move it out of the input")
        yield name


def _refuse_overwriting(source: Place, output: Place, names: list[str]) -> None:
    if source.bucket != output.bucket:  # one store may have several names
        return
    given = {source.key(name) for name in names}
    for name in names:
        if any(output.key(made) in given for made in output_names(name)):
            raise WrongInputError(
                f"the output would overwrite {name} of the input, as both name bucket {source.bucket} (whatever their "
                "endpoints, which may lead to one store): write another folder for it"
            )


def fetch_parts(order: Order) -> None:
    """Brings what was left of the batch so far, as far as the step reads it. Raises BucketError."""
    if order.output is None:
        return
    order.output_folder.mkdir(parents=True, exist_ok=True)
    root = parts_key(order.uid)
    kept = {Path(one.key).name for one in order.output.files(root)} & {FENCE, *KEPT}
    if order.step == CHECK:  # what another check has left may be of another input
        return
    for name in sorted(kept):
        with created(order.output_folder, f"{root}/{name}") as file:
            order.output.download(f"{root}/{name}", file)
    if REPORT in kept:
        return
    if order.step == RUN:
        found = segments(order.output.files(f"{root}/{order.index}", below=True), order.uid)
        _bring(order, {name: length(parts) for name, parts in found.items()}, found)
    else:
        found = segments(order.output.files(root, below=True), order.uid)
        _bring(order, _fence(order, order.output, found), found)


def _fence(order: Order, output: Place, found: dict[str, list[Segment]]) -> dict[str, int]:
    """How far each journal counts. Whoever makes it first decides."""
    key = f"{parts_key(order.uid)}/{FENCE}"
    sizes = [(name, length(parts)) for name, parts in sorted(found.items())]
    output.write_new(key, json.dumps(sizes).encode())
    decided = output.read(key)
    with created(order.output_folder, key) as file:
        file.write(decided)
    return {str(name): int(size) for name, size in json.loads(decided)}


def _bring(order: Order, sizes: dict[str, int], found: dict[str, list[Segment]]) -> None:
    """Makes files of journals, as long as said. Raises BucketError where a part of one is missing."""
    work = []
    for name, size in sizes.items():
        parts = joined(found.get(name, ()))
        if not parts or parts[-1].end < size:
            raise BucketError(f"a part of {name} is missing: another pod may have merged the batch", passes=True)
        with created(order.output_folder, f"{parts_key(order.uid)}/{name}") as file:
            file.truncate(size)
        work += [partial(_bring_one, order, one, size) for one in parts if one.start < size]
    together(work)


def _bring_one(order: Order, segment: Segment, size: int) -> None:
    assert order.output is not None
    try:
        content = order.output.read(f"{parts_key(order.uid)}/{segment.key}")
    except MissingError as error:
        raise BucketError(str(error), passes=True) from error
    with writable(order.output_folder, f"{parts_key(order.uid)}/{segment.name}") as file:
        write_at(file.fileno(), content[: size - segment.start], segment.start)
