"""What is read of files: no more than is good for us, and none outside the folder."""

from pathlib import Path

import pytest

from support.imports import FOLDER
from vllm_operator.cli.importing import documents
from vllm_operator.cli.importing.documents import ImportInputError, documents_of, read

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "is too large once its aliases are written out"),
        ("a: &a {b: *a}", "is too large once its aliases are written out"),
        ("[" * 100 + "]" * 100, "is too large once its aliases are written out"),
        ("[" * 500 + "]" * 500, "is nested too deep"),
        ("x" * (documents.MOST_BYTES + 1), "has more than 2 MiB"),
        ("a: b: c", "is not YAML"),
        ("name: {{ .Values.name }}", "is a template of Helm: render it"),
        ("!!python/object/apply:os.system [id]", "is not YAML: could not determine a constructor"),
    ],
)
def test_what_is_not_read_is_said_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ImportInputError, match=f"^f: .*{said}"):
        documents_of("f", text)


def test_deep_nesting_is_no_traceback() -> None:
    with pytest.raises(ImportInputError):
        documents_of("f", "[" * 100_000)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside.yaml"
    folder.mkdir()
    (folder / "pod.yaml").write_text((FOLDER / "amd.yaml").read_text())
    outside.write_text((FOLDER / "cpu.yaml").read_text())
    (folder / "link.yaml").symlink_to(outside)
    found = read(folder)
    assert [document.name for document in found.documents] == ["on-amd"]
    assert found.unread == [("link.yaml", "is a link out of the folder, which is not followed")]


def test_items_of_a_list_are_documents_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text(
        "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod}, {apiVersion: v1, kind: Secret}]}"
    )
    assert [document.kind for document in read(path).documents] == ["Pod", "Secret"]


@pytest.mark.parametrize("name", ["none.yaml", "empty"])
def test_a_file_that_is_not_there_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImportInputError, match=r"none.yaml: .*No such file|empty: no YAML file"):
        read(tmp_path / name)
