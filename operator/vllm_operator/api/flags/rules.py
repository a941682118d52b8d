"""What the API server says of each item of extraArgs: at most one sentence, from CEL that is made of the catalogue."""

from collections.abc import Mapping

from pydantic import BaseModel

from ..base import Rule, rule, said_of
from .allowed import (
    EXTRA_CHOICE_FLAGS,
    EXTRA_SWITCH_FLAGS,
    EXTRA_VALUE_FLAGS,
    FRACTIONS,
    INTEGERS,
    LISTS,
    OBJECTS,
    SIZES,
    SWITCHES,
)
from .catalogue import Entry, Standing, entries, said
from .standings import VERSION

_NAME = "self.split('=', 2)[0]"
# As vLLM's parser reads it: dashes for underscores, the part before a dot, and a switch that is turned off.
_FLAG = f"{_NAME}.split('.', 2)[0].replace('_', '-').replace('--no-', '--')"
_SPELLED = r"self.matches(r'^--[^ =]+(=|$)')"
_SHORT = r"self.matches(r'^-[a-zA-Z]+([ =.].*)?$')"
# Those with a form that turns them off need no second name in a list.
_TWO_WAYS = [f"--{name}" for name in SWITCHES if f"--no-{name}" in EXTRA_SWITCH_FLAGS]
_ONE_WAY = [f"--{name}" for name in SWITCHES if f"--no-{name}" not in EXTRA_SWITCH_FLAGS]
_SWITCH = f"({_NAME}.replace('--no-', '--') in {_TWO_WAYS!r} || {_NAME} in {_ONE_WAY!r})"

# As vLLM reads a number and JSON, and the word with which it takes many a flag as left out (engine/arg_utils.py).
_INTEGER = "[-+]?[0-9]+(_[0-9]+)*"
_POINT = "[-+]?([0-9]+(_[0-9]+)*[.]?([0-9]+(_[0-9]+)*)?|[.][0-9]+(_[0-9]+)*)([eE][-+]?[0-9]+(_[0-9]+)*)?"
_FORMS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (INTEGERS, _INTEGER, "a whole number, without a unit"),
    (
        SIZES,
        f"{_INTEGER}|[0-9]+([.][0-9]+)?[kmgt]|[0-9]+[KMGT]",
        "a whole number, or one like 4k (4,000) or 4K (4,096)",
    ),
    (FRACTIONS, f"{_POINT}|[-+]?(?i:inf|infinity|nan)", "a number, without a unit"),
    (OBJECTS, r'[{]\s*(?s:".*)?[}]|null', 'an object of JSON, like {"image": 4}'),
    (LISTS, r'\[(?s:.*)\]|"(?s:.*)"|null', 'a list of JSON, like ["*"]'),
)
"""Flags, the expression that their values match, and what it stands for in a sentence."""

_ONCE = rule(
    "self.map(a, a.split('=', 2)[0]).all(n, self.exists_one(a, a.split('=', 2)[0] == n))",
    "a flag is there twice: keep one of them",
)
_ONE_FLAG = (
    "write one flag per item, with two dashes and its value after an equals sign: --seed=1, not '--seed 1', "
    "not -tp, and not the value as an item of its own"
)


