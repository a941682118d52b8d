"""A log of 64 KiB that anybody has written is explained in a moment, whatever it repeats."""

from time import process_time

import pytest

from support.pod_status import failed, found
from vllm_operator.api.limits import cut_lines
from vllm_operator.diagnosis.catalogue import SYMPTOMS

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


def test_many_pods_that_fail_cost_no_more_than_some() -> None:
    log = "\n".join(["RuntimeError: nobody knows this"] * 100)  # as much as the kubelet keeps
    pods = [failed(f"{log}{number}", code=1) for number in range(200)]
    start = process_time()
    found(*pods)
    assert process_time() - start < 2 * MOST_SECONDS
