"""The CEL rules of single strings in the CRD, as far as they ask for a form: what the API server would say.

Rules that compare fields are in `faults`. A rule in words that are not known here counts as kept.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...api.base import RULES

_STRING = r"r?'((?:[^'\\]|\\.)*)'"
_CALLS = re.compile(rf"self\.(matches|startsWith|endsWith|contains)\({_STRING}\)")
_IN = re.compile(r"self in (\[[^\]]*\])")
_IS = re.compile(rf"self (==|!=) {_STRING}")
_WORDS = re.compile(r"True|False|and|or|not|[()\s]")


def broken(schema: Mapping[str, Any], value: Any) -> Iterator[str]:
    """The messages of the rules that a value below this schema does not keep."""
    if isinstance(value, str):
        for rule in schema.get(RULES, []):
            if not _holds(rule["rule"], value):
                yield str(rule["message"])
    elif isinstance(value, dict):
        for key, item in value.items():
            known = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            if isinstance(known, Mapping):
                yield from broken(known, item)
    elif isinstance(value, list):
        for item in value:
            yield from broken(schema.get("items", {}), item)


def _holds(expression: str, value: str) -> bool:
    text = _CALLS.sub(lambda found: str(_call(found[1], found[2], value)), expression)
    text = _IN.sub(lambda found: str(f"'{value}'" in found[1]), text)
    text = _IS.sub(lambda found: str((value == found[2]) == (found[1] == "==")), text)
    text = text.replace("||", " or ").replace("&&", " and ").replace("!", " not ")
    if _WORDS.sub("", text):
        return True
    return _Boolean(re.findall(r"True|False|and|or|not|[()]", text)).either()


def _call(name: str, argument: str, value: str) -> bool:
    match name:
        case "matches":
            return bool(re.search(argument.replace("\\\\", "\\"), value))
        case "startsWith":
            return value.startswith(argument)
        case "endsWith":
            return value.endswith(argument)
        case _:
            return argument in value


class _Boolean:
    """or, and, not and brackets over True and False."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens

    def either(self) -> bool:
        value = self._both()
        while self._tokens[:1] == ["or"]:
            self._tokens.pop(0)
            value = self._both() or value
        return value

    def _both(self) -> bool:
        value = self._one()
        while self._tokens[:1] == ["and"]:
            self._tokens.pop(0)
            value = self._one() and value
        return value

    def _one(self) -> bool:
        word = self._tokens.pop(0)
        if word == "not":
            return not self._one()
        if word != "(":
            return word == "True"
        value = self.either()
        self._tokens.pop(0)
        return value
