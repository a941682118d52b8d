"""A benchmark that is a row of steps: a line for each with its seconds, or with what did not come about."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

_Subject = TypeVar("_Subject")


def goes_through(
    steps: Sequence[Callable[[_Subject], str]],
    subject: _Subject,
    why: Callable[[], str] = str,
    *,
    after_a_failure: bool = False,
) -> bool:
    """Whether all came about. `why`: more about one that did not; `after_a_failure`: the others are tried as well."""
    names = [step.__name__.replace("_", " ") for step in steps]
    width, held = max(map(len, names)), True
    for step, name in zip(steps, names, strict=True):
        began = time.monotonic()
        try:
            said = step(subject)
        except AssertionError as error:
            print(f"FAILED {name}: {error}\n{why()}".rstrip(), flush=True)
            held = False
            if not after_a_failure:
                break
        else:
            print(f"{name:{width}} {time.monotonic() - began:6.1f} s  {said}", flush=True)
    return held
