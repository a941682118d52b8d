"""Where the output is a bucket: another container of the pod copies there what lies in the output folder.

Both talk through files of a folder that they share. This side writes a number into `wanted`; the other side then
copies all that is there, and repeats the number in `pushed`, or says why it cannot. Meanwhile `moved` changes with each
part that gets on its way.
"""

import json
import time
from pathlib import Path

from .faults import BatchError, OutputError

WANTED, PUSHED, MOVED = "wanted", "pushed", "moved"
# Without a part that gets on its way. Longer than a store is away while it is upgraded; then the pod is tried anew.
PUSH_SECONDS = 600.0
_AGAIN_SECONDS = 0.05
# How often a journal is copied: at first each second, then after a hundredth of its age, so that a pod which is lost
# loses no more than that, and a day of work is some thousand objects.
_SHORTEST, _PART, _LONGEST = 1.0, 0.01, 30.0


class Outbox:
    """Waits until the output is in the bucket; without a folder there is none, and nothing is waited for."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._since = time.monotonic()
        self._number = 0

    def pause(self) -> float:
        """Seconds until what was written is brought to where it lasts."""
        age = time.monotonic() - self._since
        return _SHORTEST if self._folder is None else min(max(_SHORTEST, age * _PART), _LONGEST)

    def push(self) -> None:
        """Returns when all that was written before is in the bucket. Raises BatchError where it cannot get there."""
        if self._folder is None:
            return
        self._number += 1
        write_whole(self._folder / WANTED, str(self._number))
        moved, since = "", time.monotonic()
        while True:
            said = dict(json.loads(_text(self._folder / PUSHED) or "{}"))
            if said.get("number") == self._number:
                if said.get("why"):
                    raise OutputError(said["why"])
                return
            if (now := _text(self._folder / MOVED)) != moved:
                moved, since = now, time.monotonic()
            if time.monotonic() > since + PUSH_SECONDS:
                text = f"the output is not in its bucket after {PUSH_SECONDS:g} s in which nothing got there"
                raise BatchError(f"{text}; see the log of `push`")
            time.sleep(_AGAIN_SECONDS)


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that who reads it sees all of it or what was there before.

    Always a new one: what another container has put in its place, a link or a pipe, is not written to.
    """
    partial = path.with_name(f"{path.name}.new")
    partial.unlink(missing_ok=True)
    with partial.open("x") as file:
        file.write(text)
    partial.replace(path)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
