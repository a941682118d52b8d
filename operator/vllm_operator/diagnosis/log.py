"""The line that matters among the last lines of a container's log. Pure: text in, text out; it judges no cause.

The text is what Kubernetes keeps of a failed container (terminationMessagePolicy FallbackToLogsOnError): the last 80
lines or 2 KiB, so it often starts in the middle of a traceback.
"""

import re

# vLLM puts the process, and its logger the level, time and place, before each line; torchrun-like launchers the rank.
_PREFIX = re.compile(
    r"^(?:\([^()]*\bpid=\d+\)\s?|\[rank\d+\]:\s?)*"
    r"(?:(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d+)? \[[^\]]*\] ?)?"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# "ValueError: text" or "torch.OutOfMemoryError: text", at the start of a line.
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt)(?:: |$)")
_USAGE = re.compile(r"^[\w. -]+: error: ")
_INPUT = re.compile(r" \[type=\w+, input_value=.*$")
# They say that something failed, not what: a better line is taken where there is one.
_WRAPPERS = ("Engine core initialization failed", "Engine process failed to start", "WorkerProc initialization failed")
_NOISE = re.compile(
    r"^(?:Traceback |File \"|The above exception was|During handling of the above|For further information visit"
    r"|warnings\.warn\(|\^+$|~*\^+~*$|sys\.exit\(|usage: )|resource_tracker: |destroy_process_group\(\)"
)


def last_words(text: str) -> str:
    """What a failed process said last that means something, on one line; empty where it said nothing.

    In this order: the last exception that is no wrapper, the last wrapper, argparse's error, the last line that is no
    part of a traceback. An exception's further lines belong to it, without pydantic's dump of the input.
    """
    lines = [_PREFIX.sub("", _COLOUR.sub("", line), count=1).rstrip() for line in text.splitlines()]
    exceptions = [at for at, line in enumerate(lines) if _EXCEPTION.match(line)]
    told = [words for at in reversed(exceptions) if (words := _exception(lines, at))]
    usage = [line for line in reversed(lines) if _USAGE.match(line)]
    plain = [line.strip() for line in reversed(lines) if line.strip() and not _NOISE.search(line.strip())]
    return next(iter([*(words for words in told if not _wraps(words)), *usage, *told, *plain]), "")


def _wraps(words: str) -> bool:
    return any(wrapper in words for wrapper in _WRAPPERS)


def _exception(lines: list[str], at: int) -> str:
    """The exception in line `at` with the lines that belong to it: all until an empty one or other output."""
    words = [lines[at]]
    for line in lines[at + 1 :]:
        if not line.strip() or _NOISE.search(line.strip()) or _EXCEPTION.match(line):
            break
        words.append(_INPUT.sub("", line.strip()))
    if "validation error for" in words[0] and len(words) > 1:
        # "N validation errors for ModelConfig" and a field's name say less than what follows them.
        return " ".join(word.removeprefix("Value error, ") for word in words[1:])
    return " ".join(words)
