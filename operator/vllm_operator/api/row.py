"""What a row of the registry of reasons has. The rows are in reasons.py. Imports nothing heavy."""

from enum import StrEnum
from typing import Self

from .conditions import ConditionType

PASSES, LASTS, FINE = True, False, None
STOPS_VLLM = True


def of(kind: ConditionType) -> frozenset[ConditionType]:
    """That a reason may stand in one type of condition."""
    return frozenset({kind})


class Row(StrEnum):
    """A word, and what is to be known of it."""

    types: frozenset[ConditionType]
    """Conditions that have it of their own. Ready and Stalled have it of the condition that they summarize."""
    passes: bool | None
    """Whether what it tells of may go away without any change to the service: it only needs time, others free what it
    waits for, or a restart helps. A service whose pods wait for what does not is stalled. None: nothing is wrong."""
    words: str
    """What it means and, where something can be done, what to do."""
    stops_vllm: bool
    """Of an inspection: whether it will keep vLLM from starting as well, which is worth saying before vLLM does."""

    def __new__(
        cls, value: str, types: frozenset[ConditionType], passes: bool | None, words: str = "", stops_vllm: bool = False
    ) -> Self:
        """A row of the registry: the word, and what is to be known of it. Raises TypeError where a part is missing."""
        if not words:
            raise TypeError(f"{value}: its row has its conditions; PASSES, LASTS or FINE; and the words for people")
        member = str.__new__(cls, value)
        member._value_ = value
        member.types, member.passes, member.words, member.stops_vllm = types, passes, words, stops_vllm
        return member
