"""The table of `kubectl vllm batch status`."""

import json
from typing import Any

from support.kube import Object
from vllm_operator.cli.fleet.batches import as_json, as_text


def batch(name: str, reason: str, **status: Any) -> Object:
    conditions = [{"type": "Ready", "status": "False", "reason": reason, "message": f"it is {reason}"}]
    return {"metadata": {"name": name, "namespace": "a"}, "status": {"conditions": conditions, **status}}


RUNS = batch("runs", "Answering", done=2600, failed=40, total=5000, tokensPerSecond=5120, estimatedEnd="12:00")


def test_a_row_says_how_far_it_is() -> None:
    first, second = as_text([RUNS, batch("waits", "HeldByQueue")]).splitlines()[1:]
    assert first.split() == ["a", "runs", "2,600", "40", "5,000", "52%", "5,120", "12:00", "Answering"]
    assert second.split() == ["a", "waits", "-", "-", "-", "-", "-", "-", "HeldByQueue"]


def test_one_batch_has_its_sentence_below() -> None:
    assert as_text([RUNS]).splitlines()[-1] == "it is Answering"


def test_one_that_nobody_has_seen_is_shown() -> None:
    assert as_text([{"metadata": {"name": "x"}}]).splitlines()[1].split()[0] == "x"
    assert as_text([]) == "no InferenceBatches found"


def test_scripts_get_null_for_what_is_not_known() -> None:
    (row,) = json.loads(as_json([batch("waits", "HeldByQueue")]))["batches"]
    assert (row["done"], row["reason"]) == (None, "HeldByQueue")
