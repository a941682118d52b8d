"""Takes a container that runs vLLM over, wherever it stood: command line, variables, files, resources, and its pod."""

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from ..documents import MOST_BYTES, ImportInputError, documents_of, yaml_files
from ..draft import service_name
from ..environment import take_env_from, take_variables
from ..launch.command import Launched, Word, launched
from ..launch.flags import take_flags
from ..launch.grammar import Given, Line, config_words, parse
from ..launch.special import set_model
from ..launch.variables import is_secret
from ..part import Part
from ..pods.image import starts_server, take_image
from ..pods.pod import take_container, take_pod
from ..pods.resources import take_resources
from ..report import ASKED, Origin, Went
from ..server import NotTakenError, Server
from ..uris import repository
from ..volumes import CACHES, claim_to_fill, finish, take_cache

WORKERS = "the other pods of a replica are made from the first"
# What starts a cluster of Ray before vLLM: `ray start --head`, vLLM's own multi-node-serving.sh.
_RAY = re.compile(r"\bray\b|multi-node-serving")


def launch_of(server: Server, container: Part) -> Launched:
    """What a container runs."""
    image = container.at("image").text
    own = starts_server(image) or not image
    return launched(list(container.at("command").each()), list(container.at("args").each()), server.variables, own=own)


def take_container_of(server: Server, pod: Part, container: Part, result: Launched) -> None:
    """Take vLLM's container and its pod over. Raises ImportInputError where no service can be made of them."""
    if container.at("image"):
        take_image(server, container.at("image"))
    take_words(server, result.words or [])
    take_nodes(server)
    tell_script(server, result)
    take_variables(server)
    take_env_from(server, container)
    for folder in CACHES:
        if not server.draft.get("cache") and take_cache(server, folder):
            break
    take_resources(server, container.at("resources"))
    take_container(server, container)
    take_pod(server, pod, container)
    finish(server, pod)


def take_words(server: Server, words: Sequence[Word]) -> None:
    """Take the words after `vllm serve` over. Raises ImportInputError where they name no model that can be served."""
    given = parse(words)
    line = with_config(server, given)
    _refuse_as_a_whole(line)
    if len(line.flags) < len(given.flags) and not _names_model(line) and not server.draft.get("model.uri"):
        raise ImportInputError(
            "the model is named in the file for --config, which is not in the source: give the folder that has it"
        )
    model = next((flag for flag in reversed(line.flags) if flag.name == "--model" and flag.values), None)
    if line.positional:
        word = line.positional[0]
        _model(server, word.text, Origin(word.place, word.text))
    elif model:
        _model(server, model.value, model.origin)
    for word in line.positional[1:]:
        server.draft.say(Origin(word.place, word.text), Went.LEFT, "belongs to no flag: vLLM would not start with it")
    take_flags(server, line)


def take_nodes(server: Server) -> None:
    """The pods of each replica, once the ranks are known. Raises ImportInputError where no service can have so many."""
    if not server.spread:
        return
    if server.draft.get("nodesPerReplica"):
        server.draft.say(server.nodes.origin(), Went.FIELD, "nodesPerReplica")
        return
    count = server.nodes.text
    nodes = int(count) if re.fullmatch("[0-9]{1,9}", count) else 0
    if fault := server.draft.fault("nodesPerReplica", nodes):
        raise ImportInputError(f"one engine on {count} nodes: {fault}")
    server.draft.put("nodesPerReplica", nodes, server.nodes.origin())


def _names_model(line: Line) -> bool:
    return bool(line.positional) or any(flag.name == "--model" for flag in line.flags)


def _model(server: Server, text: str, origin: Origin) -> None:
    known = server.draft.get("model.uri")
    # Where a controller has fetched the model, the server is told its folder.
    if known and not text.startswith("/") and text != known and repository(text) != known:
        said = f"the rest of the source has {known} as the model: set model.uri where it is to be this one"
        server.draft.say(origin, Went.LEFT, said)
        return
    if server.draft.asked is None:
        # Without another name, vLLM has the model's (get_served_model_name in vllm/config/model.py of vLLM 0.32).
        server.draft.asked = text, Origin(origin.place, ASKED)
    if known:
        server.draft.say(origin, Went.OPERATOR, "the model is known from elsewhere in the source")
        return
    try:
        set_model(server, text, origin)
    except NotTakenError as error:
        if not claim_to_fill(server, text, origin):
            raise ImportInputError(f"the model: {error}") from error
        return
    if not server.draft.source_name:
        # A command line has no name: its service is named after its model.
        server.draft.name = service_name(str(server.draft.get("model.uri")).rstrip("/").rsplit("/", 1)[-1])


