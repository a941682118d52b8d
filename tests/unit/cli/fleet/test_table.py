"""Columns of text."""

from vllm_operator.cli.fleet.table import columns


def test_columns_are_aligned() -> None:
    cells = [["A", "N"], ["longer", "1"], ["b", "100"]]
    assert columns(cells, right={1}) == ["A          N", "longer     1", "b        100"]
    assert columns([]) == []
