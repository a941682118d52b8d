"""What an image's vLLM is too old for is said with what to do, before a pod fails of it."""

from typing import Any

import pytest

from vllm_operator.api.reasons import Reason
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.assess.consistency import not_in_image
from vllm_operator.assess.policy import fault
from vllm_operator.settings import Settings


def spec(**fields: Any) -> InferenceServiceSpec:
    """A spec of any model."""
    return InferenceServiceSpec.model_validate({"model": {"uri": "hf://org/name"}, **fields})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"image": "vllm/vllm-openai:v0.6.6"}, "the operator supports vLLM 0.11.2 and newer, and "),
        ({"image": "vllm/vllm-openai:v0.22.1", "maxQueuedRequests": 9}, "maxQueuedRequests needs vLLM 0.29, and "),
        (
            {"image": "vllm/vllm-openai:v0.12.0", "extraArgs": ["--attention-backend=FLASHINFER"]},
            "--attention-backend in extraArgs needs vLLM 0.13, and vllm/vllm-openai:v0.12.0 has 0.12.0: "
            "use a newer image, or leave it out",
        ),
        (
            {"image": "vllm/vllm-openai:v0.11.2", "maxModelLen": "auto"},
            "maxModelLen: auto needs vLLM 0.14, and vllm/vllm-openai:v0.11.2 has 0.11.2: use a newer image",
        ),
        ({"image": "vllm/vllm-openai:v0.12.0", "kvCache": {"dtype": "nvfp4"}}, "kvCache.dtype: nvfp4 needs vLLM 0.20"),
        (
            {"image": "vllm/vllm-openai:v0.12.0", "speculative": {"method": "dspark", "numSpeculativeTokens": 3}},
            "speculative.method: dspark needs vLLM 0.25, and ",
        ),
        (
            {
                "image": "vllm/vllm-openai:v0.26.0",
                "speculative": {"method": "dspark", "numSpeculativeTokens": 3, "enableAdaptiveVerification": True},
            },
            "speculative.enableAdaptiveVerification needs vLLM 0.28, and ",
        ),
        (
            {"image": "vllm/vllm-openai:v0.12.0", "tuning": {"compilation": {"fastMoeColdStart": True}}},
            "tuning.compilation.fastMoeColdStart needs vLLM 0.16, and ",
        ),
        (
            {
                "image": "vllm/vllm-openai:v0.25.1",
                "tuning": {"compilation": {"passConfig": {"eliminate_noops": True, "fuse_qk_norm_rope_kvcache": True}}},
            },
            "tuning.compilation.passConfig.fuse_qk_norm_rope_kvcache needs vLLM 0.26, and ",
        ),
        (
            {"image": "vllm/vllm-openai:v0.20.0", "extraArgs": ["--seed=1", "--moe-backend=b12x"]},
            "--moe-backend=b12x in extraArgs needs vLLM 0.29, and ",
        ),
    ],
)
def test_what_an_image_lacks_is_named(fields: dict[str, Any], says: str) -> None:
    said = not_in_image(spec(**fields))
    assert said is not None
    assert says in said


@pytest.mark.parametrize(
    "fields",
    [
        {"image": "vllm/vllm-openai:v0.22.1", "maxModelLen": 8192},
        {"image": "vllm/vllm-openai:v0.12.0", "rollout": {"drainTimeoutSeconds": 60}},
        {"image": "vllm/vllm-openai:v0.11.2", "model": {"uri": "hf://org/name", "format": "hf"}},
        {
            "image": "vllm/vllm-openai:v0.28.0",
            "speculative": {"method": "dspark", "numSpeculativeTokens": 3, "dsparkDraftTopk": 9},
        },
        {"image": "vllm/vllm-openai:v0.12.0", "tuning": {"compilation": {"mode": "NONE", "passConfig": {}}}},
        {"image": "example.com/vllm-fork:v7", "maxQueuedRequests": 9},
        {"maxQueuedRequests": 9, "extraArgs": ["--watermark=0.1"]},
    ],
)
def test_what_an_image_has_is_not(fields: dict[str, Any]) -> None:
    assert not_in_image(spec(**fields)) is None


def test_the_image_of_the_settings_counts() -> None:
    settings = Settings.model_validate({"images": {"gpu": "vllm/vllm-openai:v0.22.1"}})
    assert fault(spec(maxModelLen=9), settings) is None
    assert fault(spec(maxQueuedRequests=9), Settings()) is None
    refusal = fault(spec(maxQueuedRequests=9), settings)
    assert refusal is not None
    assert refusal[0] is Reason.IMAGE_TOO_OLD
    assert "maxQueuedRequests needs vLLM 0.29" in refusal[1]
