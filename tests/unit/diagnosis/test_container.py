"""What is said of a container that ended: before it served and after, by exit code, time and the end of its log."""

import pytest

from support.pod_status import CREATED, ENDED, SERVED, STARTED, failed, found, pod
from support.vllm_logs import BAD_VALUE, ENGINE_ENDED, KILLED_LOADING, NO_KERNEL, NO_OPERATOR, TORCH_OOM, WORKER_DIED
from vllm_operator.api.reasons import Reason
from vllm_operator.diagnosis.container import wants_events, wants_log
from vllm_operator.vllm import middleware


def test_an_unknown_flag_or_value_is_told_in_vllms_sentence() -> None:
    reason, message = found(failed(BAD_VALUE, code=2))
    assert reason == Reason.INVALID_ARGUMENTS
    assert "refuses its arguments: vllm serve: error: argument --block-size: invalid int value: ***" in message


def test_a_kernel_that_the_build_lacks_is_named_after_the_first_request() -> None:
    reason, message = found(failed(NO_KERNEL, code=0, reason="Completed", ready_changed=SERVED))
    assert reason == Reason.KERNEL_MISSING
    assert "has no cpu_gemm_wna16: use another checkpoint" in message


SECRET_PROMPT = "RuntimeError: cannot tokenize 'my diagnosis is a secret'"


def test_what_users_may_have_sent_is_never_shown() -> None:
    _, before = found(failed(SECRET_PROMPT))
    assert "my diagnosis" in before
    reason, after = found(failed(SECRET_PROMPT, ready_changed=SERVED))
    assert reason == Reason.CONTAINER_FAILED
    assert "my diagnosis" not in after
    assert "exit code 1 (its last exception: RuntimeError)" in after
    _, known = found(failed("No adapter found for /models/a-secret;please", ready_changed=SERVED))
    assert "secret" not in known


def test_out_of_memory_while_serving_still_shows_the_numbers() -> None:
    reason, message = found(failed(TORCH_OOM, code=0, reason="Completed", ready_changed=SERVED))
    assert reason == Reason.OUT_OF_GPU_MEMORY
    assert message.startswith("vLLM in pod llama-0 stopped: GPU memory ran out: 896.00 MiB")


def test_host_memory_is_told_with_the_limit() -> None:
    reason, message = found(failed("INFO Loading\n", code=137, reason="OOMKilled"))
    assert reason == Reason.OUT_OF_MEMORY
    assert "its limit of 64Gi" in message


def test_a_start_that_took_too_long_is_told_from_one_that_stopped_answering() -> None:
    loading = "(EngineCore pid=9) INFO 11-24 12:31:00 [weights.py:1] Loading shards: 45%\n"
    late = failed(loading, code=137, ended="2026-11-24T12:31:10Z")
    assert found(late)[0] == Reason.STARTUP_TIMEOUT
    assert "not ready within 1800 s (its last line: Loading shards: 45%): raise startupTimeoutSeconds" in found(late)[1]
    hung = failed(code=137, ended="2026-11-24T14:00:00Z", ready_changed=SERVED)
    assert found(hung)[0] == Reason.LIVENESS_FAILED
    died = failed(code=0, reason="Completed", ended="2026-11-24T14:00:00Z", ready_changed=SERVED)
    assert found(died)[0] == Reason.ENGINE_DIED


def test_a_failed_restart_after_serving_is_not_taken_for_an_end_of_serving() -> None:
    """Ready was lost at 13:00; the container that ended was started after that and never ready."""
    ending = {
        "exitCode": 137,
        "reason": "Error",
        "startedAt": "2026-11-24T13:01:00Z",
        "finishedAt": "2026-11-24T13:02:00Z",
    }
    again = pod({"state": {"waiting": {}}, "lastState": {"terminated": ending}}, ready_changed=SERVED)
    reason, message = found(again)
    assert reason == Reason.CONTAINER_FAILED
    assert "does not start: it was ended by SIGKILL" in message


def test_a_signal_is_told_by_name() -> None:
    assert "SIGILL: the image's code is not for this CPU" in found(failed(code=132))[1]
    assert "SIGRTMAX" in found(failed(code=192))[1]


