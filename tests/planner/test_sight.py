"""The pass through a vision tower that vLLM measures with: what it sends, and what that takes.

What vLLM sends was read from its own `MultiModalBudget` (0.32) for these configs; the bytes of one pass, without
pixels, from torch on an H200.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from vllm_operator.api import InferenceServiceSpec
from vllm_operator.planner.accelerators import GIB, find
from vllm_operator.planner.alternatives import advice, hints
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.asked import as_asked
from vllm_operator.planner.effective import EngineSettings, engine_of
from vllm_operator.planner.plan import plan
from vllm_operator.planner.shapes import ModelShape
from vllm_operator.planner.tower_pass import Look, look, tower_bytes

CONFIGS = json.loads(Path(__file__).with_name("architectures.json").read_text())
QWEN25, QWEN3, GEMMA, MISTRAL = (
    "Qwen2.5-VL-7B-Instruct", "Qwen3-VL-8B-Instruct", "gemma-3-12b-it", "Mistral-Small-3.2-24B-Instruct-2506",
)  # fmt: skip
PIXTRAL, QWEN35 = "pixtral-12b", "Qwen3.5-27B"


def seen(name: str, **fields: Any) -> tuple[ModelShape, EngineSettings]:
    """A model with a spec's changes, and the engine."""
    said = {"model": {"uri": "hf://a/b"}, "image": "vllm/vllm-openai:v0.32.0", **fields}
    spec, gpu = InferenceServiceSpec.model_validate(said), find("NVIDIA-H200")
    assert gpu
    model = as_asked(spec, model_of(CONFIGS[name]["config"]))
    return model, engine_of(spec, model, gpu)


@pytest.mark.parametrize(
    ("name", "fields", "items", "patches"),
    [
        (QWEN25, {}, 1, 458_752),  # a video of 14 frames
        (QWEN25, {"maxModelLen": 32768}, 1, 131_072),  # as long a video as a sequence holds
        (QWEN25, {"maxModelLen": 4096}, 1, 65_536),  # never less than two frames
        (QWEN25, {"maxModelLen": 32768, "extraArgs": ['--limit-mm-per-prompt={"video":0}']}, 1, 65_536),
        (QWEN25, {"maxModelLen": 32768, "extraArgs": ['--limit-mm-per-prompt={"video":{"count":0}}']}, 1, 65_536),
        # Sizes that are bounded are those that vLLM measures with; how many there are goes by the largest all the same.
        (QWEN25, {"extraArgs": ['--limit-mm-per-prompt={"video":{"num_frames":3,"width":280,"height":140}}']}, 1, 400),
        (QWEN3, {"maxModelLen": 32768}, 1, 65_536),  # an image is larger than a video
        (QWEN3, {"maxModelLen": 32768, "maxNumBatchedTokens": 65536}, 4, 65_536),
        (QWEN3, {"maxModelLen": 32768, "extraArgs": ['--limit-mm-per-prompt={"image":0}']}, 1, 49_152),
        (GEMMA, {"maxModelLen": 32768, "maxNumBatchedTokens": 8192}, 32, 4096),
        (MISTRAL, {"maxModelLen": 32768, "maxNumBatchedTokens": 8192}, 2, 12_100),
    ],
)
def test_vllm_sends_the_largest_item_as_often_as_a_batch_takes_it(
    name: str, fields: dict[str, Any], items: int, patches: int
) -> None:
    model, engine = seen(name, **fields)
    assert model.sight
    assert look(model.sight, engine) == Look(items, patches)


@pytest.mark.parametrize(
    ("name", "fields", "measured"),
    [
        (QWEN25, {}, 15_361_930_240),
        (QWEN25, {"maxModelLen": 32768}, 4_389_872_640),
        (QWEN3, {"maxModelLen": 32768}, 2_224_030_208),
        (QWEN35, {"maxModelLen": 32768}, 1_821_745_664),
        (MISTRAL, {"maxModelLen": 32768, "maxNumBatchedTokens": 8192}, 903_738_368),
        (PIXTRAL, {"maxModelLen": 16384, "maxNumBatchedTokens": 8192}, 198_669_312),
    ],
)
def test_a_patch_takes_what_was_measured(name: str, fields: dict[str, Any], measured: float) -> None:
    model, engine = seen(name, **fields)
    assert model.sight
    sent = look(model.sight, engine)
    taken = tower_bytes(model, engine) - sent.items * sent.patches * model.sight.pixel_bytes
    assert taken == pytest.approx(measured, rel=0.01)


