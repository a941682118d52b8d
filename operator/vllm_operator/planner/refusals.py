"""What vLLM refuses before it loads a weight: each rule is the condition in vLLM's source, with the way out.

Tests hold every rule against the pinned vLLM: one fails when the text of the refusal is gone from its source.
Rules on quantizations are in `methods.py` and `unserved.py`, on parallel sizes in `splits.py`, on types of the KV cache
in `backends.py`.
"""

from ..api.groups import MOST_NODES
from ..api.reasons import Reason
from ..api.vocabulary import VLLM_VERSION
from . import backends, methods, splits, unserved
from .asked import CHUNKS, HYBRID_OFF, SEVERAL_KINDS_SINCE, kinds_of, one_kind_for, whole_chunks
from .effective import UNSTABLE_IN_FLOAT16
from .extras import switch_of, value_of
from .headers import has_own_head
from .items import RAISED, largest_item
from .rules import Check, Question, Refusal
from .served import SERVED, WITHOUT_ADAPTERS, WITHOUT_STAGES
from .shapes import Cached
from .versions import is_since, minor

DROPPED = {"AquilaForCausalLM": "0.24.0", "AquilaModel": "0.24.0", "BaichuanForCausalLM": "0.23.0"}
"""Architectures that the planner knows, with the last vLLM that has them (`_PREVIOUSLY_SUPPORTED_MODELS`)."""
_WITHOUT_TIED_STAGES = frozenset({"Ernie4_5_MoeForCausalLM", "Ernie4_5_VLMoeForConditionalGeneration"})
"""Which vLLM takes for split, and ends with where embedding and head are one (models/ernie45_moe.py): no stage has
both."""
# vLLM 0.11 has one of both wherever config.json says so; 0.32 not where the checkpoint has a head all the same
# (config/model.py, `maybe_untie_word_embeddings`). Between the two, no source was read.
_TIED_AS_SAID_BEFORE = (0, 12)
_TRUE = ("1", "true")
_OLDEST = (7, 5)
_UNCUT = {
    "--no-enable-chunked-prefill": ("enable-chunked-prefill", False),
    "--disable-chunked-mm-input": ("disable-chunked-mm-input", True),
}
"""Flags with which a prompt, or an image in it, is not cut: the switch, and how it stands."""
_READ = (0, 32)
"""The vLLM whose source says so; the oldest one that was looked at does not."""


def first_refusal(question: Question) -> Refusal | None:
    """The first rule that the service breaks, in the order in which vLLM would notice; None: none."""
    return next((refusal for check in _CHECKS if (refusal := check(question))), None)


def _architecture(question: Question) -> Refusal | None:
    """Architectures that neither vLLM nor transformers has (model_executor/models/registry.py)."""
    name = question.model.architecture
    last = DROPPED.get(name)
    version = question.engine.version  # an image of one's own may be the older vLLM that is asked for
    if last and version and minor(version) > minor(last):
        return Refusal(
            Reason.ARCHITECTURE,
            f"vLLM has the architecture {name} up to {last} alone: set an image with it, or use another model",
        )
    trusted = "--trust-remote-code" in (question.spec.extra_args or [])
    if not question.as_shipped or trusted or question.model.known or name in SERVED:
        return None
    return Refusal(
        Reason.ARCHITECTURE,
        f"vLLM {VLLM_VERSION} has no architecture {name}: set an image whose vLLM has it, or use another model",
    )


def _old_gpu(question: Question) -> Refusal | None:
    """The PyTorch of vLLM 0.32 has no kernels for GPUs before Turing."""
    capability = question.capability
    if not question.as_shipped or capability is None or capability >= _OLDEST:
        return None
    return Refusal(
        Reason.GPU_TOO_OLD,
        f"vLLM {VLLM_VERSION} needs a GPU of compute capability 7.5 and {question.capability_words}: use a newer GPU",
    )


