"""The line that matters among the last lines of a container's log. Pure: text in, text out; it judges no cause.

The text is what Kubernetes keeps of a failed container (terminationMessagePolicy FallbackToLogsOnError): the last 80
lines or 2 KiB, so it often starts in the middle of a traceback.
"""

import re

from ..api.limits import lines_of
from .redaction import LINE_MAX

# torch's logger has a form of its own (torch/_logging/_internal.py). It tells only of what torch goes on after, as of
# kernels that it tries and leaves out: of such lines none is what ended a process.
_OF_TORCH = re.compile(r"[A-Z]\d{4} \d\d:\d\d:\d\d\.\d+ \d+ [^\]\s]+\](?: \[(?:\d+/\d+(?:_\d+)?|__\w+)\]){0,2}")
# vLLM puts the process, and its logger the level, time and place, before each line; torchrun-like launchers the rank.
_PREFIX = re.compile(
    r"^(?:\([^()]*\bpid=\d+\)\s?|\[rank\d+\]:\s?)*"
    r"(?:(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d+)? \[[^\]]*\] ?)?"
    rf"(?:{_OF_TORCH.pattern} )?"
)
# What is said at these levels ended no process: it went on, and users' words may be in it. uvicorn tells no time. An
# engine that failed tells last what it had been given (vllm/logging_utils/dump_input.py).
_GOES_ON = re.compile(r"\b(?:DEBUG|INFO|WARNING) \d\d-\d\d |^(?:DEBUG|INFO|WARNING):|\bdump_input\.py:\d+\]")
# huggingface_hub's logger puts no level before what it says.
_IGNORED = re.compile(r"^Ignored error while |Will ignore error and continue\b")
# What vLLM says at ERROR and goes on after: tries to ask the hub (vllm/transformers_utils/repo_utils.py), a cache that
# it does without (vllm/model_executor/models/registry.py), and requests that failed alone (vllm/v1/engine/core.py).
# What follows in the same record, a traceback, belongs to it.
_WENT_ON = re.compile(
    r"^Error retrieving (?:file list|safetensors): |, retrying \d+ of \d+$|^Error saving model info cache\.$"
    r"|^Unexpected error pre-processing request "
)
# So do calls, once it serves; as it starts it ends of one, like that to load an adapter.
_CALL_FAILED = re.compile(r"^Invocation of \w+ method failed$")
# The file and line of the statement that logs, at the end of a prefix.
_PLACE = re.compile(r"\[[^\]\s]+:\d+\]$")
# The processes that talk to users: what engines end in, these only hear of.
_SERVER = re.compile(r"\((?:APIServer|ApiServer_\d+) pid=")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# "ValueError: text" or "torch.OutOfMemoryError: text", at the start of a line.
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*(?:[A-Z]\w*)?(?:Error|Exception|Exit|Interrupt)(?:: |$)")
# Any other name is one where a traceback ends in it: "triton.runtime.errors.OutOfResources: text".
_NAME = re.compile(r"^(?:[A-Za-z_]\w*\.)+[A-Z]\w*(?:: |:?$)")
# One that says nothing.
_BARE = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*:?")
_USAGE = re.compile(r"^[\w. -]+: error: ")
# What ends a process past Python: its own fault handler, C++, Rust.
_CRASH = re.compile(r"^(?:Fatal Python error: |terminate called |thread '[^']*' (?:\(\d+\) )?panicked at )")
_WHAT = re.compile(r"^\s+what\(\):\s+")
# Of a compiler or linker, whose own words stand before.
_BUILD_FAILED = re.compile(r"^(?:\w+\.)*CalledProcessError: |^ninja: build stopped")
_INPUT = re.compile(r" \[type=\w+, input_value=.*$")
# As pydantic begins, where a class of vLLM's configuration does not take what it was given.
_REFUSAL = re.compile(r"\bvalidation errors? for \w+Config\b")
WORKER_FAILED = "WorkerProc initialization failed"
# They say that something failed, not what: a better line is taken where there is one.
WRAPPERS = (
    "Engine core initialization failed",
    WORKER_FAILED,
    "Worker failed with error",
    "EngineCore encountered an issue",
    "failed to be inspected. Please check the logs for more details.",
)
# Near the beginning of what vLLM says: where it is there, nothing was cut off.
_BEGINNING, _TRACEBACK = " non-default args: ", "Traceback (most recent call last):"
_FRAME = '  File "'
_AT = re.compile(r'  File "(?:[^"\n]{1,400}/)?(?P<file>[^"/\n]{1,80})", line (?P<line>\d{1,7})')
# What Python begins with where it goes on after an exception: in a destructor, at exit. And its process that keeps
# account of shared memory, which complains of what another one has removed.
_PYTHON_GOES_ON = re.compile(r"^(?:Exception ignored (?:in|while|on)\b|Error in atexit\._run_exitfuncs:)")
_TRACKER = "/multiprocessing/resource_tracker.py"
# Of those that talked to the process that ended.
_ECHOES = ("BrokenPipeError: ", "RuntimeError: cancelled")
# Of such a one that says what it heard.
_HEARD = "gloo/transport/tcp/pair.cc"
_NOISE = re.compile(
    r"^(?:Traceback |File \"|The above exception was|During handling of the above|For further information visit"
    r"|warnings\.warn\(|\^+$|~*\^+~*$|sys\.exit\(|usage: )|resource_tracker: |destroy_process_group\(\)"
    r"|\d% Completed \|"
)


