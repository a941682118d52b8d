"""The texts that the diagnosis knows stand in the source of the pinned vLLM, and of the libraries that come with it."""

import ast
import errno
import os
from functools import cache
from pathlib import Path

import pytest

from vllm_operator.diagnosis.log import WRAPPERS
from vllm_operator.diagnosis.symptom import Symptom
from vllm_operator.diagnosis.symptoms import SYMPTOMS
from vllm_parser.environment import interpreter

CHECKED = [symptom for symptom in SYMPTOMS if symptom.source]
# A text that is made of shorter pieces only could be found anywhere.
TELLING = 10


@cache
def _packages() -> Path:
    (packages,) = interpreter().parent.parent.glob("lib/python3*/site-packages")
    return packages


@cache
def _words_of(source: str) -> str:
    """All strings and names of a source file, each on a line: adjacent strings are one, as Python reads them."""
    if source == "errno":
        return "\n".join(f"{os.strerror(number)}: '" for number in errno.errorcode)
    tree = ast.parse((_packages() / source).read_text())
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return "\n".join(" ".join(text.split()) for text in [*strings, *names])


@pytest.mark.parametrize("symptom", CHECKED, ids=lambda symptom: symptom.says[:40])
def test_what_a_symptom_relies_on_is_still_said(symptom: Symptom) -> None:
    assert symptom.source
    words = _words_of(symptom.source)
    missing = [piece for piece in symptom.pieces() if " ".join(piece.split()) not in words]
    assert not missing, f"{symptom.source} no longer says {missing}"
    assert any(len(piece.strip()) >= TELLING for piece in symptom.pieces())


def test_only_texts_of_compiled_code_go_unchecked() -> None:
    unchecked = [symptom.says for symptom in SYMPTOMS if not symptom.source]
    assert all("CUDA" in says or "NVIDIA" in says or "HW" in says or "device" in says for says in unchecked)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_the_words_that_only_point_elsewhere_are_still_said(wrapper: str) -> None:
    sources = ["engine/utils.py", "engine/exceptions.py", "executor/multiproc_executor.py"]
    assert any(wrapper in _words_of(f"vllm/v1/{source}") for source in sources)
