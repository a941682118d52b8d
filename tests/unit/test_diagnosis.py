"""What is said of pods that do not serve, from what vLLM 0.32 and Kubernetes really said."""

import pytest

from vllm_operator.diagnosis import workload
from vllm_operator.diagnosis.log import last_words
from vllm_operator.observed import PodSnapshot
from vllm_operator.reasons import Reason

# The ends of real logs, as the kubelet keeps them.
CONTRADICTION = """\
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/vllm/lib/python3.11/site-packages/vllm/engine/arg_utils.py", line 1955, in create_model_config
    return ModelConfig(
           ^^^^^^^^^^^^
  File "/opt/vllm/lib/python3.11/site-packages/pydantic/_internal/_dataclasses.py", line 121, in __init__
    s.__pydantic_validator__.validate_python(ArgsKwargs(args, kwargs), self_instance=s)
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, Quantization method specified in the model config (awq) does not match the quantization method \
specified in the `quantization` argument (gptq). [type=value_error, input_value=ArgsKwargs((), {'model': \
...nderer_num_workers': 1}), input_type=ArgsKwargs]
    For further information visit https://errors.pydantic.dev/2.14/v/value_error
"""
CACHE_TOO_SMALL = """\
(EngineCore pid=123) ERROR 11-24 12:00:00 [core.py:1330] EngineCore failed to start.
(EngineCore pid=123) ERROR 11-24 12:00:00 [core.py:1330] Traceback (most recent call last):
(EngineCore pid=123) ERROR 11-24 12:00:00 [core.py:1330]   File "/v/core.py", line 1300, in run_engine_core
(EngineCore pid=123) ERROR 11-24 12:00:00 [core.py:1330]     raise ValueError(
(EngineCore pid=123) ERROR 11-24 12:00:00 [core.py:1330] ValueError: No available memory for the cache blocks.
Traceback (most recent call last):
  File "/v/utils.py", line 1431, in wait_for_engine_startup
    raise RuntimeError(
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""


def failed(log: str) -> PodSnapshot:
    return PodSnapshot(
        name="llama-0",
        revision="r",
        ip=None,
        ready=False,
        terminating=False,
        scheduled=True,
        restarts=2,
        started=False,
        reason="Error",
        message="exit code 1",
        image="vllm:1",
        log=log,
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            CONTRADICTION,
            "Quantization method specified in the model config (awq) does not match the quantization method specified "
            "in the `quantization` argument (gptq).",
        ),
        (CACHE_TOO_SMALL, "ValueError: No available memory for the cache blocks."),
        (
            CACHE_TOO_SMALL[CACHE_TOO_SMALL.index("Traceback (most recent call last):\n  File") :],
            "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
        ),
        (
            "usage: vllm serve [model_tag] [options]\nvllm serve: error: argument --block-size: invalid value: 'abc'\n",
            "vllm serve: error: argument --block-size: invalid value: 'abc'",
        ),
        ("(APIServer pid=1) INFO 11-24 12:00:00 [api.py:1] Loading\n\n", "Loading"),
        ("", ""),
    ],
)
def test_the_line_that_matters_is_found(text: str, words: str) -> None:
    assert last_words(text) == words


def test_a_container_that_failed_is_explained_in_its_own_words() -> None:
    reason, message = workload(None, [failed(CONTRADICTION)]) or (None, "")
    assert reason == Reason.CONTAINER_FAILED
    assert "vLLM in pod llama-0 ended (exit code 1): Quantization method specified" in message
