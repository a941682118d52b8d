"""The length that sentence-transformers notes beside a model, and vLLM takes in place of config.json's. Opens no file.

Source: vLLM 0.32, transformers_utils/config.py (`get_sentence_transformer_tokenizer_config`), config/model.py
(`_get_and_verify_max_len`); it has been so since 0.11.2.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ..api import limits

KEY = "max_seq_length"
NAMES = (
    "sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json",
    "sentence_camembert_config.json", "sentence_albert_config.json", "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)  # fmt: skip


def length_of(names: Collection[str], read: Callable[[str], Mapping[str, Any] | None]) -> int | None:
    """Tokens of the longest sequence, by the first of these files among `names` that says anything; None: none does.

    `read` gives None for a file that holds no object. Raises what it raises.
    """
    said = next((content for name in NAMES if name in names and (content := read(name))), None)
    return limits.whole(said.get(KEY), limits.MODEL_LENGTH) or None if isinstance(said, Mapping) else None
