"""A report of a model that anybody may have written: what it may cost the operator, and what is said of it."""

import base64
import json
import tracemalloc
import zlib
from time import process_time
from typing import Any

import pytest

from vllm_operator.api import limits
from vllm_operator.api.reasons import Reason
from vllm_operator.inspection import kept
from vllm_operator.inspection.kept import facts_of, pack, size_of
from vllm_operator.inspection.report import Facts, InspectionError, content_in, decode, encode

MIB = 1 << 20
MOST_SECONDS = 0.25
"""Of CPU: five times what is promised, since the machine may be busy."""


def report(model: str | dict[str, Any], **other: Any) -> str:
    """A report as a forged inspect Job would leave it."""
    plain = model if isinstance(model, str) else json.dumps({"config": {}, "quantization": None, **model})
    packed = base64.b85encode(zlib.compress(plain.encode(), 9)).decode()
    return json.dumps({"commit": None, "weightsBytes": None, "chatTemplate": None, "model": packed, **other})


def config(text: str) -> str:
    return report(f'{{"config": {{"x": {text}}}, "quantization": null}}')


def _of_modules(value: str, count: int) -> str:
    """So many modules that have a value in common, in the short form."""
    return f'{{"$foldedMap": [[{value}, [["#", {count}, [{[1] * count}]]], []]]}}'


def _nested(depth: int, count: int) -> str:
    return _of_modules(_nested(depth - 1, count), count) if depth else "{}"


FOLDED = '{"$folded": [["x", %s, []]]}'
TOO_MUCH = {
    "a list of two billion names in 220 bytes": config(FOLDED % 2_000_000_000),
    "many lists of names": config("[" + ",".join([FOLDED % 20_000] * 3) + "]"),
    "a grid of a billion names": config(
        '{"$foldedMap": [[{}, [], [["#.#.#", [%s, %s, %s]]]]]}' % ((str(list(range(1000))),) * 3)
    ),
    "maps in maps, each for a thousand": config(_nested(9, 1000)),
    "maps in maps, each for a hundred": config(_nested(3, 100)),
    "a long text that a thousand modules have": config(_of_modules('{"a": "' + "x" * 9000 + '"}', 1000)),
    "many values that a thousand modules have": config(_of_modules("[" + "1," * 9000 + "1]", 1000)),
    "long names": config('{"$folded": [["' + "x" * 5000 + '", 20000, []]]}'),
    "900,000 empty lists in 4 KB": config("[" + "[]," * 900_000 + "[]]"),
    "64,000 values and more": config("[" + "1," * 65_000 + "1]"),
    "134 MiB of nothing": config('"' + " " * (134 * MIB) + '"'),
    "depth": config("[" * 500 + "]" * 500),
    "depth without end": config("[" * 100_000),
    "weights": report({}, weightsBytes=10**100),
    "weights beyond all disks": report({}, weightsBytes=1 << 60),
    "a sequence without tokens": report({}, maxSeqLength=0),
    "a sequence of too many tokens": report({}, maxSeqLength=10**100),
    "an image without pixels": report({}, imagePixels=0),
    "an image of too many pixels": report({}, imagePixels=10**100),
}
NO_REPORT = {
    "negative": config(FOLDED % -5),
    "a text for a number": config(FOLDED % '"9"'),
    "steps that are none": config('{"$folded": [["#", 2, [[1, null]]]]}'),
    "steps that do not add up": config('{"$folded": [["#", 3, [[1, 1]]]]}'),
    "names without numbers": config('{"$folded": [["##", 2, [[1, 1]]]]}'),
    "names that are none": config('{"$folded": [[null, 0, []]]}'),
    "names that are a list": config('{"$folded": [[[], 0, []]]}'),
    "a grid of nothing": config('{"$foldedMap": [[{}, [], [[null, []]]]]}'),
    "folded in folded": config('{"$folded": {"$folded": []}}'),
    "folded by a number": config('{"$folded": 7}'),
    "a config that is none": report({"config": []}),
    "a config that becomes a list": report({"config": {"$folded": []}}),
    "a commit that is none": report({}, commit="--help"[:1] + " x"),
    "a long commit": report({}, commit="c" * 300),
    "a template that is none": report({}, chatTemplate="yes"),
    "a list": "[]",
    "a number": "7",
    "a reason of something else": '{"reason": "Available", "message": "all is well"}',
    "a reason without words": '{"reason": "ModelGated"}',
    "no base85": '{"model": "\\u00e9"}',
    "nothing packed": '{"model": "abc"}',
    "no UTF-8": json.dumps({"model": base64.b85encode(zlib.compress(b"\xff")).decode()}),
}


