"""What `transfer push` sends, in which order, and what it answers the runner."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.batches import UID
from support.object_store import BUCKET, ObjectStore, answering
from vllm_operator.transfer import bucket, push
from vllm_operator.transfer.bucket import BucketError, Place
from vllm_operator.transfer.fetch import Order
from vllm_operator.transfer.push import Pusher
from vllm_operator.vllm.batch import outbox
from vllm_operator.vllm.batch.faults import BatchError, OutputError
from vllm_operator.vllm.batch.outbox import Outbox

Beside = Callable[[Order], None]
PARTS = f"out/.parts-{UID}"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "RETRIES", 0)
    monkeypatch.setattr(push, "_PAUSE_SECONDS", 0.02)


def order(folder: Path, step: str, endpoint: str) -> Order:
    """That of a pod."""
    (folder / "output" / f".parts-{UID}" / "0").mkdir(parents=True, exist_ok=True)
    output = Place("output", f"s3://{BUCKET}/out", endpoint)
    return Order(step, UID, 0, None, output, folder / "input", folder / "output", folder / "push")


def pusher(given: Order) -> Pusher:
    """A new one, as after a restart of the container."""
    assert given.output
    return Pusher(given, given.output)


def test_a_journal_is_sent_once_however_often_the_container_is_started(store: ObjectStore, tmp_path: Path) -> None:
    given = order(tmp_path, "run", store.endpoint)
    journal = given.parts / "0" / "a-0.journal"
    journal.write_bytes(b"one\n")
    first = pusher(given)
    first.push()
    first.push()
    with journal.open("ab") as file:
        file.write(b"two\n")
    pusher(given).push()
    keys = store.keys(PARTS)
    assert [key.rpartition("/")[2] for key in keys] == ["000000000000000-00000004", "000000000000004-00000004"]
    assert b"".join(map(store.get, keys)) == b"one\ntwo\n"


def test_a_long_journal_is_several_objects(store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllm_operator.transfer.parts.SEGMENT_BYTES", 1000)
    given = order(tmp_path, "run", store.endpoint)
    (given.parts / "0" / "a-0.journal").write_bytes(bytes(range(250)) * 10)
    pusher(given).push()
    keys = store.keys(PARTS)
    assert len(keys) == 3
    assert b"".join(map(store.get, keys)) == bytes(range(250)) * 10


def test_results_come_before_the_report_and_only_then_the_journals_go(store: ObjectStore, tmp_path: Path) -> None:
    given = order(tmp_path, "merge", store.endpoint)
    segment = f"{PARTS}/0/a-0.journal/000000000000000-00000004"
    store.put(segment, b"one\n")
    (given.output_folder / "in.jsonl").write_bytes(b"answer\n")
    (given.output_folder / ".in.errors.jsonl.b1.x").write_bytes(b"half")
    (given.parts / "input.json.abc").write_bytes(b"half")
    pusher(given).push()
    assert store.keys() == [segment, "out/in.jsonl"]
    (given.parts / "report.json").write_bytes(b"{}")
    pusher(given).push()
    assert sorted(store.keys()) == [f"{PARTS}/report.json", "out/in.jsonl"]


def test_journals_stay_until_every_file_that_the_report_tells_of_is_there(store: ObjectStore, tmp_path: Path) -> None:
    given = order(tmp_path, "merge", store.endpoint)
    segment = f"{PARTS}/0/a-0.journal/000000000000000-00000004"
    store.put(segment, b"one\n")
    (given.parts / "input.json").write_text(json.dumps({"files": [["a.jsonl", 0, 1, 9], ["b.jsonl", 1, 1, 9]]}))
    (given.parts / "report.json").write_bytes(b"{}")
    for name in ("a.jsonl", "a.errors.jsonl", "b.jsonl"):
        (given.output_folder / name).write_bytes(b"answer\n")
    pusher(given).push()
    assert store.keys(f"{PARTS}/0") == [segment]
    (given.output_folder / "b.errors.jsonl").write_bytes(b"")
    pusher(given).push()
    assert not store.keys(f"{PARTS}/0")


def test_who_finds_the_output_whole_takes_the_journals_away(store: ObjectStore, tmp_path: Path) -> None:
    given = order(tmp_path, "merge", store.endpoint)
    segment = f"{PARTS}/0/a-0.journal/000000000000000-00000004"
    store.put(segment, b"one\n")
    for name in ("in.jsonl", "in.errors.jsonl"):
        store.put(f"out/{name}", b"by another pod\n")
    (given.parts / "input.json").write_text(json.dumps({"files": [["in.jsonl", 0, 1, 9]]}))
    (given.parts / "report.json").write_bytes(b"{}")
    pusher(given).push()
    assert not store.keys(f"{PARTS}/0")


def test_the_fence_is_not_made_again_by_who_only_has_it(store: ObjectStore, tmp_path: Path) -> None:
    given = order(tmp_path, "merge", store.endpoint)
    (given.parts / "MERGED").write_bytes(b"[]")
    pusher(given).push()
    assert store.keys() == []


def test_parts_that_may_not_be_removed_stay(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = order(tmp_path, "merge", store.endpoint)
    store.put(f"{PARTS}/0/a-0.journal/000000000000000-00000004", b"one\n")
    (given.parts / "report.json").write_bytes(b"{}")

    def refuse(*_: object) -> None:
        raise BucketError("it may not do that", passes=False)

    monkeypatch.setattr(Place, "remove", refuse)
    pusher(given).push()
    assert len(store.keys(PARTS)) == 2


@pytest.fixture
def run_beside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Order], None]]:
    """Runs the container beside the runner, until the test ends."""
    ending = threading.Event()
    running: list[threading.Thread] = []

    def run(given: Order) -> None:
        assert given.output
        running.append(threading.Thread(target=push.push, args=(given, given.output, ending)))
        running[-1].start()
        while not given.push_folder.exists():
            time.sleep(0.01)

    yield run
    monkeypatch.setattr(Pusher, "push", lambda _: None)  # it would not end before its store answers
    ending.set()
    for one in running:
        one.join()


def test_the_runner_goes_on_when_all_that_it_wrote_is_there(
    store: ObjectStore, tmp_path: Path, run_beside: Beside
) -> None:
    given = order(tmp_path, "run", store.endpoint)
    run_beside(given)
    asking = Outbox(given.push_folder)
    for number in range(3):
        with (given.parts / "0" / "a-0.journal").open("ab") as file:
            file.write(f"{number}\n".encode())
        asking.push()
        assert b"".join(map(store.get, store.keys(PARTS))).endswith(f"{number}\n".encode())


def test_a_check_is_told_why_nothing_can_be_written(store: ObjectStore, tmp_path: Path, run_beside: Beside) -> None:
    with answering(403, "AccessDenied") as endpoint:
        given = order(tmp_path, "check", endpoint)
        (given.parts / "input.json").write_bytes(b"{}")
        run_beside(given)
        with pytest.raises(OutputError, match="may not do that"):
            Outbox(given.push_folder).push()


def test_a_run_waits_for_a_store_and_is_tried_again_in_the_end(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_beside: Beside
) -> None:
    monkeypatch.setattr(outbox, "PUSH_SECONDS", 0.5)
    with answering(403, "AccessDenied") as endpoint:
        given = order(tmp_path, "run", endpoint)
        (given.parts / "0" / "a-0.journal").write_bytes(b"one\n")
        run_beside(given)
        with pytest.raises(BatchError, match=r"the output is not in its bucket after 0\.5 s") as error:
            Outbox(given.push_folder).push()
    assert not isinstance(error.value, OutputError)


def test_an_output_may_take_as_long_as_it_gets_on(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_beside: Beside
) -> None:
    monkeypatch.setattr(outbox, "PUSH_SECONDS", 1.0)
    monkeypatch.setattr("vllm_operator.transfer.parts.SEGMENT_BYTES", 10)
    write = Place.write

    def slowly(place: Place, key: str, content: bytes) -> None:
        time.sleep(0.25)
        write(place, key, content)

    monkeypatch.setattr(Place, "write", slowly)
    given = order(tmp_path, "run", store.endpoint)
    (given.parts / "0" / "a-0.journal").write_bytes(bytes(100))
    run_beside(given)
    began = time.monotonic()
    Outbox(given.push_folder).push()
    assert time.monotonic() - began > 2 * outbox.PUSH_SECONDS
    assert len(store.keys(PARTS)) == 10


def test_each_part_of_a_large_file_counts_once(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "_RANGE", 5 * 2**20)  # S3 takes no smaller parts
    given = order(tmp_path, "merge", store.endpoint)
    large = given.output_folder / "in.jsonl"
    large.write_bytes(bytes(range(256)) * (26 * 2**20 // 256))
    one = pusher(given)
    one.push()
    assert store.get("out/in.jsonl") == large.read_bytes()
    moved = int((given.push_folder / outbox.MOVED).read_text())
    assert moved >= 6
    large.touch()
    one.push()
    assert int((given.push_folder / outbox.MOVED).read_text()) == moved, "it is sent again, and gets no further"


def test_the_pauses_grow_with_the_work_that_would_be_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    asking, claim = Outbox(tmp_path), Outbox(None)
    for age, pause in ((0, 1.0), (100, 1.0), (1000, 10.0), (86400, 30.0)):
        monkeypatch.setattr("vllm_operator.vllm.batch.outbox.time.monotonic", lambda age=age: now + age)
        assert asking.pause() == pytest.approx(pause, abs=0.1)
        assert claim.pause() == 1.0


def test_nothing_that_a_link_leads_to_gets_into_the_bucket(store: ObjectStore, tmp_path: Path) -> None:
    """What runs in vLLM's container may be the tenant's code: keys of the copying containers are not its."""
    given = order(tmp_path, "run", store.endpoint)
    secret = tmp_path / "environ"
    secret.write_text("OUTPUT_AWS_SECRET_ACCESS_KEY=secret")
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "0").mkdir(parents=True)
    (elsewhere / "0" / "c-0.journal").write_text("secret")
    (given.output_folder / "in.jsonl").symlink_to(secret)
    (given.parts / "input.json").symlink_to(secret)
    (given.parts / "leak").symlink_to(secret)
    (given.parts / "other").write_text("what the runner does not make")
    (given.parts / "0" / "b-0.journal").symlink_to(secret)
    (given.parts / "1").symlink_to(elsewhere / "0")
    os.mkfifo(given.output_folder / "pipe.jsonl")
    (given.parts / "0" / "a-0.journal").write_bytes(b"one\n")
    pusher(given).push()
    keys = store.keys()
    assert [key.rpartition("/")[0] for key in keys] == [f"{PARTS}/0/a-0.journal"]
    assert store.get(keys[0]) == b"one\n"


def test_a_parts_folder_that_is_a_link_is_none(store: ObjectStore, tmp_path: Path) -> None:
    given = order(tmp_path, "run", store.endpoint)
    (given.parts / "0" / "a-0.journal").write_bytes(b"one\n")
    given.parts.rename(tmp_path / "moved")
    given.parts.symlink_to(tmp_path / "moved")
    pusher(given).push()
    assert store.keys() == []


@pytest.mark.parametrize("content", ["", "many", "-"])
def test_a_number_that_is_none_asks_for_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / outbox.WANTED).write_text(content)
    assert push._wanted(tmp_path) == 0


def test_an_answer_is_not_written_where_a_link_leads_nor_into_a_pipe(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("as it was")
    (tmp_path / f"{outbox.PUSHED}.new").symlink_to(other)
    push._answer(tmp_path, 1)
    os.mkfifo(tmp_path / f"{outbox.PUSHED}.new")
    answering_it = threading.Thread(target=push._answer, args=(tmp_path, 2), daemon=True)
    answering_it.start()
    answering_it.join(5)
    assert not answering_it.is_alive()
    assert other.read_text() == "as it was"
    assert (tmp_path / outbox.PUSHED).read_text() == '{"number": 2, "why": ""}'
