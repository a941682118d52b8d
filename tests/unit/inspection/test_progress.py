"""What a download says of itself is read back, and what anybody else writes into its log is no progress."""

import json

import pytest

from vllm_operator.api.reasons import Reason
from vllm_operator.inspection.progress import Progress, duration, failure, last, line, size
from vllm_operator.inspection.report import InspectionError, encode_error

HALF = Progress(50, 100, 10, checks=False, waits=True)


def test_the_newest_line_counts() -> None:
    log = "\n".join(["Fetching", line(Progress(1, 100)), line(HALF), "a warning of a library"])
    assert last(log) == HALF
    assert last("nothing\nof ours") is None


@pytest.mark.parametrize(
    "said",
    [
        {"done": -1, "total": 100, "rate": 0},
        {"done": 1, "total": 0, "rate": 0},
        {"done": 1, "total": 10**30, "rate": 0},
        {"done": "1", "total": 100, "rate": 0},
        {"done": 1, "total": 100},
        [],
    ],
)
def test_what_is_no_progress_is_passed_over(said: object) -> None:
    assert last(json.dumps({"progress": said})) is None
    assert last("\n".join([line(HALF), json.dumps({"progress": said})])) == HALF


def test_more_than_all_is_all() -> None:
    found = last(line(Progress(200, 100)))
    assert found
    assert (found.done, found.percent, found.seconds_left) == (100, 100, None)


@pytest.mark.parametrize(
    ("progress", "percent", "left"),
    [(Progress(0, 100), 0, None), (Progress(999, 1000, 1), 99, 1), (Progress(1000, 1000, 5), 100, None)],
)
def test_percents_and_time(progress: Progress, percent: int, left: int | None) -> None:
    assert (progress.percent, progress.seconds_left) == (percent, left)


def test_why_it_failed_is_told_whatever_was_left() -> None:
    told = failure(encode_error(InspectionError(Reason.MODEL_GATED, "it is gated")))
    assert (told.reason, str(told)) == (Reason.MODEL_GATED, "it is gated")
    no_condition_of_pods = failure(encode_error(InspectionError(Reason.NO_CONFIG, "no config")))
    assert (no_condition_of_pods.reason, str(no_condition_of_pods)) == (Reason.DOWNLOAD_FAILED, "no config")
    for message in ("", "OOMKilled", "[" * 10_000, '{"reason": "Nonsense", "message": 1}'):
        assert failure(message).reason is Reason.DOWNLOAD_FAILED


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (140_200_000_000, "140.2 GB"), (10**12, "1.0 TB")]
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (61, "2 min"), (3600, "1 h"), (7500, "2 h 5 min")]
)
def test_durations(seconds: int, text: str) -> None:
    assert duration(seconds) == text