@pytest.mark.parametrize(
    ("message", "reason"),
    [(message, Reason.OVER_LIMIT) for message in TOO_MUCH.values()]
    + [(message, Reason.UNREADABLE) for message in NO_REPORT.values()],
    ids=[*TOO_MUCH, *NO_REPORT],
)
def test_what_is_no_models_report_is_told_soon_and_takes_no_room(message: str, reason: Reason) -> None:
    tracemalloc.start()
    start = process_time()
    try:
        with pytest.raises(InspectionError) as told:
            decode(message)
        assert process_time() - start < MOST_SECONDS
        assert tracemalloc.get_traced_memory()[1] < 32 * MIB
    finally:
        tracemalloc.stop()
    assert told.value.reason is reason
    assert len(str(told.value)) < 500


def test_what_a_job_says_in_place_of_a_report_is_cut_and_printable() -> None:
    with pytest.raises(InspectionError) as told:
        decode(json.dumps({"reason": "ModelGated", "message": "\x1b[2J" + "x" * 9000}))
    assert (told.value.reason, len(str(told.value))) == (Reason.MODEL_GATED, limits.ERROR_CHARACTERS)
    assert str(told.value).isprintable()
    with pytest.raises(InspectionError, match="it said: Killed\N{REPLACEMENT CHARACTER}"):
        decode("Traceback\nKilled\x1b[31m\n")


def test_numbers_that_json_does_not_have_are_left_out() -> None:
    """Configs of state space models have an Infinity; the API server does not take one."""
    facts = decode(config("[0.0, Infinity, -Infinity, NaN, 1e999, 1" + "0" * 40 + ", 7]"))
    assert facts.config == {"x": [0.0, None, None, None, None, 1e40, 7]}


@pytest.mark.parametrize("where", [{"$folded": []}, {"a": {"$folded": 1}}, {"a": [{"$folded": [["x", 9, []]]}]}])
def test_a_config_cannot_contain_the_form_of_the_encoding(where: dict[str, Any]) -> None:
    for facts in (Facts(where), Facts({}, where)):
        with pytest.raises(InspectionError, match=r"the key \$folded, which no model has"):
            encode(facts)


def test_a_config_as_large_as_any_is_read_in_time() -> None:
    names = [f"model.layers.{layer}.mlp.experts.{expert}.gate" for layer in range(61) for expert in range(256)]
    facts = Facts({"a": "b", "quantization_config": {"ignore": names, "100 % of it": ["%d"] * 40}}, weights_bytes=1)
    message = encode(facts)
    start = process_time()
    packed = pack(content_in(message))
    assert facts_of(packed) == facts == decode(message)
    assert process_time() - start < MOST_SECONDS


def test_what_is_kept_in_memory_is_bounded_by_its_size() -> None:
    lists = "[" + ",".join(["[]"] * 30_000) + "]"
    packed = pack(content_in(config(lists)))
    tracemalloc.start()
    try:
        facts_of(packed)
        assert tracemalloc.get_traced_memory()[0] < size_of(packed)
    finally:
        tracemalloc.stop()
    for number in range(20):
        facts_of(pack(content_in(config(f"[{number}, {lists}]"))))
    assert 0 < kept._FACTS.held <= limits.CACHE_BYTES
