"""Fields and flags of extraArgs that vLLM takes one by one, and together ends with at its start, whatever the model.

One row for each, which the API server's rule and the check of what a class fills in are made of. Not here: what one
object's fields say of each other, load formats (loading.py), and what hangs on the model, which the plan looks at.

Source: vllm/config, vllm/engine/arg_utils.py and vllm/entrypoints/launchers/cli_args.py, vLLM 0.32.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from .base import Rule, rule


class Combination(NamedTuple):
    """What vLLM does not take together, and what to do."""

    flag: str
    """Items of extraArgs that it is about, as a regular expression; empty: it is about fields alone."""
    asked: str
    """In CEL, of the spec, and of the item as `a`: what is wrong beside it."""
    asks: Callable[[Any, str], object]
    """The same of a spec that was read, and of the item."""
    says: str


def _number(item: str) -> int:
    return int(item.partition("=")[2])


def _without(flag: str, other: str, says: str) -> Combination:
    """A flag that wants another item of extraArgs beside it."""
    return Combination(
        flag,
        f"!self.extraArgs.exists(b, b.matches('^({other})$'))",
        lambda s, _: not any(re.fullmatch(other, one) for one in s.extra_args),
        says,
    )


def _method(s: Any) -> str:
    return s.speculative.method if s.speculative else ""


_SPECULATIVE, _TENSORS = "has(self.speculative)", "self.tensorParallelSize"
_METHOD = f"{_SPECULATIVE} && self.speculative.method"
# Those that vLLM schedules one step after the other, and those that read the model's hidden states.
_IN_STEPS = ("ngram", "suffix", "medusa", "mlp_speculator")
_OF_HIDDEN_STATES = ("eagle", "eagle3", "dflash", "dspark")
_GRAPHS = "self.tuning.compilation.cudagraphMode"
_PARTS_ONLY = ("NONE", "PIECEWISE")
_OPS = "self.tuning.compilation.customOps"


def _few_graphs(s: Any) -> bool:
    compilation = s.tuning.compilation if s.tuning else None
    return bool(s.enforce_eager) or (compilation is not None and compilation.cudagraph_mode in _PARTS_ONLY)


def _contradicts(s: Any) -> bool:
    """Whether an op is switched on and off, or all of them are."""
    ops = {*((s.tuning.compilation.custom_ops or ()) if s.tuning and s.tuning.compilation else ())}
    return {"all", "none"} <= ops or any(f"-{one[1:]}" in ops for one in ops if one.startswith("+"))


COMBINATIONS = (
    Combination(
        "--enable-eplb",
        "!(has(self.expertParallel) && self.expertParallel)",
        lambda s, _: not s.expert_parallel,
        "--enable-eplb in extraArgs needs expertParallel: true: add it, or leave the flag out",
    ),
    _without(
        "--enable-dbo",
        "--all2all-backend=(deepep_low_latency|deepep_high_throughput|nixl_ep)",
        "--enable-dbo in extraArgs needs --all2all-backend=deepep_low_latency, =deepep_high_throughput or =nixl_ep as "
        "well: add one, or leave it out",
    ),
    _without(
        "--collect-detailed-traces=.*",
        "--otlp-traces-endpoint=.*",
        "--collect-detailed-traces in extraArgs needs --otlp-traces-endpoint as well: add it, or leave the flag out",
    ),
    _without(
        "--enable-log-outputs",
        "--enable-log-requests",
        "--enable-log-outputs in extraArgs needs --enable-log-requests as well: add it, or leave the flag out",
    ),
    _without(
        "--mamba-ssu-algorithm=.*",
        "--mamba-backend=flashinfer",
        "--mamba-ssu-algorithm in extraArgs needs --mamba-backend=flashinfer as well: add it, or leave the flag out",
    ),
    _without(
        "--enable-mamba-cache-stochastic-rounding",
        "--mamba-ssm-cache-dtype=float16",
        "--enable-mamba-cache-stochastic-rounding in extraArgs needs --mamba-ssm-cache-dtype=float16 as well: add it, "
        "or leave the flag out",
    ),
    Combination(
        "--per-request-spec-decode-metrics=(summary|detailed)",
        f"!{_SPECULATIVE}",
        lambda s, _: not s.speculative,
        "--per-request-spec-decode-metrics in extraArgs is for services with speculative: leave it out",
    ),
    Combination(
        "--async-scheduling",
        f"{_SPECULATIVE} && (self.speculative.method in {[*_IN_STEPS]!r}"
        " || (has(self.speculative.disablePaddedDrafterBatch) && self.speculative.disablePaddedDrafterBatch))",
        lambda s, _: _method(s) in _IN_STEPS or (s.speculative and s.speculative.disable_padded_drafter_batch),
        f"--async-scheduling in extraArgs is not for the methods {', '.join(_IN_STEPS)} of speculative, nor for "
        "disablePaddedDrafterBatch: leave it out",
    ),
    Combination(
        "--kv-sharing-fast-prefill",
        f"{_METHOD} in {[*_OF_HIDDEN_STATES]!r} || {_METHOD}.endsWith('mtp')",
        lambda s, _: _method(s) in _OF_HIDDEN_STATES or _method(s).endswith("mtp"),
        f"--kv-sharing-fast-prefill in extraArgs is not for the methods {', '.join(_OF_HIDDEN_STATES)} and mtp of "
        "speculative: leave it out",
    ),
    Combination(
        "--no-enable-chunked-prefill",
        "has(self.maxNumBatchedTokens) && has(self.maxModelLen) && type(self.maxModelLen) == int"
        " && self.maxNumBatchedTokens < self.maxModelLen",
        lambda s, _: (
            s.max_num_batched_tokens and isinstance(s.max_model_len, int) and s.max_num_batched_tokens < s.max_model_len
        ),
        "with --no-enable-chunked-prefill in extraArgs, maxNumBatchedTokens must be at least maxModelLen: the longest "
        "prompt is one step",
    ),
    Combination(
        "--enable-batch-sharded-sampling",
        f"!has({_TENSORS}) || (type({_TENSORS}) == int && {_TENSORS} == 1)",
        lambda s, _: s.tensor_parallel_size in (None, 1),
        "--enable-batch-sharded-sampling in extraArgs needs tensorParallelSize above 1: leave it out",
    ),
    Combination(
        "--decode-context-parallel-size=[1-9][0-9]{0,3}",
        f"(has({_TENSORS}) && type({_TENSORS}) == int ? {_TENSORS} : 1) % int(a.split('=')[1]) != 0"
        f" && !(has({_TENSORS}) && type({_TENSORS}) == string)",
        lambda s, item: isinstance(s.tensor_parallel_size, int | None) and s.tensor_size % _number(item),
        "--decode-context-parallel-size in extraArgs must divide tensorParallelSize: it shares the same GPUs out",
    ),
    Combination(
        "--max-num-active-seqs=[1-9][0-9]{0,8}",
        "has(self.maxNumSeqs) && self.maxNumSeqs < int(a.split('=')[1])",
        lambda s, item: s.max_num_seqs and s.max_num_seqs < _number(item),
        "--max-num-active-seqs in extraArgs must not be above maxNumSeqs",
    ),
    Combination(
        "",
        f"{_SPECULATIVE} && has(self.speculative.enableAdaptiveVerification)"
        " && self.speculative.enableAdaptiveVerification && (has(self.lora)"
        " || (has(self.pipelineParallelSize) && self.pipelineParallelSize > 1)"
        " || (has(self.enforceEager) && self.enforceEager)"
        f" || (has(self.tuning) && has(self.tuning.compilation) && has({_GRAPHS}) && {_GRAPHS} in {[*_PARTS_ONLY]!r}))",
        lambda s, _: (
            s.speculative
            and s.speculative.enable_adaptive_verification
            and (s.lora or (s.pipeline_parallel_size or 1) > 1 or _few_graphs(s))
        ),
        "speculative.enableAdaptiveVerification is not for lora, pipelineParallelSize above 1, enforceEager, or "
        f"cudagraphMode {' and '.join(_PARTS_ONLY)}: leave it out",
    ),
    Combination(
        "",
        f"{_SPECULATIVE} && has(self.speculative.maxModelLen) && has(self.maxModelLen)"
        " && type(self.maxModelLen) == int && self.speculative.maxModelLen > self.maxModelLen",
        lambda s, _: (
            s.speculative and isinstance(s.max_model_len, int) and (s.speculative.max_model_len or 0) > s.max_model_len
        ),
        "speculative.maxModelLen must not be above maxModelLen: leave it out",
    ),
    Combination(
        "",
        f"{_SPECULATIVE} && has(self.lora) && has(self.maxNumBatchedTokens) && has(self.maxNumSeqs)"
        " && self.maxNumBatchedTokens < self.maxNumSeqs * (self.speculative.numSpeculativeTokens + 1)",
        lambda s, _: (
            s.speculative
            and s.lora
            and s.max_num_batched_tokens
            and s.max_num_batched_tokens < (s.max_num_seqs or 0) * (s.speculative.num_speculative_tokens + 1)
        ),
        "with lora and speculative, maxNumBatchedTokens must be at least maxNumSeqs times numSpeculativeTokens and one",
    ),
    Combination(
        "",
        f"has(self.tuning) && has(self.tuning.compilation) && has({_OPS}) && (('all' in {_OPS} && 'none' in {_OPS})"
        f" || {_OPS}.exists(o, o.startsWith('+') && o.replace('+', '-') in {_OPS}))",
        lambda s, _: _contradicts(s),
        "tuning.compilation.customOps switches an op on and off, or has both all and none: keep one of them",
    ),
)
"""Refused with a sentence that says what to change."""


def _rule(row: Combination) -> Rule:
    wrong = f"has(self.extraArgs) && self.extraArgs.exists(a, a.matches('^({row.flag})$') && ({row.asked}))"
    return rule(f"!({wrong if row.flag else row.asked})", row.says)


def _keeps(row: Combination) -> Callable[[Any], bool]:
    def keeps(spec: Any) -> bool:
        if not row.flag:
            return not row.asks(spec, "")
        return not any(row.asks(spec, one) for one in spec.extra_args or () if re.fullmatch(row.flag, one))

    return keeps


CHECKS = tuple((_rule(row), _keeps(row)) for row in COMBINATIONS)
"""The API server's rules, and whether a spec that was read keeps each."""
RULES = tuple(one for one, _ in CHECKS)
