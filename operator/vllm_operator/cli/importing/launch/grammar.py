"""Reads the words after `vllm serve` as flags with their values, in any spelling that vLLM's parser takes.

Underscores, abbreviations, `--no-`, short forms (`-tp`, `-O3`), `--flag=value`, several values, and dotted keys of JSON
(`--speculative-config.method=mtp`). What a flag means is not decided here.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ....api.flags.catalogue import Entry
from ....api.flags.finding import UnknownFlagError, find
from ..report import Origin, Place
from .command import Word

_NUMBER = re.compile(r"-[0-9.]+")
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Given:
    """A flag that was given, with its values."""

    entry: Entry | None
    """None where vLLM has no such flag."""
    spelled: str
    place: Place
    values: tuple[str, ...] = ()
    off: bool = False
    """Whether it is a switch that was turned off."""
    keys: tuple[str, ...] = ()
    """The key of its JSON that is set; empty where all of it is."""
    adds: bool = False
    """Whether it adds to a list: --x.a+=b."""
    unknown: str = ""
    """Why there is no entry."""
    also: tuple[Place, ...] = ()
    """Where its values stand, if they are words of their own."""

    @property
    def name(self) -> str:
        """Its full name, or as it was written where vLLM has no such flag."""
        return self.entry.name if self.entry else self.spelled

    @property
    def value(self) -> str:
        """Its only value."""
        return self.values[0] if self.values else ""

    @property
    def origin(self) -> Origin:
        """As the report shows it."""
        return Origin(self.place, " ".join([self.spelled, *self.values]), self.also)

    @property
    def hidden(self) -> Origin:
        """As the report shows it where its value is nobody's business."""
        return Origin(self.place, f"{self.spelled} ***" if self.values else self.spelled, self.also)


@dataclass(frozen=True, slots=True)
class Line:
    """A command line: words that belong to no flag (the first is the model), and the flags."""

    positional: tuple[Word, ...]
    flags: tuple[Given, ...]


def parse(words: Sequence[Word]) -> Line:
    """The flags of a command line, in their order; dotted keys of a flag are one."""
    positional: list[Word] = []
    flags: list[Given] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not _is_flag(word.text):
            positional.append(word)
            continue
        given = _flag(word)
        flags.append(given if given.values else _with_values(given, rest))
    return Line(tuple(positional), tuple(_joined(flags)))


def _is_flag(text: str) -> bool:
    return text.startswith("-") and len(text) > 1 and not _NUMBER.fullmatch(text) and not text[1].isspace()


def _flag(word: Word) -> Given:
    spelled, equals, value = word.text.partition("=")
    values = (value,) if equals else ()
    try:
        found = find(spelled)
    except UnknownFlagError as error:
        return Given(None, spelled, word.place, values, unknown=str(error))
    values = (found.value,) if found.value else values
    truth = _TRUTH.get(value.lower()) if found.entry.kind == "switch" and equals else None
    return Given(found.entry, spelled, word.place, values, found.off == (truth is not False), found.keys, found.adds)


def _with_values(given: Given, rest: list[Word]) -> Given:
    kind = given.entry.kind if given.entry else ""
    if not rest or _is_flag(rest[0].text):
        return given
    if kind == "switch":
        # vLLM takes no value here; people write one all the same.
        following = _TRUTH.get(rest[0].text.lower())
        if following is None:
            return given
        word = rest.pop(0)
        return replace(given, values=(word.text,), off=given.off == following, also=(word.place,))
    words = [rest.pop(0)]
    while kind == "words" and rest and not _is_flag(rest[0].text):
        words.append(rest.pop(0))
    return replace(given, values=tuple(word.text for word in words), also=tuple({word.place: None for word in words}))


def _joined(flags: Sequence[Given]) -> Iterator[Given]:
    """Flags with the keys of their JSON put together: --x.a=1 --x.b=2 is one --x."""
    keyed: dict[str, dict[str, Any]] = {}
    first: dict[str, Given] = {}
    places: dict[str, tuple[Place, ...]] = {}
    for flag in flags:
        if not flag.keys:
            yield flag
            continue
        first.setdefault(flag.name, flag)
        places[flag.name] = (*places.get(flag.name, ()), flag.place, *flag.also)
        holder = keyed.setdefault(flag.name, {})
        for key in flag.keys[:-1]:
            inner = holder.setdefault(key, {})
            holder = inner if isinstance(inner, dict) else {}
        last = flag.keys[-1]
        if flag.adds:
            there = holder.get(last)
            holder[last] = [*(there if isinstance(there, list) else []), *flag.value.split(",")]
        else:
            holder[last] = read_json(flag.value) if flag.values else True
    for name, value in keyed.items():
        yield replace(first[name], spelled=name, values=(json.dumps(value),), keys=(), also=places[name])


def read_json(text: str) -> Any:
    """JSON as vLLM reads it in a flag; the text itself where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return _TRUTH.get(text.lower(), text)


def config_words(content: Any, place: Place) -> list[Word]:
    """The flags in a file for --config, as words.

    A switch that is off stays one with its value, for vLLM has a form to turn most of them off; an empty list says
    nothing. Source: FlexibleArgumentParser.load_config_file in vllm/utils/argparse_utils.py of vLLM 0.32.
    """
    words = []
    for key, value in content.items() if isinstance(content, dict) else ():
        if value is None or value == []:
            continue
        if value is False:
            words.append(Word(f"--{key}=false", place))
            continue
        words.append(Word(f"--{key}", place))
        items = value if isinstance(value, list) else [] if value is True else [value]
        words += [Word(json.dumps(item) if isinstance(item, dict | list) else str(item), place) for item in items]
    return words