def _types(question: Question) -> Refusal | None:
    """Types of weights and activations. With `auto`, vLLM takes another type where a GPU lacks one."""
    asked, model = question.spec.dtype, question.model
    if asked in ("float16", "half") and model.architecture in UNSTABLE_IN_FLOAT16:
        return Refusal(
            Reason.FLOAT16_MODEL,
            f"{UNSTABLE_IN_FLOAT16[model.architecture]} is not stable in float16: remove dtype, or set it to bfloat16",
        )
    capability = question.capability
    if asked == "bfloat16" and capability and capability < (8, 0):
        return Refusal(
            Reason.BFLOAT16_GPU,
            f"bfloat16 needs a GPU of compute capability 8.0 and {question.capability_words}: set dtype to float16",
        )
    return None


def _one_cache(question: Question) -> Refusal | None:
    """What vLLM cannot keep in one kind of cache, or not in several (v1/core/kv_cache_utils.py, config/vllm.py)."""
    spec, kinds = question.spec, kinds_of(question.model)
    off, one = switch_of(spec, HYBRID_OFF), one_kind_for(spec, question.model)
    minds = is_since(question.engine.version, SEVERAL_KINDS_SINCE)  # earlier ones did as they liked
    if one and Cached.STATE in kinds and kinds - {Cached.STATE}:
        why = f"{one} has all layers keep the same, and some of this model keep a state"
    elif minds and off is False and Cached.CHUNKED in kinds and whole_chunks(spec):
        why = f"--no-{HYBRID_OFF} does not go with {CHUNKS}=0 or EAGLE and this model's chunked attention"
    else:
        return None
    return Refusal(Reason.SETTING, f"{why}: leave it out")


def _states(question: Question) -> Refusal | None:
    """Prefixes of states are cached where a step ends at a block, which may be anywhere in a prompt (models/config.py,
    `MambaModelConfig`; config/vllm.py, `validate_block_size`)."""
    spec, engine, kinds = question.spec, question.engine, kinds_of(question.model)
    asked = spec.kv_cache is not None and spec.kv_cache.prefix_caching
    caches = engine.prefix_caching and (asked or len(kinds) > 1)  # not by default where all layers keep a state
    flag = next((flag for flag, (switch, on) in _UNCUT.items() if switch_of(spec, switch) is on), "")
    if Cached.STATE not in kinds or not caches or not flag or not is_since(engine.version, _READ):
        return None
    return Refusal(
        Reason.SETTING,
        "some layers of this model keep a state, and vLLM caches prefixes of it only where a prompt may be cut "
        f"anywhere, which {flag} forbids: leave it out, or set kvCache.prefixCaching to false",
    )


def _serves_itself(question: Question) -> bool:
    """Whether the model is served by the class that the tables tell of; none of an older vLLM could do more."""
    return not question.is_newer and value_of(question.spec, "model-impl") != "transformers"


def _pipeline(question: Question) -> Refusal | None:
    name = question.model.architecture
    if question.engine.ranks.pipeline == 1 or not _serves_itself(question):
        return None
    if name not in WITHOUT_STAGES:
        if name not in _WITHOUT_TIED_STAGES or not _tied(question):
            return None
        name += " with tied embeddings"
    return Refusal(Reason.PIPELINE, f"vLLM cannot split {name} into pipeline stages: remove pipelineParallelSize")


def _tied(question: Question) -> bool:
    """Whether vLLM takes embedding and head for one; not told of a model that is to embed, as that has no head here."""
    model = question.model
    untied = is_since(question.engine.version, _TIED_AS_SAID_BEFORE) and has_own_head(model)
    return model.tied and not model.pooling and not untied


def _adapters(question: Question) -> Refusal | None:
    """vLLM says so when the weights are loaded (v1/worker/lora_model_runner_mixin.py)."""
    name = question.model.architecture
    if question.engine.lora is None or name not in WITHOUT_ADAPTERS or not _serves_itself(question):
        return None
    return Refusal(Reason.ADAPTERS, f"vLLM has no LoRA for {name}: remove lora, or use another model")


def _experts(question: Question) -> Refusal | None:
    if not question.engine.ranks.experts or question.model.experts or not question.model.known:
        return None
    return Refusal(
        Reason.NO_EXPERTS, "expertParallel is for mixture-of-experts models and this one has no experts: remove it"
    )


