"""The words and the keys of JSON that the API may say to vLLM: what an older vLLM may lack beside flags."""

from typing import Any

from support.every_field import spec_schema
from vllm_operator.api.fields import fields
from vllm_operator.api.flags.allowed import EXTRA_CHOICE_FLAGS
from vllm_operator.api.loading import ALLOWED
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.api.vocabulary import PASSES, QUANTIZATIONS

_FIELDS = tuple(fields(InferenceServiceSpec))
# Words that a rule of the field says, and no enumeration in its schema.
_BY_RULE: dict[str, tuple[str, ...]] = {
    "maxModelLen": ("auto",),
    "model.loadFormat": ALLOWED,
    "quantization": QUANTIZATIONS,
    "speculative.quantization": QUANTIZATIONS,
}


def words() -> dict[str, set[str]]:
    """The words of each flag, and of each key of a flag's JSON, that has some."""
    found = {flag.removeprefix("--"): {*choices} for flag, choices in EXTRA_CHOICE_FLAGS.items()}
    for field in _FIELDS:
        known = _BY_RULE.get(field.path, _schema(field.path).get("enum", ()) if field.scalar else ())
        for name in [*(flag.name for flag in field.flags), *([field.key] if field.key else [])]:
            found.setdefault(name, set()).update(str(word) for word in known)
    return {name: said for name, said in found.items() if said}


def keys() -> set[str]:
    """The keys of JSON: compilation-config.cudagraph_mode."""
    return {field.key for field in _FIELDS if field.key} | {f"compilation-config.pass_config.{one}" for one in PASSES}


def _schema(path: str) -> dict[str, Any]:
    schema = spec_schema()
    for step in path.split("."):
        schema = schema["properties"][step]
    return schema
