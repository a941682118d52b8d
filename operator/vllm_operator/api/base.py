"""What every API type shares: camelCase names, strings of a known form, and CEL rules next to the fields.

Nothing here knows a field of ours. `crd.py` turns these models into the CustomResourceDefinition.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from .fields import Behaviour, Flag
from .quantities import exact

Rule = dict[str, Any]
Limits = StringConstraints
LABEL_KEY = r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABEL_VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
RULES = "x-kubernetes-validations"
# Of a field whose default is not the API server's to fill in: who reads the object has to see that it was left out.
LEFT_OPEN = "left_open"
_KEYWORDS = {
    "list_type": "x-kubernetes-list-type",
    "list_map_keys": "x-kubernetes-list-map-keys",
    "rules": RULES,
    "item_rules": "item_rules",
    "format": "format",
    "left_open": LEFT_OPEN,
}


def rule(cel: str, message: str, *, path: str | None = None, message_expression: str | None = None) -> Rule:
    """One x-kubernetes-validations entry: a CEL expression and the sentence that the user reads when it is false."""
    entry: Rule = {"rule": cel, "message": message}
    if path:
        entry["fieldPath"] = path
    if message_expression:
        entry["messageExpression"] = message_expression
    return entry


def said_of(sentences: Mapping[str, str], name: str, otherwise: str) -> str:
    """CEL: the sentence of what `name` (in CEL) comes to; where there is none `otherwise` (in CEL).

    It looks into one text, |--a |--b =sentence |, where each name and each sentence stands once. A map would have the
    sentence for each name, and be there twice, as CEL has to ask for a key first. Raises ValueError for a sentence that
    would end too early.
    """
    groups: dict[str, list[str]] = {}
    for one, says in sentences.items():
        groups.setdefault(says, []).append(one)
    if unfit := [says for says in groups if " |" in says]:
        raise ValueError(f"a sentence ends at a space and a bar: {unfit}")
    text = "".join("".join(f"|{one} " for one in names) + f"={says} " for says, names in groups.items())
    whole = f"({text!r} + '|' + {name} + ' =' + {otherwise} + ' |')"
    return f"{whole}.split('|' + {name} + ' ', 2)[1].split('=', 2)[1].split(' |', 2)[0]"


def required(description: str, example: Any, default: Any = ..., **limits: Any) -> Any:
    """A field that is always there: what it is, with its unit, and an example.

    `limits` are pydantic's, and of Kubernetes `list_type`, `list_map_keys`, `rules` (of the field) and `item_rules`
    (of each item of a list); with `left_open` the API server does not fill in the default. Beside the schema: `flag`,
    what of vLLM's argv the field sets (a name, a Flag, or several of them), and `rolls=False` where a change of the
    field changes no pod.
    """
    behaviour = Behaviour(_flags(limits.pop("flag", ())), limits.pop("rolls", True))
    extra = {_KEYWORDS[key]: limits.pop(key) for key in list(limits) if key in _KEYWORDS}
    field = Field(default, description=description, examples=[example], json_schema_extra=extra or None, **limits)
    field.metadata.append(behaviour)
    return field


def _flags(said: str | Flag | tuple[str | Flag, ...]) -> tuple[Flag, ...]:
    flags = said if isinstance(said, tuple) else (said,)
    return tuple(Flag(flag) if isinstance(flag, str) else flag for flag in flags)


def optional(description: str, example: Any, **limits: Any) -> Any:
    """A field that may be left out: then vLLM's, Kubernetes' or the operator's default holds. Else as `required`."""
    return required(description, example, None, **limits)


def label_rules(what: str) -> list[Rule]:
    """Rules of a map of labels, which are called `what`."""
    return [
        rule(
            f"self.all(k, k.matches(r'^{LABEL_KEY}$'))",
            f"a key of {what} must be like team or example.com/team: letters, digits, -, _ and ., at most 63 of them "
            "(253 before the slash)",
        ),
        rule(
            f"self.all(k, self[k].matches(r'^{LABEL_VALUE}$'))",
            f"a value of {what} must be letters, digits, -, _ and ., with a letter or digit at both ends",
        ),
    ]


def more_than_zero(name: str, otherwise: str, quantity: str = "self") -> Rule:
    """The rule that a quantity is more than 0. `quantity` makes a string of a field that may be a number."""
    return rule(f"{quantity}.matches('^[^0-9]|[1-9]')", f"{name} must be more than 0: {otherwise}")


