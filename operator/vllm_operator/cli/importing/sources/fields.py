"""Sources that name vLLM's settings by keys of their own: which flag each key is, and rows for keys that are none."""

from collections.abc import Mapping
from dataclasses import replace

from ..launch.command import Word
from ..launch.flags import take_flags
from ..launch.grammar import Line, parse
from ..part import Part
from ..report import Went
from ..server import Server
from ..values import size


def flag_words(part: Part, flag: str) -> list[Word]:
    """A key's value as the words of a flag: a truth value is a switch."""
    if part.value is True:
        return [Word(f"--{flag}", part.place)]
    if part.value is False:
        return [Word(f"--no-{flag}", part.place)]
    return [Word(f"--{flag}", part.place), Word(part.text, part.place)]


def take_keys(server: Server, part: Part, flags: Mapping[str, str]) -> None:
    """Take the keys of a mapping over that stand for a flag; empty ones say nothing."""
    for key, flag in flags.items():
        value = part.at(key)
        if not value:
            continue
        if value.value in ("", {}, [], 0) and value.value is not False:
            server.draft.say(value.origin(), Went.DEFAULT, "is empty: vLLM's default")
            continue
        line = parse(flag_words(value, flag))
        take_flags(server, Line((), tuple(replace(one, spelled=key) for one in line.flags)))


def said(server: Server, part: Part, texts: Mapping[str, str], went: Went = Went.OPERATOR) -> None:
    """Rows for keys of a mapping that say what the operator does by itself, or what is left out.

    A text that only names the field to see is of what is left out. What has a row already gets no other one.
    """
    told = {row.origin.place for row in server.draft.report.rows}
    for key, text in texts.items():
        value = part.at(key)
        if not value or value.place in told:
            continue
        empty = value.value in (False, "", {}, [], None)
        lost = Went.LEFT if text.startswith("see ") else went
        server.draft.say(value.origin(), Went.OPERATOR if empty else lost, "is off" if empty else text)


def take_claim(server: Server, part: Part, keys: Mapping[str, str]) -> None:
    """A claim of a controller's that the cache takes the place of; `keys` says which of its keys is which of ours.

    The size comes first. Raises UnfitError where it is none.
    """
    found = {key: next(iter(part.at(key).each()), part.at(key)) for key in keys}
    first, *others = keys
    others = [key for key in others if found[key].text]
    claim = {keys[first]: size(found[first].text), **{keys[key]: found[key].text for key in others}}
    note = "downloaded once more, into a claim of the operator's"
    if server.draft.put("cache.claim", claim, part.at(first).origin(), note):
        for key in others:
            server.draft.say(part.at(key).origin(), Went.FIELD, f"cache.claim.{keys[key]}")
