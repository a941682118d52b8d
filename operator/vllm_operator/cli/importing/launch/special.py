"""Flags whose place in the spec depends on more than their value: on a volume, on another flag, on a Secret."""

import re
from collections.abc import Callable
from typing import Any

from ....api.templates import IMAGE_TEMPLATES
from ....api.vocabulary import VLLM_VERSION
from ..report import Origin, Went
from ..secrets import announce, take_credential
from ..server import NotTakenError, Server
from ..values import in_bytes, number, schema_at
from ..volumes import locate, take_cache
from .grammar import Given, Line, read_json

# What older versions called a backend.
ALIASES: dict[str, dict[str, str]] = {
    "--attention-backend": {
        "FLASH_ATTN_VLLM_V1": "FLASH_ATTN", "TRITON_ATTN_VLLM_V1": "TRITON_ATTN", "FLASHINFER_VLLM_V1": "FLASHINFER",
        "TRITON_MLA_VLLM_V1": "TRITON_MLA", "FLASHMLA_VLLM_V1": "FLASHMLA",
    },
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
_TASKS = {
    "embed": ("--runner=pooling", "--convert=embed"), "embedding": ("--runner=pooling", "--convert=embed"),
    "classify": ("--runner=pooling", "--convert=classify"), "score": ("--runner=pooling", "--convert=classify"),
    "reward": ("--runner=pooling",),
}  # fmt: skip


def set_model(server: Server, text: str, origin: Origin) -> None:
    """The model that is served. Raises NotTakenError where it has no URI."""
    server.draft.put("model.uri", locate(server, text), origin)
    if server.image_path:
        server.draft.put("model.imagePath", server.image_path, origin)


def _model(server: Server, flag: Given, line: Line) -> None:
    """Was taken first of all: here is only said what became of a second name."""
    if line.positional and line.positional[0].text != flag.value:
        server.draft.say(flag.origin, Went.OPERATOR, "the model at the beginning of the command line counts")


def _served_names(server: Server, flag: Given, line: Line) -> None:
    names = [name for value in flag.values for name in value.split(",") if name]
    for wrong in [name for name in names if not _NAME.fullmatch(name)]:
        text = f"{wrong} is no name that clients can use: letters, digits, ., _, :, / and -"
        server.draft.say(flag.origin._replace(what=f"{flag.spelled} {wrong}"), Went.LEFT, text)
    names = [name for name in names if _NAME.fullmatch(name)]
    server.draft.asked = (names[0], flag.origin) if names else None
    if not names:
        return
    most = schema_at("model.servedModelNames").get("maxItems", len(names))
    if len(names) > most:
        server.draft.say(
            flag.origin, Went.LEFT, f"a service has at most {most} names: {', '.join(names[most:])} left out"
        )
    names = list(dict.fromkeys(names))[:most]
    if names == [server.draft.name]:
        server.draft.say(flag.origin, Went.OPERATOR, "the name of the service, which is the model's")
    else:
        server.draft.put("model.servedModelNames", names, flag.origin)


def _credential(server: Server, flag: Given, line: Line) -> None:
    name = flag.name.removeprefix("--")
    values = [value for value in flag.values if value]
    if not values:
        server.draft.say(flag.hidden, Went.OPERATOR, "is empty")
    elif len(values) == 1:
        variable = server.variables.named_by(values[0])
        if variable is None:
            server.draft.report.secrets.add(values[0])
        else:
            server.variables.used.add(variable.name)
        take_credential(server, name, variable, flag.hidden)
    else:
        _keys(server, flag, values)


def _keys(server: Server, flag: Given, values: list[str]) -> None:
    """Several API keys: references where they have one, else keys of a Secret that is to be made."""
    refs = []
    for at, value in enumerate(values, 1):
        variable = server.variables.named_by(value)
        if variable is not None and variable.source == "secretKeyRef":
            server.variables.used.add(variable.name)
            refs.append({"name": str(variable.ref.get("name")), "key": str(variable.ref.get("key"))})
        else:
            server.draft.report.secrets.add(value)
            refs.append({"name": f"{server.draft.name}-api-key", "key": f"key-{at}"})
            announce(server, refs[-1])
    server.draft.put("apiKeySecretRefs", refs, flag.hidden, "make the Secret first, where a command stands below")


def _adapters(server: Server, flag: Given, line: Line) -> None:
    adapters = []
    for value in flag.values:
        content = read_json(value)
        for one in content if isinstance(content, list) else [content]:
            name, path = _adapter(one)
            try:
                adapters.append({"name": name, "uri": locate(server, path)})
            except NotTakenError as error:
                server.draft.say(flag.origin._replace(what=f"adapter {name}"), Went.LEFT, str(error))
    if adapters:
        server.draft.put("lora.adapters", adapters, flag.origin)


def _adapter(one: Any) -> tuple[str, str]:
    if isinstance(one, dict):
        return str(one.get("name", "")), str(one.get("path", ""))
    name, _, path = str(one).partition("=")
    return name, path


def _enable_lora(server: Server, flag: Given, line: Line) -> None:
    if flag.off or any(other.name == "--lora-modules" for other in line.flags):
        server.draft.say(flag.origin, Went.OPERATOR, "follows from lora.adapters")
    else:
        server.draft.say(
            flag.origin, Went.LEFT, "adapters that are loaded while vLLM runs are not taken: name them in lora.adapters"
        )


def _lora_rank(server: Server, flag: Given, line: Line) -> None:
    if not any(other.name == "--lora-modules" for other in line.flags):
        server.draft.say(flag.origin, Went.LEFT, "is of no use without adapters: set lora.maxRank beside lora.adapters")
    else:
        server.draft.put("lora.maxRank", number(flag.value), flag.origin)


def _tool_choice(server: Server, flag: Given, line: Line) -> None:
    if flag.off or any(other.name == "--tool-call-parser" for other in line.flags):
        server.draft.say(flag.origin, Went.OPERATOR, "follows from toolCallParser")
    else:
        server.draft.say(flag.origin, Went.LEFT, "needs toolCallParser, the name of the parser for this model's calls")


def _drain(server: Server, flag: Given, line: Line) -> None:
    server.draft.put("rollout.drainTimeoutSeconds", number(flag.value), flag.origin)


def _download_dir(server: Server, flag: Given, line: Line) -> None:
    if not take_cache(server, flag.value, flag.origin):
        server.draft.say(flag.origin, Went.OPERATOR, "downloads are kept in the cache")


def _chat_template(server: Server, flag: Given, line: Line) -> None:
    found = server.mounted(flag.value) if flag.value.startswith("/") else None
    if found and found[0].kind == "configMap":
        mount, rest = found
        key = mount.sub or rest.strip("/") or flag.value.rsplit("/", 1)[-1]
        for item in mount.source.at("items").each():
            if item.at("path").text == key:
                key = item.at("key").text
        server.uses[mount.path] = "has the chat template"
        ref = {"name": mount.source.at("name").text, "key": key}
        server.draft.put("chatTemplate.configMapKeyRef", ref, flag.origin, "the ConfigMap has to stay")
        return
    name = flag.value.rsplit("/", 1)[-1].removesuffix(".jinja")
    if found is None and name in IMAGE_TEMPLATES:
        server.draft.put("chatTemplate.fromImage", name, flag.origin)
        return
    raise NotTakenError(
        f"chatTemplate takes a template from a ConfigMap: kubectl create configmap {server.draft.name}-template "
        f"--from-file=template.jinja={flag.value}, and set chatTemplate.configMapKeyRef"
    )


def _domains(server: Server, flag: Given, line: Line) -> None:
    server.draft.put("allowedMediaDomains", list(flag.values), flag.origin)


_MISTRAL = ("--load-format", "--config-format")


def _format(server: Server, flag: Given, line: Line) -> None:
    """Mistral's own format is one field; other load formats have theirs."""
    mistral = any(other.name in _MISTRAL and other.value == "mistral" for other in line.flags)
    entry = flag.entry
    if entry and flag.value == str(entry.default):
        server.draft.say(flag.origin, Went.DEFAULT, "vLLM's default")
    elif flag.value == "mistral" and mistral:
        server.draft.put("model.format", "mistral", flag.origin)
    elif flag.name == "--tokenizer-mode":
        server.draft.pass_on(f"{flag.name}={flag.value}", (flag.name,), flag.origin)
    else:
        path = "model.format" if flag.name == "--config-format" else "model.loadFormat"
        server.draft.put(path, flag.value, flag.origin)


def _loader(server: Server, flag: Given, line: Line) -> None:
    content = read_json(flag.value)
    value: dict[str, Any] = {}
    for key, one in content.items() if isinstance(content, dict) else ():
        if key in ("concurrency", "distributed"):
            value[key] = one
        elif key == "memory_limit" and isinstance(one, int) and one > 0:
            value["memoryLimit"] = in_bytes(one)
        elif key == "num_threads":
            value["threads"] = one
        elif key != "enable_multithread_load":
            said = "spec.model.loaderOptions has no field for it: vLLM's own choice holds"
            server.draft.say(flag.origin._replace(what=f"{flag.spelled} {key}"), Went.LEFT, said)
    if value:
        server.draft.put("model.loaderOptions", value, flag.origin)
    else:
        server.draft.say(flag.origin, Went.DEFAULT, "vLLM's default")


def _events(server: Server, flag: Given, line: Line) -> None:
    content = read_json(flag.value)
    if not isinstance(content, dict) or content.get("enable_kv_cache_events") is False:
        server.draft.say(flag.origin, Went.DEFAULT, "events are off, as by default")
        return
    value: dict[str, Any] = {}
    for key, field in (("endpoint", "port"), ("replay_endpoint", "replayPort")):
        if match := re.search(r":(\d+)$", str(content.get(key, ""))):
            value[field] = int(match[1])
    if content.get("topic"):
        topic = str(content["topic"])
        for name in ("POD_IP", "POD_NAME"):
            topic = topic.replace(f"${{{name}}}", f"$({name})")
        server.variables.used |= {name for name in ("POD_IP", "POD_NAME") if name in topic}
        value["topic"] = topic
    for key in set(content) - {"enable_kv_cache_events", "publisher", "endpoint", "replay_endpoint", "topic"}:
        server.draft.say(flag.origin._replace(what=f"{flag.spelled} {key}"), Went.LEFT, "vLLM's own choice holds")
    server.draft.put("kvCache.events", value, flag.origin)


def _speculation(server: Server, flag: Given, line: Line) -> None:
    """--spec-method and its like: keys of the same field."""
    names = {"--spec-method": "method", "--spec-model": "model", "--spec-tokens": "numSpeculativeTokens"}
    given = {names[one.name]: one.value for one in line.flags if one.name in names}
    value: dict[str, Any] = dict(given)
    if "model" in value:
        value["model"] = locate(server, value["model"])
    if "numSpeculativeTokens" in value:
        value["numSpeculativeTokens"] = number(value["numSpeculativeTokens"])
    server.draft.put("speculative", value, flag.origin)


Take = Callable[[Server, Given, Line], None]
SPECIAL: dict[str, Take] = {
    "--model": _model,
    "--served-model-name": _served_names,
    "--hf-token": _credential,
    "--api-key": _credential,
    "--lora-modules": _adapters,
    "--enable-lora": _enable_lora,
    "--max-lora-rank": _lora_rank,
    "--enable-auto-tool-choice": _tool_choice,
    "--shutdown-timeout": _drain,
    "--download-dir": _download_dir,
    "--chat-template": _chat_template,
    "--allowed-media-domains": _domains,
    "--load-format": _format,
    "--config-format": _format,
    "--tokenizer-mode": _format,
    "--model-loader-extra-config": _loader,
    "--kv-events-config": _events,
    "--spec-method": _speculation,
    "--spec-model": _speculation,
    "--spec-tokens": _speculation,
}


def renamed(server: Server, flag: Given) -> bool:
    """Whether something that is gone was written in today's words."""
    if flag.name == "--task":
        extra = _TASKS.get(flag.value, ())
        if flag.value not in (*_TASKS, "auto", "generate"):
            return False
        for item in extra:
            server.draft.pass_on(item, (item.split("=", 1)[0],))
        words = " and ".join(extra)
        said = f"in extraArgs {words} say the same" if words else "what vLLM does without it"
        server.draft.say(flag.origin, Went.GONE, f"vLLM {VLLM_VERSION} has it no more: {said}")
        return True
    return False
