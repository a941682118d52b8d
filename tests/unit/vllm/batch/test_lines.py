"""Which lines are requests, what is wrong with the others, and what `check` says of the input."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.batches import line, where, write_input
from vllm_operator.vllm.batch import command, lines
from vllm_operator.vllm.batch.command import main
from vllm_operator.vllm.batch.context import ModelLimits, TokenizerName
from vllm_operator.vllm.batch.faults import BAD_INPUT, BAD_OUTPUT, DONE
from vllm_operator.vllm.batch.lines import InvalidLineError, Raw, Request, raw_lines, request_of
from vllm_operator.vllm.batch.survey import duplicates, parts_folder


@pytest.fixture(autouse=True)
def _last_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "LAST_WORDS", tmp_path / "last-words")
    (tmp_path / "last-words").touch()


def check(source: Path, output: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """Exit status and report."""
    status = main(["check", *where(source, output), *words])
    return status, json.loads(command.LAST_WORDS.read_text())


def row(**changes: Any) -> bytes:
    """A line that is right but for the changes."""
    right = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"prompt": "x"}}
    return json.dumps({**right, **changes}).encode()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{", "no JSON"),
        (b"[]", "no JSON object"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"custom_id": NaN}', "NaN is no number of JSON"),
        (row(custom_id=""), "custom_id must be a text"),
        (row(custom_id=7), "custom_id must be a text"),
        (row(method="GET"), "method must be POST"),
        (row(url="/v1/images"), "url must be one of /v1/chat/completions, "),
        (row(url=["/v1/completions"]), "url must be one of"),
        (row(body="x"), "body must be a JSON object"),
        (row(body={"stream": True}), "body.stream must be left out"),
        (None, "more than 64 MiB"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(text: bytes | None, why: str) -> None:
    with pytest.raises(InvalidLineError, match=why):
        request_of(Raw(0, 1, text))


def test_blank_lines_are_no_requests_and_count_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + row() + b"\r\n\n  \n" + row(custom_id="b"))
    found = [(raw.number, raw.line, request_of(raw).custom_id) for raw in raw_lines(path, 10)]
    assert found == [(10, 1, "a"), (11, 4, "b")]


def test_a_line_that_is_too_long_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINE_BYTES", 100)
    path = tmp_path / "in.jsonl"
    path.write_bytes(row() + b"\n" + b"x" * 1000 + b"\n" + row(custom_id="b") + b"\n")
    assert [(raw.line, raw.text is None) for raw in raw_lines(path, 0)] == [(1, False), (2, True), (3, False)]


def test_check_tells_what_the_input_is(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "b.jsonl").write_bytes(line("a", "1") + line("c", "2"))
    (folder / "a.jsonl").write_bytes(line("a", "1") + b"{\n\n" + line("b", "2"))
    (folder / "notes.txt").write_text("no requests")
    size = sum(path.stat().st_size for path in folder.glob("*.jsonl"))
    first = [
        {"file": "a.jsonl", "line": 2},
        {"file": "b.jsonl", "line": 1, "why": "custom_id is that of an earlier request: each needs one of its own"},
    ]
    status, report = check(folder, tmp_path / "out")
    assert status == BAD_INPUT
    first[0]["why"] = report["first"][0]["why"]
    counts = {"total": 5, "valid": 3, "invalid": 1, "duplicates": 1, "tooLong": 0, "files": 2, "bytes": size}
    assert report == {**counts, "first": first}
    assert check(folder, tmp_path / "out", "--on-invalid=skip")[0] == DONE


def test_the_report_fits_a_termination_message(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"".join(row(url="x" * 1000, custom_id="\u00e9" * 1000) + b"\n" for _ in range(50)))
    check(source, tmp_path / "out")
    assert len(command.LAST_WORDS.read_bytes()) <= 3500


def test_repeated_custom_ids_are_found_wherever_they_are(tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out"
    source.write_bytes(b"".join(line(f"r{number % 70_000}", "x") for number in range(70_005)))
    _, report = check(source, output)
    assert report["duplicates"] == 5
    assert list(duplicates(parts_folder(output, "b1"))) == [(70_000 + n, n) for n in range(5)]
    assert [one["line"] for one in report["first"]] == [70_001, 70_002, 70_003, 70_004, 70_005]


@pytest.mark.parametrize(
    ("names", "words"),
    [([], "no file in"), (["a.errors.jsonl"], "named like a file of errors"), (None, "there is no input at")],
)
def test_a_folder_without_requests_is_refused(tmp_path: Path, names: list[str] | None, words: str) -> None:
    source = tmp_path / "in"
    if names is not None:
        source.mkdir()
        for name in names:
            (source / name).touch()
    assert main(["check", *where(source, tmp_path / "out")]) == BAD_INPUT
    assert words in command.LAST_WORDS.read_text()


def test_an_input_is_not_overwritten(tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", ["a"])
    assert main(["check", *where(source, tmp_path)]) == BAD_INPUT
    assert "would overwrite in.jsonl" in command.LAST_WORDS.read_text()


@pytest.mark.parametrize("name", [".in.jsonl", ".jsonl", "..requests"])
def test_a_file_that_is_named_like_one_that_is_being_written_is_refused(tmp_path: Path, name: str) -> None:
    source = write_input(tmp_path / name, ["a"])
    assert main(["check", *where(source, tmp_path / "out")]) == BAD_INPUT
    assert f"the name of {name} begins with a dot" in command.LAST_WORDS.read_text()


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", ["a"])
    (tmp_path / "out").write_text("a file")
    assert main(["check", *where(source, tmp_path / "out")]) == BAD_OUTPUT
    assert "cannot write" in command.LAST_WORDS.read_text()


def request(url: str = "/v1/completions", **body: Any) -> Request:
    """A request."""
    return Request(0, 1, "a", url, body)


CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "x", "max_tokens": 1001},
        {"prompt": list(range(1000)), "max_tokens": 10},
        {"prompt": list(range(1000))},
        {"prompt": "x", "max_tokens": 1001, "truncate_prompt_tokens": 10},
        {"url": CHAT, "messages": [], "max_tokens": 1001},
        {"url": CHAT, "messages": [], "max_tokens": 1, "max_completion_tokens": 1001},
        {"url": EMBEDDINGS, "input": list(range(1001))},
    ],
)
def test_what_is_surely_longer_than_the_context_is_found_without_a_tokenizer(body: dict[str, Any]) -> None:
    assert ModelLimits([], 1000, None).too_long(request(**body))
    assert not ModelLimits([], None, None).too_long(request(**body))


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "x" * 10, "max_tokens": 10},
        {"prompt": list(range(990)), "max_tokens": 10},
        {"prompt": list(range(999)), "max_tokens": 1000},  # vLLM makes one token
        {"prompt": list(range(5000)), "truncate_prompt_tokens": 100},
        {"prompt": list(range(5000)), "truncate_prompt_tokens": -1},
        {"prompt": "x", "max_tokens": 1000},
        {"prompt": "x", "max_tokens": 1, "max_completion_tokens": 1001},  # a field of chats
        {"url": CHAT, "messages": [], "max_tokens": 1001, "max_completion_tokens": 10},
        {"url": EMBEDDINGS, "input": list(range(1000)), "max_tokens": 5000},
        {"prompt": "x" * 5000},  # only the engine knows
        {"messages": "none", "max_tokens": "many"},
    ],
)
def test_what_may_fit_is_left_to_the_engine(body: dict[str, Any]) -> None:
    assert not ModelLimits([], 1000, None).too_long(request(**body))


class Words:
    """A tokenizer of words, as transformers have it, that adds a token of its own."""

    @classmethod
    def from_pretrained(cls, name: str, revision: str | None = None) -> "Words":
        """That of one repository alone, at one revision."""
        if (name, revision) != ("org/tokenizer", "v2"):
            raise OSError(name)
        return cls()

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[str]:
        """The words."""
        return [*text.split(), *(["</s>"] if add_special_tokens else [])]

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        """Their words, and those of the template."""
        return " ".join(["the", "template", *(one["content"] for one in messages)])


def words(number: int) -> str:
    """So many."""
    return " ".join(["word"] * number)


@pytest.mark.parametrize(
    ("name", "too_long"),
    [
        (TokenizerName("org/tokenizer", "v2"), True),
        (TokenizerName("org/tokenizer"), False),
        (TokenizerName("org/model", "v2"), False),
        (None, False),
    ],
)
@pytest.mark.parametrize(
    "body", [{"prompt": words(999)}, {"url": CHAT, "messages": [{"role": "user", "content": words(998)}]}]
)
def test_tokens_are_counted_by_the_tokenizer_that_is_named(
    monkeypatch: pytest.MonkeyPatch, name: TokenizerName | None, body: dict[str, Any], *, too_long: bool
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoTokenizer=Words))
    assert ModelLimits([], 1000, name).too_long(request(**body)) == too_long
    short = {key: value[1:] if key == "messages" else words(998) for key, value in body.items() if key != "url"}
    assert not ModelLimits([], 1000, name).too_long(request(body.get("url", "/v1/completions"), **short))


@pytest.mark.parametrize(
    ("chats", "more"),
    [
        (False, {}),
        (True, {"chat_template": "{{ messages[0].content[:9] }}"}),
        (True, {"chat_template_kwargs": {"enable_thinking": False}}),
        (True, {"add_generation_prompt": False}),
    ],
)
def test_chats_that_are_rendered_in_another_way_are_left_to_the_engine(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], *, chats: bool
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoTokenizer=Words))
    limits = ModelLimits([], 1000, TokenizerName("org/tokenizer", "v2", chats=chats))
    messages = [{"role": "user", "content": words(2000)}]
    assert not limits.too_long(request(CHAT, messages=messages, **more))
    assert limits.too_long(request(CHAT, messages=messages)) == chats
    assert limits.too_long(request(prompt=words(2000)))
    assert not limits.too_long(request(prompt=words(999), add_special_tokens=False))


def test_a_model_that_is_not_served_is_found() -> None:
    limits = ModelLimits(["llama", "adapter"], None, None)
    assert limits.fault(request(model="gpt-4o")) == "body.model must be llama or adapter, or left out"
    assert limits.fault(request(model="adapter")) is None
    assert limits.fault(request()) is None
