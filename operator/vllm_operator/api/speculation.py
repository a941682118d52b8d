"""Speculative decoding: how tokens are guessed, and with what. The names are vLLM's own, in camelCase.

What loads code (custom_class), writes files (extract_hidden_states) or fakes its results (synthetic) is left out.
"""

from .base import ApiModel, optional, required, rule, with_rules
from .model import Revision
from .storage import URI_RULES, Uri
from .vocabulary import (
    MODEL_FREE_SPECULATION,
    MODEL_OPTIONAL_SPECULATION,
    QUANTIZATIONS,
    AttentionBackend,
    DraftSampleMethod,
    KvCacheDtype,
    MoeBackend,
    RejectionSampleMethod,
    SpeculativeMethod,
)

_FREE = f"(self.method in {list(MODEL_FREE_SPECULATION)!r})"
# What only a draft model has.
_OF_DRAFTS = (
    "revision", "quantization", "draftTensorParallelSize", "maxModelLen", "attentionBackend", "moeBackend",
    "kvCacheDtype", "draftSampleMethod", "parallelDrafting", "enableAdaptiveVerification", "useLocalArgmaxReduction",
    "useHeterogeneousVocab", "disablePaddedDrafterBatch", "dsparkDraftTopk",
)  # fmt: skip
_HAS_DRAFT_KEY = " || ".join(f"has(self.{name})" for name in _OF_DRAFTS)


class Speculative(ApiModel):
    """Speculative decoding: a cheap guess of the next tokens that the model checks."""

    model_config = with_rules(
        rule(
            f"{_FREE} || self.method.endsWith('mtp') || self.method in {list(MODEL_OPTIONAL_SPECULATION)!r}"
            " || has(self.model)",
            "speculative.model is needed with this method: name the draft model (hf:// or pvc://)",
        ),
        rule(f"!{_FREE} || !has(self.model)", "speculative.model is not used with this method: remove it"),
        rule(
            f"!{_FREE} || !({_HAS_DRAFT_KEY})",
            "this method has no draft model: of speculative, keep method, numSpeculativeTokens, promptLookupMin, "
            "promptLookupMax, rejectionSampleMethod and enforceEager",
        ),
        rule(
            "self.method.startsWith('ngram') || !(has(self.promptLookupMin) || has(self.promptLookupMax))",
            "speculative.promptLookupMin and promptLookupMax are for the methods ngram and ngram_gpu: remove them",
        ),
        rule(
            "!has(self.promptLookupMin) || !has(self.promptLookupMax) || self.promptLookupMin <= self.promptLookupMax",
            "speculative.promptLookupMin must not be above promptLookupMax",
        ),
        rule(
            "!has(self.revision) || (has(self.model) && self.model.startsWith('hf://'))",
            "speculative.revision is for a draft model from hf:// only: remove it",
        ),
        rule(
            "self.method == 'dspark' || !(has(self.enableAdaptiveVerification) || has(self.dsparkDraftTopk))",
            "speculative.enableAdaptiveVerification and dsparkDraftTopk are for the method dspark: remove them",
        ),
        rule(
            "!has(self.useHeterogeneousVocab) || !self.useHeterogeneousVocab || (self.method == 'draft_model'"
            " && (!has(self.draftSampleMethod) || self.draftSampleMethod == 'greedy'))",
            "speculative.useHeterogeneousVocab is for the method draft_model with draftSampleMethod greedy: remove it",
        ),
        rule(
            "!has(self.useLocalArgmaxReduction) || !self.useLocalArgmaxReduction"
            " || !has(self.draftSampleMethod) || self.draftSampleMethod == 'greedy'",
            "speculative.useLocalArgmaxReduction is for draftSampleMethod greedy: remove one of them",
        ),
    )

    method: SpeculativeMethod = required("How tokens are guessed.", "eagle3")
    model: Uri | None = optional(
        "Draft model: hf://organisation/name or pvc://claim/path. mtp and dspark may do without: their heads are then "
        "in the model's own checkpoint.",
        "hf://yuhuili/EAGLE3-LLaMA3.1-Instruct-8B",
        rules=URI_RULES,
    )
    num_speculative_tokens: int = required("Tokens guessed per step.", 4, ge=1, le=64)
    revision: Revision | None = optional(
        "Commit, tag or branch of the draft model's repository.", "9216db5781bf21249d130ec9da846c4624c16137"
    )
    quantization: str | None = optional(
        "How the draft model's weights are quantized; omitted: what its checkpoint says.",
        "fp8",
        max_length=64,
        rules=[rule(f"self in {list(QUANTIZATIONS)!r}", f"must be one of {', '.join(QUANTIZATIONS)}")],
    )
    draft_tensor_parallel_size: int | None = optional(
        "GPUs that the draft model is split over: 1, or as many as tensorParallelSize (vLLM's default).", 1, ge=1, le=64
    )
    max_model_len: int | None = optional(
        "Longest sequence that tokens are guessed for; longer ones are served without guesses.",
        16384,
        ge=1,
        le=100000000,
    )
    draft_sample_method: DraftSampleMethod | None = optional(
        "How the draft model picks tokens: greedy (vLLM's default), or probabilistic, which is accepted more often and "
        "takes GPU memory for its logits.",
        "probabilistic",
    )
    rejection_sample_method: RejectionSampleMethod | None = optional(
        "How guesses are checked: one by one (standard, vLLM's default) or all of a step together (block).", "block"
    )
    attention_backend: AttentionBackend | None = optional(
        "The draft model's attention kernels; omitted: vLLM chooses.", "FLASH_ATTN"
    )
    moe_backend: MoeBackend | None = optional(
        "The draft model's kernels for experts; omitted: those of the model itself.", "triton"
    )
    kv_cache_dtype: KvCacheDtype | None = optional(
        "Type of the draft model's keys and values; omitted: that of the model itself.", "fp8"
    )
    enforce_eager: bool | None = optional("Whether the draft model runs without CUDA graphs.", True)
    prompt_lookup_min: int | None = optional("Shortest n-gram that is looked up.", 2, ge=1, le=1024)
    prompt_lookup_max: int | None = optional(
        "Longest n-gram that is looked up (vLLM's default of both: 5).", 5, ge=1, le=1024
    )
    parallel_drafting: bool | None = optional(
        "Whether all tokens of a step are guessed at once, by a draft model that was trained for it.", True
    )
    enable_adaptive_verification: bool | None = optional(
        "Whether fewer guesses are checked where the draft model is unsure (dspark).", True
    )
    use_local_argmax_reduction: bool | None = optional(
        "Whether each GPU finds its own best token first, so that less is exchanged (greedy).", True
    )
    use_heterogeneous_vocab: bool | None = optional(
        "Whether the draft model may have another vocabulary (draft_model).", True
    )
    disable_padded_drafter_batch: bool | None = optional(
        "Whether guesses of different lengths stay unpadded (EAGLE).", True
    )
    dspark_draft_topk: int | None = optional(
        "Candidates that dspark's last step looks at (draftTensorParallelSize 1).", 64, ge=1, le=1048576
    )
