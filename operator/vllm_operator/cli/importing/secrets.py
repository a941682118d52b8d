"""Credentials of a source: a reference where it has one, else the command that makes a Secret, with a placeholder.

No value of a Secret, and none that was written out in the source, is ever printed.
"""

from typing import Any

from ...api.fields import fields
from ...api.spec import InferenceServiceSpec
from .launch.variables import Variable, is_reference
from .report import Origin, Went
from .server import Server
from .values import schema_at

HIDDEN = "***"


def path_of(flag: str) -> str:
    """The field that stands for a flag, by its name without dashes."""
    return next(
        (field.path for field in fields(InferenceServiceSpec) if any(one.name == flag for one in field.flags)), ""
    )


def take_credential(server: Server, flag: str, variable: Variable | None, origin: Origin) -> None:
    """Set the field for a flag that holds a credential, from a variable's source, or by a Secret that is to be made."""
    path, made = path_of(flag), False
    if variable is not None and variable.source == "secretKeyRef":
        ref = {"name": str(variable.ref.get("name")), "key": str(variable.ref.get("key"))}
    else:
        if variable is not None and variable.value and not is_reference(variable.value):
            server.draft.report.secrets.add(variable.value)
        ref = {"name": f"{server.draft.name}-{flag}", "key": "token" if flag == "hf-token" else "key"}
        made = True
    value: Any = [ref] if schema_at(path).get("type") == "array" else ref
    if flag == "hf-token" and not _downloads(server):
        server.draft.say(origin, Went.OPERATOR, "not needed: nothing is downloaded from the hub")
        return
    if server.draft.get(path) is not None and server.draft.get(path) != value:
        server.draft.say(origin, Went.OPERATOR, f"not needed: {path} is set already")
        return
    note = "make the Secret first: the command stands below" if made else ""
    if server.draft.put(path, value, origin, note) and made:
        announce(server, ref)


def _downloads(server: Server) -> bool:
    return "hf://" in str(server.draft.spec)


def announce(server: Server, ref: dict[str, str]) -> None:
    """The command that makes a Secret, with a placeholder for what was written out in the source."""
    namespace = f" -n {server.draft.namespace}" if server.draft.namespace else ""
    command = f"kubectl create secret generic {ref['name']}{namespace} --from-literal={ref['key']}=REPLACE_ME"
    server.draft.commands.append(command)