def cleaned(text: str) -> str:
    """The text without what vLLM and its logger put before each line."""
    return "\n".join(line.rstrip() for _, line in _lines(text))


def fatal(text: str, *, served: bool = False) -> str:
    """The same, without what a process went on after. `served`: and without what the server says, which has users'."""
    return "\n".join(line for _, line in _fatal(text, served=served))


def raised(text: str, *, served: bool = False) -> str:
    """What the exceptions and crashes of such lines say, one a line; and a build that failed: no users were yet."""
    lines = _fatal(text, served=served)
    found = [_exception(lines, at) for at in _exceptions(lines)]
    found += (
        " ".join(line for _, line in lines[at : at + 2]) for at, (_, one) in enumerate(lines) if _CRASH.match(one)
    )
    if not served and any(_BUILD_FAILED.search(line) for _, line in lines):
        found += (line for prefix, line in lines if not prefix)
    return "\n".join(found)


def exception_names(text: str) -> list[str]:
    """Names of the exceptions in the text, without the modules they are from: nothing of what they say."""
    lines = _lines(text)
    return [lines[at][1].split(":", 1)[0].rsplit(".", 1)[-1] for at in _exceptions(lines)]


def last_error(text: str, *, served: bool = False) -> str:
    """The error that a failed process ended with, on one line; empty where it told none.

    In this order: the last exception that tells a cause, argparse's error, a crash, what one process heard of another,
    the last wrapper. An exception's further lines belong to it, without pydantic's dump of the input.
    """
    lines = _fatal(text, served=served)
    if (at := _telling(lines)) is not None:
        return _exception(lines, at)
    usage = [line for _, line in reversed(lines) if _USAGE.match(line)]
    crashes = [said] if (said := crash(text)) else []
    others = [words for at in reversed(_exceptions(lines)) if (words := _exception(lines, at))]
    heard = [words for words in others if _HEARD in words]
    return next(iter([*usage, *crashes, *heard, *others]), "")


def place_of_last_error(text: str) -> str:
    """Where vLLM's code ended, as file, line and statement, where its last error is a name alone; else empty."""
    lines = _fatal(text, served=False)
    at = _telling(lines)
    if at is None or not _BARE.fullmatch(_exception(lines, at)):
        return ""
    prefix = lines[at][0]
    before = range(at - 1, -1, -1)
    frame = next((one for one in before if lines[one][0] == prefix and lines[one][1].startswith(_FRAME)), at)
    if not (place := _AT.match(lines[frame][1])):
        return ""
    statement = lines[frame + 1][1].strip() if frame + 1 < at and lines[frame + 1][0] == prefix else ""
    return f"{place['file']}:{place['line']}" + (f": {statement}" if statement else "")


def refuses_values(text: str) -> bool:
    """Whether the exception that tells a cause is of vLLM's configuration, which refuses what vLLM was given."""
    lines = _fatal(text, served=False)
    at = _telling(lines)
    return at is not None and bool(_REFUSAL.search(lines[at][1]))


def _telling(lines: list[tuple[str, str]]) -> int | None:
    """Where the last exception stands that says what failed; None where none does."""
    for at in reversed(_exceptions(lines)):
        if (words := _exception(lines, at)) and _HEARD not in words and not only_points_elsewhere(words):
            return at
    return None


def crash(text: str) -> str:
    """What a process said that ended past Python, on one line; empty where none did."""
    lines = [line for _, line in _lines(text)]
    at = next((at for at, line in enumerate(lines) if _CRASH.match(line)), None)
    if at is None:
        return ""
    # C++ tells the exception's words on the next line.
    words = "".join(line for line in lines[at + 1 : at + 2] if _WHAT.match(line))
    return f"{lines[at]}{_WHAT.sub(': ', words)}"