class ApiModel(BaseModel):
    """Base of all API types: immutable, camelCase on the wire. Drops unknown attributes, as the API server does."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def to_manifest(self) -> dict[str, Any]:
        """The value as it stands in YAML: wire names, nothing that the user left out."""
        return self.model_dump(by_alias=True, exclude_none=True, mode="json")

    def given(self) -> dict[str, Any]:
        """As `to_manifest`, without the defaults: only what was written."""
        return self.model_dump(by_alias=True, exclude_none=True, exclude_unset=True, mode="json")


def with_rules(*rules: Rule) -> ConfigDict:
    """The model_config of a type that has CEL rules of its own."""
    return ConfigDict(json_schema_extra={RULES: list(rules)})


class Form:
    """The form of a string, and the sentence that says so: `pattern` in a schema would show users the expression."""

    def __init__(self, pattern: str, message: str, subject: str = "self") -> None:
        self._pattern, self._message, self._subject = pattern, message, subject

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        node = handler(schema)
        form = rule(f"{self._subject}.matches(r'^({self._pattern})$')", self._message)
        return {**node, RULES: [*node.get(RULES, []), form]}

    def _check(self, text: str) -> str:
        if not re.fullmatch(self._pattern, text):
            raise ValueError(self._message)
        return text


class IntOrString:
    """A string that may also be written as a number in YAML, as in `cpu: 8`."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        node = handler(schema)
        return {**node, "anyOf": [{"type": "integer"}, {"type": "string"}]}


# A size in bytes, as Kubernetes writes it: 512Mi, 20Gi, 1.5Ti. A number without a unit is nearly always a mistake, and
# one of more than 10**18 bytes does not fit Kubernetes' numbers.
_SIZES = "|".join(f"[0-9]{{1,{digits}}}([.][0-9]{{1,9}})?{unit}i?" for unit, digits in (("M", 12), ("G", 9), ("T", 6)))
Bytes = Annotated[
    str,
    Limits(max_length=32),
    Form(rf"[0-9]{{1,15}}([.][0-9]{{1,9}})?(Ki|k)|{_SIZES}", "must be a size like 512Mi or 20Gi, below 1000000Ti"),
]
Cpu = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, int) else value),
    Limits(max_length=16),
    Form(r"[0-9]+([.][0-9]+)?m?", "must be a number of CPU cores like 8, 0.5 or 500m", subject="string(self)"),
    IntOrString(),
]
# The name of an object in the service's own namespace (DNS-1123 subdomain).
ObjectName = Annotated[
    str,
    Limits(max_length=253),
    Form(
        r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?",
        "must be the name of an object: a-z, 0-9, - and ., with a letter or digit at both ends",
    ),
]
KeyName = Annotated[
    str, Limits(max_length=253), Form(r"[-._a-zA-Z0-9]+", "must be the name of a key: letters, digits, -, _ and .")
]
# In lists within lists a CEL rule would cost too much: there the schema's own, less readable `pattern` must do.
LabelKey = Annotated[str, Limits(min_length=1, max_length=317, pattern=f"^{LABEL_KEY}$")]
LabelValue = Annotated[str, Limits(max_length=63, pattern=f"^{LABEL_VALUE}$")]
# Keys of maps have no schema of their own in Kubernetes: `label_rules` is for them.
Labels = dict[Annotated[str, Limits(max_length=317)], Annotated[str, Limits(max_length=63)]]
ShortText = Annotated[str, Limits(max_length=253)]


class KeyRef(ApiModel):
    """A key of a Secret or ConfigMap in the service's namespace. The kubelet reads it; the operator never does."""

    name: ObjectName = required("Name of the Secret or ConfigMap, in the namespace of the service.", "hf-token")
    key: KeyName = required("Key within it.", "token")


_BINARY = {"Gi": 2**30, "Mi": 2**20, "Ki": 2**10}


def first_fault(error: ValidationError) -> tuple[str, str]:
    """Where the first wrong value is, as people write its path, and what is wrong with it."""
    first = error.errors()[0]
    return ".".join(str(part) for part in first["loc"]), str(first["msg"]).removeprefix("Value error, ")


def bytes_of(quantity: str) -> int:
    """Whole bytes that a Kubernetes quantity like "20Gi" stands for. Raises ValueError for anything else."""
    return int(exact(quantity))


def gibibytes(count: int) -> str:
    """A whole number of bytes as the shortest exact binary quantity: 2147483648 -> "2Gi"."""
    for suffix, size in _BINARY.items():
        if count % size == 0:
            return f"{count // size}{suffix}"
    return str(count)
