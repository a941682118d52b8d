"""The oldest vLLM that is supported takes the command lines that the operator writes for its image."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.every_field import SAMPLES, dotted, listed, sample
from support.places import PLACES
from support.real_vllm.environment import Parser, oldest
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


# Fields stand for these, and pass another flag: --spec-tokens is a key of --speculative-config.
MEANT = {"--spec-method", "--spec-model", "--spec-tokens"}


def test_the_least_service_is_parsed(old: Parser) -> None:
    spec = InferenceServiceSpec.model_validate({"model": {"uri": "hf://org/name"}})
    assert old.parse(argv(spec_of(spec), "test")) == {}


@pytest.mark.parametrize(("path", "schema"), FLAGS)
def test_a_field_is_parsed_or_refused(old: Parser, path: tuple[str, ...], schema: dict[str, Any]) -> None:
    spec = spec_of(sample(path, schema).services[0].spec)
    if not not_in_image(spec):
        assert old.parse(argv(spec, "test")) == {}