def test_ranks_that_have_the_whole_of_a_tower_divide_no_video() -> None:
    model, engine = seen(QWEN25, tensorParallelSize=4, extraArgs=["--mm-encoder-tp-mode=data"])
    alone, one = seen(QWEN25)
    assert tower_bytes(model, engine) == tower_bytes(alone, one)


def test_a_shorter_context_is_offered_where_the_longest_video_leaves_nothing() -> None:
    gpu, model = find("NVIDIA-A10G"), model_of(CONFIGS[QWEN25]["config"])
    assert gpu
    spec = InferenceServiceSpec.model_validate({"model": {"uri": "hf://a/b"}, "image": "vllm/vllm-openai:v0.32.0"})
    assert plan(spec, model, gpu).fits is False
    offered = [one.patch for one in advice(spec, model, gpu, 1, catalogue=[]).alternatives]
    assert any(patch.keys() == {"maxModelLen"} for patch in offered)


def test_the_models_own_processor_says_how_large_an_image_may_be() -> None:
    gpu, config = find("NVIDIA-H200"), CONFIGS[QWEN25]["config"]
    assert gpu
    said = {"model": {"uri": "hf://a/b"}, "image": "vllm/vllm-openai:v0.32.0", "maxModelLen": 32768}
    spec = InferenceServiceSpec.model_validate(said)
    small, published = model_of(config, image_pixels=1280 * 28 * 28), model_of(config)
    assert small.sight
    assert look(small.sight, engine_of(spec, small, gpu)) == Look(1, 7 * 1280 * 4)  # a video of 14 frames
    assert any("images" in why for why in plan(spec, published, gpu).approximate)
    assert not any("images" in why for why in plan(spec, small, gpu).approximate)


@pytest.mark.parametrize("flag", ["--skip-mm-profiling", "--language-model-only"])
def test_nothing_is_sent_where_vllm_is_told_so(flag: str) -> None:
    model, engine = seen(QWEN25, extraArgs=[flag])
    assert tower_bytes(model, engine) == 0


def test_a_small_gpu_holds_images_and_not_the_longest_video() -> None:
    gpu, model = find("NVIDIA-L4"), model_of(CONFIGS[QWEN25]["config"])
    assert gpu
    said = {"model": {"uri": "hf://a/b"}, "image": "vllm/vllm-openai:v0.32.0", "quantization": "fp8"}
    whole = plan(InferenceServiceSpec.model_validate(said), model, gpu)
    few = ['--limit-mm-per-prompt={"video":0}']
    images = plan(InferenceServiceSpec.model_validate({**said, "maxModelLen": 16384, "extraArgs": few}), model, gpu)
    assert whole.fits is False
    assert images.fits is True
    assert images.capacity
    assert images.capacity.memory.activation < 2.5 * GIB


def test_requests_without_videos_are_offered_where_that_fits() -> None:
    gpu, model = find("NVIDIA-L4"), model_of(CONFIGS[QWEN25]["config"])
    assert gpu
    said = {"model": {"uri": "hf://a/b"}, "quantization": "fp8", "maxModelLen": 65536}
    spec = InferenceServiceSpec.model_validate({**said, "image": "vllm/vllm-openai:v0.32.0"})
    assert any("--limit-mm-per-prompt" in hint for hint in hints(spec, model, gpu))
    limited = spec.model_copy(update={"extra_args": ['--limit-mm-per-prompt={"video":1}']})
    assert not any("--limit-mm-per-prompt" in hint for hint in hints(limited, model, gpu))
