"""Finds vLLM's server in a container's command and arguments, also in a shell string, and what else is run there."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from ..part import Part
from ..report import Origin, Place
from .shell import commands_of
from .variables import ASSIGNMENT, Variable, Variables

_SHELLS = re.compile(r"(?:.*/)?(?:ba|da|z|k)?sh")
_MODULES = ("vllm.entrypoints.openai.api_server", "vllm.entrypoints.api_server", "vllm.entrypoints.cli.main", "vllm")
# Words before a program that change nothing of what it is told.
_WRAPPERS = (
    "exec",
    "nohup",
    "env",
    "time",
    "uv",
    "run",
    "sudo",
    "tini",
    "--",
    "dumb-init",
    "numactl",
    "if",
    "then",
    "do",
)
_QUIET = (
    "set",
    "echo",
    "sleep",
    "cd",
    "ulimit",
    "true",
    "date",
    "nvidia-smi",
    "ls",
    "fi",
    "done",
    "else",
    "printf",
    ":",
    "wait",
    "exit",
    "trap",
    "printenv",
    "rocm-smi",
    "hostname",
    "whoami",
    "cat",
    "df",
    "free",
    "sync",
    "which",
    "[",
    "[[",
    "test",
    "shift",
    "pwd",
    "curl",
    "tee",
    "chmod",
    "mkdir",
    "docker-compose",
    "source",
    ".",
)
_OTHERS = {
    "sglang": "SGLang", "text-generation-launcher": "TGI", "ollama": "Ollama", "llama-server": "llama.cpp",
    "trtllm-serve": "TensorRT-LLM", "tritonserver": "Triton", "lmdeploy": "LMDeploy",
}  # fmt: skip


ENGINES = ("docker", "podman", "nerdctl")


class Word(NamedTuple):
    """A word of a command line, and the leaf of the source that it stands in."""

    text: str
    place: Place


Piece = TypeVar("Piece", Word, Part)


@dataclass
class Launched:
    """What a container runs: the words after `vllm serve`, the other commands, and what starts the server."""

    words: list[Word] | None = None
    beside: list[tuple[str, Place]] = field(default_factory=list)
    quiet: list[tuple[str, Place]] = field(default_factory=list)
    other_server: str = ""
    program: tuple[Place, ...] = ()
    """Where the words stand that start the server, or the shell before it."""


def launched(command: Sequence[Part], arguments: Sequence[Part], variables: Variables, *, own: bool) -> Launched:
    """What a container with this command and these arguments runs. `own`: its image starts vLLM's server by itself."""
    words = [Word(variables.kubernetes(part.text), part.place) for part in (*command, *arguments)]
    result = Launched()
    if script := script_of(words):
        for one in commands_of(script.text, variables):
            _take(result, [Word(text, script.place) for text in one], variables)
        _rest_of_script(result, words, script)
        result.program = tuple(word.place for word in words[: words.index(script) + 1])
        return result
    _take(result, words, variables)
    if result.words is None and not result.other_server and own and not command:
        result.beside = []
        result.words = words
    kept = {word.place for word in result.words or ()}
    result.program = tuple(word.place for word in words if word.place not in kept)
    return result


def beside(commands: Iterable[Sequence[Part]]) -> Launched:
    """Commands of a script that has the server in a container: what there is to say of each."""
    result, variables = Launched(), Variables()
    for one in commands:
        _take(result, [Word(part.text, part.place) for part in one], variables)
    return result


def script_of(words: Sequence[Piece]) -> Piece | None:
    """The script that a shell is given."""
    texts = [word.text for word in words]
    at = next((at for at, text in enumerate(texts[:3]) if _SHELLS.fullmatch(text)), None)
    if at is None:
        return None
    for index in range(at + 1, len(words)):
        if not texts[index].startswith("-"):
            return words[index] if any("c" in option for option in texts[at + 1 : index]) else None
    return None


def _rest_of_script(result: Launched, words: Sequence[Word], script: Word) -> None:
    for word in words[words.index(script) + 1 :]:
        result.beside.append((word.text, word.place))


def _take(result: Launched, words: list[Word], variables: Variables) -> None:
    """One command: vLLM's, an assignment, or another one."""
    rest = _without_prefix(words, variables)
    if not rest:
        return
    found = _server(rest)
    if found is not None and result.words is None:
        result.words = found
        return
    program = rest[0].text.rsplit("/", 1)[-1]
    if program == "export":
        for word in rest[1:]:
            _assign(word, variables)
        return
    if program == "ray" or any(word.text == "ray" for word in rest[:2]):
        result.other_server = "Ray over several pods"
    texts = [word.text for word in rest[:3]]
    result.other_server = result.other_server or next(
        (name for key, name in _OTHERS.items() if any(key == text.rsplit("/", 1)[-1].split(".")[0] for text in texts)),
        "",
    )
    said = (" ".join(word.text for word in rest), rest[0].place)
    quiet = program in _QUIET or (program in ENGINES and "run" not in texts)
    (result.quiet if quiet else result.beside).append(said)


def _without_prefix(words: list[Word], variables: Variables) -> list[Word]:
    for at, word in enumerate(words):
        if ASSIGNMENT.fullmatch(word.text) and not word.text.startswith("-"):
            _assign(word, variables)
        elif word.text.rsplit("/", 1)[-1] not in _WRAPPERS and not (at and word.text.startswith("-")):
            return words[at:]
    return []


def _assign(word: Word, variables: Variables) -> None:
    if match := ASSIGNMENT.fullmatch(word.text):
        variables.add(Variable(match[1], Origin(word.place, f"{match[1]}= in the script"), match[2]))


def _server(words: list[Word]) -> list[Word] | None:
    """The words after `vllm serve`, where this command is one."""
    program = words[0].text.rsplit("/", 1)[-1]
    if program == "vllm" and len(words) > 1 and words[1].text == "serve":
        return words[2:]
    if program == "serve" or program.endswith("api_server.py"):
        return words[1:]
    if re.fullmatch(r"python[0-9.]*", program):
        for at, word in enumerate(words[1:-1], 1):
            if word.text == "-m" and words[at + 1].text in _MODULES:
                after = words[at + 2 :]
                return after[1:] if after and after[0].text == "serve" else after
            if not word.text.startswith("-"):
                break
        script = next((at for at, word in enumerate(words) if word.text.endswith("api_server.py")), None)
        return words[script + 1 :] if script else None
    return None
