"""The texts that the diagnosis knows stand in the source of the pinned vLLM, and of the libraries that come with it.

What the oldest vLLM that is supported says otherwise has a text of its own.
"""

import pytest

from support.real_vllm.environment import oldest
from support.real_vllm.source import code_of, missing, words_of
from vllm_operator.diagnosis.catalogue import SYMPTOMS
from vllm_operator.diagnosis.log import WRAPPERS
from vllm_operator.diagnosis.symptom import Symptom

# A text that is made of shorter pieces only could be found anywhere.
TELLING = 10


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: symptom.says[:40])
def test_what_a_symptom_relies_on_is_still_said(symptom: Symptom) -> None:
    unsaid = missing(symptom.source, symptom.pieces(), oldest() if symptom.oldest else None)
    assert not unsaid, f"{symptom.source} no longer says {unsaid}"
    assert any(len(piece.strip()) >= TELLING for piece in symptom.pieces())


# Where the oldest vLLM has what is elsewhere now.
MOVED = {
    "vllm/exceptions.py": "vllm/lora/worker_manager.py",
    "vllm/tokenizers/hf.py": "vllm/transformers_utils/tokenizer.py",
    "vllm/renderers/chat_utils.py": "vllm/entrypoints/chat_utils.py",
    "vllm/entrypoints/launchers/launcher.py": "vllm/entrypoints/openai/api_server.py",
    "vllm/model_executor/layers/quantization/auto_awq.py": "vllm/model_executor/layers/quantization/awq.py",
}
# What it says otherwise, in a text of its own in the catalogue.
OTHERWISE = ("Free memory on device {device} (", "World size (", "DP adjusted local rank {rank} is out of bounds for ")
# What it neither checks nor says.
NEWER = (
    "Cannot auto-fit max_model_len",
    "after excluding external process's weights",
    "Available memory on node {}",
    "Failed to load model - not enough GPU memory. ",
    "This happens when tensor_parallel_size splits",
)


@pytest.mark.parametrize("symptom", [one for one in SYMPTOMS if not one.oldest and one.source.startswith("vllm/")],
                         ids=lambda symptom: symptom.says[:40])  # fmt: skip
def test_what_the_oldest_vllm_says_otherwise_is_known_too(symptom: Symptom) -> None:
    unsaid = missing(MOVED.get(symptom.source, symptom.source), symptom.pieces(), oldest())
    known = any(text in symptom.says for text in (*OTHERWISE, *NEWER))
    assert bool(unsaid) == known, f"the oldest vLLM does not say {unsaid}: add its own text to the catalogue"


@pytest.mark.parametrize("line", sorted({symptom.within for symptom in SYMPTOMS if symptom.within}))
def test_the_lines_that_tell_a_step_are_still_vllms(line: str) -> None:
    assert any(line in code_of(f"vllm/v1/worker/{file}") for file in ("gpu_worker.py", "gpu/model_runner.py"))


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_the_words_that_only_point_elsewhere_are_still_said(wrapper: str) -> None:
    engine = ["engine/utils.py", "engine/exceptions.py", "executor/multiproc_executor.py"]
    sources = [*(f"vllm/v1/{source}" for source in engine), "vllm/model_executor/models/registry.py"]
    assert any(wrapper in words_of(source) for source in sources)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("vllm/transformers_utils/repo_utils.py", ", retrying %d of %d"),
        ("vllm/transformers_utils/repo_utils.py", "Error retrieving file list"),
        ("vllm/transformers_utils/config.py", "Error retrieving safetensors"),
        ("vllm/model_executor/models/registry.py", "Error saving model info cache."),
        ("vllm/v1/engine/core.py", "Invocation of %s method failed"),
        ("vllm/v1/engine/core.py", "Unexpected error pre-processing request %s"),
    ],
)
def test_what_vllm_goes_on_after_is_still_said_so(source: str, words: str) -> None:
    assert words in words_of(source)