@pytest.mark.parametrize("code", [128, 193, 227, 255])
def test_an_exit_code_that_no_signal_has_is_told_as_it_is(code: int) -> None:
    assert f"it ended with exit code {code}; kubectl logs" in found(failed(code=code))[1]
    assert found(failed("the last words", code=code))[1].endswith(f"the last words (exit code {code})")


@pytest.mark.parametrize(("reason", "code"), [("Unknown", 255), ("ContainerStatusUnknown", 137)])
@pytest.mark.parametrize("log", ["", "RuntimeError: CUDA error: unknown error\n", "No adapter found for x"])
@pytest.mark.parametrize("ready_changed", [CREATED, SERVED])
def test_a_container_whose_end_nobody_saw_is_its_nodes(reason: str, code: int, log: str, ready_changed: str) -> None:
    ended = failed(log, code=code, reason=reason, ready_changed=ready_changed, ended="2026-11-24T14:00:00Z")
    told, message = found(ended)
    assert told.passes
    assert message == (
        "vLLM in pod llama-0 stopped: node gpu-1, or its container runtime, was restarted; vLLM is started anew there"
    )
    assert not wants_log(ended)
    assert not wants_events(ended)


@pytest.mark.parametrize(
    ("log", "code", "ready_changed"),
    [
        (KILLED_LOADING, 1, CREATED),
        (WORKER_DIED.format(code=-9), 1, CREATED),
        (WORKER_DIED.format(code=-9), 0, SERVED),
        (WORKER_DIED.format(code=None), 0, SERVED),
    ],
)
def test_one_process_that_the_kernel_ended_is_told_as_memory(log: str, code: int, ready_changed: str) -> None:
    """The container ends as if by itself, with 0 or 1."""
    reason, message = found(failed(log, code=code, reason="Completed", ready_changed=ready_changed))
    assert reason == Reason.OUT_OF_MEMORY
    assert "one of its processes" in message
    assert "most likely the kernel of node gpu-1 did that as memory ran out: raise resources.requests.mem" in message


HEARD_OF_A_KILLED_ONE = [
    "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:538] Connection closed by peer [10.0.0.3]:43112",
    "RuntimeError: NCCL error: remote process exited or there was a network error",
    "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)",
    "torch.distributed.DistBackendError: NCCL error in: /torch/NCCLUtils.cpp:93, unhandled system error, NCCL version "
    "2.28.9\nncclSystemError: System call failed.\nLast error:\nsocketRecv: Connection reset by peer\n",
]


@pytest.mark.parametrize("heard", HEARD_OF_A_KILLED_ONE)
@pytest.mark.parametrize(
    ("ended", "reason", "told"),
    [
        (WORKER_DIED.format(code=-9), Reason.OUT_OF_MEMORY, "most likely the kernel of node gpu-1"),
        (WORKER_DIED.format(code=None), Reason.OUT_OF_MEMORY, "most likely the kernel of node gpu-1"),
        (ENGINE_ENDED.format(codes="{'EngineCore_DP0': -9}"), Reason.OUT_OF_MEMORY, "most likely the kernel"),
        (WORKER_DIED.format(code=-7), Reason.CONTAINER_FAILED, "was ended by SIGBUS"),
        (WORKER_DIED.format(code=-11), Reason.CONTAINER_FAILED, "was ended by SIGSEGV"),
    ],
)
def test_a_process_that_was_killed_is_told_before_what_another_heard_of_it(
    heard: str, ended: str, reason: Reason, told: str
) -> None:
    for log in (f"(Worker_TP1 pid=61) {heard}\n{ended}", f"{ended}(Worker_TP1 pid=61) {heard}\n"):
        got, message = found(failed(log))
        assert (got, told in message) == (reason, True), message
    served = failed(f"(Worker_TP1 pid=61) {heard}\n{ended}", code=0, reason="Completed", ready_changed=SERVED)
    assert (found(served)[0], told in found(served)[1]) == (
        Reason.ENGINE_DIED if reason == Reason.CONTAINER_FAILED else reason,
        True,
    )


