"""Writes the table of load formats in docs/weights.md from api/loading.py: `make docs`."""

from cluster.host import REPOSITORY
from vllm_operator.api.loading import LOAD_FORMATS

PAGE = REPOSITORY / "docs" / "weights.md"
_BEGIN, _END = "<!-- load formats: written by `make docs` -->\n", "<!-- end of load formats -->\n"


def table() -> str:
    """Every load format of the pinned vLLM: what it does, and whether a service may ask for it."""
    rows = (f"| `{name}` | {row.says} | {row.instead or 'yes'} |\n" for name, row in LOAD_FORMATS.items())
    return "".join(["| format | what it loads | served |\n", "|---|---|---|\n", *rows])


def page(text: str) -> str:
    """docs/weights.md with its table as it should be. Raises ValueError where a mark is gone."""
    start, _, rest = text.partition(_BEGIN)
    _, mark, end = rest.partition(_END)
    if not mark:
        raise ValueError(f"docs/weights.md has no {_BEGIN.strip()} and {_END.strip()} around its table")
    return f"{start}{_BEGIN}{table()}{_END}{end}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
