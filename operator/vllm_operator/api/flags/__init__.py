"""The flags of `vllm serve`: which there are, and what becomes of each (catalogue.py)."""

from .allowed import EXTRA_CHOICE_FLAGS, EXTRA_SWITCH_FLAGS, EXTRA_VALUE_FLAGS
from .catalogue import field_of_flag
from .rules import extra_args_rules

__all__ = ["EXTRA_CHOICE_FLAGS", "EXTRA_SWITCH_FLAGS", "EXTRA_VALUE_FLAGS", "extra_args_rules", "field_of_flag"]
