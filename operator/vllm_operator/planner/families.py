"""How each architecture of vLLM 0.32 departs from Llama's shape: one row for a family, data only.

Held against what vLLM's own classes allocate (tests/planner/oracle). The words of a row are turned into matrices by
`feeds.py`, `attention.py` and `mixers.py`.
"""

from dataclasses import dataclass, replace

Bias = bool | str
"""Whether a matrix has a bias; or the key of config.json that says so."""


@dataclass(frozen=True, slots=True)
class Mlp:
    """A dense MLP: gate, up and down, or up and down alone."""

    name: str = "mlp"
    gated: bool = True
    first: str = "up_proj"
    second: str = "down_proj"
    bias: Bias = False
    width: tuple[str, ...] = ("intermediate_size",)
    split: bool = True
    """Whether ranks share it out."""


@dataclass(frozen=True, slots=True)
class Moe:
    """Routed experts with a router. Keys of config.json are tried in order."""

    name: str = "mlp"
    experts: str = "experts"
    router: str = "gate"
    count: tuple[str, ...] = ("n_routed_experts", "num_experts", "num_local_experts")
    width: tuple[str, ...] = ("moe_intermediate_size",)
    per_token: tuple[str, ...] = ("num_experts_per_tok",)
    hidden: tuple[str, ...] = ()
    """The experts' own width of a token, where they have one; two more matrices lead there and back."""
    gated: bool = True
    bias: bool = False
    router_bias: bool = False
    router_float32: bool = False
    correction: Bias = False
    """Whether each expert has a correction of its score, in float32."""
    shared: str = ""
    """What the shared experts are called; "" for none."""
    shared_width: tuple[str, ...] = ()
    """Width of all of them together."""
    shared_count: tuple[str, ...] = ()
    """How many there are, each as wide as a routed one."""
    shared_gate: bool = False
    sparse: str = "all"
    """Which layers have experts, by the name of a rule in `feeds.py`; the others have the dense MLP."""
    beside: bool = False
    """Whether the dense MLP is there as well (Gemma 4)."""
    own_routing: bool = False
    """Whether its experts are chosen in a way that no kernel knows, whatever config.json says."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Queries, keys, values and output of the common kind; or latent ones where config.json describes them."""

    name: str = "self_attn"
    qkv_bias: Bias = "attention_bias"
    output_bias: Bias = "attention_bias"
    head_norms: Bias = False
    """Whether queries and keys are normalized per head."""
    wide_norms: bool = False
    """Whether queries and keys are normalized over all heads."""
    gate: str = ""
    """A gate on the output: "heads" among the queries, "wide" a matrix of its own, "each" one number a head."""
    sinks: str = ""
    """Which layers have one number a head to attend to: "all", "sliding"."""
    indexer: bool = False
    """Whether a few tokens are chosen by an indexer (DeepSeek's sparse attention)."""
    shape: str = ""
    """Reason for the shapes of single layers, in `attention.py`."""


@dataclass(frozen=True, slots=True)
class Family:
    """One row."""

    attention: Attention = Attention()
    mlp: Mlp = Mlp()
    moe: Moe | None = None
    norms: int = 2
    """Vectors of the hidden size in each layer's norms; a bias is one more."""
    final: int = 1
    """The same after the last layer."""
    mixer: str = ""
    """What layers have in place of attention, by the name of a function in `mixers.py`."""
    layout: str = ""
    """How layers are put together where it is not mixer and MLP in turn, by the name of a rule in `layouts.py`."""
    tied: bool = False
    """Whether embeddings are tied where neither config.json nor transformers' defaults say."""
    head_bias: bool = False
    head: bool = True
    """Whether there is an output head."""
    pooling: bool = False
    positions: str = ""
    """Key of the length of a table of learned positions; "" for none."""
    both_ways: bool = False
    """Whether its class keeps nothing of tokens where config.json says that it is not causal, and it embeds."""
    tower: str = ""
    """How the tower for images or sound is built, by the name of a row in `towers.py`."""
    embedding_on_all: bool = False
    """Whether each pipeline stage has the embedding, though the first alone looks words up in it."""
    head_on_all: bool = False
    """Whether each stage has the output head where it is another matrix, though the last alone uses it."""


