"""A model of a real shape with random weights and a tokenizer that can encode any text, made without any download.

    python -m gpu.random_model FOLDER CASES-MODEL [--adapter FOLDER]    (a Llama or dense Qwen3 of engine_cases.json)

The tokenizer is that of examples/tiny-model, with words up to the model's vocabulary: a model that answers at random
says any of them.
"""

import argparse
import importlib.util
import json
from pathlib import Path
from typing import Any

from cluster.host import REPOSITORY
from gpu.engines import CASES

_SCALE = 0.02
ADAPTER_RANK = 16
_ADAPTED = ("q_proj", "v_proj")


def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every tensor of a checkpoint: a Llama's, or a dense Qwen3's."""
    hidden, inner, size = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    heads, kv = config["num_attention_heads"] * size, config["num_key_value_heads"] * size
    layer = {
        "self_attn.q_proj": (heads, hidden), "self_attn.k_proj": (kv, hidden), "self_attn.v_proj": (kv, hidden),
        "self_attn.o_proj": (hidden, heads), "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner), "input_layernorm": (hidden,), "post_attention_layernorm": (hidden,),
    }  # fmt: skip
    if config["model_type"] == "qwen3":
        layer |= {"self_attn.q_norm": (size,), "self_attn.k_norm": (size,)}
    found = {"model.embed_tokens.weight": (config["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    if not config.get("tie_word_embeddings"):
        found["lm_head.weight"] = (config["vocab_size"], hidden)
    for number in range(config["num_hidden_layers"]):
        found |= {f"model.layers.{number}.{name}.weight": shape for name, shape in layer.items()}
    return found


def adapter_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every tensor of a LoRA adapter of the model, with peft's names."""
    found = {}
    for name, (outputs, *inputs) in shapes(config).items():
        if name.removesuffix(".weight").endswith(_ADAPTED):
            module = f"base_model.model.{name.removesuffix('.weight')}"
            found[f"{module}.lora_A.weight"] = (ADAPTER_RANK, *inputs)
            found[f"{module}.lora_B.weight"] = (outputs, ADAPTER_RANK)
    return found


def write_weights(path: Path, wanted: dict[str, tuple[int, ...]]) -> None:
    """One safetensors file, in bfloat16; on a GPU where there is one, which takes seconds."""
    import torch
    from safetensors.torch import save_file

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(20)
    tensors = {
        name: (torch.randn(shape, device=device, dtype=torch.bfloat16) * _SCALE).cpu() if len(shape) > 1
        else torch.ones(shape, dtype=torch.bfloat16)
        for name, shape in wanted.items()
    }  # fmt: skip
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors makes it readable for its owner alone


def write_adapter(folder: Path, config: dict[str, Any]) -> None:
    """A LoRA adapter as peft writes it. B is not zero, as before training, and lora_alpha is large: answers differ."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "model", "bias": "none",
        "r": ADAPTER_RANK, "lora_alpha": 16 * ADAPTER_RANK, "lora_dropout": 0.0, "target_modules": list(_ADAPTED),
        "inference_mode": True, "fan_in_fan_out": False, "use_rslora": False, "use_dora": False,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    write_weights(folder / "adapter_model.safetensors", adapter_shapes(config))


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


def make(folder: Path, name: str, adapter: Path | None = None) -> None:
    """Write the model, and a LoRA adapter of it where a folder for one is named."""
    config: dict[str, Any] = dict(json.loads(CASES.read_text())["models"][name])
    folder.mkdir(parents=True, exist_ok=True)
    config |= {"bos_token_id": None, "eos_token_id": 2}
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder, config["vocab_size"])
    write_weights(folder / "model.safetensors", shapes(config))
    if adapter:
        write_adapter(adapter, config)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="gpu.random_model", description="a model with random weights")
    parser.add_argument("folder", type=Path, help="where to write it")
    parser.add_argument("model", help="its name in engine_cases.json")
    parser.add_argument("--adapter", type=Path, help="where to write a LoRA adapter of it")
    options = parser.parse_args()
    make(options.folder, options.model, options.adapter)
