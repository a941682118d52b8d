"""What glibc keeps of freed memory: of many services that come at once, a tenth of all that the operator has.

It learns from what is freed to keep more, and has a heap for every thread. See mallopt(3); other C libraries have none.
"""

import ctypes

from ..api.limits import KIB

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
# glibc's own values, which it does not change any more once they are set.
_BYTES = 128 * KIB


def give_back() -> None:
    """From now on freed memory goes back to the system, and all threads share one heap."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        for parameter, value in ((_TRIM_THRESHOLD, _BYTES), (_MMAP_THRESHOLD, _BYTES), (_ARENA_MAX, 1)):
            mallopt(parameter, value)