_OPEN = Attention(output_bias=False)
_NONE = Attention(qkv_bias=False, output_bias=False)
_QWEN2 = Attention(qkv_bias=True, output_bias=False)
_QWEN3 = Attention(head_norms=True)
_ALL_BIASES = Attention(qkv_bias=True, output_bias=True)
_LATENT = Attention(output_bias=False)
_MLP_BIAS = Mlp(bias="mlp_bias")

_SHARED_ONES = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
_DEEPSEEK_MOE = Moe(correction="noaux_tc", shared="shared_experts", shared_count=_SHARED_ONES, sparse="after_dense")
_CORRECTED = replace(_DEEPSEEK_MOE, correction=True)
_QWEN_MOE = Moe(shared="shared_expert", shared_width=("shared_expert_intermediate_size",), shared_gate=True,
                width=("moe_intermediate_size", "intermediate_size"), sparse="steps")  # fmt: skip
_MIXTRAL_MOE = Moe(name="block_sparse_moe", width=("intermediate_size",))
_GRANITE_MOE = replace(_MIXTRAL_MOE, shared="shared_mlp", shared_width=("shared_intermediate_size",))
_NEMOTRON_MOE = Moe(name="mixer", width=("moe_intermediate_size",), gated=False, router_float32=True, correction=True,
                    shared="shared_experts", shared_width=("moe_shared_expert_intermediate_size",),
                    shared_count=("n_shared_experts",), hidden=("moe_latent_size",))  # fmt: skip

_LLAMA = Family(mlp=_MLP_BIAS)
_MISTRAL = Family(_NONE)
_GEMMA3 = Family(_QWEN3, norms=4, tied=True)
_DEEPSEEK = Family(moe=_DEEPSEEK_MOE)
_SPARSE_DEEPSEEK = Family(Attention(indexer=True), moe=_CORRECTED)
_QWEN3_MOE = Family(_QWEN3, moe=replace(_QWEN_MOE))
_GATED_DELTA = replace(_QWEN3, gate="heads")
_QWEN3_5 = Family(_GATED_DELTA, mixer="gated_delta")
_QWEN3_5_MOE = Family(_GATED_DELTA, moe=_QWEN_MOE, mixer="gated_delta")
_BERT = Family(_ALL_BIASES, Mlp("", gated=False, first="intermediate.dense", second="output.dense", bias=True), norms=4,
               final=2, tied=True, head=False, pooling=True, positions="max_position_embeddings")  # fmt: skip
_GPT2 = Family(Attention("attn", True, True), Mlp(gated=False, first="c_fc", second="c_proj", bias=True), norms=4,
               final=2, tied=True, positions="max_position_embeddings")  # fmt: skip

