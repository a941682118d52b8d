"""The program in the pods of a batch: checks the input, asks vLLM's engine, merges the answers.

It runs in any image with vLLM, so it imports nothing of ours and, but for engine.py and the tokenizer of context.py,
only Python's standard library (3.10). In a pod it is one file: these modules one after the other (`source()`), packed.
"""

from functools import cache
from pathlib import Path

from ..carried import carried, joined

CHECK, RUN, MERGE = STEPS = ("check", "run", "merge")
"""What the program does, each in a Job of its own."""

OLDEST_RELEASE = (0, 32)
"""Of vLLM, whose modules engine.py imports. 0.11.2 has others; of the releases between, no sources were at hand."""

# In the order in which they import each other; names are unique over all of them.
_READING = ("faults", "buckets", "lines", "context", "survey", "outbox", "journal")
_MODULES = (*_READING, "pages", "engine", "work", "merging", "command")


@cache
def source() -> str:
    """The program as one file of plain Python."""
    return joined(Path(__file__).parent, _MODULES)


@cache
def runner() -> str:
    """The same as each pod of a batch carries it, less than half as large."""
    return carried(source(), "vllm/batch/")
