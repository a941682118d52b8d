"""What the kubelet makes of `$` in args and in values of variables, as a container then gets it.

Source: third_party/forked/golang/expansion/expand.go in github.com/kubernetes/kubernetes.
"""

from collections.abc import Mapping
from typing import Any


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """The text with `$(NAME)` replaced by a variable, where there is one, and `$$` by `$`."""
    parts, at = [], 0
    while at < len(text):
        here = text[at]
        end = text.find(")", at)
        if here != "$" or at + 1 == len(text):
            parts.append(here)
            at += 1
        elif text[at + 1] == "$":
            parts.append("$")
            at += 2
        elif text[at + 1] == "(" and end > 0:
            name = text[at + 2 : end]
            parts.append(variables.get(name, text[at : end + 1]))
            at = end + 1
        else:
            parts.append("$")
            at += 1
    return "".join(parts)


def started(container: Mapping[str, Any], secrets: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Command line and environment with which a container starts; `secrets` is what each Secret's key holds."""
    environment: dict[str, str] = {}
    for variable in container["env"]:
        source = variable.get("valueFrom", {}).get("secretKeyRef")
        value = secrets[source["key"]] if source else expanded(variable.get("value", ""), environment)
        environment[variable["name"]] = value
    words = [*container.get("command", ()), *container["args"]]
    return [expanded(word, environment) for word in words], environment
