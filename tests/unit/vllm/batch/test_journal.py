"""What attempts leave and what is read of it: torn anywhere, killed at any moment, merged once or twice."""

import asyncio
import json
import os
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.batch_engine import StandIn
from support.batches import UID, rows, where, write_input
from vllm_operator.vllm.batch import command, merging
from vllm_operator.vllm.batch.command import main
from vllm_operator.vllm.batch.faults import DONE
from vllm_operator.vllm.batch.journal import ANSWERED, DIED, ENDED, FAILED, SENT, Journal, history, journals, records
from vllm_operator.vllm.batch.merging import FENCE
from vllm_operator.vllm.batch.survey import known_survey, parts_folder
from vllm_operator.vllm.batch.work import Share, Worker

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _no_last_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "LAST_WORDS", tmp_path / "none")


def payload(number: int) -> bytes:
    """An answer of request r0, r1, ..."""
    return json.dumps({"custom_id": f"r{number}", "text": "\u00fc\n0 A 1 2 3"}).encode()


def merge(source: Path, output: Path, count: int = 1) -> None:
    """Merges."""
    assert main(["merge", *where(source, output), f"--count={count}"]) == DONE


def found(output: Path) -> Counter[str]:
    """How often each custom_id is in the output."""
    return Counter(row["custom_id"] for name in ("in.jsonl", "in.errors.jsonl") for row in rows(output / name))


@FEW
@given(cut=st.integers(0, 1000), garbage=st.binary(max_size=40))
def test_what_is_whole_is_read_wherever_the_file_is_torn(cut: int, garbage: bytes) -> None:
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder), "pod")
        ends = []
        for number in range(10):
            journal.write(ANSWERED, number, (1, 2), payload(number))
            ends.append(journal.path.stat().st_size)
        text = journal.path.read_bytes()
        journal.path.write_bytes(text[:cut] + garbage)
        whole = sum(end <= cut for end in ends)
        with journal.path.open("rb") as file:
            assert [one.number for one in records(file)] == list(range(whole))


@FEW
@given(at=st.integers(0, 999), byte=st.integers(0, 255))
def test_a_byte_that_is_wrong_costs_one_record_at_most_two(at: int, byte: int) -> None:
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder), "pod")
        for number in range(12):
            journal.write(ANSWERED, number, (1, 2), payload(number))
        text = bytearray(journal.path.read_bytes())
        changed = text[at % len(text)] != byte
        text[at % len(text)] = byte
        journal.path.write_bytes(text)
        with journal.path.open("rb") as file:
            left = [one.number for one in records(file)]
        assert len(left) == 12 if not changed else len(left) in (10, 11)
        assert left == sorted(set(left))


# Each life of a pod: after how many records it is killed, and how many bytes of the last one the disk has lost.
LIVES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 200)), max_size=6)


class Killed(BaseException):
    """The process is gone."""


class Mortal(Journal):
    """A journal whose process dies after some records."""

    def __init__(self, folder: Path, pod: str, records_left: int) -> None:
        super().__init__(folder, pod)
        self.left = records_left

    def write(self, kind: bytes, number: int, tokens: tuple[int, int] = (0, 0), payload: bytes = b"") -> None:
        """Dies instead, when its time has come."""
        if self.left <= 0:
            raise Killed
        self.left -= 1
        super().write(kind, number, tokens, payload)


@FEW
@given(lives=LIVES, count=st.integers(1, 3), seed=st.integers(0, 10))
def test_after_any_kills_each_custom_id_is_there_once(lives: list[tuple[int, int]], count: int, seed: int) -> None:
    with TemporaryDirectory() as folder:
        source, output = write_input(Path(folder) / "in.jsonl", (f"p{n}" for n in range(40))), Path(folder) / "out"
        parts, random = parts_folder(output, UID), Random(seed)
        survey = known_survey(source, parts)

        async def live(index: int, records_left: int, lost: int) -> None:
            share = Share(source, parts, UID, index, count, 2, 4, 1.0)
            journal = Mortal(parts / str(index), "pod", records_left)
            worker = Worker(share, survey, history(parts / str(index), count), journal)
            try:
                await worker.work(StandIn(random.random() / 1000))
            except Killed:
                size = journal.path.stat().st_size
                os.truncate(journal.path, max(0, size - lost))

        for life, (records_left, lost) in enumerate(lives):
            asyncio.run(live(life % count, records_left, lost))
        for index in range(count):
            asyncio.run(live(index, 10**6, 0))
        merge(source, output, count)
        assert found(output) == Counter(f"r{number}" for number in range(40))
        before = [(output / name).read_bytes() for name in ("in.jsonl", "in.errors.jsonl")]
        merge(source, output, count)
        assert before == [(output / name).read_bytes() for name in ("in.jsonl", "in.errors.jsonl")]


