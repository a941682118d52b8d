"""From config.json to a `Model`: which matrices each architecture has. Exact ones are held against vLLM's own classes.

An architecture that is not here is taken for a decoder of the common shape, and the plan says that it is approximate.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .attention import attention, cache_of, state_layer
from .config import Config, ModelConfigError
from .quantization import check_quantization, settings_of
from .shapes import Experts, Layer, Linear, Model, Split
from .vision import vision_elements

Feed = Callable[[Config, int], tuple[tuple[Linear, ...], Experts | None]]


@dataclass(frozen=True, slots=True)
class Traits:
    """How an architecture departs from Llama's shape."""

    feed: Feed
    norms: int = 2
    """Vectors of the hidden size in each layer's norms."""
    head_norms: bool = False
    """Whether queries and keys are normalized per head."""
    wide_norms: bool = False
    """Whether queries and keys are normalized over all heads."""
    qkv_bias: bool | None = None
    """None: as the config's attention_bias says."""
    output_bias: bool | None = None
    tied: bool = False
    """Whether embeddings are tied where the config does not say."""
    final: int = 1
    """Vectors of the hidden size after the last layer."""
    gate: bool = False
    """Whether queries carry a gate of the same size (Qwen3-Next)."""
    sinks: bool = False
    head: bool = True
    """Whether there is an output head."""
    pooling: bool = False


def gated(config: Config, prefix: str, width: int, *, bias: bool = False) -> tuple[Linear, ...]:
    """The three matrices of a gated MLP."""
    return (
        Linear(f"{prefix}.gate_proj", width, config.hidden, Split.ROWS, bias=bias),
        Linear(f"{prefix}.up_proj", width, config.hidden, Split.ROWS, bias=bias),
        Linear(f"{prefix}.down_proj", config.hidden, width, Split.COLUMNS, bias=bias),
    )


def _dense(config: Config, index: int) -> tuple[tuple[Linear, ...], None]:
    return gated(config, "mlp", config.intermediate, bias=bool(config.get("mlp_bias", False))), None


def _plain(first: str, second: str) -> Feed:
    def feed(config: Config, index: int) -> tuple[tuple[Linear, ...], None]:
        bias, width, hidden = bool(config.get("enable_bias", True)), config.intermediate, config.hidden
        return (
            Linear(first, width, hidden, Split.ROWS, bias=bias),
            Linear(second, hidden, width, Split.COLUMNS, bias=bias),
        ), None

    return feed


def _router(config: Config, name: str, count: int, *, bias: bool = False) -> Linear:
    return Linear(name, count, config.hidden, bias=bias, quantizable=False)


def _mixtral(config: Config, index: int) -> tuple[tuple[Linear, ...], Experts]:
    count = config.integer("num_local_experts", 8)
    name = "block_sparse_moe"
    experts = Experts(f"{name}.experts", count, config.integer("num_experts_per_tok", 2), config.hidden,
                      config.intermediate)  # fmt: skip
    return (_router(config, f"{name}.gate", count),), experts


def _gpt_oss(config: Config, index: int) -> tuple[tuple[Linear, ...], Experts]:
    count = config.integer("num_local_experts", 32)
    experts = Experts("mlp.experts", count, config.integer("num_experts_per_tok", 4), config.hidden,
                      config.intermediate, bias=True)  # fmt: skip
    return (_router(config, "mlp.router", count, bias=True),), experts


def _qwen_moe(config: Config, index: int) -> tuple[tuple[Linear, ...], Experts | None]:
    count, step = config.integer("num_experts", 0), config.integer("decoder_sparse_step", 1)
    if index in (config.get("mlp_only_layers") or ()) or count == 0 or (index + 1) % step:
        return _dense(config, index)
    linears: tuple[Linear, ...] = (_router(config, "mlp.gate", count),)
    if shared := config.integer("shared_expert_intermediate_size", 0):
        linears += gated(config, "mlp.shared_expert", shared)
        linears += (Linear("mlp.shared_expert_gate", 1, config.hidden, quantizable=False),)
    experts = Experts("mlp.experts", count, config.integer("num_experts_per_tok", 8), config.hidden,
                      config.integer("moe_intermediate_size", config.intermediate))  # fmt: skip
    return linears, experts


def _deepseek(config: Config, index: int) -> tuple[tuple[Linear, ...], Experts | None]:
    count = config.integer("n_routed_experts", 0)
    first, step = config.integer("first_k_dense_replace", 0), config.integer("moe_layer_freq", 1)
    if not count or index < first or index % step:
        return _dense(config, index)
    width = config.integer("moe_intermediate_size")
    linears: tuple[Linear, ...] = (_router(config, "mlp.gate", count),)
    if shared := config.integer("n_shared_experts", 0):
        linears += gated(config, "mlp.shared_experts", width * shared)
    experts = Experts("mlp.experts", count, config.integer("num_experts_per_tok", 8), config.hidden, width)
    return linears, experts


