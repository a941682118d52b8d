"""What `transfer fetch` brings into a pod, and what it says where it cannot."""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.batches import UID
from support.object_store import BUCKET, KEYS, ObjectStore, answering
from vllm_operator.cli.options import command_line
from vllm_operator.transfer import bucket, command
from vllm_operator.transfer.parts import Segment, joined, length, segments
from vllm_operator.vllm.batch.faults import AGAIN, BAD_INPUT, BAD_OUTPUT, DONE, STOPPED

PARTS = f"out/.parts-{UID}"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "RETRY_SECONDS", (0.01, 0.01))
    monkeypatch.setattr(bucket, "RETRIES", 0)


def arguments(folder: Path, step: str, **places: str | None) -> argparse.Namespace:
    """As in a pod; `places`: options by their names."""
    given = {"input": folder / "input", "output": folder / "output", "push": folder / "push", **places}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in given.items() if value is not None]
    words = ["transfer", "fetch", f"--step={step}", f"--uid={UID}", f"--message={folder / 'message'}", *options]
    return command_line("vllm-operator").parse_args(words)


def fetch(
    folder: Path, step: str, store: ObjectStore, source: str = "in.jsonl", output: str = "out"
) -> tuple[int, str]:
    """The exit status, and what is left for the user."""
    places = {
        "input_uri": f"s3://{BUCKET}/{source}", "input_endpoint": store.endpoint,
        "output_uri": f"s3://{BUCKET}/{output}", "output_endpoint": store.endpoint,
    }  # fmt: skip
    status = command.run(arguments(folder, step, **places))
    said = folder / "message"
    return status, said.read_text() if said.exists() else ""


def put_journal(store: ObjectStore, name: str, *contents: bytes) -> None:
    """A journal in segments."""
    start = 0
    for content in contents:
        store.put(f"{PARTS}/{Segment(name, start, len(content)).key}", content)
        start += len(content)


def test_a_file_is_brought_under_its_own_name(store: ObjectStore, tmp_path: Path) -> None:
    store.put("deep/in.jsonl", b"1\n")
    assert fetch(tmp_path, "check", store, "deep/in.jsonl") == (DONE, "")
    assert (tmp_path / "input" / "in.jsonl").read_bytes() == b"1\n"


def test_of_a_folder_its_files_of_requests_are_brought(store: ObjectStore, tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "notes.txt", ".hidden.jsonl", "deeper/c.jsonl"):
        store.put(f"in/{name}", name.encode())
    assert fetch(tmp_path, "check", store, "in/") == (DONE, "")
    assert sorted(path.name for path in (tmp_path / "input").iterdir()) == ["a.jsonl", "b.jsonl"]


@pytest.mark.parametrize(
    ("keys", "source", "output", "said"),
    [
        ((), "in.jsonl", "out", "there is no object s3://team-data/in.jsonl at"),
        ((), "in/", "out", "no object in s3://team-data/in/ ends in .jsonl: name the files of requests so"),
        (("in/a.errors.jsonl",), "in/", "out", "is named like a file of errors: move it out of the input"),
        ((f"in/{'a' * 250}.jsonl",), "in/", "out", "is too long for a file: rename it"),
        (("out/in.jsonl",), "out/in.jsonl", "out/", "the output would overwrite in.jsonl of the input"),
        (("out/in.jsonl",), "out/", "out", "the output would overwrite in.jsonl of the input"),
    ],
)
def test_a_wrong_input_ends_the_check_with_one_sentence(
    store: ObjectStore, tmp_path: Path, keys: tuple[str, ...], source: str, output: str, said: str
) -> None:
    for key in keys:
        store.put(key, b"1\n")
    status, text = fetch(tmp_path, "check", store, source, output)
    assert status == BAD_INPUT
    assert text.startswith("vllm-batch: ")
    assert said in text


