"""Nothing that others have written steers the terminal of who reads it."""

import pytest

from vllm_operator.cli.terminal import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred\x1b[0mb", "aredb"),
        ("a\x1b]0;owned\x07b", "ab"),
        ("a\x1b]8;;http://evil\x1b\\b", "ab"),
        ("a\x1b[2J\x1b[Hb", "ab"),
        ("a\x9b31mb", "a31mb"),
        ("a\rb\x08c\x00d\x7f", "abcd"),
        ("a\u202eb\u2066c", "abc"),
        ("one\n\ttwo é", "one\n\ttwo é"),
    ],
)
def test_what_a_terminal_would_act_on_is_left_out(text: str, shown: str) -> None:
    assert printable(text) == shown
