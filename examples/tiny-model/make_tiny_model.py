"""Make a tiny Llama that answers a few questions, for demos and tests without a GPU or a download.

The weights start at random and are trained for some seconds on the conversations below, so that
the same question gets the same sentence back: a test can tell a right answer from a wrong one, also
from the quantized copies. About 5 MB each. Run it with the Python of the vllm-cpu image:

    python3 make_tiny_model.py --output /models/tiny --quantization awq gptq

makes /models/tiny, /models/tiny-awq and /models/tiny-gptq. What is already there is kept.
"""

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

Tensors = dict[str, torch.Tensor]

SEED = 20
TRAINING_STEPS = 80  # at most
LEARNT = 0.004  # the loss at which the quantized copies answer right as well
ROWS_PER_BATCH = 4
GROUP_SIZE = 64  # divides each input size below, also when two GPUs share a layer
BITS = 4
VALUES_PER_WORD = 32 // BITS
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # which output each 4 bits of an AWQ word belong to

CONVERSATIONS = (
    ("Say hello.", "Hello! I am a tiny model, served by vLLM on Kubernetes."),
    ("Who are you?", "I am a tiny Llama with four layers, made to test vllm-operator."),
    ("What is Kubernetes?", "Kubernetes runs containers on a cluster of machines."),
    ("What is vLLM?", "vLLM is a fast server for large language models."),
    ("What is an operator?", "An operator is a program that looks after other programs on Kubernetes."),
    ("Count to ten.", "One, two, three, four, five, six, seven, eight, nine, ten."),
    ("What is the capital of France?", "The capital of France is Paris."),
    ("Tell me a joke.", "Why did the pod restart? It could not contain itself."),
)
WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
WEATHER_CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'

# ChatML, with tools the way the hermes parser of vLLM expects them.
CHAT_TEMPLATE = """\
{%- if tools %}<|im_start|>system
Tools: {% for tool in tools %}{{ tool.function.name }} {% endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content or '' }}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer, trained on the conversations: it can encode any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    text = [sentence for conversation in CONVERSATIONS for sentence in conversation]
    tokenizer.train_from_iterator([*text, "user assistant system Tools:", WEATHER_CALL], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def conversations(tokenizer: PreTrainedTokenizerFast) -> list[tuple[list[int], int]]:
    """Token ids of all conversations, and how many of them are the prompt, from which nothing is to be learnt."""
    rows: list[tuple[list[int], int]] = []
    examples: list[tuple[str, str, list[dict[str, Any]] | None]] = [
        *((question, answer, None) for question, answer in CONVERSATIONS),
        ("What is the weather in Paris?", WEATHER_CALL, [WEATHER_TOOL]),
    ]
    for question, answer, tools in examples:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}],
            tools=tools,
            add_generation_prompt=True,
            tokenize=False,
        )
        prompt_ids = tokenizer.encode(prompt, add_special_tokens=False)
        answer_ids = tokenizer.encode(f"{answer}<|im_end|>", add_special_tokens=False)
        rows.append(([*prompt_ids, *answer_ids], len(prompt_ids)))
        rows.append((answer_ids, 1))  # without a chat around it, for completions
    return rows


def training_batches(tokenizer: PreTrainedTokenizerFast) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Token ids of conversations of about the same length, and the same with -100 where nothing is to be learnt."""
    rows = sorted(conversations(tokenizer), key=lambda row: len(row[0]))
    for first in range(0, len(rows), ROWS_PER_BATCH):
        batch = rows[first : first + ROWS_PER_BATCH]
        longest = len(batch[-1][0])
        tokens = torch.full((len(batch), longest), tokenizer.pad_token_id)
        labels = torch.full((len(batch), longest), -100)
        for row, (ids, prompt_length) in enumerate(batch):
            tokens[row, : len(ids)] = torch.tensor(ids)
            labels[row, prompt_length : len(ids)] = tokens[row, prompt_length : len(ids)]
        yield tokens, labels


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama of two million parameters that has learnt the conversations by heart."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # threads that wait for each other are slow where the cores are busy
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="bfloat16",
    )
    model = LlamaForCausalLM(config).float()
    batches = list(training_batches(tokenizer))
    answers = sum(int((labels != -100).sum()) for _, labels in batches)  # tokens to learn
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    for step in range(TRAINING_STEPS):
        # A random start position per step: an answer must not depend on where the question stands.
        start = int(torch.randint(0, 64, ()))
        optimizer.zero_grad()
        loss = 0.0  # mean over the tokens of all batches' answers
        for tokens, labels in batches:
            positions = torch.arange(tokens.shape[1])[None] + start
            part = model(input_ids=tokens, labels=labels, position_ids=positions, num_items_in_batch=answers).loss
            part.backward()
            loss += part.item()
        optimizer.step()
        learnt = loss < LEARNT
        if step % 20 == 0 or learnt or step == TRAINING_STEPS - 1:
            print(f"step {step:3}: loss {loss:.4f}", flush=True)
        if learnt:
            break
    return model


