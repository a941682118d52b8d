"""What `kubectl vllm import` prints for each case, and that no part of a source is dropped in silence.

UPDATE_GOLDEN=1 writes the expected outputs anew: look at the difference.
"""

import sys
from pathlib import Path

import pytest

from cluster.host import REPOSITORY
from support.imports import CASES, FOLDER, REFUSED, expected, leaves, result, sources, updating
from vllm_operator.__main__ import main
from vllm_operator.cli.importing.command import told
from vllm_operator.cli.importing.report import LOST, Row, Went


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the command for a case."""
    words = ["--", (FOLDER / name).read_text().strip()] if name.endswith(".sh") else ["-f", str(FOLDER / name)]
    monkeypatch.setattr(sys, "argv", ["kubectl-vllm", "import", *words])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    return int(str(end.value.code)), said.out, said.err


@pytest.mark.parametrize("name", [*CASES, *REFUSED])
def test_what_is_printed(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(monkeypatch, capsys, name)
    text = f"{out}{'=' * 3} stderr, exit status {status}\n{err.replace(str(FOLDER), 'FOLDER')}"
    if updating():
        expected(name).parent.mkdir(exist_ok=True)
        expected(name).write_text(text)
    assert text == expected(name).read_text()


# Rows at a whole document that tell of all that is in it, though none of it is left out.
OF_ALL = (
    "the operator makes one, where there is more than one replica",
    "the operator makes one, where Prometheus' kinds are there",
    "the operator makes the same one",
    "is no longer needed: each flag in it was taken over",
    "printed as it is, for the service to use",
)


def holds_for_all(row: Row) -> bool:
    """Whether nothing below a row's place needs a row of its own; of an autoscaler each part does."""
    if row.went in (Went.LEFT, Went.STAYS) or row.text in OF_ALL:
        return True
    return len(row.origin.place) > 1 and not row.text.startswith("autoscaling:")


@pytest.mark.parametrize("name", CASES)
def test_every_part_of_a_source_has_its_row(name: str) -> None:
    """Every leaf, without asking the import itself: by the places of the rows that it printed."""
    found, documents = result(name), sources(name).documents
    places = {place for row in found.report.rows for place in (row.origin.place, *row.origin.also)}
    whole = {row.origin.place for row in found.report.rows if holds_for_all(row)}
    whole |= {place for row in found.report.rows for place in row.origin.also}
    for document in documents:
        for place, value in leaves(document.body, (document.number,)):
            above = {place[:length] for length in range(1, len(place))}
            assert place in places or whole & above, f"{place} ({value}) is nowhere in the table"
    printed = told(found)
    for row in found.report.rows:
        assert found.report.hide(row.text) in printed


@pytest.mark.parametrize("name", CASES)
def test_the_exit_status_says_whether_something_was_lost(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(monkeypatch, capsys, name)
    lost = any(row.went in LOST for row in result(name).report.rows)
    assert status == (3 if lost else 0)
    assert ("to look at" in err) == lost


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_one_sentence(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(monkeypatch, capsys, name)
    assert (status, out, err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("name", ["secrets.yaml", "docker.sh", "stack.yaml"])
def test_no_credential_is_printed(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, err = run(monkeypatch, capsys, name)
    assert "not-a-" not in out + err
    assert "also-not" not in out + err
    assert "bm90" not in out + err
    assert "=REPLACE_ME" in err


def test_the_transcript_in_the_documentation_is_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (REPOSITORY / "docs" / "import.md").read_text()
    source = page.split("```yaml\n")[1].split("```")[0]
    shown = page.split("$ kubectl vllm import -f deployment.yaml\n")[1].split("$ echo $?\n")[0]
    (tmp_path / "deployment.yaml").write_text(source)
    monkeypatch.setattr(sys, "argv", ["kubectl-vllm", "import", "-f", str(tmp_path / "deployment.yaml")])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert f"{said.out.strip()}\n\n{said.err.strip()}\n" == shown
    assert f"$ echo $?\n{end.value.code}\n" in page
