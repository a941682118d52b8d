"""What pods of a batch say is anybody's: it is bounded, and what is none counts for nothing."""

import json
from typing import Any

import pytest

from vllm_operator.batches.evidence import MOST_REQUESTS, Progress, progress_in, report_in


@pytest.mark.parametrize(
    "said",
    [
        "",
        "null",
        "[]",
        "3",
        "{",
        '{"done": "x"}',
        '{"done": -1}',
        '{"done": true}',
        '{"done": 1e999}',
        "[" * 5000,
        "x" * 99999,
    ],
)
def test_what_is_no_progress_is_none(said: str) -> None:
    assert progress_in(said) == Progress()


def test_numbers_beyond_all_measure_are_none() -> None:
    assert progress_in(json.dumps({"done": MOST_REQUESTS + 1, "failed": 2})) == Progress(0, 2)


@pytest.mark.parametrize("said", ["", "null", "{}", '{"total": -1}', '{"total": "10"}', "[" * 5000])
def test_what_is_no_report_is_an_error(said: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        report_in(said)


@pytest.mark.parametrize("first", [None, "x", [None], [{"line": "7", "why": "x"}], [{"line": 7, "why": 3}]])
def test_lines_that_are_none_are_left_out(first: Any) -> None:
    assert report_in(json.dumps({"total": 1, "first": first})).first == ()


def test_lines_are_few_short_and_printable() -> None:
    wrong = [{"file": "f" * 999, "line": 7, "why": "\x1b[31m" + "w" * 999}] * 50
    shown = report_in(json.dumps({"total": 1, "first": wrong[:4]})).first
    assert len(shown) == 3
    assert all(len(one) < 300 and "\x1b" not in one for one in shown)
