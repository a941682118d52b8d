"""What vLLM does not take together is refused alike by the API server and where a class fills it in."""

import re
from typing import Any

import pytest
import yaml

from control_plane.refused import COMBINED
from vllm_operator.api import KIND
from vllm_operator.api.combinations import COMBINATIONS
from vllm_operator.api.flags.allowed import EXTRA_SWITCH_FLAGS, EXTRA_VALUE_FLAGS
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.assess.consistency import broken
from vllm_operator.cli.validation import faults

# Each beside something with which vLLM takes it.
TAKEN = [
    "{expertParallel: true, tensorParallelSize: 2, extraArgs: [--enable-eplb]}",
    "{expertParallel: true, extraArgs: [--enable-dbo, --all2all-backend=nixl_ep]}",
    "extraArgs: ['--otlp-traces-endpoint=http://traces:4317', --collect-detailed-traces=all]",
    "extraArgs: [--enable-log-outputs, --enable-log-requests]",
    "extraArgs: [--no-enable-log-outputs, --no-enable-eplb, --no-enable-dbo, --no-async-scheduling]",
    "extraArgs: [--mamba-ssu-algorithm=simple, --mamba-backend=flashinfer]",
    "extraArgs: [--mamba-ssm-cache-dtype=float16, --enable-mamba-cache-stochastic-rounding]",
    "{speculative: {method: ngram, numSpeculativeTokens: 2}, extraArgs: [--per-request-spec-decode-metrics=summary]}",
    "extraArgs: [--per-request-spec-decode-metrics=none, --async-scheduling, --kv-sharing-fast-prefill]",
    "{speculative: {method: mtp, numSpeculativeTokens: 2}, extraArgs: [--async-scheduling]}",
    "{speculative: {method: ngram, numSpeculativeTokens: 2}, extraArgs: [--kv-sharing-fast-prefill]}",
    "{maxNumBatchedTokens: 8192, maxModelLen: 8192, extraArgs: [--no-enable-chunked-prefill]}",
    "{maxNumBatchedTokens: 8192, maxModelLen: auto, extraArgs: [--no-enable-chunked-prefill]}",
    "{tensorParallelSize: auto, extraArgs: [--enable-batch-sharded-sampling, --decode-context-parallel-size=2]}",
    "{tensorParallelSize: 8, extraArgs: [--enable-batch-sharded-sampling, --decode-context-parallel-size=4]}",
    "{maxNumSeqs: 64, extraArgs: [--max-num-active-seqs=64]}",
    "{maxModelLen: 8192, speculative: {method: mtp, numSpeculativeTokens: 2, maxModelLen: 8192}}",
    "{enforceEager: true, speculative: {method: dspark, numSpeculativeTokens: 2, enableAdaptiveVerification: false}}",
    "{speculative: {method: dspark, numSpeculativeTokens: 2, enableAdaptiveVerification: true},"
    " tuning: {compilation: {cudagraphMode: FULL}}}",
    "{maxNumSeqs: 64, maxNumBatchedTokens: 192, speculative: {method: mtp, numSpeculativeTokens: 2},"
    " lora: {adapters: [{name: sql, uri: pvc://a/b}]}}",
    "tuning: {compilation: {customOps: [none, +rms_norm, -silu_and_mul]}}",
]


def said(text: str) -> tuple[list[str], str | None]:
    """What the API server says of a spec, and what is said of one that a class filled in."""
    spec: dict[str, Any] = {"model": {"uri": "hf://a/b"}, **yaml.safe_load(text)}
    manifest = {"kind": KIND, "metadata": {"name": "a"}, "spec": spec}
    return faults(manifest, KIND), broken(InferenceServiceSpec.model_validate(spec))


@pytest.mark.parametrize(("text", "message"), COMBINED)
def test_what_vllm_ends_with_is_refused(text: str, message: str) -> None:
    refused, sentence = said(text)
    assert len(refused) == 1
    assert sentence is not None
    assert sentence in refused[0]
    assert message in sentence


@pytest.mark.parametrize("text", TAKEN)
def test_what_vllm_takes_is_taken(text: str) -> None:
    assert said(text) == ([], None)


def test_every_row_has_a_case_and_names_flags_that_extra_args_passes() -> None:
    sentences = {said(text)[1] for text, _ in COMBINED}
    assert sentences == {row.says for row in COMBINATIONS}
    known = {*EXTRA_SWITCH_FLAGS, *EXTRA_VALUE_FLAGS}
    for row in COMBINATIONS:
        assert {*re.findall(r"--[a-z0-9][a-z0-9-]+", f"{row.flag} {row.asked} {row.says}")} <= known
