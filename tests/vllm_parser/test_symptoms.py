"""The texts that the diagnosis knows stand in the source of the pinned vLLM, and of the libraries that come with it."""

import pytest

from vllm_operator.diagnosis.log import WRAPPERS
from vllm_operator.diagnosis.symptom import Symptom
from vllm_operator.diagnosis.symptoms import SYMPTOMS
from vllm_parser.source import words_of

CHECKED = [symptom for symptom in SYMPTOMS if symptom.source]
# A text that is made of shorter pieces only could be found anywhere.
TELLING = 10


@pytest.mark.parametrize("symptom", CHECKED, ids=lambda symptom: symptom.says[:40])
def test_what_a_symptom_relies_on_is_still_said(symptom: Symptom) -> None:
    assert symptom.source
    words = words_of(symptom.source)
    missing = [piece for piece in symptom.pieces() if " ".join(piece.split()) not in words]
    assert not missing, f"{symptom.source} no longer says {missing}"
    assert any(len(piece.strip()) >= TELLING for piece in symptom.pieces())


def test_only_texts_of_compiled_code_go_unchecked() -> None:
    unchecked = [symptom.says for symptom in SYMPTOMS if not symptom.source]
    assert all("CUDA" in says or "NVIDIA" in says or "HW" in says or "device" in says for says in unchecked)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_the_words_that_only_point_elsewhere_are_still_said(wrapper: str) -> None:
    sources = ["engine/utils.py", "engine/exceptions.py", "executor/multiproc_executor.py"]
    assert any(wrapper in words_of(f"vllm/v1/{source}") for source in sources)