def _olmoe(config: Config, index: int) -> tuple[tuple[Linear, ...], Experts]:
    count = config.integer("num_experts", 64)
    experts = Experts("mlp.experts", count, config.integer("num_experts_per_tok", 8), config.hidden,
                      config.intermediate)  # fmt: skip
    return (_router(config, "mlp.gate", count),), experts


_LLAMA = Traits(_dense)
_QWEN3 = Traits(_dense, head_norms=True, output_bias=False)
_BERT = Traits(_plain("intermediate.dense", "output.dense"), norms=4, qkv_bias=True, output_bias=True, tied=True,
               final=0, head=False, pooling=True)  # fmt: skip
_ARCHITECTURES: dict[str, Traits] = {
    "LlamaForCausalLM": _LLAMA,
    "LLaMAForCausalLM": _LLAMA,
    "MistralForCausalLM": Traits(_dense, qkv_bias=False, output_bias=False),
    "Mistral3ForConditionalGeneration": Traits(_dense, qkv_bias=False, output_bias=False),
    "Ministral3ForCausalLM": Traits(_dense, qkv_bias=False, output_bias=False),
    "Phi3ForCausalLM": Traits(_dense, qkv_bias=False, output_bias=False),
    "GraniteForCausalLM": _LLAMA,
    "SeedOssForCausalLM": Traits(_dense, output_bias=False),
    "InternLM3ForCausalLM": _LLAMA,
    "Qwen2ForCausalLM": Traits(_dense, qkv_bias=True, output_bias=False),
    "Qwen2_5_VLForConditionalGeneration": Traits(_dense, qkv_bias=True, output_bias=False),
    "Qwen3ForCausalLM": _QWEN3,
    "GemmaForCausalLM": Traits(_dense, tied=True),
    "Gemma2ForCausalLM": Traits(_dense, norms=4, tied=True),
    "Gemma3ForCausalLM": Traits(_dense, norms=4, head_norms=True, tied=True),
    "Gemma3ForConditionalGeneration": Traits(_dense, norms=4, head_norms=True, tied=True),
    "Olmo2ForCausalLM": Traits(_dense, wide_norms=True),
    "Exaone4ForCausalLM": Traits(_dense, head_norms=True),
    "Glm4ForCausalLM": Traits(_dense, norms=4, output_bias=False),
    "OPTForCausalLM": Traits(_plain("fc1", "fc2"), norms=4, qkv_bias=True, output_bias=True, tied=True, final=2),
    "MixtralForCausalLM": Traits(_mixtral, qkv_bias=False, output_bias=False),
    "Qwen2MoeForCausalLM": Traits(_qwen_moe, qkv_bias=True, output_bias=False),
    "Qwen3MoeForCausalLM": Traits(_qwen_moe, head_norms=True, output_bias=False),
    "Qwen3NextForCausalLM": Traits(_qwen_moe, head_norms=True, gate=True, output_bias=False),
    "OlmoeForCausalLM": Traits(_olmoe, wide_norms=True, qkv_bias=False, output_bias=False),
    "GptOssForCausalLM": Traits(_gpt_oss, qkv_bias=True, output_bias=True, sinks=True),
    "DeepseekV2ForCausalLM": Traits(_deepseek),
    "DeepseekV3ForCausalLM": Traits(_deepseek),
    "Glm4MoeForCausalLM": Traits(_deepseek, output_bias=False),
    "BertModel": _BERT,
    "RobertaModel": _BERT,
    "XLMRobertaModel": _BERT,
    "BertForSequenceClassification": _BERT,
    "XLMRobertaForSequenceClassification": _BERT,
    "RobertaForSequenceClassification": _BERT,
}
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, ZeroDivisionError, AttributeError, OverflowError,
               RecursionError)  # fmt: skip
MOST_BYTES = 1 << 50
_EXPERT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts")
# The same decoder, read out as an embedding, a score or a class: the head is not loaded.
_READ_OUT = ("Model", "ForSequenceClassification", "ForRewardModel", "ForProcessRewardModel", "ForTokenClassification")


def _traits(architecture: str) -> tuple[Traits, bool]:
    """The traits, and whether the architecture is known."""
    if known := _ARCHITECTURES.get(architecture):
        return known, True
    for ending in _READ_OUT:
        base = architecture.removesuffix(ending)
        if base != architecture and (known := _ARCHITECTURES.get(f"{base}ForCausalLM")):
            return replace(known, pooling=True, head=False), True
    return _LLAMA, False


