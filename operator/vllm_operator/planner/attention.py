"""The matrices of one layer's attention, and what it caches: multi-head, latent (MLA) and linear (gated delta rule)."""

from .config import Config
from .shapes import Cache, Cached, Layer, Linear, Split


def attention(
    config: Config, qkv_bias: bool | None, output_bias: bool | None, *, gate: bool = False
) -> tuple[Linear, ...]:
    """The matrices; a bias of None is as the config says. `gate`: queries carry a gate of their own size."""
    if config.latent:
        return _latent(config)
    own = bool(config.get("attention_bias", config.get("bias", False)))
    into, out = own if qkv_bias is None else qkv_bias, own if output_bias is None else output_bias
    if config.architecture == "OPTForCausalLM":
        into = out = bool(config.get("enable_bias", True))
    queries, keys = config.heads * config.head_size, config.kv_heads * config.head_size
    return (
        Linear("self_attn.q_proj", queries * (2 if gate else 1), config.hidden, Split.ROWS, bias=into),
        Linear("self_attn.k_proj", keys, config.hidden, Split.ROWS, config.kv_heads, bias=into),
        Linear("self_attn.v_proj", keys, config.hidden, Split.ROWS, config.kv_heads, bias=into),
        Linear("self_attn.o_proj", config.hidden, queries, Split.COLUMNS, bias=out),
    )


def _latent(config: Config) -> tuple[Linear, ...]:
    """DeepSeek's: a compressed vector for all heads, which every rank computes, and its expansions, which are split."""
    latent, rope, plain = (config.integer(key) for key in ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim"))
    value, heads, hidden = config.integer("v_head_dim"), config.heads, config.hidden
    query = heads * (plain + rope)
    if rank := config.integer("q_lora_rank", 0):
        queries: tuple[Linear, ...] = (
            Linear("self_attn.q_a_proj", rank, hidden),
            Linear("self_attn.q_b_proj", query, rank, Split.ROWS),
        )
    else:
        queries = (Linear("self_attn.q_proj", query, hidden, Split.ROWS),)
    return (
        *queries,
        Linear("self_attn.kv_a_proj_with_mqa", latent + rope, hidden),
        Linear("self_attn.kv_b_proj", heads * (plain + value), latent, Split.ROWS),
        Linear("self_attn.o_proj", hidden, heads * value, Split.COLUMNS),
    )


def cache_of(config: Config, index: int) -> Cache:
    """What a layer of attention keeps per token."""
    if config.latent:
        return Cache(Cached.LATENT, 1, config.integer("kv_lora_rank") + config.integer("qk_rope_head_dim"))
    kind = Cached.FULL
    window = 0
    if config.kind(index) == "sliding_attention":
        kind, window = Cached.SLIDING, config.integer("sliding_window")
    return Cache(kind, config.kv_heads, 2 * config.head_size, window)


def state_layer(config: Config) -> Layer:
    """A layer of Qwen3-Next's gated delta rule, without its MLP: vLLM 0.32, mamba/gdn/qwen_gdn_linear_attn.py."""
    key_heads, value_heads = config.integer("linear_num_key_heads"), config.integer("linear_num_value_heads")
    key_size, value_size = config.integer("linear_key_head_dim"), config.integer("linear_value_head_dim")
    kernel, hidden = config.integer("linear_conv_kernel_dim", 4), config.hidden
    keys, values = key_heads * key_size, value_heads * value_size
    mixed = 2 * keys + values
    linears = (
        Linear("linear_attn.in_proj_qkvz", mixed + values, hidden, Split.ROWS),
        Linear("linear_attn.in_proj_ba", 2 * value_heads, hidden, Split.ROWS),
        Linear("linear_attn.out_proj", hidden, values, Split.COLUMNS),
    )
    cache = Cache(Cached.STATE, conv_elements=(kernel - 1) * mixed, state_elements=value_heads * value_size * key_size)
    # The convolution and the time bias are split, the norm is not; the decay is kept in float32.
    return Layer(linears, cache, None, value_size, mixed * kernel + value_heads, split_float32_elements=value_heads)
