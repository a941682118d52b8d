"""What anybody may write, by the thousand: only the errors that are declared, in time, and in little memory.

FUZZ_SECONDS a target: 5 in `make test`, minutes in `make fuzz`. What once failed stays as an @example.
"""

import base64
import json
import os
import tracemalloc
import zlib
from collections.abc import Callable
from time import monotonic, thread_time
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support.accounts import Scene
from support.pod_status import failed, found
from support.snapshots import service
from vllm_operator.api.limits import OverLimitError, cut_lines
from vllm_operator.inspection.report import InspectionError, decode, encode
from vllm_operator.inspection.sources import data_bytes
from vllm_operator.manifests.names import REVISION_LABEL
from vllm_operator.readers import pod_http
from vllm_operator.snapshots import pod_event
from vllm_operator.snapshots.revision import kept
from vllm_operator.status.schema import conform
from vllm_operator.status.status import status

pytestmark = pytest.mark.fuzz

SECONDS = float(os.environ.get("FUZZ_SECONDS", "5"))
MOST_CPU_SECONDS = 0.25
"""Five times what is promised, since the machine may be busy."""
ATTEMPTS = 3
MOST_BYTES = 32 << 20

NUMBERS = st.integers() | st.floats() | st.sampled_from([10**100, -(10**30), 1 << 63, 1e-320])
WORDS = st.text(max_size=40) | st.sampled_from(["$folded", "#", "\ud800", "\x1b[2J", "%d", "x" * 5000])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=30,
)
RUN = st.tuples(WORDS, st.integers(-5, 3_000_000_000), st.lists(st.lists(JSON, max_size=4), max_size=3))
FOLDED = st.fixed_dictionaries({"$folded": st.lists(RUN, max_size=3) | JSON})
BYTES = st.binary(max_size=200)


def deep(levels: int) -> Any:
    """Lists in each other."""
    return json.loads("[" * levels + "]" * levels)


def fuzzed(target: Callable[[], None]) -> Callable[[], None]:
    """New examples for as long as there is time."""
    checks = list(HealthCheck)
    once = settings(max_examples=50, deadline=None, database=None, suppress_health_check=checks)(target)

    def run() -> None:
        ends = monotonic() + SECONDS
        while monotonic() < ends:
            once()

    return run


def bounded(run: Callable[[], Any], *declared: type[Exception]) -> None:
    """Runs it: only the declared errors, within the limits of time and memory."""
    # What takes long takes long again; a machine that was busy elsewhere does not.
    assert any(_cpu_seconds(run, declared) < MOST_CPU_SECONDS for _ in range(ATTEMPTS))
    tracemalloc.start()
    try:
        _run(run, declared)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


def _cpu_seconds(run: Callable[[], Any], declared: tuple[type[Exception], ...]) -> float:
    start = thread_time()
    _run(run, declared)
    return thread_time() - start


def _run(run: Callable[[], Any], declared: tuple[type[Exception], ...]) -> None:
    try:
        run()
    except declared:
        return


def message(model: Any, **other: Any) -> str:
    """A report, as a forged inspect Job would leave it."""
    packed = base64.b85encode(zlib.compress(json.dumps(model).encode())).decode()
    return json.dumps({"commit": None, "weightsBytes": None, "model": packed, **other})


@fuzzed
@given(st.builds(lambda c, q, w: message({"config": c, "quantization": q}, weightsBytes=w), JSON | FOLDED, JSON, JSON))
@example(message({"config": {"x": {"$folded": [["x", 2_000_000_000, []]]}}, "quantization": None}))
@example(message({"config": {"x": [[]] * 900_000}, "quantization": None}))
@example(message({"config": {"x": deep(60)}, "quantization": None}))
@example('{"reason": "Available", "message": 7}')
def test_reports(text: str) -> None:
    bounded(lambda: encode(decode(text)), InspectionError)


@fuzzed
@given(JSON | BYTES.map(lambda data: data.decode("latin-1")))
@example("[" * 100_000)
@example({"a": {"data_offsets": [0, 10**100]}})
def test_headers_of_weights(value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value)
    bounded(lambda: data_bytes(text), OverLimitError, ValueError, KeyError, TypeError, IndexError)


@fuzzed
@given(JSON | st.fixed_dictionaries({"template": JSON, "resolved": JSON}) | st.fixed_dictionaries({"model": JSON}))
@example({"template": {"metadata": {"labels": {REVISION_LABEL: "r"}}, "spec": {"containers": [{"image": 7}]}}})
@example({"model": {"config": deep(60)}})
def test_what_revisions_keep(value: Any) -> None:
    bounded(lambda: kept(value))


@fuzzed
@given(st.text(max_size=300), st.text(max_size=300))
@example("1e-320", "1024")
@example("nan", "9" * 4400)
def test_metrics(concurrency: str, tokens: str) -> None:
    line = f'vllm:cache_config_info{{kv_cache_max_concurrency="{concurrency}",kv_cache_size_tokens="{tokens}"}} 1.0'
    # Every error of what reads an answer is told of that answer (pod_http._ask).
    bounded(lambda: pod_http.parse_metrics(line), Exception)


@fuzzed
@given(JSON)
@example(deep(60))
@example([1])
def test_answers_of_pods(value: Any) -> None:
    text = json.dumps(value)
    bounded(lambda: pod_http._version(text), Exception)
    bounded(lambda: pod_http._state(text), Exception)


@fuzzed
@given(
    st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(("reason", "message", "eventTime"), JSON)), max_size=9)
)
@example([{"message": "m" * 3_000_000}])
def test_events(bodies: list[Any]) -> None:
    bounded(lambda: pod_event.snapshots(bodies))


@fuzzed
@given(st.text(max_size=200), st.integers(1, 4000), st.sampled_from(["", "\n", " \n", ": "]))
@example("http://", 9000, "")
@example("a.", 40_000, "")
@example("{", 1, "\n")
def test_logs(unit: str, times: int, between: str) -> None:
    log = cut_lines(((unit + between) * times)[:65536])
    bounded(lambda: found(failed(log, code=1)))


@fuzzed
@given(JSON)
@example({"model": {"weightsBytes": 10**100, "commit": "c" * 254}, "conditions": [{"type": "Fits"}]})
@example({"engine": deep(60)})
def test_statuses(value: Any) -> None:
    before = value if isinstance(value, dict) else {"conditions": value, "model": value, "engine": value}
    bounded(lambda: status(Scene().account(service(), conform(before)[0]), "2026-11-24T12:00:00Z"))
