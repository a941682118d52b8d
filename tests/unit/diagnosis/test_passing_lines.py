"""What a log says that ended nothing is not taken for the cause, whoever wrote it: vLLM, a library, or a user."""

from dataclasses import replace

import pytest

from support.pod_status import SERVED, failed, found
from support.vllm_logs import WORKER_DIED, WRAPPER
from vllm_operator.api.limits import cut_lines
from vllm_operator.api.reasons import Reason
from vllm_operator.diagnosis import wants_log
from vllm_operator.diagnosis.catalogue import SYMPTOMS
from vllm_operator.diagnosis.symptom import OF_SYSTEM, Symptom

DEAD = (
    "(APIServer pid=1) ERROR 11-29 11:38:58 [async_llm.py:906] vllm.v1.engine.exceptions.EngineDeadError: EngineCore "
    "encountered an issue. See stack trace (above) for the root cause.\n"
)
KERNEL = "(Worker pid=61) ERROR 11-29 11:38:58 [x.py:9] torch.AcceleratorError: CUDA error: unknown error\n"


def said(symptom: Symptom) -> str:
    """The text of a symptom, with some value in each place."""
    return symptom.says.replace("{}", "x").format(**dict.fromkeys(symptom.pattern.groupindex, "7"))


def of_service(log: str) -> Reason:
    """What is told of an engine that died while it served."""
    return found(failed(log, code=0, reason="Completed", ready_changed=SERVED))[0]


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: symptom.says[:40])
@pytest.mark.parametrize(
    "line",
    [
        "(APIServer pid=1) INFO 11-29 11:38:57 [request_logger.py:66] Received request chatcmpl-1: params: "
        "SamplingParams(stop=['RuntimeError: {}']), lora_request: None.\n",
        "INFO 11-29 11:38:57 [request_logger.py:66] Received request RuntimeError: {}\n",
        "(EngineCore pid=52) WARNING 11-29 11:38:57 [jina.py:243] ValueError: {}\n",
        "(EngineCore_DP0 pid=52) DEBUG 11-29 11:38:57 [x.py:243] ValueError: {}\n",
        "(APIServer pid=1) INFO:     10.0.0.1:5000 - {}\n",
        "\x1b[0;36m(APIServer pid=1)\x1b[0;0m \x1b[32mINFO\x1b[0m \x1b[90m11-29 11:38:57\x1b[0m [x.py:1] {}\n",
        "(APIServer pid=1) ERROR 11-29 11:38:57 [serving.py:250] ValueError: Invalid grammar: {}\n",
        "(EngineCore pid=52) ERROR 11-29 11:38:57 [dump_input.py:79] Dumping scheduler output for model execution: "
        "SchedulerOutput(scheduled_new_reqs=[NewRequestData(sampling_params=SamplingParams(stop=['{}'])\n",
        "(EngineCore pid=52) ERROR 11-29 11:38:57 [logging_utils/dump_input.py:79] RuntimeError: {}\n",
        "(ApiServer_3 pid=1) ERROR 11-29 11:38:57 [serving.py:250] ValueError: Invalid grammar: {}\n",
    ],
)
def test_nobody_who_asks_chooses_why_the_engine_died(symptom: Symptom, line: str) -> None:
    asked = line.format(said(symptom))
    assert of_service(f"{asked}{DEAD}") == Reason.ENGINE_DIED
    assert of_service(f"{asked}{KERNEL}{DEAD}") == Reason.GPU_ERROR


def test_a_request_neither_ends_a_line_nor_a_process() -> None:
    line = "(APIServer pid=1) INFO 11-29 11:38:57 [request_logger.py:66] Received request chatcmpl-{}: params\n"
    for end in ("\x85", "\x0b", "\x1c", "\u2028"):
        asked = line.format(f"{end}No CUDA GPUs are available")
        assert of_service(cut_lines(f"{asked}{DEAD}")) == Reason.ENGINE_DIED
    for words in ("Worker proc x died unexpectedly (exit code: -9)", 'exec: "x": not found'):
        assert of_service(f"{line.format(words)}{DEAD}") == Reason.ENGINE_DIED
    assert of_service(WORKER_DIED.format(code=-9)) == Reason.OUT_OF_MEMORY