_ROWS: dict[str, Family] = {
    "LlamaForCausalLM": _LLAMA,
    "LLaMAForCausalLM": _LLAMA,
    "InternLM3ForCausalLM": _LLAMA,
    "IQuestCoderForCausalLM": _LLAMA,
    "TeleChat3ForCausalLM": _LLAMA,
    "AquilaForCausalLM": _LLAMA,
    "MistralForCausalLM": _MISTRAL,
    "Ministral3ForCausalLM": _MISTRAL,
    "MiniCPMForCausalLM": Family(_NONE),
    "Phi3ForCausalLM": _MISTRAL,
    "GraniteForCausalLM": _LLAMA,
    "GraniteSWAForCausalLM": Family(Attention(sinks="all"), _MLP_BIAS),
    "SmolLM3ForCausalLM": _LLAMA,
    "SeedOssForCausalLM": Family(Attention(output_bias="attention_out_bias"), _MLP_BIAS),
    "ArceeForCausalLM": Family(mlp=Mlp(gated=False, bias="mlp_bias")),
    "NemotronForCausalLM": Family(mlp=Mlp(gated=False, bias="mlp_bias"), norms=4, final=2),
    "ApertusForCausalLM": Family(_QWEN3, Mlp(gated=False)),
    "HyperCLOVAXForCausalLM": Family(mlp=_MLP_BIAS, norms=4),
    "ExaoneForCausalLM": Family(_NONE),
    "Exaone4ForCausalLM": Family(_QWEN3),
    "SolarForCausalLM": _LLAMA,
    "OrionForCausalLM": Family(_NONE, norms=4, final=2),
    "BaichuanForCausalLM": Family(_NONE),
    "StableLmForCausalLM": Family(Attention(qkv_bias="use_qkv_bias", output_bias=False), norms=4, final=2),
    "Starcoder2ForCausalLM": Family(Attention(qkv_bias="use_bias", output_bias="use_bias"),
                                    Mlp(gated=False, first="c_fc", second="c_proj", bias="use_bias"), norms=4, final=2,
                                    tied=True),
    "CohereForCausalLM": Family(Attention(wide_norms=False, head_norms="use_qk_norm"), norms=1, tied=True),
    "Cohere2ForCausalLM": Family(Attention(head_norms="use_qk_norm"), norms=1, tied=True),
    "Cohere2MoeForCausalLM": Family(_NONE, moe=Moe(width=("intermediate_size",), shared="shared_experts",
                                                   shared_count=_SHARED_ONES, sparse="mlp_types"), norms=1, tied=True),
    "OlmoForCausalLM": Family(norms=0, final=0),
    "Olmo2ForCausalLM": Family(Attention(wide_norms=True)),
    "Olmo3ForCausalLM": Family(Attention(wide_norms=True)),
    "OlmoeForCausalLM": Family(Attention(qkv_bias=False, output_bias=False, wide_norms=True),
                               moe=Moe(width=("intermediate_size",), own_routing=True)),
    "FlexOlmoForCausalLM": Family(Attention(wide_norms=True), moe=Moe(width=("intermediate_size",), own_routing=True)),
    "Qwen2ForCausalLM": Family(_QWEN2),
    "Qwen3ForCausalLM": Family(_QWEN3),
    "MiMoForCausalLM": Family(_QWEN2),
    "Qwen2MoeForCausalLM": Family(_QWEN2, moe=_QWEN_MOE),
    "Qwen3MoeForCausalLM": _QWEN3_MOE,
    "Qwen3NextForCausalLM": _QWEN3_5_MOE,
    "Qwen3_5ForCausalLM": _QWEN3_5,
    "Qwen3_5MoeForCausalLM": _QWEN3_5_MOE,
    "GemmaForCausalLM": Family(tied=True),
    "Gemma2ForCausalLM": Family(norms=4, tied=True),
    "Gemma3ForCausalLM": _GEMMA3,
    "Gemma3TextModel": replace(_GEMMA3, head=False, pooling=True),
    "Gemma4ForCausalLM": Family(replace(_QWEN3, shape="gemma4"), norms=4, tied=True, layout="gemma4",
                                moe=Moe(name="", router="router.proj", per_token=("top_k_experts",), beside=True,
                                        width=("moe_intermediate_size", "expert_intermediate_size"), sparse="enabled",
                                        own_routing=True)),
    "Gemma3nForCausalLM": Family(replace(_QWEN3, shape="gemma3n"), norms=4, tied=True, layout="gemma3n"),
    "GlmForCausalLM": Family(_OPEN),
    "Glm4ForCausalLM": Family(_OPEN, norms=4),
    "Glm4MoeForCausalLM": Family(Attention(output_bias=False, head_norms="use_qk_norm"),
                                 moe=replace(_CORRECTED, router_float32=True)),
    "Glm4MoeLiteForCausalLM": Family(moe=replace(_CORRECTED, router_float32=True)),
    "ChatGLMModel": Family(Attention(qkv_bias="add_qkv_bias", output_bias="add_bias_linear"),
                           Mlp(bias="add_bias_linear", width=("ffn_hidden_size", "intermediate_size"))),
    "DeepseekForCausalLM": Family(moe=replace(_DEEPSEEK_MOE, correction=False)),
    "DeepseekV2ForCausalLM": _DEEPSEEK,
    "DeepseekV3ForCausalLM": _DEEPSEEK,
    "MistralLarge3ForCausalLM": _DEEPSEEK,
    "DeepseekV32ForCausalLM": _SPARSE_DEEPSEEK,
    "GlmMoeDsaForCausalLM": _SPARSE_DEEPSEEK,
    "DeepseekV4ForCausalLM": Family(layout="deepseek_v4"),
    "WhisperForConditionalGeneration": Family(_ALL_BIASES, Mlp("mlp", gated=False, first="fc1", second="fc2", bias=True,
                                                               width=("decoder_ffn_dim",)), norms=6, final=2, tied=True,
                                              layout="whisper", positions="max_target_positions", tower="whisper"),
    "AXK1ForCausalLM": Family(moe=_CORRECTED, norms=3),
    "Dots1ForCausalLM": Family(_QWEN3, moe=_CORRECTED),
    "MiniCPM3ForCausalLM": Family(layout="expanded", tied=True),
    "MiniMaxM2ForCausalLM": Family(Attention(qkv_bias=False, output_bias=False, wide_norms=True),
                                   moe=replace(_MIXTRAL_MOE, router_float32=True, correction=True)),
    "MiniMaxM3SparseForCausalLM": Family(
        replace(_NONE, head_norms=True, shape="minimax_m3"),
        Mlp(width=("dense_intermediate_size", "intermediate_size")),
        moe=Moe(name="block_sparse_moe", width=("moe_intermediate_size", "intermediate_size"), router_float32=True,
                correction=True, shared="shared_experts", shared_count=_SHARED_ONES,
                shared_width=("shared_intermediate_size",), sparse="frequency")),
    "MiMoV2FlashForCausalLM": Family(Attention(shape="mimo_v2", sinks="sliding"),
                                     moe=Moe(router_float32=True, correction=True, sparse="frequency")),
    "MixtralForCausalLM": Family(_NONE, moe=_MIXTRAL_MOE),
    "PhiMoEForCausalLM": Family(moe=replace(_MIXTRAL_MOE, own_routing=True), norms=4, final=2, head_bias=True),
    "PhimoeForCausalLM": Family(moe=replace(_MIXTRAL_MOE, own_routing=True), norms=4, final=2, head_bias=True),
    "GraniteMoeForCausalLM": Family(moe=_MIXTRAL_MOE),
    "GraniteMoeSharedForCausalLM": Family(moe=_GRANITE_MOE),
    "GraniteMoeSWAForCausalLM": Family(Attention(sinks="all"), moe=_GRANITE_MOE),
    "GraniteMoeHybridForCausalLM": Family(mlp=Mlp("shared_mlp", width=("shared_intermediate_size",)), moe=_GRANITE_MOE,
                                          mixer="mamba2"),
    "Llama4ForCausalLM": Family(mlp=Mlp("feed_forward", width=("intermediate_size_mlp",)),
                                moe=Moe("feed_forward", router="router", width=("intermediate_size",),
                                        shared="shared_expert", shared_width=("intermediate_size",),
                                        sparse="interleaved")),
    "GptOssForCausalLM": Family(Attention(qkv_bias=True, output_bias=True, sinks="all"),
                                moe=Moe(router="router", count=("num_local_experts",), width=("intermediate_size",),
                                        bias=True, router_bias=True)),
    "Ernie4_5ForCausalLM": Family(Attention(qkv_bias="use_bias", output_bias="use_bias"), Mlp(bias="use_bias"),
                                  tied=True),
    "Ernie4_5_MoeForCausalLM": Family(
        Attention(qkv_bias="use_bias", output_bias="use_bias"), Mlp(bias="use_bias"), tied=True,
        moe=Moe(count=("moe_num_experts",), per_token=("moe_k",), router_float32=True, correction=True,
                shared="shared_experts", shared_count=_SHARED_ONES, sparse="ernie", own_routing=True)),
    "HunYuanDenseV1ForCausalLM": Family(_QWEN3),
    "HunYuanMoEV1ForCausalLM": Family(_QWEN3, moe=Moe(router="gate.wg",
                                                      width=("moe_intermediate_size", "intermediate_size"),
                                                      shared="shared_mlp", shared_count=("num_shared_expert",))),
    "HYV3ForCausalLM": Family(_QWEN3, moe=Moe(width=("expert_hidden_dim", "moe_intermediate_size"), correction=True,
                                              router_float32=True, shared="shared_mlp", shared_count=_SHARED_ONES,
                                              sparse="after_dense")),
    "ExaoneMoeForCausalLM": Family(_QWEN3, moe=replace(_CORRECTED, sparse="mlp_types")),
    "ExaoneMoEForCausalLM": Family(_QWEN3, moe=replace(_CORRECTED, sparse="mlp_types")),
    "AfmoeForCausalLM": Family(Attention(qkv_bias=False, output_bias=False, head_norms=True, gate="wide"), norms=4,
                               moe=replace(_CORRECTED, sparse="after_layers")),
    "LagunaForCausalLM": Family(Attention(head_norms=True, gate="each"),
                                moe=Moe(correction=True, shared="shared_expert", sparse="mlp_types",
                                        shared_width=("shared_expert_intermediate_size",))),
    "BailingMoeForCausalLM": Family(Attention("attention", "use_qkv_bias", "use_bias", head_norms="use_qk_norm"),
                                    Mlp(bias="use_bias"), moe=replace(_DEEPSEEK_MOE, correction=False)),
    "BailingMoeV2ForCausalLM": Family(Attention("attention", "use_qkv_bias", "use_bias", head_norms=True),
                                      Mlp(bias="use_bias"), moe=_CORRECTED),
    "DbrxForCausalLM": Family(_NONE, moe=Moe("ffn", router="router.layer", count=("moe_num_experts",),
                                             per_token=("moe_top_k",), width=("ffn_hidden_size",))),
    "JambaForCausalLM": Family(_NONE, Mlp("feed_forward"), mixer="mamba",
                               moe=Moe("feed_forward", router="router", width=("intermediate_size",), sparse="period",
                                       own_routing=True)),
    "MambaForCausalLM": Family(mixer="mamba", layout="mixers", norms=1, tied=True),
    "FalconMambaForCausalLM": Family(mixer="mamba", layout="mixers", norms=1, tied=True),
    "Mamba2ForCausalLM": Family(mixer="mamba2", layout="mixers", norms=1),
    "FalconH1ForCausalLM": Family(mlp=Mlp("feed_forward", bias="mlp_bias"), mixer="mamba2", layout="parallel"),
    "NemotronHForCausalLM": Family(Attention("mixer"), Mlp("mixer", gated=False, bias="mlp_bias"), _NEMOTRON_MOE,
                                   norms=1, mixer="mamba2", layout="one_of"),
    "Lfm2ForCausalLM": Family(Attention(qkv_bias=False, output_bias=False, head_norms=True), Mlp("feed_forward"),
                              mixer="short_conv", layout="lfm2", tied=True),
    "Lfm2MoeForCausalLM": Family(Attention(qkv_bias=False, output_bias=False, head_norms=True), Mlp("feed_forward"),
                                 Moe("feed_forward", correction="use_expert_bias", sparse="after_layers"),
                                 mixer="short_conv", tied=True),
    "KimiLinearForCausalLM": Family(mixer="kimi_delta", moe=Moe(
        "block_sparse_moe", count=("num_experts",), per_token=("num_experts_per_token",), correction=True,
        shared="shared_experts", shared_count=_SHARED_ONES, sparse="after_dense",
        hidden=("routed_expert_hidden_size",))),
    "DeciLMForCausalLM": Family(mlp=_MLP_BIAS, layout="blocks"),
    "OPTForCausalLM": Family(Attention(qkv_bias="enable_bias", output_bias="enable_bias"),
                             Mlp("", gated=False, first="fc1", second="fc2", bias="enable_bias", width=("ffn_dim",)),
                             norms=4, final=2, tied=True),
    "GPT2LMHeadModel": _GPT2,
    "GPTBigCodeForCausalLM": replace(_GPT2, attention=replace(_GPT2.attention, shape="multi_query"),
                                     mlp=replace(_GPT2.mlp, split=False)),
    "GPTJForCausalLM": Family(Attention("attn", False, False),
                              Mlp(gated=False, first="fc_in", second="fc_out", bias=True), norms=2, final=2,
                              head_bias=True),
    "GPTNeoXForCausalLM": Family(Attention("attention", True, True),
                                 Mlp(gated=False, first="dense_h_to_4h", second="dense_4h_to_h", bias=True), norms=4,
                                 final=2),
    "PhiForCausalLM": Family(_ALL_BIASES, Mlp(gated=False, first="fc1", second="fc2", bias=True), norms=2, final=2,
                             head_bias=True),
    "FalconForCausalLM": Family(Attention("self_attention", "bias", "bias", shape="falcon"),
                                Mlp(gated=False, first="dense_h_to_4h", second="dense_4h_to_h", bias="bias",
                                    width=("ffn_hidden_size",)), norms=2, final=2, tied=True),
    "BloomForCausalLM": Family(Attention("self_attention", True, True),
                               Mlp(gated=False, first="dense_h_to_4h", second="dense_4h_to_h", bias=True), norms=4,
                               final=4, tied=True),
    "InternLM2ForCausalLM": Family(Attention(qkv_bias="bias", output_bias="bias")),
    "BertModel": _BERT,
    "BertForSequenceClassification": _BERT,
    "BertForTokenClassification": _BERT,
    "RobertaModel": _BERT,
    "RobertaForSequenceClassification": _BERT,
    "RobertaForTokenClassification": _BERT,
    "XLMRobertaModel": _BERT,
    "XLMRobertaForSequenceClassification": _BERT,
    "XLMRobertaForTokenClassification": _BERT,
    "NomicBertModel": Family(_NONE, Mlp(), norms=4, final=2, tied=True, head=False, pooling=True),
    "ModernBertModel": Family(_NONE, Mlp("mlp"), norms=2, final=2, tied=True, head=False, pooling=True),
    "ModernBertForSequenceClassification": Family(_NONE, Mlp("mlp"), norms=2, final=2, tied=True, head=False,
                                                  pooling=True),
}  # fmt: skip

