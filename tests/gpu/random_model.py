"""A model of a real shape with random weights and a tokenizer that can encode any text, made without any download.

    python -m gpu.random_model FOLDER CASES-MODEL    (a Llama's name in engine_cases.json)

The tokenizer is that of examples/tiny-model, with words up to the model's vocabulary: a model that answers at random
says any of them.
"""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from cluster.host import REPOSITORY
from gpu.engines import CASES

_SCALE = 0.02


def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every tensor of a Llama's checkpoint."""
    hidden, inner, size = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    heads, kv = config["num_attention_heads"] * size, config["num_key_value_heads"] * size
    layer = {
        "self_attn.q_proj": (heads, hidden), "self_attn.k_proj": (kv, hidden), "self_attn.v_proj": (kv, hidden),
        "self_attn.o_proj": (hidden, heads), "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner), "input_layernorm": (hidden,), "post_attention_layernorm": (hidden,),
    }  # fmt: skip
    found = {"model.embed_tokens.weight": (config["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    if not config.get("tie_word_embeddings"):
        found["lm_head.weight"] = (config["vocab_size"], hidden)
    for number in range(config["num_hidden_layers"]):
        found |= {f"model.layers.{number}.{name}.weight": shape for name, shape in layer.items()}
    return found


def write_weights(folder: Path, config: dict[str, Any]) -> None:
    """One safetensors file, in bfloat16; on a GPU where there is one, which takes seconds."""
    import torch
    from safetensors.torch import save_file

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(20)
    tensors = {
        name: (torch.randn(shape, device=device, dtype=torch.bfloat16) * _SCALE).cpu() if len(shape) > 1
        else torch.ones(shape, dtype=torch.bfloat16)
        for name, shape in shapes(config).items()
    }  # fmt: skip
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors makes it readable for its owner alone


def write_tokenizer(folder: Path, vocabulary: int) -> None:
    """The tiny model's tokenizer, with a word for every further token that the model may say."""
    spec = importlib.util.spec_from_file_location("tiny", REPOSITORY / "examples/tiny-model/make_tiny_model.py")
    assert spec
    assert spec.loader
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    tiny.make_tokenizer().save_pretrained(folder)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    words = content["model"]["vocab"]
    taken = max(words.values()) + 1
    words |= {f"Ġw{number}": number for number in range(taken, vocabulary)}
    path.write_text(json.dumps(content))


def make(folder: Path, name: str) -> dict[str, Any]:
    """Write the model; returns its config."""
    config: dict[str, Any] = dict(json.loads(CASES.read_text())["models"][name])
    folder.mkdir(parents=True, exist_ok=True)
    config |= {"bos_token_id": None, "eos_token_id": 2}
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder, config["vocab_size"])
    write_weights(folder, config)
    return config


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2])
