"""One text that vLLM or a library under it says when it fails -> the reason, and what to do. See catalogue.py.

`says` is the text as its source has it, with `{name}` where a value stands and `{}` where anything may: the pattern is
made of it, and a test looks for its pieces in the named source of the pinned vLLM.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from ..api.reasons import Reason

OF_SYSTEM, OF_PROTOCOL = "errno", "http"
_FIELD = re.compile(r"\{(\w*)\}")
# Values are short, on one line, and no sentence: what stands between two known texts can then be no prompt.
_VALUE = r"[^\n]{0,160}?"
# All blanks that stand there (possessive), of which a log may repeat any number.
_BLANKS = r"\s{1,64}+"
_BEGINS = r"(?<![^\s'\",])"
_WORD, _REST = r"[^\s'\",]{1,160}", r"[^\n.;'\"[]{1,100}"


@dataclass(frozen=True)
class Symptom:
    """One text. `message` is what the user reads; it may use the values of `says`, and {node}.

    `within` is a line of vLLM's own code (vllm/v1/worker/gpu_worker.py) that a traceback must show as well: the same
    words mean one thing while the model is loaded, and another later.

    `ends`: only the exception that a process ended with counts; elsewhere the same words are a warning.

    `oldest`: vLLM's oldest supported version says it so, and the pinned one does not: `source` is a file of that one.

    `vague`: the cause may stand further up in the log, before what the kubelet keeps of it.

    `source` is a file below site-packages, Python's or a compiled one, OF_PROTOCOL for the names of HTTP's statuses as
    requests tells them, or OF_SYSTEM for the operating system's own
    words: these count only where an exception says them, as processes go on after many such errors.
    """

    source: str
    says: str
    reason: Reason
    message: str
    within: str = ""
    ends: bool = False
    oldest: bool = False
    vague: bool = False

    def search(self, text: str) -> re.Match[str] | None:
        """Where the text says it; None where it does not, or not within the step that is meant."""
        return self.pattern.search(text) if self.within in text else None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the text in a log, wherever a line is broken."""
        parts = _FIELD.split(self.says)
        literals = [_BLANKS.join(map(re.escape, re.split(" +", part))) for part in parts[::2]]
        values = [f"(?P<{name}>{_VALUE})" if name else _VALUE for name in parts[1::2]]
        # Nothing bounds a value at either end of a text but the end of its word, or of its line.
        if not literals[0]:
            # From the word's beginning only: else each letter of a long one would be tried as such.
            values[0] = f"(?P<{parts[1]}>{_BEGINS}{_WORD})"
        if not literals[-1]:
            values[-1] = f"(?P<{parts[-2]}>{_WORD if parts[-2] == 'path' else _REST})"
        # A value ends where what follows it stands first (atomic): else each value were tried again for each other.
        pairs = zip(values, literals[1:], strict=True)
        return re.compile(literals[0] + "".join(f"(?>{value}{literal})" for value, literal in pairs))

    def pieces(self) -> list[str]:
        """The fixed parts of the text."""
        return [piece for piece in _FIELD.split(self.says)[::2] if piece.strip()]
