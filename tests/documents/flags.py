"""Writes docs/flags.md from the operator's catalogue of vLLM's flags: `make docs`."""

from collections.abc import Iterable

from cluster.host import REPOSITORY
from vllm_operator.api.environment import INSTEAD
from vllm_operator.api.flags.allowed import LOG_LEVEL, REQUEST_LOG_LEVELS
from vllm_operator.api.flags.catalogue import Entry, Standing
from vllm_operator.api.flags.finding import CATALOGUE
from vllm_operator.api.vocabulary import OLDEST_VLLM_VERSION, VLLM_VERSION

REFERENCE = REPOSITORY / "docs" / "flags.md"
_HEAD = f"""\
# What becomes of each flag of vLLM
<!-- written by `make docs` from operator/vllm_operator/api/flags/ -->
Every flag of `vllm serve` {VLLM_VERSION}: those that a field of the spec sets, those that `extraArgs` passes on, those
that are the operator's, those that are refused, and those that older versions had. `kubectl apply` says the same of a
flag in `extraArgs` that does not belong there, also of an abbreviation or of underscores. A test holds this list
against the parser of the pinned vLLM.

In `extraArgs` a flag is one item, with its full name and its value after an equals sign: `--seed=1`. A switch has no
value, and most have a form that turns them off: `--no-enable-chunked-prefill`. Of a JSON flag that is a field, the keys
are fields too, in camelCase: `--compilation-config={{"cudagraph_mode": "PIECEWISE"}}` is
`tuning: {{compilation: {{cudagraphMode: PIECEWISE}}}}`.

Images with vLLM {OLDEST_VLLM_VERSION} or newer are supported. Flags of the operator's own that an older vLLM lacks are
left out; a field, a value of one, or a flag of `extraArgs` that it lacks is refused (`ImageTooOld`).

Where a service mesh encrypts in the place of the flags of TLS, its sidecars have to end after vLLM:
[how a pod ends](engine.md#how-a-pod-ends).

"""
_SECTIONS = {
    Standing.FIELD: ("A field sets it", ("flag", "field")),
    Standing.ALLOWED: ("extraArgs passes it on", ("flag", "value")),
    Standing.OWNED: ("The operator sets it", ("flag", "why")),
    Standing.REFUSED: ("It is refused", ("flag", "why, and what to do")),
    Standing.GONE: ("It is gone from vLLM", ("flag", "instead")),
}


def _value(entry: Entry) -> str:
    takes = {"switch": "a switch", "JSON": "JSON"}.get(entry.kind, "a value")
    words = ", ".join(f"`{word}`" for word in entry.choices) or takes
    some = " and ".join(f"`{word}`" for word in REQUEST_LOG_LEVELS) if entry.name == LOG_LEVEL else ""
    return f"{words}; {some}{' ' if some else ''}only with the setting `{entry.setting}`" if entry.setting else words


def _row(entry: Entry) -> tuple[str, str]:
    said = {Standing.FIELD: f"`{entry.field}`", Standing.ALLOWED: _value(entry)}.get(entry.standing, entry.says)
    return ", ".join(f"`{name}`" for name in entry.spellings), said


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, ("---",) * len(head), *rows))


def _section(standing: Standing) -> str:
    title, head = _SECTIONS[standing]
    rows = [_row(entry) for _, entry in sorted(CATALOGUE.items()) if entry.standing == standing]
    return f"## {title}\n{_table(head, rows)}\n"


def reference() -> str:
    """docs/flags.md."""
    variables = _table(("variable", "instead"), ((f"`{name}`", says) for name, says in sorted(INSTEAD.items())))
    sections = "".join(_section(standing) for standing in Standing)
    return f"{_HEAD}{sections}## Environment variables that are not for `env`\n{variables}"


if __name__ == "__main__":
    REFERENCE.write_text(reference())
