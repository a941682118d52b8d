"""Text in columns, as kubectl prints it: no frames, no colours. Pure."""

from collections.abc import Collection, Sequence

_GAP = "   "


def columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """The rows as lines of equal columns; those with a number in `right` are aligned to the right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))] if rows else []
    return [
        _GAP.join(_cell(text, widths[at], right=at in right) for at, text in enumerate(row)).rstrip() for row in rows
    ]


def _cell(text: str, width: int, *, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)