def load_model(config: Path) -> Model:
    """The model that a config.json describes, with a hf_quant_config.json beside it. Raises ModelConfigError."""
    try:
        content = json.loads(config.read_text())
        beside = config.with_name("hf_quant_config.json")
        quantization = json.loads(beside.read_text()) if beside.is_file() else None
    except OSError as error:
        raise ModelConfigError(f"{config}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelConfigError(f"{config}: is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelConfigError(f"{config}: is not a config.json: it holds no object")
    return model_of(content, quantization)


def model_of(
    content: Mapping[str, Any], quantization: Mapping[str, Any] | None = None, header_bytes: int | None = None
) -> Model:
    """The model of a config.json, with hf_quant_config.json and the bytes of all tensors where they are known.

    Raises ModelConfigError for a config that lacks what any model has, or says what none can have.
    """
    try:
        model = _model(content, quantization, header_bytes)
    except ModelConfigError:
        raise
    except _UNREADABLE as error:
        raise ModelConfigError(f"the model config has a value that no model has: {error}") from error
    check_quantization(model)
    return model


def _model(content: Mapping[str, Any], beside: Mapping[str, Any] | None, header_bytes: int | None) -> Model:
    config = Config.of(content)
    traits, known = _traits(config.architecture)
    layers = tuple(_layer(config, traits, index) for index in range(config.layers))
    edge_linears, edge_elements = _edges(config, traits)
    longest, raw, key = config.longest()
    return Model(
        architecture=config.architecture,
        layers=_shared(layers),
        hidden=config.hidden,
        vocabulary=config.integer("vocab_size"),
        heads=config.heads,
        kv_heads=config.kv_heads,
        head_size=config.head_size,
        intermediate=config.intermediate,
        dtype=config.dtype,
        tied=config.tied(default=traits.tied) or not traits.head,
        embedded=config.integer("word_embed_proj_dim", config.hidden),
        longest=longest,
        raw_longest=raw,
        longest_key=key,
        edge_linears=edge_linears,
        edge_elements=edge_elements,
        rope_bytes=config.rope_bytes(),
        quantization=settings_of(content, beside),
        header_bytes=_plausible(header_bytes),
        approximate=_doubt(config, layers, known=known),
        known=known,
        stored_dtype=config.stored_dtype,
        pooling=traits.pooling,
        multimodal=config.vision is not None,
        softcap=bool(config.get("final_logit_softcapping")),
    )


def _plausible(size: int | None) -> int | None:
    """Bytes of all tensors, where the headers made sense."""
    return size if isinstance(size, int) and 0 < size < MOST_BYTES else None


def _doubt(config: Config, layers: tuple[Layer, ...], *, known: bool) -> str:
    """Why the matrices are not known for sure."""
    if not known:
        return f"the planner does not know the architecture {config.architecture}"
    counted = any(layer.experts for layer in layers)
    named = next((key for key in _EXPERT_KEYS if _some(config.text.get(key))), None)
    if named and not counted:
        return f"the model config has experts ({named}), and the planner knows none of {config.architecture}"
    return ""


def _some(value: Any) -> bool:
    """Whether a number of experts, or a list of them, says that there are several."""
    values = value if isinstance(value, list) else [value]
    return any(isinstance(one, int) and one > 1 for one in values)


def _shared(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The same layers, with equal ones as one object, so that what is computed for one is found for all."""
    seen: dict[Layer, Layer] = {}
    return tuple(seen.setdefault(layer, layer) for layer in layers)


def _layer(config: Config, traits: Traits, index: int) -> Layer:
    feed, experts = traits.feed(config, index)
    norms = traits.norms * config.hidden
    if config.kind(index) == "linear_attention":
        mixer = state_layer(config)
        return Layer(
            mixer.linears + feed, mixer.cache, experts, norms + mixer.elements, mixer.split_elements,
            split_float32_elements=mixer.split_float32_elements,
        )  # fmt: skip
    linears = attention(config, traits.qkv_bias, traits.output_bias, gate=traits.gate)
    split = config.heads if traits.sinks else 0
    float32 = 0
    if config.latent:
        norms += config.integer("kv_lora_rank") + (config.integer("q_lora_rank", 0) or 0)
        if experts and config.get("topk_method") == "noaux_tc":
            float32 = experts.count
    if experts and config.architecture == "Glm4MoeForCausalLM":
        float32 = experts.count + experts.count * config.hidden // 2  # the router is of float32 as a whole
    if traits.head_norms:
        norms += 2 * config.head_size
    if traits.wide_norms:
        split += (config.heads + config.kv_heads) * config.head_size
    cache = None if traits.pooling and not config.causal else cache_of(config, index)
    return Layer(linears + feed, cache, experts, norms, split, float32)


def _edges(config: Config, traits: Traits) -> tuple[tuple[Linear, ...], int]:
    """Matrices and elements outside the layers and the embedding."""
    elements, linears = traits.final * config.hidden, []
    if config.architecture == "OPTForCausalLM":
        if config.get("do_layer_norm_before") is False:
            elements = 0  # no norm after the last layer
        elements += (config.integer("max_position_embeddings") + 2) * config.hidden
        narrow = config.integer("word_embed_proj_dim", config.hidden)
        if narrow != config.hidden:
            linears += [Linear("project_in", config.hidden, narrow), Linear("project_out", narrow, config.hidden)]
    if traits is _BERT:
        rows = config.integer("max_position_embeddings") + config.integer("type_vocab_size", 2)
        elements += (rows + 2) * config.hidden
        if config.architecture.startswith("Bert"):
            linears.append(Linear("pooler.dense", config.hidden, config.hidden, bias=True))
    return tuple(linears), elements + vision_elements(config)