@pytest.mark.parametrize("symptom", [one for one in SYMPTOMS if one.source == OF_SYSTEM], ids=lambda one: one.says)
@pytest.mark.parametrize(
    "line",
    [
        "Could not cache non-existence of file. Will ignore error and continue. Error: [Errno 13] {}\n",
        "Ignored error while writing commit hash to /models/refs/main: [Errno 13] {}.\n",
        "(APIServer pid=1) Ignored error while writing tree cache file /models/x: [Errno 13] {}\n",
        "cannot write the cache of kernels ({}), going on without\n",
    ],
)
def test_what_a_library_goes_on_after_is_not_the_cause(symptom: Symptom, line: str) -> None:
    passed = line.format(said(symptom))
    reason, message = found(failed(f"{passed}ValueError: nobody knows this\n"))
    assert (reason, "nobody knows this" in message) == (Reason.CONTAINER_FAILED, True)
    assert found(failed(f"{passed}OSError: [Errno 1] {said(symptom)}\n"))[0] == symptom.reason


HUB = [
    "Server error '503 Service Unavailable' for url 'https://huggingface.co/api/models/org/m'",
    "429 Client Error: Too Many Requests for url: https://huggingface.co/api/models/org/m",
    "401 Client Error.\n\nCannot access gated repo for url https://huggingface.co/org/m.\nAccess is restricted.",
    "We couldn't connect to 'https://huggingface.co' to load the files",
]
TRACEBACK = 'Traceback (most recent call last):\n  File "/x.py", line 1, in x\n{}'
NOT_SAVED = TRACEBACK.format("PermissionError: [Errno 13] Permission denied: '/cache/vllm/modelinfos/x.json'")
NO_RANK = TRACEBACK.format("ValueError: LoRA rank 64 is greater than max_lora_rank 16.")


def logged(place: str, words: str, process: str = "APIServer pid=1") -> str:
    """A record of vLLM's logger, which puts its prefix before each line."""
    prefix = f"({process}) ERROR 11-29 11:38:57 [{place}] "
    return "".join(f"{prefix}{line}\n" for line in words.split("\n"))


@pytest.mark.parametrize(
    "passed",
    [
        *(
            logged("repo_utils.py:127", f"{what}: {said}, retrying 1 of 2")
            for said in HUB
            for what in ("Error retrieving file list", "Error parsing config for org/m")
        ),
        *(logged("transformers_utils/config.py:304", f"Error retrieving file list: {said}") for said in HUB),
        *(logged("repo_utils.py:124", f"Error retrieving safetensors: {said}") for said in HUB),
        logged("registry.py:1041", f"Error saving model info cache.\n{NOT_SAVED}"),
        logged("core.py:2056", f"Unexpected error pre-processing request 7\n{NO_RANK}", "EngineCore pid=9"),
    ],
)
def test_an_error_that_vllm_goes_on_after_is_not_the_cause(passed: str) -> None:
    reason, message = found(failed(f"{passed}(APIServer pid=1) ValueError: nobody knows this\n"))
    assert (reason, "nobody knows this" in message) == (Reason.CONTAINER_FAILED, True), message
    parser = "KeyError: 'invalid tool call parser: foo (chose from { hermes })'"
    assert found(failed(f"{passed}(APIServer pid=1) {parser}\n"))[0] == Reason.INVALID_ARGUMENTS
    assert of_service(f"{passed}{DEAD}") == Reason.ENGINE_DIED
    assert of_service(f"{passed}{KERNEL}{DEAD}") == Reason.GPU_ERROR


def test_a_call_that_failed_ends_vllm_only_as_it_starts() -> None:
    call = logged("core.py:1750", f"Invocation of add_lora method failed\n{NO_RANK}", "EngineCore pid=9")
    assert of_service(f"{call}{DEAD}") == Reason.ENGINE_DIED
    assert of_service(f"{call}{KERNEL}{DEAD}") == Reason.GPU_ERROR
    assert found(failed(f"{call}(APIServer pid=1) ValueError: Call to add_lora method failed\n"))[0] == (
        Reason.INVALID_ARGUMENTS
    )


