"""The registries of reasons and of condition types are all there is of them, and a forgotten edit is told."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from support.reasons import (
    REGISTRY,
    ROOT,
    bare,
    hidden,
    sources,
    undecided,
    undeclared,
    unused,
    unused_types,
    without_row,
)
from vllm_operator.api.conditions import ConditionType
from vllm_operator.api.reasons import FORMER, Reason
from vllm_operator.diagnosis.catalogue import SYMPTOMS
from vllm_operator.diagnosis.symptom import Symptom

SOURCES = sources()
TABLE = "diagnosis/device_symptoms.py"
NEW = Symptom("vllm/x.py", "The flux capacitor is empty.", Reason.GPU_ERROR, "it is empty: fill it")


def test_every_reason_that_is_named_has_a_row() -> None:
    assert without_row(SOURCES) == []


def test_every_row_is_used() -> None:
    assert unused(SOURCES) + unused_types(SOURCES) == []


def test_a_reason_goes_only_to_conditions_that_its_row_has() -> None:
    assert undeclared(SOURCES) == []


def test_no_reason_or_type_is_written_as_text() -> None:
    assert bare(SOURCES) == []


def test_every_symptom_either_passes_or_lasts() -> None:
    assert undecided(SYMPTOMS) == []


def test_no_symptom_is_hidden_by_an_earlier_one() -> None:
    assert hidden(SYMPTOMS) == []


@pytest.mark.parametrize("reason", Reason)
def test_the_words_are_one_short_sentence(reason: Reason) -> None:
    assert 15 < len(reason.words) <= 120
    assert reason.words[0].islower() or reason.words.startswith(("KEDA", "vLLM", "Kubernetes", "GPU", "API"))
    assert not reason.words.endswith(".")
    assert ". " not in reason.words


def test_former_names_are_understood_and_not_in_use() -> None:
    assert not FORMER.keys() & {*Reason}
    assert Reason.named("TokenRefused") is Reason.HUB_TOKEN_REFUSED
    assert Reason.named("EngineHung") is Reason.ENGINE_HUNG
    with pytest.raises(ValueError, match="Nonsense is no reason"):
        Reason.named("Nonsense")


def test_the_inspect_job_reads_the_registry_without_pydantic() -> None:
    code = "import json, sys, vllm_operator.inspection.report as r; print(json.dumps([r.__name__, *sys.modules]))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT.parent))
    assert "vllm_operator.api.reasons" in loaded
    assert "pydantic" not in loaded


# A new cause with a message is a symptom and a row. Each edit, and each column of the row, forgotten in turn:


def test_a_symptom_without_its_row_is_told() -> None:
    table = SOURCES[TABLE] + "\n_NEW = Reason.FLUX_EMPTY\n"
    (told,) = without_row({**SOURCES, TABLE: table})
    assert told.startswith(f"{TABLE}:")
    assert told.endswith(f"names Reason.FLUX_EMPTY, which there is not: add its row to {REGISTRY}")


def test_a_row_without_its_symptom_is_told() -> None:
    table = SOURCES[TABLE].replace("Reason.KERNEL_MISSING", "Reason.GPU_UNAVAILABLE")
    (told,) = unused({**SOURCES, TABLE: table})
    assert told == f"nothing names Reason.KERNEL_MISSING: give it somewhere, or remove its row from {REGISTRY}"


def test_a_row_without_a_column_is_told() -> None:
    told = broken('ENGINE_DIED = ("EngineDied", _PODS, PASSES,', 'ENGINE_DIED = ("EngineDied", _PODS,')
    assert "EngineDied: its row has its conditions; PASSES, LASTS or FINE; and the words for people" in told


def test_two_names_of_one_word_are_told() -> None:
    told = broken('ENGINE_DIED = ("EngineDied",', 'ENGINE_DIED = ("EngineHung",')
    assert "duplicate values found in <enum 'Reason'>: ENGINE_HUNG -> ENGINE_DIED" in told


def test_a_row_for_another_condition_is_told() -> None:
    told = undeclared({**SOURCES, TABLE: SOURCES[TABLE] + "\n_NEW = Reason.AT_MAXIMUM\n"})
    assert [words.partition(" names ")[2] for words in told] == [
        f"Reason.AT_MAXIMUM for WorkloadAvailable: add the type to its row in {REGISTRY}"
    ]
    told = undeclared({name: text.replace("Reason.NO_METRIC_YET", "Reason.SCALING") for name, text in SOURCES.items()})
    assert told == [f"Reason.NO_METRIC_YET may stand in ScalingActive, and nothing gives it there: correct {REGISTRY}"]
    assert "GIVES" in undeclared({**SOURCES, "elsewhere/new.py": "_NEW = Reason.GPU_ERROR"})[0]


def test_a_verdict_with_a_reason_of_another_condition_is_told() -> None:
    call = 'Verdict(ConditionType.CHAT_AVAILABLE, False, Reason.GPU_ERROR, "")'
    (told,) = undeclared({**SOURCES, "status/new.py": call})
    assert told == (f"status/new.py:1 names Reason.GPU_ERROR for ChatAvailable: add the type to its row in {REGISTRY}")


def test_a_symptom_that_neither_passes_nor_lasts_is_told() -> None:
    (told,) = undecided([*SYMPTOMS, replace(NEW, reason=Reason.SUSPENDED)])
    assert told == f"pods fail with Suspended: say in its row in {REGISTRY} whether it PASSES or LASTS"


def test_a_hidden_symptom_is_told() -> None:
    (told,) = hidden([*SYMPTOMS, NEW, replace(NEW, says="ERROR: The flux capacitor is empty. Fill it.")])
    assert told == (
        "the symptom 'ERROR: The flux capacitor is empty. Fill it.' is hidden by the earlier 'The flux capacitor is "
        "empty.': move it up in diagnosis/catalogue.py or its table"
    )


def test_a_reason_or_type_as_text_is_told() -> None:
    told = bare({**SOURCES, "status/new.py": f'x = {{"{ConditionType.FITS}": ["EngineHung", "TokenRefused"]}}'})
    assert [words.partition(": write Reason.X")[0] for words in told] == [
        'status/new.py:1 has "Fits"', 'status/new.py:1 has "EngineHung"', 'status/new.py:1 has "TokenRefused"',
    ]  # fmt: skip


def broken(row: str, changed: str) -> str:
    """What Python says of the registry with one row changed."""
    source = SOURCES["api/reasons.py"]
    assert source.count(row) == 1
    code = f"import vllm_operator.api\n__package__ = 'vllm_operator.api'\n{source.replace(row, changed)}"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert ran.returncode
    return ran.stderr
