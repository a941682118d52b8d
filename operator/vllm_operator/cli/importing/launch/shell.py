"""Reads a shell script as a list of commands, to find vLLM's in it. Runs nothing, and follows no condition or loop.

Quotes, escapes, comments, line continuations, `&&`, `||`, `;`, `|`, `&` and redirections are as in a POSIX shell.
What a command in `$( )` or backticks would print is not known: such a word keeps its text.
"""

from dataclasses import dataclass, field

from ..report import Origin
from .variables import ASSIGNMENT, Variable, Variables

_ENDS = ";|&\n"
MOST_WORDS = 20_000
"""Of a script; what follows is not read."""


@dataclass
class _Reader:
    """One pass over a script."""

    text: str
    variables: Variables
    at: int = 0
    commands: list[list[str]] = field(default_factory=lambda: [[]])
    word: str | None = None
    words: int = 0
    """Of all commands so far."""

    def read(self) -> list[list[str]]:
        while self.at < len(self.text):
            self._step(self.text[self.at])
        self._end_command()
        return [command for command in self.commands if command]

    def _step(self, char: str) -> None:
        if char == "\\":
            self._escape()
        elif char == "'":
            self._add(self._until("'"))
        elif char == '"':
            self._add(self._double())
        elif char in "$`":
            self._expand()
        elif char in _ENDS:
            self._end_command()
            self.at += 1
        elif char in " \t\r":
            self._end_word()
            self.at += 1
        elif char == "#" and self.word is None:
            self.at = self._line_end()
        elif char in "<>":
            self._redirect()
        elif char in "()" or (char in "{}" and self.word is None):
            self._end_command()
            self.at += 1
        else:
            self._add(char)
            self.at += 1

    def _add(self, text: str) -> None:
        self.word = (self.word or "") + text

    def _escape(self) -> None:
        following = self.text[self.at + 1 : self.at + 2]
        if following != "\n":
            self._add(following)
        self.at += 2

    def _until(self, quote: str) -> str:
        end = self.text.find(quote, self.at + 1)
        end = len(self.text) if end < 0 else end
        text, self.at = self.text[self.at + 1 : end], end + 1
        return text

    def _double(self) -> str:
        text, self.at = "", self.at + 1
        while self.at < len(self.text) and self.text[self.at] != '"':
            if self.text[self.at] == "\\" and self.text[self.at + 1 : self.at + 2] in ('"', "\\", "$", "`", "\n"):
                text += self.text[self.at + 1].replace("\n", "").replace("$", "\0")
                self.at += 1
            else:
                text += self.text[self.at]
            self.at += 1
        self.at += 1
        return self.variables.shell(text).replace("\0", "$")

    def _expand(self) -> None:
        end = self._expansion_end()
        text, self.at = self.text[self.at : end], end
        known = self.variables.shell(text)
        pieces = known.split() if known != text else [known]
        # Outside quotes, a value with spaces is several words.
        for index, piece in enumerate(pieces):
            if index:
                self._end_word()
            self._add(piece)

    def _expansion_end(self) -> int:
        opened = self.text[self.at + 1 : self.at + 2]
        if self.text[self.at] == "`":
            end = self.text.find("`", self.at + 1)
        elif opened == "{":
            end = self.text.find("}", self.at)
        elif opened == "(":
            return self._closed()
        else:
            end = self.at
            while end + 1 < len(self.text) and (self.text[end + 1].isalnum() or self.text[end + 1] == "_"):
                end += 1
        return (len(self.text) if end < 0 else end) + (0 if end < 0 else 1)

    def _closed(self) -> int:
        depth = 0
        for at in range(self.at + 1, len(self.text)):
            depth += {"(": 1, ")": -1}.get(self.text[at], 0)
            if not depth:
                return at + 1
        return len(self.text)

    def _redirect(self) -> None:
        if self.word is not None and self.word.isdecimal():
            self.word = None
        self._end_word()
        while self.at < len(self.text) and self.text[self.at] in "<>&":
            self.at += 1
        while self.at < len(self.text) and self.text[self.at] in " \t":
            self.at += 1
        while self.at < len(self.text) and self.text[self.at] not in " \t\n;|&<>":
            self.at += 1

    def _line_end(self) -> int:
        end = self.text.find("\n", self.at)
        return len(self.text) if end < 0 else end

    def _end_word(self) -> None:
        if self.words == MOST_WORDS:
            self.at = len(self.text)
        elif self.word is not None:
            self.commands[-1].append(self.word)
            self.words += 1
        self.word = None

    def _end_command(self) -> None:
        self._end_word()
        if self.commands[-1]:
            self._assign(self.commands[-1])
            self.commands.append([])

    def _assign(self, words: list[str]) -> None:
        """What a command sets for those after it: `X=1`, or `export X=1`."""
        names = words[1:] if words[0] == "export" else words
        found = [match for word in names if (match := ASSIGNMENT.fullmatch(word))]
        if len(found) == len(names):
            for match in found:
                self.variables.add(Variable(match[1], Origin((), match[1]), match[2]))


def commands_of(script: str, variables: Variables) -> list[list[str]]:
    """The commands of a script, each as its words, in their order."""
    return _Reader(script, variables).read()