NO_ADAPTER = "vllm.exceptions.LoRAAdapterNotFoundError: Loading lora a failed: No adapter found for org/adapter"
AWAY = (
    "huggingface_hub.errors.LocalEntryNotFoundError: Got: ConnectError: [Errno -2] Name or service not known\n"
    "An error happened while trying to locate the files on the Hub, and we cannot find the appropriate snapshot folder"
)
GATED = (
    "huggingface_hub.errors.GatedRepoError: 403 Client Error. (Request ID: Root=1-6)\n\n"
    "Cannot access gated repo for url https://huggingface.co/org/adapter/resolve/abc/adapter_config.json.\nAccess to"
)


@pytest.mark.parametrize(
    ("cause", "reason", "told"),
    [
        (GATED, Reason.MODEL_GATED, "or an adapter, is gated (https://huggingface.co/org/adapter/resolve/abc/adapter"),
        ("x.HfHubHTTPError: 429 Client Error: Too Many Requests for url: x", Reason.HUB_RATE_LIMITED, "rate limit"),
        ("x.HfHubHTTPError: Server error '503 Service Unavailable' for url 'x'", Reason.HUB_UNREACHABLE, "fails ("),
        ("x.HfHubHTTPError: Invalid credentials in Authorization header", Reason.HUB_TOKEN_REFUSED, "token"),
        (AWAY, Reason.HUB_UNREACHABLE, "the pod cannot reach the hub"),
        ("x.RepositoryNotFoundError: Repository Not Found for url: x", Reason.ADAPTER_NOT_FOUND, "a token that may"),
        ("FileNotFoundError: x/adapter_config.json", Reason.ADAPTER_NOT_FOUND, "no LoRA adapter at org/adapter: check"),
    ],
)
def test_what_keeps_vllm_from_an_adapter_is_told_before_that_it_is_not_there(
    cause: str, reason: Reason, told: str
) -> None:
    """vLLM logs what the hub says and goes on, or raises it and says that there is none."""
    none = TRACEBACK.format(NO_ADAPTER)
    ended = "(APIServer pid=1) ValueError: Loading lora a failed: No adapter found for org/adapter\n"
    downloads = logged("lora/utils.py:379", f"Error downloading the HuggingFace model\n{TRACEBACK.format(cause)}")
    call = logged("core.py:1750", f"Invocation of add_lora method failed\n{none}", "EngineCore pid=9")
    within = logged("core.py:1750", f"Invocation of add_lora method failed\n{TRACEBACK.format(cause)}\n\n{none}")
    for log in (f"{downloads}{call}{ended}", f"{within}{ended}"):
        got, message = found(failed(log))
        assert (got, told in message) == (reason, True), message
    assert wants_log(failed(ended)), "why stands further up"


@pytest.mark.parametrize("said", HUB)
def test_a_last_try_that_ended_vllm_is_told(said: str) -> None:
    tries = logged("repo_utils.py:127", f"Error parsing config for org/m: {said}, retrying 1 of 2")
    last = logged("repo_utils.py:124", f"Error parsing config for org/m: {said}")
    ended = "".join(f"(APIServer pid=1) {line}\n" for line in TRACEBACK.format(f"OSError: {said}").split("\n"))
    assert found(failed(f"{tries}{last}{ended}"))[0] in (
        Reason.HUB_UNREACHABLE,
        Reason.HUB_RATE_LIMITED,
        Reason.MODEL_GATED,
    )


@pytest.mark.parametrize(
    "log",
    [
        "/usr/bin/ld: final link failed: {}\nsubprocess.CalledProcessError: Command '['/usr/bin/gcc', 'x.c']' failed\n",
        "x.cu: error: write: {}\nninja: build stopped: subcommand failed.\n",
        "terminate called after throwing an instance of 'filesystem_error'\n  what():  cannot copy: {}\n",
        "thread '<unnamed>' panicked at src/x.rs:3:5:\nOs {{ code: 28, message: \"{}\" }}\n",
    ],
)
def test_a_full_volume_is_told_where_compiled_code_says_so(log: str) -> None:
    assert found(failed(log.format("No space left on device")))[0] == Reason.NO_SPACE_LEFT