# Whose classes make them whatever the stage (vllm/model_executor/models); the others ask for their place first.
_ONLY_EMBEDDING_ON_ALL = frozenset({
    "CohereForCausalLM", "Cohere2ForCausalLM", "Cohere2MoeForCausalLM", "Gemma2ForCausalLM", "Lfm2ForCausalLM",
    "Lfm2MoeForCausalLM", "Qwen3_5ForCausalLM", "Qwen3_5MoeForCausalLM",
})  # fmt: skip
_BOTH_ON_ALL = frozenset({
    "BloomForCausalLM", "ChatGLMModel", "DbrxForCausalLM", "FalconForCausalLM", "FalconMambaForCausalLM",
    "GPT2LMHeadModel", "GPTJForCausalLM", "Gemma3ForCausalLM", "Gemma3TextModel", "Gemma4ForCausalLM",
    "GemmaForCausalLM", "GptOssForCausalLM", "GraniteMoeForCausalLM", "GraniteMoeHybridForCausalLM",
    "GraniteMoeSWAForCausalLM", "GraniteMoeSharedForCausalLM", "HYV3ForCausalLM", "InternLM2ForCausalLM",
    "JambaForCausalLM", "MambaForCausalLM", "MiniCPM3ForCausalLM", "MiniCPMForCausalLM", "MixtralForCausalLM",
    "NemotronHForCausalLM", "OPTForCausalLM", "OlmoeForCausalLM", "OrionForCausalLM", "PhiMoEForCausalLM",
    "PhimoeForCausalLM", "Qwen2MoeForCausalLM", "Qwen3MoeForCausalLM", "Qwen3NextForCausalLM", "StableLmForCausalLM",
})  # fmt: skip
# Whose classes have EncoderOnlyAttention where is_causal is false (layers/attention/encoder_only_attention.py).
_BOTH_WAYS = frozenset({
    "ApertusForCausalLM", "DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM", "Ernie4_5ForCausalLM", "Gemma3ForCausalLM",
    "Gemma3TextModel", "Glm4MoeLiteForCausalLM", "IQuestCoderForCausalLM", "InternLM3ForCausalLM", "LLaMAForCausalLM",
    "LlamaForCausalLM", "MiMoForCausalLM", "Ministral3ForCausalLM", "MistralForCausalLM", "MistralLarge3ForCausalLM",
    "Phi3ForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "TeleChat3ForCausalLM",
})  # fmt: skip

FAMILIES: dict[str, Family] = {
    name: replace(
        row,
        embedding_on_all=name in _ONLY_EMBEDDING_ON_ALL or name in _BOTH_ON_ALL,
        head_on_all=name in _BOTH_ON_ALL,
        both_ways=name in _BOTH_WAYS,
    )
    for name, row in _ROWS.items()
}
