"""What the API server says of each item of extraArgs: at most one sentence, from CEL that is made of the catalogue."""

from pydantic import BaseModel

from ..base import Rule, rule
from .allowed import EXTRA_CHOICE_FLAGS, EXTRA_SWITCH_FLAGS, EXTRA_VALUE_FLAGS
from .catalogue import field_of_flag

_NAME = "self.split('=', 2)[0]"
_SPELLED = r"self.matches(r'^--[^ =]+(=|$)')"
_LISTED = f"{_NAME} in {[*EXTRA_VALUE_FLAGS, *EXTRA_SWITCH_FLAGS]!r}"
_ITEMS = [f"{name}={word}" for name, words in EXTRA_CHOICE_FLAGS.items() for word in words]


_ONCE = rule(
    "self.map(a, a.split('=', 2)[0]).all(n, self.exists_one(a, a.split('=', 2)[0] == n))",
    "a flag is there twice: keep one of them",
)


def extra_args_rules(spec: type[BaseModel]) -> tuple[list[Rule], list[Rule]]:
    """The rules of one item of extraArgs, and those of the whole list. At most one of an item's rules is false."""
    carried = _cel(field_of_flag(spec))
    words = _cel({name: ", ".join(words) for name, words in EXTRA_CHOICE_FLAGS.items()})
    item = [
        rule(
            _SPELLED,
            "write one flag per item, with two dashes and its value after an equals sign: --seed=1, "
            "not '--seed 1', not -tp, and not the value as an item of its own",
        ),
        rule(
            f"!({_SPELLED}) || !({_NAME} in {carried})",
            "a field of the spec sets this flag: use that",
            message_expression=f"{_NAME} + ' is set by spec.' + {carried}[{_NAME}] + ': use that field'",
        ),
        rule(
            f"!({_SPELLED}) || {_NAME} in {carried} || {_LISTED}",
            "not a flag that extraArgs may pass: it wants vLLM's full flag names, and none that loads code, "
            "names files or belongs to the operator",
            message_expression=f"{_NAME} + ' is not a flag that extraArgs may pass: it wants the full names of "
            "vLLM flags, and none that loads code, names files or belongs to the operator'",
        ),
        rule(
            f"!({_NAME} in {list(EXTRA_SWITCH_FLAGS)!r}) || !self.contains('=')",
            "this flag is a switch: write it without a value; its opposite begins with --no-",
        ),
        rule(
            f"!({_NAME} in {list(EXTRA_VALUE_FLAGS)!r}) || self.matches('=.')",
            "this flag needs a value in the same item, after an equals sign: --flag=value",
        ),
        rule(
            f"!({_NAME} in {words}) || !self.matches('=.') || self in {_ITEMS!r}",
            "this value is not one that the flag may have",
            message_expression=f"{_NAME} + ' must be one of ' + {words}[{_NAME}]",
        ),
    ]
    return item, [_ONCE]


def _cel(words: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key!r}: {value!r}" for key, value in words.items()) + "}"