def test_an_error_of_the_server_counts_where_the_container_never_served() -> None:
    line = "(APIServer pid=1) ERROR 11-29 11:38:57 [x.py:1] OSError: [Errno 28] No space left on device: '/cache/x'\n"
    assert found(failed(line))[0] == Reason.NO_SPACE_LEFT
    again = failed(line, ready_changed=SERVED)
    assert again.ending
    later = replace(again, ending=replace(again.ending, served=False))
    assert later.was_ready
    assert found(later)[0] == Reason.NO_SPACE_LEFT


def test_the_rest_of_a_line_that_users_may_have_written_is_not_the_cause() -> None:
    """The kubelet keeps 2 KiB of a log, from somewhere within a line."""
    line = f"(APIServer pid=1) INFO 11-29 11:38:57 [x.py:1] Received request x: {'No CUDA GPUs are available ' * 90}\n"
    assert of_service(f"{line}{DEAD}"[-2048:]) == Reason.ENGINE_DIED
    assert of_service(f"{line}{KERNEL}{DEAD}"[-2048:]) == Reason.GPU_ERROR


CAUSE = logged("core.py:1510", TRACEBACK.format("KeyError: 'model.layers.0.weight_scale'"), "EngineCore pid=52")
TRACKER = "/usr/lib/python3.12/multiprocessing/resource_tracker.py"
TRACKED = TRACEBACK.replace("/x.py", TRACKER).format("KeyError: '/psm_5'")
IGNORED = TRACEBACK.format("FileNotFoundError: [Errno 2] No such file or directory: '/psm_1a2b3c4d'")


@pytest.mark.parametrize(
    "after",
    [
        TRACKED,
        f"{TRACKED}\n{TRACKED}",
        f"Exception ignored in: <function ShmRingBuffer.__del__ at 0x7f00>\n{IGNORED}",
        f"Exception ignored in atexit callback: <function x at 0x7f00>\n{IGNORED}",
        "Exception ignored in: <_io.TextIOWrapper name='<stdout>'>\nOSError: [Errno 28] No space left on device",
        f"Error in atexit._run_exitfuncs:\n{TRACEBACK.format('torch.X.OutOfSomething: x')}",
    ],
)
def test_what_python_goes_on_after_hides_no_cause(after: str) -> None:
    """And it names something else at each restart."""
    prefixed = "".join(f"(APIServer pid=1) {line}\n" for line in after.split("\n"))
    for noise in (f"{after}\n", prefixed):
        reason, message = found(failed(f"{CAUSE}{WRAPPER}{noise}"))
        assert (reason, "KeyError: 'model.layers.0.weight_scale' (exit code 1)" in message) == (
            Reason.CONTAINER_FAILED,
            True,
        )
        assert "its last exception: KeyError)" in found(failed(f"{CAUSE}{noise}", code=0, ready_changed=SERVED))[1]


def test_a_frame_of_the_tracker_on_the_way_hides_nothing() -> None:
    frames = f'  File "{TRACKER}", line 1, in x\n    f()\n  File "/y.py", line 2, in y'
    log = f"Traceback (most recent call last):\n{frames}\nOSError: nobody knows this\n"
    assert "nobody knows this" in found(failed(log))[1]


@pytest.mark.parametrize("name", ["AssertionError", "NotImplementedError", "triton.errors.OutOfResources:"])
def test_an_exception_that_says_nothing_is_told_with_its_place(name: str) -> None:
    frames = (
        '  File "/opt/layers/linear.py", line 1310, in load\n    assert param.shape == loaded.shape\n           ^^^^^\n'
    )
    first = '  File "/opt/core.py", line 7, in run\n    self.load()\n'
    log = f"EngineCore failed to start.\nTraceback (most recent call last):\n{first}{frames}{name}"
    for said in (f"{log}\n", logged("core.py:1510", log, "EngineCore pid=52")):
        reason, message = found(failed(f"{said}{WRAPPER}"))
        assert reason == Reason.CONTAINER_FAILED
        told = name.rstrip(":")
        assert f"{told} at linear.py:1310: assert param.shape == loaded.shape (exit code 1); kubectl" in message
    assert " at " not in found(failed(f"{log.replace(name, 'ValueError: x')}\n"))[1]
    assert found(failed(f"{name}\n"))[1].endswith(f"{name} (exit code 1)")