def extra_args_rules(spec: type[BaseModel]) -> tuple[list[Rule], list[Rule]]:
    """The rules of one item of extraArgs, and those of the whole list. At most one of an item's rules is false."""
    catalogue = entries(spec)
    values = list(EXTRA_VALUE_FLAGS)
    words = _cel({name: ", ".join(words) for name, words in EXTRA_CHOICE_FLAGS.items()})
    item = [
        rule(f"{_SPELLED} || {_SHORT}", _ONE_FLAG),
        rule(f"{_SPELLED} || !{_SHORT}", _ONE_FLAG, message_expression=_of_short(catalogue)),
        _of_refused(catalogue),
        rule(
            f"!{_SWITCH} || !self.contains('=')",
            "this flag is a switch: write it without a value; its opposite begins with --no-",
        ),
        rule(
            f"!({_NAME} in {values!r}) || self.matches('=.')",
            "this flag needs a value in the same item, after an equals sign: --flag=value",
        ),
        rule(
            f"!({_NAME} in {list(EXTRA_CHOICE_FLAGS)!r}) || !self.matches('=.') || (!self.contains(',')"
            f" && (', ' + {words}[{_NAME}] + ', ').contains(', ' + self.split('=', 2)[1] + ', '))",
            "this value is not one that the flag may have",
            message_expression=f"{_NAME} + ' must be one of ' + {words}[{_NAME}]",
        ),
        *(_of_form(*form) for form in _FORMS),
    ]
    return item, [_ONCE]


def _of_form(flags: tuple[str, ...], form: str, says: str) -> Rule:
    """The rule that some flags have a value of a form; one without a value is another rule's."""
    return rule(
        rf"!({_NAME} in {[f'--{flag}' for flag in flags]!r})"
        rf" || self.matches(r'^[^=]*(=(\s*({form})\s*|None)?)?$')",
        f"this flag takes {says}",
        message_expression=f"{_NAME} + ' takes {says}'",
    )


def _of_short(catalogue: Mapping[str, Entry]) -> str:
    """CEL: what to write for a flag with one dash: -tp is tensorParallelSize."""
    short = {
        name: f"spec.{entry.field}" if entry.field else entry.name
        for entry in catalogue.values()
        for name in entry.also
        if not name.startswith("--") and entry.standing in (Standing.FIELD, Standing.ALLOWED)
    }
    name = "self.split('=', 2)[0].split(' ', 2)[0].split('.', 2)[0]"
    quoted = _ONE_FLAG.replace("'", "\\'")
    return f"{name} in {_cel(short)} ? {name} + ' is short for ' + {_cel(short)}[{name}] + ': use that' : '{quoted}'"


def _of_refused(catalogue: Mapping[str, Entry]) -> Rule:
    """The rule about flags that extraArgs does not pass on: one sentence for each, one for what is no full name."""
    sentences = {
        name: said("", entry).strip() for name, entry in _long(catalogue) if entry.standing != Standing.ALLOWED
    }
    unknown = f"'is not the full name of a flag of vLLM {VERSION}: ' + {_FLAG} + {_rest_of_name(catalogue)}"
    return rule(
        f"!{_SPELLED} || {_SWITCH} || {_NAME} in {list(EXTRA_VALUE_FLAGS)!r}",
        "not a flag that extraArgs may pass: docs/flags.md says what becomes of it",
        message_expression=f"{_NAME} + ' ' + {said_of(sentences, _FLAG, unknown)}",
    )


def _rest_of_name(catalogue: Mapping[str, Entry]) -> str:
    """CEL: how the first flag goes on that begins like what was written, and the field that sets it.

    A search in one text, as the API server cannot reckon what a search in a list would cost. Flags of fields are first.
    """
    names = sorted(_long(catalogue), key=lambda item: (item[1].standing != Standing.FIELD, item[0]))
    text = "".join(f",{name} is{f', use spec.{entry.field}' * bool(entry.field)};" for name, entry in names)
    none = "' begins none, docs/flags.md has them all;'"
    return f"('{text},' + {_FLAG} + {none}).split(',' + {_FLAG}, 2)[1].split(';', 2)[0]"


def _long(catalogue: Mapping[str, Entry]) -> list[tuple[str, Entry]]:
    """Every flag by its long names, without the forms that turn one off."""
    others = ((other, entry) for entry in catalogue.values() for other in entry.also if other.startswith("--"))
    return [*catalogue.items(), *others]


def _cel(words: Mapping[str, str]) -> str:
    """A map as CEL, which writes strings as Python does."""
    return "{" + ", ".join(f"{key!r}: {value!r}" for key, value in words.items()) + "}"