def test_what_a_late_pod_writes_after_the_fence_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = write_input(tmp_path / "in.jsonl", ["a", "b"]), tmp_path / "out"
    parts = parts_folder(output, UID)
    late, gone = Journal(parts / "0", "late"), Journal(parts / "0", "gone")
    late.write(ANSWERED, 0, (1, 1), payload(0))
    with monkeypatch.context() as patch:

        def killed(*_: object) -> None:
            raise Killed

        patch.setattr(merging, "_publish", killed)
        with pytest.raises(Killed):
            merge(source, output)
    late.write(ANSWERED, 1, (1, 1), payload(1))
    gone.write(ANSWERED, 1, (1, 1), payload(1))
    Journal(parts / "0", "new").write(ANSWERED, 1, (1, 1), payload(1))
    merge(source, output)
    assert [row["custom_id"] for row in rows(output / "in.jsonl")] == ["r0"]
    assert (parts / FENCE).exists()
    assert not journals(parts)


def test_an_answer_counts_more_than_a_failure_and_the_first_more_than_the_second(tmp_path: Path) -> None:
    source, output = write_input(tmp_path / "in.jsonl", ["a"]), tmp_path / "out"
    parts = parts_folder(output, UID)
    Journal(parts / "0", "a").write(FAILED, 0, (0, 0), payload(0))
    for pod, text in (("b", b'{"custom_id": "r0", "by": "b"}'), ("c", b'{"custom_id": "r0", "by": "c"}')):
        Journal(parts / "0", pod).write(ANSWERED, 0, (1, 1), text)
    merge(source, output)
    assert rows(output / "in.jsonl") == [{"custom_id": "r0", "by": "b"}]
    assert rows(output / "in.errors.jsonl") == []


@pytest.mark.parametrize(("last", "suspects"), [(None, [1, 2]), (DIED, [1, 2]), (ENDED, [])])
def test_what_was_in_flight_is_suspected_unless_the_pod_ended_in_order(
    tmp_path: Path, last: bytes | None, suspects: list[int]
) -> None:
    journal = Journal(tmp_path, "pod")
    for number in range(3):
        journal.write(SENT, number)
    journal.write(ANSWERED, 0, (1, 1), payload(0))
    if last:
        journal.write(last, 0)
    known = history(tmp_path, 1)
    assert list(known.suspects) == suspects
    assert (known.done, known.failed, known.prompt_tokens, known.output_tokens) == (1, 0, 1, 1)
    assert not any(one.condemned() for one in known.suspects.values())


@pytest.mark.parametrize(
    ("flights", "condemned"),
    [
        # In flight with others twice: it may be one of the others.
        ([([1, 2], DIED), ([1, 2], DIED)], False),
        ([([1, 2], DIED), ([1], DIED)], True),
        ([([1], DIED)], False),
        # Without a word: a node may have been lost.
        ([([1, 2], None), ([1], None)], False),
        ([([1], None), ([1], None)], False),
        ([([1], None), ([1], None), ([1], None)], True),
        ([([1], None), ([1], DIED), ([1], DIED)], True),
        ([([1, 2], DIED), ([1], None)], False),
    ],
)
def test_a_request_is_condemned_only_by_what_it_did_alone(
    tmp_path: Path, flights: list[tuple[list[int], bytes | None]], condemned: object
) -> None:
    for flying, last in flights:
        journal = Journal(tmp_path, "pod")
        for number in flying:
            journal.write(SENT, number)
        if last:
            journal.write(last, 0)
    assert history(tmp_path, 1).suspects[1].condemned() is condemned


def test_each_process_has_a_file_of_its_own(tmp_path: Path) -> None:
    paths = {Journal(tmp_path, "pod").path.name for _ in range(3)}
    assert paths == {"pod-0.journal", "pod-1.journal", "pod-2.journal"}
