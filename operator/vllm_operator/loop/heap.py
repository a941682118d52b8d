"""What is done about memory that is free: glibc keeps it, and Python looks for it too often. Both cost a tenth.

glibc learns from what is freed to keep more, and has a heap for every thread. See mallopt(3); other C libraries have
none. Python looks through what is new at every 700 objects more: a list of a watch has thousands that all stay.
"""

import ctypes
import gc

from ..api.limits import KIB

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
# glibc's own values, which it does not change any more once they are set.
_BYTES = 128 * KIB
_NEW_OBJECTS, _YOUNGER, _YOUNG = 10_000, 20, 20


def give_back() -> None:
    """From now on freed memory goes back to the system, and all threads share one heap."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        for parameter, value in ((_TRIM_THRESHOLD, _BYTES), (_MMAP_THRESHOLD, _BYTES), (_ARENA_MAX, 1)):
            mallopt(parameter, value)


def collect_seldom() -> None:
    """From now on cycles are looked for less often, and not in what has been loaded: that stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, _YOUNGER, _YOUNG)
