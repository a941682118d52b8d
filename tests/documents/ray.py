"""Writes the tables of docs/ray.md, of fields that Ray Serve cannot do or does in another way, from api/ray.py."""

from collections.abc import Iterable

from cluster.host import REPOSITORY
from vllm_operator.api.ray import REFUSED, SEEN_TO

PAGE = REPOSITORY / "docs" / "ray.md"


def _table(heads: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| {heads[0]} | {heads[1]} |\n", "|---|---|\n"]
    for name, says in rows:
        field, _, when = name.partition(" ")
        lines.append(f"| `{field}`{when and f' {when}'} | {says} |\n")
    return "".join(lines)


def tables() -> dict[str, str]:
    """By the name of its marks, each table."""
    return {
        "refused": _table(("field", "why, and what instead"), ((name, one.why) for name, one in REFUSED.items())),
        "seen to": _table(("field", "how"), SEEN_TO.items()),
    }


def page(text: str) -> str:
    """docs/ray.md with its tables as they should be. Raises ValueError where a mark is gone."""
    for name, table in tables().items():
        begin, end = f"<!-- {name}: written by `make docs` -->\n", f"<!-- end of {name} -->\n"
        start, _, rest = text.partition(begin)
        _, mark, after = rest.partition(end)
        if not mark:
            raise ValueError(f"docs/ray.md has no {begin.strip()} and {end.strip()} around its table")
        text = f"{start}{begin}{table}{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