def test_rights_that_lack_end_a_check_alone_and_not_what_has_work_to_lose(store: ObjectStore, tmp_path: Path) -> None:
    store.put("in.jsonl", b"1\n")
    with answering(403, "AccessDenied") as endpoint:
        denied = {"output_uri": f"s3://{BUCKET}/out", "output_endpoint": endpoint}
        assert command.run(arguments(tmp_path, "check", **denied)) == BAD_OUTPUT
        assert command.run(arguments(tmp_path, "run", **denied)) == AGAIN
        denied = {"input_uri": f"s3://{BUCKET}/in.jsonl", "input_endpoint": endpoint}
        assert command.run(arguments(tmp_path, "check", **denied)) == BAD_INPUT
        assert command.run(arguments(tmp_path, "merge", **denied)) == AGAIN
    assert "keys of input.objectStore.credentialsSecretName may not do that" in (tmp_path / "message").read_text()


def test_a_store_that_is_away_is_asked_again_but_by_the_check(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("vllm_operator.transfer.command.time.sleep", pauses.append)
    with answering(503, "SlowDown") as endpoint:
        away = {"input_uri": f"s3://{BUCKET}/in.jsonl", "input_endpoint": endpoint}
        assert command.run(arguments(tmp_path, "check", **away)) == AGAIN
        assert pauses == []
        assert command.run(arguments(tmp_path, "run", **away)) == AGAIN
    assert pauses == list(command.RETRY_SECONDS)
    assert "does not answer for s3://team-data/in.jsonl: status 503" in (tmp_path / "message").read_text()


def test_a_pod_gets_the_journals_of_its_own_share(store: ObjectStore, tmp_path: Path) -> None:
    store.put("in.jsonl", b"1\n")
    store.put(f"{PARTS}/input.json", b"{}")
    put_journal(store, "0/a-0.journal", b"one\n", b"tw", b"o\n")
    put_journal(store, "1/b-0.journal", b"other\n")
    assert fetch(tmp_path, "run", store) == (DONE, "")
    parts = tmp_path / "output" / f".parts-{UID}"
    assert (parts / "0" / "a-0.journal").read_bytes() == b"one\ntwo\n"
    assert (parts / "input.json").read_bytes() == b"{}"
    assert not (parts / "1").exists()


def test_the_first_merge_decides_how_far_each_journal_counts(store: ObjectStore, tmp_path: Path) -> None:
    store.put("in.jsonl", b"1\n")
    put_journal(store, "0/a-0.journal", b"one\n")
    assert fetch(tmp_path / "first", "merge", store) == (DONE, "")
    put_journal(store, "0/a-0.journal", b"one\n", b"late\n")
    put_journal(store, "1/late-0.journal", b"late\n")
    assert fetch(tmp_path / "second", "merge", store) == (DONE, "")
    for pod in ("first", "second"):
        parts = tmp_path / pod / "output" / f".parts-{UID}"
        assert json.loads((parts / "MERGED").read_text()) == [["0/a-0.journal", 4]]
        assert [path.read_bytes() for path in parts.glob("*/*")] == [b"one\n"]


def test_a_part_that_is_gone_is_no_answer_less_but_another_try(store: ObjectStore, tmp_path: Path) -> None:
    store.put("in.jsonl", b"1\n")
    store.put(f"{PARTS}/MERGED", json.dumps([["0/a-0.journal", 8]]).encode())
    put_journal(store, "0/a-0.journal", b"one\n")
    status, said = fetch(tmp_path, "merge", store)
    assert status == AGAIN
    assert "a part of 0/a-0.journal is missing" in said
    store.put(f"{PARTS}/MERGED", json.dumps([["../../x", 0]]).encode())
    assert fetch(tmp_path, "merge", store)[0] == AGAIN
    assert not (tmp_path / "x").exists()
    store.put(f"{PARTS}/report.json", b"{}")  # the other one has done it
    assert fetch(tmp_path, "merge", store)[0] == DONE


def test_what_others_put_into_the_folder_is_no_part(store: ObjectStore) -> None:
    names = [
        "0/a-0.journal/000000000000000-00000004", "0/a-0.journal/000000000000000-00000009", "0/a-0.journal/x",
        "0/../a-0.journal/000000000000000-00000004", "0/a-0.journal", "x/a-0.journal/000000000000000-00000004",
    ]  # fmt: skip
    found = segments([bucket.Found(f".parts-{UID}/{name}", 4) for name in names], UID)
    assert found == {"0/a-0.journal": [Segment("0/a-0.journal", 0, 4)]}


@pytest.mark.parametrize(
    ("ranges", "whole"),
    [
        ([], 0),
        ([(0, 4), (4, 4)], 8),
        ([(4, 4), (0, 4), (0, 4)], 8),
        ([(0, 4), (0, 9), (4, 2), (9, 1)], 10),
        ([(0, 4), (5, 4)], 4),
        ([(1, 4)], 0),
    ],
)
def test_segments_make_up_a_journal_as_far_as_there_is_no_gap(ranges: list[tuple[int, int]], whole: int) -> None:
    parts = [Segment("0/a-0.journal", start, size) for start, size in ranges]
    assert length(parts) == whole
    ends = 0
    for one in joined(parts):
        assert one.start <= ends < one.end
        ends = one.end


def test_an_output_that_names_its_store_otherwise_does_not_overwrite_the_input(
    store: ObjectStore, tmp_path: Path
) -> None:
    store.put("out/in.jsonl", b"1\n")
    places = {
        "input_uri": f"s3://{BUCKET}/out/in.jsonl", "input_endpoint": store.endpoint,
        "output_uri": f"s3://{BUCKET}/out", "output_endpoint": store.endpoint.replace("127.0.0.1", "localhost"),
    }  # fmt: skip
    assert command.run(arguments(tmp_path, "check", **places)) == BAD_INPUT
    assert "whatever their endpoints" in (tmp_path / "message").read_text()


@pytest.mark.parametrize("name", ["input.json", "0/a-0.journal", "MERGED"])
def test_nothing_is_written_where_a_link_leads(store: ObjectStore, tmp_path: Path, name: str) -> None:
    """What an earlier container of the pod has left, as it may have been the tenant's code."""
    store.put("in.jsonl", b"1\n")
    store.put(f"{PARTS}/input.json", b"{}")
    put_journal(store, "0/a-0.journal", b"one\n")
    other = tmp_path / "other"
    other.write_text("as it was")
    link = tmp_path / "output" / f".parts-{UID}" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(other)
    assert fetch(tmp_path, "merge", store) == (DONE, "")
    assert other.read_text() == "as it was"
    assert link.is_file()
    assert not link.is_symlink()


@pytest.mark.parametrize("name", ["", "0"])
def test_a_folder_that_is_a_link_is_not_written_to(store: ObjectStore, tmp_path: Path, name: str) -> None:
    store.put("in.jsonl", b"1\n")
    put_journal(store, "0/a-0.journal", b"one\n")
    other = tmp_path / "other"
    other.mkdir()
    link = tmp_path / "output" / f".parts-{UID}" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(other)
    status, said = fetch(tmp_path, "run", store)
    assert status == AGAIN
    assert "cannot write" in said
    assert list(other.iterdir()) == []


def test_a_pod_that_is_stopped_ends_while_its_store_does_not_answer(tmp_path: Path) -> None:
    words = [f"--message={tmp_path / 'message'}", *(f"--{one}={tmp_path / one}" for one in ("input", "output", "push"))]
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        **{f"INPUT_{name}": value for name, value in KEYS.items()},
    }  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = [f"--input-uri=s3://{BUCKET}/in.jsonl", f"--input-endpoint=http://127.0.0.1:{silent.getsockname()[1]}"]
        command_words = ["vllm_operator", "transfer", "fetch", "--step=run", f"--uid={UID}", *where, *words]
        with subprocess.Popen([sys.executable, "-W", "ignore", "-m", *command_words], env=environment) as fetching:
            try:
                silent.settimeout(60)
                with silent.accept()[0]:
                    fetching.send_signal(signal.SIGTERM)
                    assert fetching.wait(10) == STOPPED
            finally:
                fetching.kill()