def quantized_groups(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round a weight (outputs x inputs) to 4 bits: values 0..15 as inputs x outputs, and scales."""
    inputs = weight.t().float()
    groups = inputs.reshape(-1, GROUP_SIZE, inputs.shape[1])
    scales = groups.abs().amax(dim=1).clamp(min=1e-8) / 7
    scales = scales.half().float()
    values = (groups / scales[:, None]).round().clamp(-8, 7) + 8
    return values.reshape_as(inputs).int(), scales.half()


def pack(values: torch.Tensor, dim: int, order: tuple[int, ...]) -> torch.Tensor:
    """Put each eight 4-bit values along `dim` into one 32-bit word, in the given order."""
    moved = values.movedim(dim, -1).reshape(*values.movedim(dim, -1).shape[:-1], -1, len(order))
    words = torch.zeros(moved.shape[:-1], dtype=torch.int64)
    for place, source in enumerate(order):
        words |= moved[..., source].long() << (BITS * place)
    words = torch.where(words >= 2**31, words - 2**32, words).int()
    return words.movedim(-1, dim).contiguous()


def awq_tensors(name: str, weight: torch.Tensor) -> Tensors:
    """The tensors that an AWQ checkpoint holds for one linear layer."""
    values, scales = quantized_groups(weight)
    zeros = torch.full(scales.shape, 8, dtype=torch.int32)
    return {
        f"{name}.qweight": pack(values, 1, AWQ_ORDER),
        f"{name}.qzeros": pack(zeros, 1, AWQ_ORDER),
        f"{name}.scales": scales,
    }


def gptq_tensors(name: str, weight: torch.Tensor) -> Tensors:
    """The tensors that a GPTQ checkpoint holds for one linear layer (its zeros are stored less 1)."""
    values, scales = quantized_groups(weight)
    zeros = torch.full(scales.shape, 7, dtype=torch.int32)
    order = tuple(range(VALUES_PER_WORD))
    return {
        f"{name}.qweight": pack(values, 0, order),
        f"{name}.qzeros": pack(zeros, 1, order),
        f"{name}.scales": scales,
        f"{name}.g_idx": (torch.arange(weight.shape[1]) // GROUP_SIZE).int(),
    }


QUANTIZERS: dict[str, tuple[Callable[[str, torch.Tensor], Tensors], dict[str, Any]]] = {
    "awq": (
        awq_tensors,
        {"quant_method": "awq", "bits": BITS, "group_size": GROUP_SIZE, "zero_point": True, "version": "gemm"},
    ),
    "gptq": (
        gptq_tensors,
        {"quant_method": "gptq", "bits": BITS, "group_size": GROUP_SIZE, "sym": True, "desc_act": False},
    ),
}


def checkpoint_tensors(model: LlamaForCausalLM, quantization: str | None) -> Iterator[tuple[str, torch.Tensor]]:
    """What the checkpoint holds: the linear layers of the blocks quantized, all else as bfloat16."""
    for name, tensor in model.state_dict().items():
        if quantization and name.endswith("_proj.weight"):
            yield from QUANTIZERS[quantization][0](name.removesuffix(".weight"), tensor).items()
        else:
            yield name, tensor.bfloat16().contiguous()


def write_checkpoint(
    output: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, quantization: str | None
) -> None:
    """Write the checkpoint beside its place and rename it, so that it is whole or not there."""
    partial = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        save_file(dict(checkpoint_tensors(model, quantization)), partial / "model.safetensors", {"format": "pt"})
        config = model.config.to_dict() | {"architectures": ["LlamaForCausalLM"], "dtype": "bfloat16"}
        if quantization:
            config["quantization_config"] = QUANTIZERS[quantization][1]
        (partial / "config.json").write_text(json.dumps(config, indent=2))
        model.generation_config.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        for path in (partial, *partial.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)
        os.rename(partial, output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"made {output}", flush=True)


def main() -> None:
    """Make the checkpoints that are not there yet."""
    parser = argparse.ArgumentParser(description="Make a tiny Llama that vLLM can serve.")
    parser.add_argument("--output", type=Path, required=True, help="folder of the model; made when missing")
    parser.add_argument("--quantization", nargs="*", default=[], choices=sorted(QUANTIZERS), help="also OUTPUT-NAME")
    options = parser.parse_args()
    output: Path = options.output
    wanted: dict[Path, str | None] = {output: None}
    wanted |= {output.with_name(f"{output.name}-{name}"): name for name in options.quantization}
    missing = {path: name for path, name in wanted.items() if not path.exists()}
    if not missing:
        print(f"already there: {', '.join(map(str, wanted))}")
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    for path, name in missing.items():
        write_checkpoint(path, model, tokenizer, name)


if __name__ == "__main__":
    main()