@pytest.mark.parametrize("code", [-6, None])
def test_a_rank_that_its_own_watchdog_ended_was_not_killed_for_memory(code: int | None) -> None:
    watchdog = (
        "terminate called after throwing an instance of 'c10::DistBackendError'\n"
        "  what():  [PG ID 0 Rank 0] Watchdog caught collective operation timeout: WorkNCCL(OpType=ALLREDUCE)\n"
    )
    assert found(failed(f"{watchdog}{WORKER_DIED.format(code=code)}"))[0] == Reason.RANK_UNREACHABLE


def test_one_process_that_a_signal_ended_is_told_by_it() -> None:
    log = WORKER_DIED.format(code=-4)
    served = found(failed(log, code=0, reason="Completed", ready_changed=SERVED))
    assert served[0] == Reason.ENGINE_DIED
    loading = found(failed(log))
    assert loading[0] == Reason.CONTAINER_FAILED
    for _, message in (served, loading):
        assert "one of its processes was ended by SIGILL: the image's code is not for this CPU" in message


@pytest.mark.parametrize("log", [ENGINE_ENDED, ENGINE_ENDED.partition("Traceback")[2]])
@pytest.mark.parametrize(
    ("codes", "reason", "told"),
    [
        ("{'EngineCore': -11}", Reason.CONTAINER_FAILED, "ended by SIGSEGV: kubectl logs llama-0 --previous"),
        ("{'EngineCore': -6}", Reason.CONTAINER_FAILED, "ended by SIGABRT: kubectl logs llama-0 --previous"),
        ("{'EngineCore': -4}", Reason.CONTAINER_FAILED, "ended by SIGILL: the image's code is not for this CPU"),
        ("{'EngineCore': -9}", Reason.OUT_OF_MEMORY, "most likely the kernel of node gpu-1 did that as memory ran out"),
        ("{'EngineCore_DP0': 1, 'EngineCore_DP1': -9}", Reason.OUT_OF_MEMORY, "one of its processes was killed"),
        ("{'EngineCore_DP0': -11, 'VLLM_DP_Coordinator': 1}", Reason.CONTAINER_FAILED, "ended by SIGSEGV"),
    ],
)
def test_an_engine_that_a_signal_ended_is_told_by_it(log: str, codes: str, reason: Reason, told: str) -> None:
    got, message = found(failed(log.format(codes=codes)))
    assert (got, told in message) == (reason, True), message


def test_an_engine_that_ended_in_no_exception_is_told_by_its_exit_code() -> None:
    reason, message = found(failed(ENGINE_ENDED.format(codes="{'EngineCore': 7}")))
    assert reason == Reason.CONTAINER_FAILED
    assert "its engine ended with exit code 7 and no exception; kubectl logs llama-0 --previous shows more" in message
    assert found(failed(ENGINE_ENDED.format(codes="{}")))[0] == Reason.OUT_OF_MEMORY
    worker = KILLED_LOADING.replace("proc(s): {}", "proc(s): {'EngineCore': 1}")
    assert found(failed(worker))[0] == Reason.OUT_OF_MEMORY, "its engine told that a worker had ended"


def test_an_exit_code_of_an_engine_hides_no_better_words() -> None:
    assert "_C::static_scaled_fp8_quant() expected" in found(failed(NO_OPERATOR))[1]
    crash = "terminate called after throwing an instance of 'std::bad_alloc'"
    aborted = failed(f"{crash}\n{ENGINE_ENDED.format(codes={'EngineCore': -6})}")
    assert f"one of its processes was ended by SIGABRT ({crash}): kubectl logs" in found(aborted)[1]
    assert wants_log(failed(ENGINE_ENDED.format(codes={"EngineCore": -6}))), "what it said stands further up"
    assert not wants_log(failed(ENGINE_ENDED.format(codes={"EngineCore": -9})))


@pytest.mark.parametrize(
    "crash",
    [
        "Fatal Python error: Segmentation fault",
        "terminate called after throwing an instance of 'c10::Error'",
        "thread 'tokio' (77) panicked at src/lib.rs:9:5:",
    ],
)
def test_a_crash_past_python_is_told_and_not_taken_for_a_want_of_memory(crash: str) -> None:
    reason, message = found(failed(f"{KILLED_LOADING}{crash}\n"))
    assert (reason, crash in message) == (Reason.CONTAINER_FAILED, True)