def last_line(text: str) -> str:
    """The last line that is no part of a traceback; empty where there is none."""
    lines = (line.strip() for _, line in reversed(_lines(text)))
    return next((line for line in lines if line and not _NOISE.search(line)), "")


def _lines(text: str) -> list[tuple[str, str]]:
    """Prefix and rest of each line, without the tracebacks of what Python itself goes on after."""
    lines = _split(text)
    # By the prefix of its lines: where those of the traceback stand that has not ended.
    begun, passed = dict[str, list[int]](), set[int]()
    for at, (prefix, line) in enumerate(lines):
        if _PYTHON_GOES_ON.match(line):
            begun[prefix] = [at]
        elif line.startswith((_TRACEBACK, _FRAME)):
            begun.setdefault(prefix, []).append(at)
        elif prefix in begun and (not line or line[0].isspace()):
            begun[prefix].append(at)
        else:
            told = [*begun.pop(prefix, []), at]
            if _is_exception(line) and _python_goes_on([lines[one][1] for one in told]):
                passed.update(told)
    return [one for at, one in enumerate(lines) if at not in passed]


def _is_exception(line: str) -> bool:
    """Whether a traceback may end in it."""
    return bool(_EXCEPTION.match(line) or _NAME.match(line))


def _python_goes_on(traceback: list[str]) -> bool:
    """Whether a traceback is of a destructor and the like, or was raised by the tracker."""
    raised_in = next((line for line in reversed(traceback) if line.startswith(_FRAME)), "")
    return bool(_PYTHON_GOES_ON.match(traceback[0])) or _TRACKER in raised_in


def _split(text: str) -> list[tuple[str, str]]:
    """Prefix and rest of each line."""
    lines = []
    for line in (_COLOUR.sub("", line[:LINE_MAX]) for line in lines_of(text)):
        prefix = _PREFIX.match(line)
        end = prefix.end() if prefix else 0
        lines.append((line[:end].rstrip(), line[end:].rstrip()))
    return lines


def _fatal(text: str, *, served: bool) -> list[tuple[str, str]]:
    lines = _lines(text)
    went_on = {_place(prefix) for prefix, line in lines if _went_on(line, served=served)} - {""}
    return [
        one
        for one in lines
        if not (
            _is_passing(*one)
            or _went_on(one[1], served=served)
            or _place(one[0]) in went_on
            or (served and _SERVER.match(one[0]))
        )
    ]


def _went_on(line: str, *, served: bool) -> bool:
    """Whether vLLM goes on after what a record of its logger begins with."""
    return bool(_WENT_ON.search(line) or (served and _CALL_FAILED.search(line)))


def _place(prefix: str) -> str:
    """Where in vLLM's code a line is logged; empty where it does not tell."""
    match = _PLACE.search(prefix)
    return match[0] if match else ""


def _is_passing(prefix: str, line: str) -> bool:
    """Whether a process goes on after it."""
    return any(
        (
            _OF_TORCH.search(prefix),
            _GOES_ON.search(prefix),
            _GOES_ON.match(line),
            _IGNORED.search(line),
        )
    )


def _exceptions(lines: list[tuple[str, str]]) -> list[int]:
    """Where an exception stands: by its name, or as what the traceback before it ends in."""
    found, tracebacks = [], set[str]()
    for at, (prefix, line) in enumerate(lines):
        if line.startswith((_TRACEBACK, _FRAME)):
            tracebacks.add(prefix)
        elif line and not line[0].isspace():
            if _EXCEPTION.match(line) or (prefix in tracebacks and _NAME.match(line)):
                found.append(at)
            tracebacks.discard(prefix)
    return found


def only_points_elsewhere(words: str) -> bool:
    """Whether an error says that something failed, and not what."""
    return any(text in words for text in (*WRAPPERS, *_ECHOES))


def tells_every_exception(text: str) -> bool:
    """Whether a log has its beginning, and no traceback in it ends in what is not known for an exception."""
    exceptions, tracebacks = len(exception_names(text)), sum(_TRACEBACK in line for _, line in _lines(text))
    return _BEGINNING in text and 0 < exceptions >= tracebacks


def _exception(lines: list[tuple[str, str]], at: int) -> str:
    """The exception in line `at` with the lines that belong to it: what follows until some other output."""
    prefix, first = lines[at]
    words = [first]
    for other, line in lines[at + 1 :]:
        if other != prefix or _NOISE.search(line.strip()) or _EXCEPTION.match(line):
            break
        words.append(_INPUT.sub("", line.strip()))
    if _REFUSAL.search(words[0]) and len(words) > 1:
        # "N validation errors for ModelConfig" and a field's name say less than what follows them.
        words = [word.removeprefix("Value error, ") for word in words[1:]]
    return " ".join(word for word in words if word)
