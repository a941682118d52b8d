"""From vLLM's flags to the fields of the spec, by what fields themselves say of their flags; none is named here.

What takes more than its own value to decide (files, adapters, credentials) is in `special`.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from ....api.fields import Flag, SpecField, fields
from ....api.flags.catalogue import Entry, Standing
from ....api.spec import InferenceServiceSpec
from ....api.vocabulary import VLLM_VERSION
from ..report import Went
from ..server import NotTakenError, Server
from ..values import UnfitError, camel, of_flag, schema_at, typed
from ..volumes import locate
from .grammar import Given, Line, read_json
from .special import ALIASES, SPECIAL, renamed


@cache
def carriers() -> dict[str, tuple[SpecField, Flag]]:
    """The field that carries each flag, by the flag's full name."""
    return {f"--{flag.name}": (field, flag) for field in fields(InferenceServiceSpec) for flag in field.flags}


def take_flags(server: Server, line: Line) -> None:
    """Take every flag of a command line over, or say why not. The last one of a name counts, as for vLLM."""
    last = {flag.name: at for at, flag in enumerate(line.flags) if flag.entry}
    # How many nodes the ranks may lie on depends on how many ranks there are.
    for at, flag in sorted(enumerate(line.flags), key=lambda one: one[1].name == "--nnodes"):
        if flag.entry and last[flag.name] != at:
            server.draft.say(_shown(flag), Went.OPERATOR, "is given again later, which counts")
            continue
        take_flag(server, flag, line)


def _shown(flag: Given) -> Any:
    return flag.hidden if flag.name in ("--api-key", "--hf-token") else flag.origin


def take_flag(server: Server, flag: Given, line: Line) -> None:
    """Take one flag over, or say why not."""
    if flag.entry is None:
        server.draft.say(flag.origin, Went.LEFT, flag.unknown)
        return
    try:
        if flag.name in SPECIAL:
            SPECIAL[flag.name](server, flag, line)
        elif flag.name == "--distributed-executor-backend" and _on_several_nodes(server, line):
            server.draft.say(flag.origin, Went.OPERATOR, "ranks on several nodes run as processes, without Ray")
        else:
            _by_standing(server, flag, flag.entry)
    except (UnfitError, NotTakenError) as error:
        server.draft.say(_shown(flag), Went.LEFT, str(error))


def _on_several_nodes(server: Server, line: Line) -> bool:
    return server.spread or any(flag.name == "--nnodes" for flag in line.flags)


def _by_standing(server: Server, flag: Given, entry: Entry) -> None:
    match entry.standing:
        case Standing.GONE:
            if not renamed(server, flag):
                server.draft.say(flag.origin, Went.GONE, f"vLLM {VLLM_VERSION} has it no more: {entry.says}")
        case Standing.OWNED:
            server.draft.say(flag.origin, Went.OPERATOR, entry.says)
        case Standing.REFUSED:
            if is_default(flag, entry):
                server.draft.say(flag.origin, Went.DEFAULT, "vLLM's default")
            else:
                server.draft.say(flag.origin, Went.LEFT, entry.says)
        case Standing.FIELD:
            _field(server, flag, entry)
        case Standing.ALLOWED:
            _extra(server, flag, entry)


def is_default(flag: Given, entry: Entry) -> bool:
    """Whether vLLM would do the same without the flag."""
    if entry.kind == "switch":
        return entry.default is not None and bool(entry.default) == (not flag.off)
    if entry.default is None or entry.kind == "words" or not flag.values:
        return False
    return bool(read_json(flag.value) == entry.default)


def _says_nothing(server: Server, flag: Given, entry: Entry) -> bool:
    """Whether it can be left out: the defaults of another image's vLLM may be others."""
    return not server.draft.get("image") and is_default(flag, entry)


def _field(server: Server, flag: Given, entry: Entry) -> None:
    field, passed = carriers().get(entry.name, (None, None))
    if _says_nothing(server, flag, entry):
        server.draft.say(flag.origin, Went.DEFAULT, "vLLM's default")
    elif field is None or passed is None:
        _one_key(server, flag, str(entry.field))
    elif passed.passed == "location":
        server.draft.put(field.path, locate(server, flag.value), flag.origin)
    elif passed.passed in ("JSON", "keys") or schema_at(field.path).get("type") == "object":
        _structure(server, flag, field)
    elif entry.kind == "switch":
        server.draft.put(field.path, not flag.off, flag.origin)
    elif schema_at(field.path).get("type") == "array" and entry.kind == "words":
        server.draft.put(field.path, list(flag.values), flag.origin)
    else:
        server.draft.put(field.path, of_flag(field, passed, flag.value), flag.origin)