def test_an_exception_of_an_unusual_name_is_told_where_a_traceback_ends_in_it() -> None:
    unusual = "torch._dynamo.exc.BackendCompilerFailed: backend='inductor' raised:"
    log = f'{KILLED_LOADING}Traceback (most recent call last):\n  File "x.py", line 1, in f\n    f()\n{unusual}\n'
    reason, message = found(failed(log))
    assert reason == Reason.CONTAINER_FAILED
    assert f"{unusual} (exit code 1)" in message
    assert "BackendCompilerFailed" in found(failed(log, ready_changed=SERVED))[1]
    assert unusual not in found(failed(f"{KILLED_LOADING}{unusual}\n"))[1], "no traceback ends in it"


def test_a_traceback_that_ends_in_what_is_not_known_is_not_taken_for_silence() -> None:
    reason, message = found(failed(f"{KILLED_LOADING}Traceback (most recent call last):\n  File\nodd: words\n"))
    assert reason == Reason.CONTAINER_FAILED
    assert "the cause stands further up in its log" in message


def test_a_log_whose_beginning_is_cut_off_is_not_taken_for_silence() -> None:
    reason, message = found(failed(KILLED_LOADING.split("\n", 1)[1]))
    assert reason == Reason.CONTAINER_FAILED
    assert "the cause stands further up in its log" in message


def test_restarts_change_the_message_only_when_they_double() -> None:
    told = [found(failed("ValueError: x", restarts=restarts))[1] for restarts in range(1, 100)]
    assert len(set(told)) == 7
    assert told[0].endswith("x (exit code 1)")
    assert told[99 - 1].endswith("; restarted 64 times or more")


def test_the_message_stands_while_the_next_container_starts() -> None:
    ending = {"exitCode": 1, "startedAt": STARTED, "finishedAt": ENDED, "message": "ValueError: x"}
    running = pod({"state": {"running": {}}, "lastState": {"terminated": ending}})
    backing_off = pod({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ending}})
    just_ended = pod({"state": {"terminated": ending}})
    assert found(running) == found(backing_off) == found(just_ended)


def test_an_empty_api_key_is_told_with_what_to_do_and_no_log_is_read_for_it() -> None:
    ended = failed(middleware.NO_KEY)
    reason, message = found(ended)
    assert reason == Reason.API_KEY_EMPTY
    assert message.startswith("vLLM in pod llama-0 does not start: the Secret of apiKeySecretRef holds an empty key")
    assert not wants_log(ended)
    reason, message = found(failed(middleware.NO_KEYS))
    assert (reason, "no Secret of apiKeySecretRefs has its key" in message) == (Reason.API_KEY_EMPTY, True)
    reason, message = found(failed(middleware.UNSENT_KEY))
    assert (reason, "`printf %s KEY`" in message) == (Reason.API_KEY_EMPTY, True)
    later, _ = found(failed(f"users may write this: {middleware.NO_KEY}"))
    assert later != Reason.API_KEY_EMPTY


NO_PEERS = "Failed: Cuda error /workspace/csrc/custom_all_reduce.cuh:455 'invalid argument'\n"


def test_a_worker_that_ends_where_gpus_do_not_reach_each_other_is_not_taken_for_a_want_of_memory() -> None:
    reason, message = found(failed(f"{NO_PEERS}{KILLED_LOADING}"))
    assert reason == Reason.GPU_ERROR
    assert "do not reach each other's memory (invalid argument): set extraArgs: --disable-custom-all-reduce" in message
    full = NO_PEERS.replace("invalid argument", "out of memory")
    assert found(failed(f"{full}{KILLED_LOADING}"))[0] == Reason.OUT_OF_GPU_MEMORY


def test_a_worker_that_ends_by_itself_and_says_nothing_is_not_taken_for_a_want_of_memory() -> None:
    worker = "Worker proc VllmWorker-1 died unexpectedly (exit code: 1), shutting down executor."
    for log in (f"{KILLED_LOADING}{worker}\n", f"{worker}\n{KILLED_LOADING}"):
        reason, message = found(failed(log))
        assert reason == Reason.CONTAINER_FAILED
        assert "one of its workers ended with exit code 1 and no exception" in message
