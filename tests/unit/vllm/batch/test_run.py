"""A pod's share with an engine stand-in: what is asked, how often, and what becomes of it."""

import asyncio
import errno
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from support.batch_engine import StandIn, answer_to
from support.batches import line, rows, run_words, where, write_input
from vllm_operator.vllm.batch import command, lines, work
from vllm_operator.vllm.batch.command import main
from vllm_operator.vllm.batch.engine import Engine
from vllm_operator.vllm.batch.faults import AGAIN, BAD_INPUT, BAD_OUTPUT, DONE, STOPPED, BatchError, OutputError
from vllm_operator.vllm.batch.journal import Journal


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(work, "_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(command, "LAST_WORDS", tmp_path / "last-words")
    (tmp_path / "last-words").touch()
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The folder of the results."""
    return tmp_path / "out"


def run(source: Path, output: Path, engine: StandIn, *words: str) -> int:
    """One pod with this engine."""

    @asynccontextmanager
    async def opened(_: list[str]) -> AsyncIterator[Engine]:
        yield engine

    return main([*run_words(source, output), *words], open_engine=opened)


def merge(source: Path, output: Path, count: int = 1) -> dict[str, Any]:
    """Merges, and gives the totals."""
    assert main(["merge", *where(source, output), f"--count={count}"]) == DONE
    totals: dict[str, Any] = json.loads(command.LAST_WORDS.read_text())
    return totals


def test_answers_come_in_the_order_of_the_input_as_the_engine_gave_them(tmp_path: Path, output: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", ["one", "two", "three"])
    assert run(source, output, StandIn()) == DONE
    assert merge(source, output) == {
        "done": 3,
        "failed": 0,
        "unanswered": 0,
        "promptTokens": 11,
        "outputTokens": 6,
    }
    found = rows(output / "in.jsonl")
    assert [row["custom_id"] for row in found] == ["r0", "r1", "r2"]
    assert found[1] == {
        "id": "batch-b1-1",
        "custom_id": "r1",
        "response": {"status_code": 200, "request_id": "cmpl-two", "body": answer_to("two")},
        "error": None,
    }
    assert rows(output / "in.errors.jsonl") == []


def test_errors_that_may_pass_are_tried_again_and_no_others(tmp_path: Path, output: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", ["refuse", "fail 2 times", "fail 3 times", "raise", "fine"])
    engine = StandIn()
    assert run(source, output, engine, "--max-retries=2") == DONE
    assert engine.asked == {"refuse": 1, "fail 2 times": 3, "fail 3 times": 3, "raise": 3, "fine": 1}
    assert merge(source, output)["failed"] == 3
    assert [row["custom_id"] for row in rows(output / "in.jsonl")] == ["r1", "r4"]
    why = {row["custom_id"]: row["error"]["message"] for row in rows(output / "in.errors.jsonl")}
    assert why == {"r0": "no such parameter", "r2": "busy", "r3": "RuntimeError: a fault in a handler"}
    (refused, *_) = rows(output / "in.errors.jsonl")
    assert refused["response"]["status_code"] == 400


def test_the_engine_is_kept_full_and_no_fuller(tmp_path: Path, output: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", map(str, range(100)))
    engine = StandIn(0.001)
    assert run(source, output, engine) == DONE
    assert engine.most == 2 * engine.sequences
    limited = StandIn(0.001)
    assert run(source, tmp_path / "other", limited, "--max-inflight=3") == DONE
    assert limited.most == 3


def test_what_was_answered_is_not_asked_again(tmp_path: Path, output: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", ["a", "b", "refuse"])
    assert run(source, output, StandIn()) == DONE
    again = StandIn()
    assert run(source, output, again) == DONE
    assert not again.asked


def test_shares_take_each_request_once(tmp_path: Path, output: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", map(str, range(10)))
    engines = [StandIn() for _ in range(3)]
    for index, engine in enumerate(engines):
        assert run(source, output, engine, f"--index={index}", "--count=3") == DONE
    assert [sorted(engine.asked) for engine in engines] == [["0", "3", "6", "9"], ["1", "4", "7"], ["2", "5", "8"]]
    assert merge(source, output, 3)["done"] == 10


def test_a_request_that_ends_the_engine_twice_is_failed_and_the_rest_goes_on(tmp_path: Path, output: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", ["a", "die", "b", "c"])
    assert [run(source, output, StandIn()) for _ in range(3)] == [AGAIN, AGAIN, DONE]
    totals = merge(source, output)
    assert (totals["done"], totals["failed"]) == (3, 1)
    (failed,) = rows(output / "in.errors.jsonl")
    assert (failed["custom_id"], failed["error"]["code"]) == ("r1", "ends_engine")


def test_suspects_run_after_the_others_and_alone(tmp_path: Path, output: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", ["a", "die", *"bcdefghijkl"])
    assert run(source, output, StandIn(0.01), "--max-inflight=4") == AGAIN
    second = StandIn(0.001)
    assert run(source, output, second, "--max-inflight=4") == AGAIN
    order = list(second.asked)
    assert set(order[:9]) == set("defghijkl")
    assert order[9:] in (["die"], ["a", "die"])
    third = StandIn()
    assert run(source, output, third, "--max-inflight=4") == DONE
    assert set(third.asked) <= {"a", "b", "c"}
    assert third.most == 1


def test_two_that_end_the_engine_are_both_found(tmp_path: Path, output: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", ["die", "a", "die too", "b"])
    ends = [run(source, output, StandIn()) for _ in range(4)]
    assert ends[-1] == DONE
    assert {row["custom_id"] for row in rows_after_merge(source, output)} == {"r0", "r2"}


def rows_after_merge(source: Path, output: Path) -> list[dict[str, Any]]:
    """The errors."""
    merge(source, output)
    return rows(output / "in.errors.jsonl")


def test_lost_pods_make_suspects_that_run_in_groups(tmp_path: Path, output: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", map(str, range(64)))
    journal = Journal(output / ".parts-b1" / "0", "lost")
    for number in range(32):
        journal.write(b"S", number)
    engine = StandIn(0.001)
    assert run(source, output, engine, "--max-inflight=32") == DONE
    assert set(engine.asked.values()) == {1}
    assert merge(source, output)["done"] == 64


def test_sigterm_lets_what_is_in_flight_come_back(tmp_path: Path, output: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", ["0", "1", "2", "stop", *map(str, range(4, 100))])
    engine = StandIn(0.1)
    assert run(source, output, engine, "--max-inflight=4") == STOPPED
    assert len(engine.asked) == 4
    again = StandIn()
    assert run(source, output, again) == DONE
    assert len(again.asked) == 96
    assert again.most == 16, "what a pod that ended in order had in flight is not suspected"


def test_sigterm_gives_up_what_does_not_come_back(tmp_path: Path, output: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", ["a", "stop"])
    assert run(source, output, StandIn(60), "--grace=0.1") == STOPPED
    again = StandIn(0.01)
    assert run(source, output, again) == DONE
    assert merge(source, output)["done"] == 2


def test_an_engine_that_hangs_is_ended(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(work, "HANG_SECONDS", 0.05)
    monkeypatch.setattr(work, "_LOOK_SECONDS", 0.01)
    source = write_input(tmp_path / "in.jsonl", ["a"])
    assert run(source, output, StandIn(60)) == AGAIN
    assert "made no step" in capsys.readouterr().out
    assert command.LAST_WORDS.read_text() == "", "the log tells more"


def test_an_engine_that_cannot_be_loaded_leaves_its_log_as_last_words(
    tmp_path: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @asynccontextmanager
    async def failing(_: list[str]) -> AsyncIterator[Engine]:
        raise ValueError("no room for the KV cache")
        yield StandIn()

    source = write_input(tmp_path / "in.jsonl", ["a"])
    assert main(run_words(source, output), open_engine=failing) == AGAIN
    told = capsys.readouterr()
    assert "vllm-batch: ValueError: no room for the KV cache" in told.out
    assert "Traceback" in told.err
    assert command.LAST_WORDS.read_text() == ""


@pytest.mark.parametrize(
    ("number", "status", "told"),
    [
        *((one, AGAIN, "the output's volume is full") for one in (errno.ENOSPC, errno.EDQUOT)),
        *((one, AGAIN, "cannot write") for one in (errno.EIO, errno.ESTALE, errno.ENOENT, errno.ETIMEDOUT)),
        *((one, BAD_OUTPUT, "cannot write") for one in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)),
    ],
)
def test_an_output_that_takes_nothing_ends_the_pod_and_for_good_only_where_that_lasts(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int, told: str
) -> None:
    source = write_input(tmp_path / "in.jsonl", map(str, range(50)))
    left = 1000

    def write(file: int, text: bytes) -> int:
        nonlocal left
        if left < len(text):
            raise OSError(number, os.strerror(number))
        left -= len(text)
        return real(file, text)

    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr("vllm_operator.vllm.batch.journal.os.write", write)
        assert run(source, output, StandIn()) == status
    assert told in command.LAST_WORDS.read_text()
    assert run(source, output, StandIn()) == DONE
    assert merge(source, output)["done"] == 50


def test_invalid_and_repeated_requests_are_not_asked(tmp_path: Path, output: Path) -> None:
    source = tmp_path / "in.jsonl"
    later = line("b", "3") + line("c", "4", "/v1/images") + line("b", "5")
    source.write_bytes(line("a", "1") + b"\n{broken\n" + line("a", "2") + later)
    engine = StandIn()
    assert run(source, output, engine) == DONE
    assert sorted(engine.asked) == ["1", "3"]
    totals = merge(source, output)
    assert (totals["done"], totals["failed"]) == (2, 4)
    errors = rows(output / "in.errors.jsonl")
    assert [(row["custom_id"], row["error"]["code"]) for row in errors] == [
        (None, "invalid"),
        ("a", "duplicate"),
        ("c", "invalid"),
        ("b", "duplicate"),
    ]
    assert errors[0]["error"]["message"].startswith("line 3: ")


def test_an_input_that_changed_is_not_run(tmp_path: Path, output: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", ["a", "b"])
    assert main(["check", *where(source, output)]) == DONE
    write_input(source, ["a", "b", "c"])
    assert run(source, output, StandIn()) == BAD_INPUT
    assert "has changed" in command.LAST_WORDS.read_text()


def test_a_request_is_not_blamed_for_a_volume_that_is_full_again_and_again(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_input(tmp_path / "in.jsonl", ["a"])
    real, left = os.write, 0

    def write(file: int, text: bytes) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(file, text[:left])
        left -= written
        return written

    def truncate(file: int, size: int) -> None:
        nonlocal left
        left += os.fstat(file).st_size - size
        os.truncate(file, size)

    with monkeypatch.context() as patch:
        patch.setattr("vllm_operator.vllm.batch.journal.os.write", write)
        patch.setattr("vllm_operator.vllm.batch.journal.os.ftruncate", truncate)
        for _ in range(4):
            left = 100
            assert run(source, output, StandIn()) == AGAIN
    assert run(source, output, StandIn()) == DONE
    assert merge(source, output)["done"] == 1


@pytest.mark.parametrize("error", [BatchError("the output is not in its bucket"), OutputError("it may not do that")])
def test_an_output_that_was_waited_for_in_vain_is_not_waited_for_again(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, error: BatchError
) -> None:
    waited = []

    def sync(_: Journal) -> NoReturn:
        waited.append(1)
        raise error

    monkeypatch.setattr(Journal, "sync", sync)
    monkeypatch.setattr(Journal, "pause", lambda _: 0.01)
    source = write_input(tmp_path / "in.jsonl", map(str, range(50)))
    assert run(source, output, StandIn(0.02)) == error.status
    assert len(waited) == 1
    assert str(error) in command.LAST_WORDS.read_text()


@pytest.mark.parametrize("step", ["check", "run", "merge"])
@pytest.mark.parametrize(
    ("number", "status"),
    [
        *((one, AGAIN) for one in (errno.EIO, errno.ESTALE, errno.ENOMEM, errno.EMFILE)),
        *((one, BAD_INPUT) for one in (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR)),
    ],
)
def test_an_input_that_cannot_be_read_ends_it_for_good_only_where_that_lasts(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int, status: int
) -> None:
    source = write_input(tmp_path / "in.jsonl", ["a"])
    if step != "check":
        assert main(["check", *where(source, output)]) == DONE

    def fails(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lines, "_texts", fails)
    words = {"run": ["--index=0", "--count=1", "--port=0"], "merge": ["--count=1"]}.get(step, [])
    assert main([step, *where(source, output), *words]) == status
    assert f"cannot read {source}: " in command.LAST_WORDS.read_text()


CHANGED = [b"[2]", b"\n1\n", b" 1 ", b"999"]


@pytest.mark.parametrize("step", ["run", "merge"])
@pytest.mark.parametrize("name", ["in.jsonl", "in/b.jsonl"])
@pytest.mark.parametrize("later", CHANGED)
def test_an_input_that_changed_to_the_same_size_is_neither_run_nor_merged(
    tmp_path: Path, output: Path, step: str, name: str, later: bytes
) -> None:
    changed = tmp_path / name
    for path in (changed, changed.with_name("a.jsonl")) if "/" in name else (changed,):
        write_input(path, ["a", "b"])
    source = changed if "/" not in name else changed.parent
    content = changed.read_bytes()
    changed.write_bytes(content + b"[1]")
    assert main(["check", *where(source, output), "--on-invalid=skip"]) == DONE
    changed.write_bytes(content + later)
    ended = run(source, output, StandIn()) if step == "run" else main(["merge", *where(source, output), "--count=1"])
    assert ended == BAD_INPUT
    assert "has changed" in command.LAST_WORDS.read_text()


def test_an_input_that_an_earlier_program_surveyed_is_taken_as_it_is(tmp_path: Path, output: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", ["a", "b"])
    assert main(["check", *where(source, output)]) == DONE
    kept = output / ".parts-b1" / "input.json"
    survey = json.loads(kept.read_text())
    kept.write_text(json.dumps({**survey, "files": [file[:4] for file in survey["files"]]}))
    assert run(source, output, StandIn()) == DONE
    assert merge(source, output)["done"] == 2


@pytest.mark.parametrize("size", [10, 100])
def test_all_bytes_are_held_against_those_that_were_checked(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(lines, "LINE_BYTES", size)
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"\xef\xbb\xbf" + b"x" * 250 + b"\n\n" + line("a", "1"))
    main(["check", *where(source, output)])
    content = source.read_bytes()
    assert run(source, output, StandIn()) == DONE
    for at in range(0, len(content), 7):
        source.write_bytes(content[:at] + b"~" + content[at + 1 :])
        assert run(source, output, StandIn()) == BAD_INPUT


def test_a_pod_that_comes_back_after_the_merge_asks_nothing(tmp_path: Path, output: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", ["a"])
    assert merge(source, output)["unanswered"] == 1
    engine = StandIn()
    assert run(source, output, engine) == DONE
    assert not engine.asked
    assert rows(output / "in.jsonl") == []


def test_progress_counts_earlier_attempts(tmp_path: Path, output: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", ["a", "b", "refuse"])
    run(source, output, StandIn())
    run(source, output, StandIn())
    counts = json.loads(command.LAST_WORDS.read_text())
    assert {**counts, "seconds": 0} == {
        "index": 0,
        "total": 3,
        "done": 2,
        "failed": 1,
        "promptTokens": 2,
        "outputTokens": 4,
        "inFlight": 0,
        "seconds": 0,
    }


def test_a_stand_in_is_asked_in_the_loop_of_the_program() -> None:
    assert asyncio.run(StandIn().ask("/v1/completions", {"prompt": "ab"}))[0] == 200


@pytest.mark.parametrize(
    ("answer", "tokens"),
    [
        ({"id": "x", "text": 'he said "usage":{"prompt_tokens":9}', "usage": {"prompt_tokens": 3}}, (3, 0)),
        ({"id": "x", "data": [0.1] * 5000, "usage": {"prompt_tokens": 3, "completion_tokens": None}}, (3, 0)),
        ({"id": "x", "usage": None}, (0, 0)),
        ({"choices": ["\u2028"]}, (0, 0)),
    ],
)
def test_an_answer_is_kept_as_it_is_whatever_it_holds(
    tmp_path: Path, output: Path, answer: dict[str, Any], tokens: tuple[int, int]
) -> None:
    class Answering(StandIn):
        async def ask(self, url: str, body: dict[str, Any]) -> tuple[int, bytes]:
            """Always the same."""
            return 200, json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()

    source = write_input(tmp_path / "in.jsonl", ["a"])
    assert run(source, output, Answering()) == DONE
    totals = merge(source, output)
    assert (totals["promptTokens"], totals["outputTokens"]) == tokens
    (row,) = rows(output / "in.jsonl")
    assert row["response"]["body"] == answer
    assert row["response"]["request_id"] == answer.get("id", "")
