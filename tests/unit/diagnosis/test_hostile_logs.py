"""A log of 64 KiB that anybody has written is explained in a moment, whatever it repeats."""

from collections.abc import Iterator
from time import process_time

import pytest

from support.pod_status import failed, found
from vllm_operator.api.limits import cut_lines
from vllm_operator.diagnosis.catalogue import SYMPTOMS
from vllm_operator.diagnosis.log import cleaned
from vllm_operator.diagnosis.symptom import Symptom

MOST_SECONDS = 0.25
"""Of CPU: five times what is promised, since the machine may be busy."""
REPEATED = [
    "http://",
    "x",
    "a.",
    "~",
    "(",
    "\n",
    " \n",
    "a b\n",
    "Error: ",
    "(EngineCore pid=1) ",
    "[rank0]: ",
    "Exception ignored in: x\n",
    "Traceback (most recent call last):\n",
    '  File "/multiprocessing/resource_tracker.py", line 1, in x\n    x\n',
    'Traceback (most recent call last):\n  File "x", line 1, in x\nAssertionError\n',
    "\x1b[0m",
]
PIECES = sorted({piece for symptom in SYMPTOMS for piece in symptom.pieces()})


@pytest.mark.parametrize("unit", [*REPEATED, *PIECES])
def test_a_log_that_repeats_something_is_explained_soon(unit: str) -> None:
    for log in ((unit * 70_000)[:65536], "\n".join([(unit * 3000)[:1990]] * 32)):
        pod = failed(cut_lines(log), code=1)
        start = process_time()
        found(pod)
        assert process_time() - start < MOST_SECONDS


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: symptom.says[:40])
def test_a_log_that_says_a_text_nearly_and_again_and_again_is_explained_soon(symptom: Symptom) -> None:
    for unit in _nearly(symptom.pieces()):
        line = (unit * (1990 // len(unit) + 1))[:1990]
        log = cut_lines("\n".join([line] * 33))
        assert len(log) > 60_000
        start = process_time()
        symptom.pattern.search(cleaned(log))
        assert process_time() - start < MOST_SECONDS, unit


def _nearly(pieces: list[str]) -> Iterator[str]:
    """Parts of a text in its order, with blanks where a value may stand, and some of them often."""
    first, inner = pieces[0], pieces[1:-1]
    yield (first + " ") * 5 + "".join(piece * 24 for piece in inner)
    for blanks in (1, 40, 159, 400):
        gap = " " * blanks
        yield first + gap
        for times in (1, 60):
            yield gap.join([first, *(piece * times for piece in inner), ""])
            yield first + gap + gap.join(piece.strip() * times for piece in inner) + gap


@pytest.mark.parametrize(
    "said",
    [
        "Free memory on device cuda:0 (10.1/80.0 GiB) on startup is less than desired GPU memory utilization (0.9, 72.0"
        " GiB). Decrease",
        "Free memory on device  cuda:0\n   (10.1/80.0 GiB)\non startup is less than desired GPU memory utilization"
        " (0.9, 72.0 GiB). Decrease",
    ],
)
def test_the_values_of_a_text_are_found_wherever_a_line_is_broken(said: str) -> None:
    found = next(match for symptom in SYMPTOMS if (match := symptom.search(f"ValueError: {said}")))
    assert found.groupdict() == {
        "device": "cuda:0", "free": "10.1", "total": "80.0", "share": "0.9", "wanted": "72.0",
    }  # fmt: skip


def test_many_pods_that_fail_cost_no_more_than_some() -> None:
    log = "\n".join(["RuntimeError: nobody knows this"] * 100)  # as much as the kubelet keeps
    pods = [failed(f"{log}{number}", code=1) for number in range(200)]
    start = process_time()
    found(*pods)
    assert process_time() - start < 2 * MOST_SECONDS
