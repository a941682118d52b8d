"""What is printed for people. Names, logs and answers are of others: nothing in them may steer a reader's terminal."""

import re

# Whole sequences (colours, titles, moves of the cursor), then whatever else is no text: control characters but line
# feed and tab, and marks that turn the direction of writing.
_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,16}[@-~]|[\]PX^_][^\x07\x1b\n]{0,4096}(?:\x07|\x1b\\)?)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text without what a terminal would act on."""
    return _CONTROL.sub("", _SEQUENCES.sub("", text))