def _refuse_as_a_whole(line: Line) -> None:
    for flag in line.flags:
        if flag.spelled == "--omni":
            raise ImportInputError(
                "`vllm serve --omni` is vLLM-Omni, another server with other flags: it is not taken over"
            )
        if (flag.name == "--headless" and not flag.off) or (
            flag.name == "--node-rank" and flag.value not in ("0", "$(LWS_WORKER_INDEX)")
        ):
            raise ImportInputError(
                f"{flag.spelled} is for ranks without a server: import the command of node rank 0, with --nnodes; the "
                "operator starts the others"
            )


def with_config(server: Server, line: Line) -> Line:
    """A command line with the flags of its --config file before its own, as vLLM reads it."""
    given = next((flag for flag in line.flags if flag.name == "--config" and flag.values), None)
    if given is None:
        return line
    content, text = _config(server, given)
    rest = tuple(flag for flag in line.flags if flag is not given)
    if content is None:
        server.draft.say(given.origin, Went.LEFT, text)
        return Line(line.positional, rest)
    server.draft.say(given.origin, Went.FIELD, text)
    inner = parse(config_words(content.value, content.place))
    return Line((*line.positional, *inner.positional), (*inner.flags, *rest))


def _config(server: Server, given: Given) -> tuple[Part | None, str]:
    path = given.value
    found = server.mounted(path) if path.startswith("/") else None
    name = path.rsplit("/", 1)[-1]
    if found and found[0].kind == "configMap":
        mount, rest = found
        document = server.sources.find("ConfigMap", mount.source.at("name").text)
        part = document.root.at("data", mount.sub or rest.strip("/")) if document else Part(None, given.place)
        if document and part:
            server.uses[mount.path] = "has the flags, which were taken over one by one"
            return Part(
                _yaml(name, part.text), part.place
            ), f"each flag of {name} in ConfigMap {document.name} was taken over"
    if server.sources.folder:
        file = _below(server.sources.folder, path)
        if file:
            if found:
                server.uses[found[0].path] = "has the flags, which were taken over one by one"
            return Part(_yaml(name, file.read_text()), given.place), f"each flag of {file.name} was taken over"
    return (
        None,
        f"{path} is not in the source: give the folder, or the ConfigMap, that has it; a service has no --config",
    )


def _below(folder: Path, path: str) -> Path | None:
    """The file that a path of the container ends with, below the folder that was given, and no link out of it."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for length in range(len(parts), 0, -1):
        file = folder.joinpath(*parts[-length:]).resolve()
        if file.is_relative_to(folder) and file.is_file() and file.stat().st_size <= MOST_BYTES:
            return file
    # Kustomize makes ConfigMaps of files that lie elsewhere.
    named = [file for file in yaml_files(folder) if parts and file.name == parts[-1]]
    return named[0] if len(named) == 1 and named[0].resolve().is_relative_to(folder) else None


def _yaml(name: str, text: str) -> object:
    try:
        return documents_of(name, text)[0]
    except (ImportInputError, IndexError, yaml.YAMLError) as error:
        raise ImportInputError(f"{name}, the file for --config, is not YAML") from error


def tell_script(server: Server, result: Launched) -> None:
    """Say what became of a script's other commands; nothing of it is run."""
    if result.program:
        origin = Origin(result.program[0], "command", result.program[1:])
        server.draft.say(origin, Went.OPERATOR, "the operator starts `vllm serve` itself, without a shell")
    for text, place in result.quiet:
        server.draft.say(Origin(place, _safe(text)), Went.OPERATOR, "does nothing for the server")
    for text, place in result.beside:
        if server.draft.get("nodesPerReplica") and _RAY.search(text):
            server.draft.say(Origin(place, text), Went.OPERATOR, "ranks on several nodes find each other without Ray")
            continue
        if text.startswith(("pip", "uv", "apt", "python -m pip", "python3 -m pip")):
            said = "pods install nothing when they start: build an image that has it, and set image"
        elif text.startswith(("vllm serve", "docker run")):
            said = "is another container: import it by itself, if it is a vLLM server"
        else:
            said = "pods run vLLM alone, and no script: do it in the image, or in a Job before"
        server.draft.say(Origin(place, _safe(text)), Went.LEFT, said)


def _safe(text: str) -> str:
    return f"{text.split(maxsplit=1)[0]} ***" if any(is_secret(word) for word in text.split()) else text
