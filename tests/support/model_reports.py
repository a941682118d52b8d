"""Models that the inspect Jobs of fake nodes report on."""

import json

from vllm_operator.api.reasons import Reason
from vllm_operator.assess.fits import Inspection
from vllm_operator.inspection.kept import Content, pack
from vllm_operator.inspection.report import Facts, InspectionError, content_in, encode, encode_error

LLAMA_8B, LLAMA_70B = "org/llama-8b", "org/llama-70b"


def _llama(hidden: int, intermediate: int, layers: int, heads: int) -> str:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "bfloat16",
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
    }
    return encode(Facts(config, commit="1" * 40))


# What each step of a batch leaves, in one: kwok tells its pods apart by their second argument.
_BATCH = {"total": 10, "valid": 10, "files": 1, "done": 9, "failed": 1, "promptTokens": 100, "outputTokens": 50}
_GONE = InspectionError(Reason.MODEL_NOT_FOUND, "there is no model org/gone on the hub")
# What each leaves, by the argument that names it.
REPORTS = {
    f"--hub={LLAMA_8B}": _llama(4096, 14336, 32, 32),
    f"--hub={LLAMA_70B}": _llama(8192, 28672, 80, 64),
    "--hub=org/gone": encode_error(_GONE),
    "--input=/batch/input/in.jsonl": json.dumps(_BATCH),
}


def content_of(facts: Facts) -> Content:
    """What is kept of a model, once its Job has said this of it."""
    return content_in(encode(facts))


def packed(facts: Facts) -> bytes:
    """The same in the operator's memory."""
    return pack(content_of(facts))


def inspected(model: str) -> Inspection:
    """What the operator knows of a model once its Job has said so."""
    return Inspection("key", pack(content_in(REPORTS[f"--hub={model}"])))
