"""Writes what the documents say of conditions and reasons from the operator's registries: `make docs`.

All of docs/reasons.md, and the table of conditions in README.md, between its two marks.
"""

from collections.abc import Iterable

from cluster.host import REPOSITORY
from vllm_operator.api.conditions import ConditionType
from vllm_operator.api.reasons import FORMER, Reason

REFERENCE, README = REPOSITORY / "docs" / "reasons.md", REPOSITORY / "README.md"
_BEGIN, _END = "<!-- conditions: written by `make docs` -->\n", "<!-- end of conditions -->\n"
_PASSES = {True: "yes", False: "no", None: "nothing is wrong"}
_HEAD = """\
# Conditions and reasons
<!-- written by `make docs` from operator/vllm_operator/api/conditions.py and reasons.py -->
`kubectl get vis` shows a service's `Ready` and its reason, `kubectl vllm logs NAME` all of its conditions. Types and
reasons are for scripts and alerts to match on. The message beside them has names, numbers and what to do; its words may
change.

"""
_REASONS = """
`Ready` and `Stalled` have the reason of the condition that they summarize: `SpecValid`, `Fits` or `WorkloadAvailable`.
What passes by itself only needs time, or others free what the service waits for, or a restart helps. While
`WorkloadAvailable` is False for a reason that does not pass, the service is `Stalled`; one
that is `Withheld` for its ServingClass only where the reason of `Admitted` does not pass.

"""


def conditions() -> str:
    """The table of the types in README.md."""
    return _table(
        ("condition", "says whether", "there"), ((f"`{kind}`", kind.says, kind.there) for kind in ConditionType)
    )


def _types() -> str:
    rows = ((f"`{kind}`", kind.holds, kind.there, str(kind.good)) for kind in ConditionType)
    return _table(("condition", "True means", "there", "without trouble"), rows)


def reasons() -> str:
    """The table of the reasons, by name."""
    rows = (
        (f"`{reason}`", ", ".join(f"`{kind}`" for kind in sorted(reason.types)), _PASSES[reason.passes], reason.words)
        for reason in sorted(Reason)
    )
    return _table(("reason", "of", "passes by itself", "means"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def reference() -> str:
    """docs/reasons.md."""
    before = ", ".join(f"`{old}` is `{reason}` now" for old, reason in FORMER.items())
    return f"{_HEAD}{_types()}{_REASONS}{reasons()}\nRenamed: {before}.\n"


def readme(text: str) -> str:
    """README.md with its table as it should be. Raises ValueError where a mark is gone."""
    start, _, rest = text.partition(_BEGIN)
    _, mark, end = rest.partition(_END)
    if not mark:
        raise ValueError(f"README.md has no {_BEGIN.strip()} and {_END.strip()} around its table of conditions")
    return f"{start}{_BEGIN}{conditions()}{_END}{end}"


if __name__ == "__main__":
    REFERENCE.write_text(reference())
    README.write_text(readme(README.read_text()))