def _one_key(server: Server, flag: Given, path: str) -> None:
    """A flag that says one key of another one's JSON: --cudagraph-capture-sizes."""
    schema = schema_at(path)
    listed = schema.get("type") == "array"
    value = [typed(schema["items"], word) for word in flag.values] if listed else typed(schema, flag.value)
    server.draft.put(path, value, flag.origin)


# Members of vLLM's enumerations by the numbers that its JSON takes as well (vllm/config/compilation.py).
NUMBERED = {
    "mode": {0: "NONE", 1: "STOCK_TORCH_COMPILE", 2: "DYNAMO_TRACE_ONCE", 3: "VLLM_COMPILE"},
    "cudagraphMode": {0: "NONE", 1: "PIECEWISE", 2: "FULL"},
}


def _structure(server: Server, flag: Given, field: SpecField) -> None:
    """JSON whose keys are fields: those that there are no fields for are told one by one."""
    content = read_json(flag.value)
    if not isinstance(content, dict):
        raise UnfitError(f"{flag.value!r} is not an object in JSON")
    known = schema_at(field.path).get("properties", {})
    taken: dict[str, Any] = {}
    for key, value in content.items():
        name = camel(str(key))
        if value is None:
            continue
        if name not in known:
            _lost(server, flag, (str(key), value), f"spec.{field.path} has no field for it: vLLM's own choice holds")
        elif name == "model" and isinstance(value, str):
            taken[name] = locate(server, value)
        else:
            taken[name] = _member(known[name], name, value)
    for name in _unfit(server, field.path, taken):
        _lost(server, flag, (name, taken.pop(name)), f"spec.{field.path}.{name} does not take it")
    if taken:
        server.draft.put(field.path, taken, flag.origin)


def _member(schema: Mapping[str, Any], name: str, value: Any) -> Any:
    """A member of an enumeration as the schema spells it: vLLM takes numbers, and words in any case."""
    if isinstance(value, int) and not isinstance(value, bool):
        return NUMBERED.get(name, {}).get(value, value)
    if isinstance(value, str):
        return next((one for one in schema.get("enum", ()) if str(one).lower() == value.lower()), value)
    return value


def _lost(server: Server, flag: Given, pair: tuple[str, Any], why: str) -> None:
    server.draft.say(flag.origin._replace(what=f"{flag.spelled} {pair[0]}={json.dumps(pair[1])}"), Went.LEFT, why)


def _unfit(server: Server, path: str, value: dict[str, Any]) -> list[str]:
    """The key without which the API would take an object; none where it takes it, or no single key is at fault."""
    if not server.draft.fault(path, value):
        return []
    return [
        key for key in value if not server.draft.fault(path, {name: one for name, one in value.items() if name != key})
    ][:1]


def _extra(server: Server, flag: Given, entry: Entry) -> None:
    """A flag that extraArgs passes on."""
    if _says_nothing(server, flag, entry):
        server.draft.say(flag.origin, Went.DEFAULT, "vLLM's default")
        return
    item = entry.name
    if entry.kind == "switch":
        item = (entry.negative or "") if flag.off else entry.name
        if not item:
            server.draft.say(flag.origin, Went.DEFAULT, "vLLM's default")
            return
    elif not flag.values:
        raise UnfitError("vLLM wants a value here, and there is none")
    else:
        item = f"{entry.name}={_value(flag, entry)}"
    server.draft.pass_on(item, entry.spellings, flag.origin)


def _value(flag: Given, entry: Entry) -> str:
    value = flag.value if len(flag.values) == 1 else ",".join(flag.values)
    value = ALIASES.get(entry.name, {}).get(value.upper(), value)
    if entry.choices:
        value = next((word for word in entry.choices if word.lower() == value.lower()), value)
        if value not in entry.choices:
            raise UnfitError(f"{value} is not one that services may have: {', '.join(entry.choices[:12])}")
    if entry.kind == "JSON":
        content = read_json(value)
        if isinstance(content, str):
            raise UnfitError(f"{value!r} is not JSON")
        return json.dumps(content, separators=(",", ":"))
    return value
