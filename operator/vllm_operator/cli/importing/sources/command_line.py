"""A command line: `vllm serve`, `python -m vllm.entrypoints.openai.api_server`, or `docker run ... IMAGE ...`."""

import re
from collections.abc import Sequence

from ..documents import Document, ImportInputError, Sources
from ..draft import Draft
from ..environment import take_variables
from ..launch.command import ENGINES, beside, launched, script_of
from ..launch.shell import commands_of
from ..launch.variables import Variable, Variables
from ..part import Part
from ..report import Origin, Went
from ..server import Server
from .containers import Container, is_server, take_container
from .serving import take_words, tell_script

# Options of `docker run` without a value.
_SWITCHES = re.compile(r"--(?:rm|detach|interactive|tty|privileged|init|read-only|no-healthcheck|publish-all)|-[ditP]+")
_QUIET = (
    "--name", "--rm", "--detach", "--interactive", "--tty", "--ipc", "--shm-size", "--restart", "--runtime",
    "--network",
    "--net", "--hostname", "--pull", "--init", "--health-cmd", "--health-interval", "--health-retries", "--label",
    "--no-healthcheck", "--platform", "--workdir", "-w", "-h", "-l", "--log-driver", "--log-opt", "-u", "--user",
    "--group-add", "--health-start-period", "--health-timeout", "--stop-timeout", "--publish", "-p", "--expose",
)  # fmt: skip
_LEFT = {
    "--ulimit": "pods have the node's limits",
    "--cap-add": "pods have no capabilities: they run as Kubernetes' restricted standard wants",
    "--security-opt": "pods run as Kubernetes' restricted standard wants",
    "--device": "devices come by accelerator.resource",
    "--memory": "set resources.limits.memory",
    "-m": "set resources.limits.memory",
    "--cpus": "set resources.limits.cpu",
    "--env-file": "is not read, as it holds secrets: name each variable",
    "--add-host": "put names into the cluster's DNS",
}


def document_of(words: Sequence[str], number: int) -> Document:
    """The words of a command line as a document; one that is a single string is split as a shell would."""
    if len(words) == 1:
        commands = commands_of(words[0], Variables())
        words = [word for command in commands for word in command] if len(commands) <= 1 else ["sh", "-c", words[0]]
    return Document(number, "the command line", list(words), command=True)


def take(document: Document, sources: Sources, draft: Draft) -> bool:
    """Take a command line over. Raises ImportInputError where it starts no vLLM server."""
    words = [Part(str(word), (document.number, at)) for at, word in enumerate(document.body)]
    server = Server(draft, sources)
    words = _assigned(server, words)
    words = _without_sudo(words)
    if _runs_container(words):
        _docker(server, words)
        return True
    if (script := script_of(words)) and _docker_in(server, words[: words.index(script)], script):
        return True
    result = launched(words, (), server.variables, own=False)
    if result.words is None:
        raise ImportInputError(
            f"{document.file.replace('the ', 'this ')} starts no vLLM server: it wants `vllm serve MODEL ...`, "
            "`python -m vllm.entrypoints.openai.api_server ...` or `docker run ... vllm/vllm-openai ...`"
        )
    take_words(server, result.words)
    tell_script(server, result)
    take_variables(server)
    return True


def _assigned(server: Server, words: list[Part]) -> list[Part]:
    """The words without variables before the program."""
    for at, word in enumerate(words):
        name, equals, value = word.text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name):
            return words[at:]
        server.variables.add(Variable(name, word.origin(f"env {name}"), value))
    return []


def _without_sudo(words: list[Part]) -> list[Part]:
    return words[1:] if words and words[0].text == "sudo" else words


def _runs_container(words: Sequence[Part]) -> bool:
    texts = [word.text for word in words[:3]]
    return bool(texts) and texts[0].rsplit("/", 1)[-1] in ENGINES and "run" in texts[1:]


def _docker_in(server: Server, shell: Sequence[Part], script: Part) -> bool:
    """Take the container over that a script starts, with a word on its other commands. Whether there is one."""
    commands = [[Part(word, script.place) for word in one] for one in commands_of(script.text, server.variables)]
    commands = [_without_sudo(one) for one in commands]
    ours = next((one for one in commands if _runs_container(one) and any("vllm" in word.text for word in one)), None)
    if ours is None:
        return False
    _docker(server, ours)
    result = beside(one for one in commands if one is not ours)
    result.program = tuple(word.place for word in shell)
    tell_script(server, result)
    return True


def _docker(server: Server, words: list[Part]) -> None:
    """`docker run [OPTIONS] IMAGE [ARGUMENTS]`."""
    at = next(at for at, word in enumerate(words) if word.text == "run")
    container = Container(Part("", words[0].place))
    server.draft.say(
        Origin(words[0].place, "docker run", tuple(word.place for word in words[1 : at + 1])),
        Went.OPERATOR,
        "the operator starts pods",
    )
    rest = words[at + 1 :]
    while rest and rest[0].text.startswith("-"):
        option = rest.pop(0)
        name, equals, value = option.text.partition("=")
        taken = option
        if not equals and not _SWITCHES.fullmatch(name) and rest:
            taken = rest.pop(0)
            value = taken.text
        _option(server, container, name, (value, Origin(option.place, f"{name} {value}".strip(), (taken.place,))))
    if not rest:
        raise ImportInputError("this `docker run` names no image")
    container.image, container.command = rest[0], rest[1:]
    if not is_server(container, server):
        raise ImportInputError(
            f"{rest[0].text} is not known to run vLLM's server: name vllm/vllm-openai, or add `vllm serve`"
        )
    take_container(server, container)


def _option(server: Server, container: Container, name: str, given: tuple[str, Origin]) -> None:
    value, origin = given
    if name in ("-e", "--env"):
        key, equals, text = value.partition("=")
        server.variables.add(Variable(key, origin._replace(what=f"env {key}"), text if equals else f"${{{key}}}"))
    elif name in ("-v", "--volume"):
        source, _, target = value.partition(":")
        container.folders.append((source, target.split(":")[0], origin))
    elif name == "--mount":
        parts = dict(item.partition("=")[::2] for item in value.split(","))
        source = parts.get("source") or parts.get("src", "")
        container.folders.append((source, parts.get("target") or parts.get("dst", ""), origin))
    elif name == "--gpus":
        container.gpus = Part(value, origin.place)
        server.draft.say(origin, Went.FIELD, "accelerator and tensorParallelSize")
    elif name == "--entrypoint":
        container.entrypoint = [Part(value, origin.place)]
    elif name in _QUIET or _SWITCHES.fullmatch(name):
        server.draft.say(origin, Went.OPERATOR, "pods and their Service have it, or need none")
    elif name in _LEFT:
        server.draft.say(origin, Went.LEFT, _LEFT[name])
    else:
        server.draft.say(origin, Went.LEFT, "has no place in a service: see `kubectl explain vis.spec`")
