"""A folder that anybody may have filled: what is no model's file is told, and read no further than a model's is."""

import json
from pathlib import Path

import pytest

from support.hub import safetensors
from vllm_operator.api import limits
from vllm_operator.api.reasons import Reason
from vllm_operator.inspection.command import inspect
from vllm_operator.inspection.report import InspectionError, decode
from vllm_operator.inspection.sources import data_bytes, read_folder

CONFIG = b'{"hidden_size": 64}'


def header(text: bytes, length: int | None = None) -> bytes:
    return (len(text) if length is None else length).to_bytes(8, "little") + text


def tensor(end: object) -> bytes:
    return header(json.dumps({"a": {"data_offsets": [0, end]}}).encode())


@pytest.mark.parametrize(
    ("name", "content", "reason", "words"),
    [
        ("config.json", b" " * (3 << 20), Reason.OVER_LIMIT, "config.json is larger than 2 MiB, and no model's is"),
        ("config.json", b"[" * 100_000, Reason.OVER_LIMIT, "nested deeper than 32 levels"),
        ("config.json", b"[" + b"1," * 600_000 + b"1]", Reason.OVER_LIMIT, "more than 500,000 values"),
        ("config.json", b"\xff", Reason.UNREADABLE, "is no JSON"),
        ("config.json", b'"x"', Reason.UNREADABLE, "no JSON object"),
        ("hf_quant_config.json", b"[" * 100_000, Reason.OVER_LIMIT, "hf_quant_config.json is nested deeper"),
        ("model.safetensors", header(b"{}", 1 << 60), Reason.UNREADABLE, "has no safetensors header"),
        ("model.safetensors", header(b"[]"), Reason.UNREADABLE, "no JSON object"),
        ("model.safetensors", header(b'{"a": [1, 2]}'), Reason.UNREADABLE, "has no safetensors header"),
        ("model.safetensors", header(b'{"a": {"data_offsets": []}}'), Reason.UNREADABLE, "no safetensors header"),
        ("model.safetensors", header(b"[" * 100_000), Reason.OVER_LIMIT, "nested deeper"),
        ("model.safetensors", tensor(10**100), Reason.OVER_LIMIT, "does not end between 0 and"),
        ("model.safetensors", tensor(-1), Reason.OVER_LIMIT, "does not end between 0 and"),
        ("model.safetensors", tensor("9"), Reason.OVER_LIMIT, "does not end between 0 and"),
        ("model.safetensors", b"", Reason.UNREADABLE, "has no safetensors header"),
        ("model.safetensors.index.json", b"{}", Reason.UNREADABLE, "has no weight_map: copy it again"),
        ("model.safetensors.index.json", b'{"weight_map": 1}', Reason.UNREADABLE, "has no weight_map"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "b"}}', Reason.UNREADABLE, "are not there.*: b: copy"),
        ("model.safetensors.index.json", b"[" * 100_000, Reason.OVER_LIMIT, "nested deeper"),
    ],
)
def test_what_is_no_models_file(tmp_path: Path, name: str, content: bytes, reason: Reason, words: str) -> None:
    (tmp_path / "config.json").write_bytes(CONFIG)
    (tmp_path / "model.safetensors").write_bytes(tensor(8))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InspectionError, match=words) as told:
        read_folder(tmp_path)
    assert told.value.reason is reason


def test_a_header_is_read_no_further_than_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    with file.open("wb") as sparse:
        sparse.write(header(b"", 1 << 40))
        sparse.truncate(1 << 32)
    (tmp_path / "config.json").write_bytes(CONFIG)
    with pytest.raises(InspectionError, match=f"larger than {limits.HEADER_BYTES >> 20} MiB"):
        read_folder(tmp_path)


def test_a_usual_header() -> None:
    assert data_bytes(safetensors(a=("BF16", [8, 8], 128), b=("U8", [10], 10))[8:].decode()) == 138


def test_a_tokenizer_config_that_is_none_leaves_its_template_unknown(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(CONFIG)
    (tmp_path / "tokenizer_config.json").write_bytes(b"[" * 100_000)
    assert read_folder(tmp_path).chat_template is None


def test_whatever_happens_the_job_leaves_a_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(_: Path) -> None:
        raise AttributeError("odd")

    monkeypatch.setattr("vllm_operator.inspection.command.read_folder", fails)
    assert inspect(None, tmp_path, None, tmp_path / "report") == 1
    with pytest.raises(InspectionError, match="AttributeError") as told:
        decode((tmp_path / "report").read_text())
    assert told.value.reason is Reason.UNREADABLE
