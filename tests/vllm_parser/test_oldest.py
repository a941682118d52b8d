"""The oldest vLLM that is supported takes the command lines that the operator writes for its image."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.every_field import SAMPLES, dotted, listed, sample
from support.places import PLACES
from support.real_vllm.environment import Parser, oldest
from support.spoken import keys, words
from vllm_operator.api.flags.allowed import EXTRA_SWITCH_FLAGS, EXTRA_VALUE_FLAGS
from vllm_operator.api.flags.catalogue import fields_by_flag
from vllm_operator.api.flags.versions import needs
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.api.vocabulary import OLDEST_VLLM_VERSION
from vllm_operator.assess.consistency import not_in_image
from vllm_operator.vllm.argv import argv

IMAGE = f"vllm/vllm-openai:v{OLDEST_VLLM_VERSION}"
FLAGS = [pytest.param(*s, id=dotted(s[0])) for s in SAMPLES if (name := listed(s[0])) and PLACES[name].kind == "argv"]


@pytest.fixture(scope="module")
def old() -> Iterator[Parser]:
    """The parser of the oldest vLLM."""
    parser = Parser("parse_oldest.py", oldest())
    yield parser
    parser.close()


def spec_of(spec: InferenceServiceSpec) -> InferenceServiceSpec:
    """A spec with the oldest image."""
    return spec.model_copy(update={"image": IMAGE})


def test_what_is_said_to_need_a_newer_vllm_is_what_it_lacks(old: Parser) -> None:
    there = set(old.facts["flags"])
    passed = {*EXTRA_VALUE_FLAGS, *EXTRA_SWITCH_FLAGS, *fields_by_flag(InferenceServiceSpec)}
    assert {flag for flag in passed if needs(flag, IMAGE)} == passed - there - MEANT


def test_a_word_is_said_to_need_a_newer_vllm_if_it_lacks_it(old: Parser) -> None:
    known = old.facts["words"]
    said = words()
    judged = {name for name in said if name in known and not needs(name, IMAGE)}
    assert judged > {"kv-cache-dtype", "quantization", "load-format", "tokenizer-mode", "speculative-config.method"}
    for name in judged:
        assert {word for word in said[name] if needs(f"{name}={word}", IMAGE)} == said[name] - {*known[name]}, name


def test_a_key_of_json_is_said_to_need_a_newer_vllm_if_it_lacks_it(old: Parser) -> None:
    known = {f"{name}.{key}" for name, had in old.facts["keys"].items() for key in had}
    judged = {key for key in keys() if key.rpartition(".")[0] in old.facts["keys"]}
    assert {key for key in judged if needs(key, IMAGE)} == judged - known


# Fields stand for these, and pass another flag: --spec-tokens is a key of --speculative-config.
MEANT = {"--spec-method", "--spec-model", "--spec-tokens"}


def test_the_least_service_is_parsed(old: Parser) -> None:
    spec = InferenceServiceSpec.model_validate({"model": {"uri": "hf://org/name"}})
    assert old.parse(argv(spec_of(spec), "test")) == {}


@pytest.mark.parametrize(("path", "schema"), FLAGS)
def test_a_field_is_parsed_or_refused(old: Parser, path: tuple[str, ...], schema: dict[str, Any]) -> None:
    for service in sample(path, schema).services:
        spec = spec_of(service.spec)
        if not not_in_image(spec):
            assert old.parse(argv(spec, "test")) == {}
