"""The texts that the diagnosis knows stand in the source of the pinned vLLM, and of the libraries that come with it."""

import pytest

from support.real_vllm.source import code_of, missing, words_of
from vllm_operator.diagnosis.catalogue import SYMPTOMS
from vllm_operator.diagnosis.log import WRAPPERS
from vllm_operator.diagnosis.symptom import Symptom

# A text that is made of shorter pieces only could be found anywhere.
TELLING = 10


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: symptom.says[:40])
def test_what_a_symptom_relies_on_is_still_said(symptom: Symptom) -> None:
    unsaid = missing(symptom.source, symptom.pieces())
    assert not unsaid, f"{symptom.source} no longer says {unsaid}"
    assert any(len(piece.strip()) >= TELLING for piece in symptom.pieces())


@pytest.mark.parametrize("line", sorted({symptom.within for symptom in SYMPTOMS if symptom.within}))
def test_the_lines_that_tell_a_step_are_still_vllms(line: str) -> None:
    assert any(line in code_of(f"vllm/v1/worker/{file}") for file in ("gpu_worker.py", "gpu/model_runner.py"))


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_the_words_that_only_point_elsewhere_are_still_said(wrapper: str) -> None:
    sources = ["engine/utils.py", "engine/exceptions.py", "executor/multiproc_executor.py"]
    assert any(wrapper in words_of(f"vllm/v1/{source}") for source in sources)
