"""What every API type shares: camelCase names, no unknown attributes kept, and CEL rules next to the fields.

Nothing here knows a field of ours. `crd.py` turns these models into the CustomResourceDefinition.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

Rule = dict[str, Any]


def rule(cel: str, message: str, *, path: str | None = None, message_expression: str | None = None) -> Rule:
    """One x-kubernetes-validations entry: a CEL expression and the sentence that the user reads when it is false."""
    entry: Rule = {"rule": cel, "message": message}
    if path:
        entry["fieldPath"] = path
    if message_expression:
        entry["messageExpression"] = message_expression
    return entry


def schema(**extra: Any) -> dict[str, Any]:
    """Schema keywords for one field: `listType="set"` becomes x-kubernetes-list-type, `rules=[...]` the CEL rules."""
    names = {
        "list_type": "x-kubernetes-list-type",
        "list_map_keys": "x-kubernetes-list-map-keys",
        "map_type": "x-kubernetes-map-type",
        "rules": "x-kubernetes-validations",
        "int_or_string": "x-kubernetes-int-or-string",
    }
    return {names.get(key, key): value for key, value in extra.items()}


class ApiModel(BaseModel):
    """Base of all API types: immutable, camelCase on the wire. Unknown attributes are dropped, as the API server does."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def to_manifest(self) -> dict[str, Any]:
        """The value as it stands in YAML: wire names, nothing that the user left out."""
        return self.model_dump(by_alias=True, exclude_none=True, mode="json")


def with_rules(*rules: Rule) -> ConfigDict:
    """The model_config of a type that has CEL rules of its own."""
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": list(rules)})


# A quantity in bytes, as Kubernetes writes it: 512Mi, 20Gi, 1.5Ti.
Bytes = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$", max_length=32)]
Cpu = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?m?$", max_length=16)]
# The name of an object in the service's own namespace (DNS-1123 subdomain).
ObjectName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)
]
KeyName = Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)]
LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=317)]
LabelValue = Annotated[str, StringConstraints(max_length=63)]
ShortText = Annotated[str, StringConstraints(max_length=253)]


class KeyRef(ApiModel):
    """A key of a Secret or ConfigMap in the service's namespace. The kubelet reads it; the operator never does."""

    name: ObjectName = Field(description="Name of the Secret or ConfigMap, in the namespace of the service.", examples=["hf-token"])
    key: KeyName = Field(description="Key within it.", examples=["token"])


_SUFFIX = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def bytes_of(quantity: str) -> int:
    """Bytes that a Kubernetes quantity like "20Gi" stands for. Raises ValueError for anything else."""
    digits = quantity.rstrip("KMGTki")
    try:
        return int(float(digits) * _SUFFIX[quantity[len(digits) :]])
    except KeyError:
        raise ValueError(f"{quantity!r} is not a quantity of bytes like 512Mi or 20Gi") from None


def gibibytes(count: int) -> str:
    """A whole number of bytes as the shortest exact binary quantity: 2147483648 -> "2Gi"."""
    for suffix in ("Gi", "Mi", "Ki"):
        if count % _SUFFIX[suffix] == 0:
            return f"{count // _SUFFIX[suffix]}{suffix}"
    return str(count)