def _length(question: Question) -> Refusal | None:
    model, asked = question.model, question.spec.max_model_len
    most = max(model.longest, model.asked_longest)
    if not isinstance(asked, int) or not model.raw_longest or asked <= most:
        return None
    for variable in question.spec.env or []:
        if variable.name == "VLLM_ALLOW_LONG_MAX_MODEL_LEN" and str(variable.value).lower() in _TRUE:
            return None
    return Refusal(
        Reason.LENGTH,
        f"maxModelLen {asked:,} is longer than the model's own {model.longest:,} tokens ({model.longest_key}): "
        f"set at most {most}",
    )


def _batch(question: Question) -> Refusal | None:
    engine, tokens = question.engine, question.engine.max_num_batched_tokens
    if not engine.chunked and tokens < engine.max_model_len:
        return Refusal(
            Reason.BATCH,
            f"a batch has {tokens:,} tokens and must hold the longest prompt, of {engine.max_model_len:,}, as this "
            f"model's are not read in parts: set maxNumBatchedTokens to at least {engine.max_model_len}, leave it out, "
            f"or set maxModelLen to at most {tokens}",
        )
    if tokens >= engine.max_num_seqs:
        return None
    return Refusal(
        Reason.BATCH,
        f"a batch has {tokens} tokens and maxNumSeqs is {engine.max_num_seqs}, but every running sequence takes a "
        "token of each batch: raise maxNumBatchedTokens or lower maxNumSeqs",
    )


def _items(question: Question) -> Refusal | None:
    """Where an image must be in one batch, vLLM looks for room for the largest input at its start
    (v1/core/encoder_cache_manager.py)."""
    engine, tokens = question.engine, question.engine.max_num_batched_tokens
    found = largest_item(question.spec, question.model)
    if found is None or engine.on_cpu or not is_since(engine.version, _READ) or tokens >= found[1]:
        return None
    kind, least = found
    return Refusal(
        Reason.BATCH,
        f"a batch has {tokens:,} tokens and must hold all of the largest {kind}, of {least:,}: set maxNumBatchedTokens "
        f"to at least {least}, or allow none with --limit-mm-per-prompt in extraArgs",
    )


def _guesses(question: Question) -> Refusal | None:
    """With LoRA, a batch has a place for each token that a step may guess (engine/arg_utils.py)."""
    engine, tokens = question.engine, question.engine.max_num_batched_tokens
    each = engine.speculative_tokens + 1
    least = engine.max_num_seqs * each
    if engine.lora is None or not engine.speculative_tokens or tokens >= least:
        return None
    if question.model.architecture in RAISED and not question.model.items and not question.spec.max_num_batched_tokens:
        return None  # it holds an item of a size that is not known
    return Refusal(
        Reason.BATCH,
        f"with lora, a batch of {tokens:,} tokens is too small for {engine.max_num_seqs:,} sequences of {each} tokens, "
        f"the guessed ones and one: set maxNumBatchedTokens to at least {least}, or maxNumSeqs to at most "
        f"{tokens // each}",
    )


def _per_node(question: Question) -> Refusal | None:
    gpus, nodes, here = question.engine.ranks.gpus, question.spec.nodes, question.gpus_per_node
    if here is None or gpus <= here * nodes:
        return None
    enough = (more for more in range(nodes + 1, MOST_NODES + 1) if gpus % more == 0 and gpus <= here * more)
    more = next(enough, None) if question.engine.ranks.data == 1 else None
    spread = f"; nodesPerReplica: {more} spreads it over so many nodes" if more else ""
    what = "one replica" if nodes == 1 else f"each of the {nodes} pods of a replica"
    return Refusal(
        Reason.GPUS_PER_NODE,
        f"{what} needs {gpus // nodes} GPUs on one node, and no node has more than {here}: lower tensorParallelSize, "
        f"pipelineParallelSize or dataParallelSize, or use a smaller or quantized model{spread}",
    )


_CHECKS: tuple[Check, ...] = (
    _architecture, _old_gpu, *methods.CHECKS, unserved.check, _types, _length, _experts, _pipeline, splits.check,
    _batch, _items, _guesses, _per_node, backends.check, _one_cache, _states, _adapters,
)  # fmt: skip
