"""Sources of `kubectl vllm import` with anything in any place: a service that the API takes, or one sentence."""

import copy
import os
from collections.abc import Iterator
from random import Random
from time import monotonic
from typing import Any

import pytest

from support.imports import CASES, sources
from vllm_operator.cli.importing.command import told
from vllm_operator.cli.importing.documents import ImportInputError, Sources
from vllm_operator.cli.importing.imports import imported
from vllm_operator.cli.validation import faults
from vllm_operator.settings import Settings

pytestmark = pytest.mark.fuzz

SECONDS = float(os.environ.get("FUZZ_SECONDS", "5"))
ANYTHING: list[Any] = [
    None, 0, -1, 1.5, True, "", "x", "$(A)", "${B:-c}", "a b --c", [], {}, [1], {"a": 1}, ["x", {"name": "y"}], [[]],
    "--max-model-len=9999999999", "\x1b[31m", "/models/..", "hf://../x", "9" * 400, "'unfinished", "a.b/c",
]  # fmt: skip


def places(node: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place below a node."""
    for key, item in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*place, key)
        yield from places(item, (*place, key))


def spoiled(body: Any, random: Random) -> Any:
    """A document with something else in one to three of its places."""
    body = copy.deepcopy(body)
    for _ in range(random.choice([1, 1, 2, 3])):
        steps = random.choice(list(places(body)))
        holder = body
        for step in steps[:-1]:
            holder = holder[step]
        holder[steps[-1]] = copy.deepcopy(random.choice(ANYTHING))
    return body


def taken(found: Sources) -> tuple[list[dict[str, Any]], str]:
    """The services that sources come to, or why there are none."""
    try:
        result = imported(found, Settings())
    except ImportInputError as error:
        return [], str(error)
    assert told(result)
    return [one for one in result.documents if one["kind"] == "InferenceService"], ""


def test_whatever_stands_in_a_source_is_taken_over_or_refused_in_a_sentence() -> None:
    """A seed that failed is found again by its number."""
    cases = {name: sources(name) for name in CASES}
    ends, seed = monotonic() + SECONDS, 0
    while monotonic() < ends:
        seed += 1
        random = Random(seed)
        name = random.choice(CASES)
        found = Sources(folder=cases[name].folder)
        for document in cases[name].documents:
            found.add(document.file, spoiled(document.body, random))
        services, sentence = taken(found)
        assert "\n" not in sentence, f"seed {seed}, {name}"
        for one in services:
            assert faults(one, "InferenceService") == [], f"seed {seed}, {name}"
