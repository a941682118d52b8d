"""Which line of a log tells the cause."""

import time

import pytest

from support.pod_status import SERVED, failed, found
from support.vllm_logs import BAD_VALUE, CONTRADICTION, NO_CACHE, NO_OPERATOR, WRAPPER
from vllm_operator.api.reasons import Reason
from vllm_operator.diagnosis import wants_log
from vllm_operator.diagnosis.log import exception_names, last_error, last_line


def test_the_error_that_matters_is_found_in_a_log() -> None:
    assert last_error(CONTRADICTION) == (
        "Quantization method specified in the model config (awq) does not match the quantization method specified "
        "in the `quantization` argument (gptq)."
    )
    assert last_error(NO_CACHE).startswith("ValueError: No available memory for the cache blocks.")
    assert last_error(WRAPPER).startswith("RuntimeError: Engine core initialization failed.")
    assert last_error(BAD_VALUE) == "vllm serve: error: argument --block-size: invalid int value: 'abc'"
    assert last_error(NO_OPERATOR).startswith("RuntimeError: _C::static_scaled_fp8_quant() expected")
    assert last_error("") == ""
    assert last_error("AssertionError\n\nLoading safetensors checkpoint shards:   0% Completed | 0/1 [00:00<?]\n") == (
        "AssertionError"
    )
    two_processes = (
        "(A pid=1) ERROR 11-24 12:00:00 [a.py:1] ValueError: x\n(B pid=2) INFO 11-24 12:00:01 [b.py:1] bye\n"
    )
    assert last_error(two_processes) == "ValueError: x"
    assert last_line("(APIServer pid=1) INFO 11-24 12:00:00 [api.py:1] Loading\n\n") == "Loading"
    assert last_line("W1125 01:40:34.474000 1 torch/utils/flop_counter.py:29] triton not found\n") == "triton not found"


INSPECTING = "(APIServer pid=1) ERROR 11-29 11:38:58 [registry.py:1120] "
LIBRARY = "ImportError: libGL.so.1: cannot open shared object file: No such file or directory"
INSPECTED = f"""\
{INSPECTING}Error in inspecting model architecture 'Qwen2VL'
{INSPECTING}Traceback (most recent call last):
{INSPECTING}  File "/x.py", line 9, in x
{INSPECTING}RuntimeError: Error raised in subprocess:
{INSPECTING}Traceback (most recent call last):
{INSPECTING}  File "/y.py", line 3, in y
{INSPECTING}{LIBRARY}
"""
NOT_INSPECTED = """\
(APIServer pid=1) pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
(APIServer pid=1)   Value error, Model architectures ['Qwen2VL'] failed to be inspected. Please \
check the logs for more details. [type=value_error, input_value=ArgsKwargs((), {'model': ...}), input_type=ArgsKwargs]
"""


def test_a_model_that_could_not_be_looked_into_is_told_by_what_kept_vllm_from_it() -> None:
    reason, message = found(failed(f"{INSPECTED}{NOT_INSPECTED}"))
    assert (reason, LIBRARY in message) == (Reason.CONTAINER_FAILED, True), message
    cut = failed(NOT_INSPECTED)
    assert "the cause stands further up in its log" in found(cut)[1]
    assert wants_log(cut)


def test_only_what_ended_vllm_tells_whether_it_refuses_its_arguments() -> None:
    assert found(failed(CONTRADICTION))[0] == Reason.INVALID_ARGUMENTS
    for log in (
        "1 validation error for X\nOSError: no",
        f"{CONTRADICTION}OSError: no",
        "validation error\nOSError: no",
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for Tool\n  Input should be a valid string",
        "x.MyError: validation error in the tokenizer",
    ):
        assert found(failed(log))[0] == Reason.CONTAINER_FAILED


def test_what_a_traceback_ends_in_is_an_exception_whatever_its_name() -> None:
    frames = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    f()\n    ~^^\n'
    for said in ("triton.runtime.errors.OutOfResources: out of resource", "a.b.Stopped", "grpc.RpcFailed: x: y"):
        assert last_error(f"{frames}{said}\nINFO bye\n").startswith(said)
        cut = f"{frames.split(chr(10), 1)[1]}{said}"
        assert (
            last_error("\n".join(f"(A pid=1) ERROR 11-24 12:00:00 [a.py:1] {line}" for line in cut.splitlines()))
            == said
        )
        assert exception_names(f"{frames}{said}") == [said.split(":")[0].rsplit(".", 1)[-1]]
    for said in ("torch.compile takes long", "vllm.Starting with x", "Process EngineCore:", "Some.Name: x"):
        assert last_error(f"{frames}\nINFO bye\n{said}") == ""


def test_what_torch_logs_is_not_what_a_process_ended_with() -> None:
    caught = "E1129 11:39:21.456000 52 torch/_inductor/select_algorithm.py:4611] [1/0_2] [__x] "
    frames = f'{caught}Traceback (most recent call last):\n{caught}  File "x.py", line 1\n{caught}ValueError: caught\n'
    assert last_error(frames) == ""
    assert last_error(f"KeyError: 'x'\n{frames}") == "KeyError: 'x'"
    assert exception_names(frames) == ["ValueError"]


@pytest.mark.parametrize(
    "piece", ["a", "eyJ-", "token", "token ", "No adapter found for'", "ValueError: ", "(A pid=1) "]
)
def test_no_log_keeps_the_operator_busy(piece: str) -> None:
    """A log may hold anything, and the operator reads it in its one thread."""
    log = (piece * 4096)[:4096]
    start = time.process_time()
    found(failed(log))
    found(failed(log, ready_changed=SERVED))
    assert time.process_time() - start < 0.25
