"""What is said of pods that do not serve, from what vLLM 0.32, its libraries and Kubernetes 1.36 really said."""

import time
from typing import Any

import pytest

from vllm_operator import observed
from vllm_operator.api.status import Condition
from vllm_operator.diagnosis import progress, workload
from vllm_operator.diagnosis.log import last_error, last_line
from vllm_operator.diagnosis.redaction import redact
from vllm_operator.diagnosis.symptoms import SYMPTOMS
from vllm_operator.observed import ConditionSnapshot, DeploymentSnapshot, PodSnapshot
from vllm_operator.reasons import TRANSIENT, Reason

CREATED, STARTED = "2026-11-24T12:00:00Z", "2026-11-24T12:01:00Z"
SERVED, ENDED = "2026-11-24T13:00:00Z", "2026-11-24T12:03:00Z"
VLLM = "/opt/vllm/lib/python3.11/site-packages/vllm"

# The ends of real logs, as the kubelet keeps them.
CONTRADICTION = f"""\
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "{VLLM}/engine/arg_utils.py", line 1955, in create_model_config
    return ModelConfig(
           ^^^^^^^^^^^^
  File "/opt/vllm/lib/python3.11/site-packages/pydantic/_internal/_dataclasses.py", line 121, in __init__
    s.__pydantic_validator__.validate_python(ArgsKwargs(args, kwargs), self_instance=s)
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, Quantization method specified in the model config (awq) does not match the quantization method \
specified in the `quantization` argument (gptq). [type=value_error, input_value=ArgsKwargs((), {{'model': \
...nderer_num_workers': 1}}), input_type=ArgsKwargs]
    For further information visit https://errors.pydantic.dev/2.14/v/value_error
"""
WRAPPER = f"""\
Traceback (most recent call last):
  File "{VLLM}/v1/engine/utils.py", line 1431, in wait_for_engine_startup
    raise RuntimeError(
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{}}
/usr/lib/python3.11/multiprocessing/resource_tracker.py:254: UserWarning: resource_tracker: There appear to be 1 \
leaked shared_memory objects to clean up at shutdown
  warnings.warn('resource_tracker: There appear to be %d '
"""
NO_CACHE = f"""\
(EngineCore pid=123) ERROR 11-24 12:00:00 [core.py:1510] EngineCore failed to start.
(EngineCore pid=123) ERROR 11-24 12:00:00 [core.py:1510] Traceback (most recent call last):
(EngineCore pid=123) ERROR 11-24 12:00:00 [core.py:1510]   File "{VLLM}/v1/engine/core.py", line 1482, in run
(EngineCore pid=123) ERROR 11-24 12:00:00 [core.py:1510]     raise ValueError(
(EngineCore pid=123) ERROR 11-24 12:00:00 [core.py:1510] ValueError: No available memory for the cache blocks. Try \
increasing `gpu_memory_utilization` when initializing the engine
Process EngineCore:
{WRAPPER}"""
CACHE_TOO_SMALL = """\
ValueError: To serve at least one request with the model's max seq len (2048), (1.5 GiB KV cache is needed, which is \
larger than the available KV cache memory (0.9 GiB). Based on the available memory, the estimated maximum model length \
is 1152. Try increasing `gpu_memory_utilization` (which also controls CPU memory on the CPU backend) or decreasing \
`max_model_len` when initializing the engine.
"""
BAD_VALUE = (
    "usage: vllm serve [model_tag] [options]\nvllm serve: error: argument --block-size: invalid int value: 'abc'\n"
)
NO_OPERATOR = """\
RuntimeError: _C::static_scaled_fp8_quant() expected at most 0 argument(s) but received 4 argument(s). Declaration: \
_C::static_scaled_fp8_quant() -> ()
Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace for root cause.
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}
"""
NO_TOKENIZER = """\
ValueError: Couldn't instantiate the backend tokenizer from one of:\x20
(1) a `tokenizers` library serialization file,\x20
(2) a slow tokenizer instance to convert or\x20
(3) an equivalent slow tokenizer class to instantiate and convert.\x20
You need to have sentencepiece or tiktoken installed to convert a slow tokenizer to a fast one.
"""
NO_ADAPTER = """\
vllm.exceptions.LoRAAdapterNotFoundError: Loading lora a failed: No adapter found for /models/adapters/none
Traceback (most recent call last):
FileNotFoundError: [Errno 2] No such file or directory: '/models/adapters/none/adapter_config.json'
    RuntimeError: Worker failed with error 'Loading lora a failed: No adapter found for /models/adapters/none', please \
check the stack trace above for the root cause
ValueError: Loading lora a failed: No adapter found for <path>
"""
TOO_LONG = """\
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, User-specified max_model_len (999999) is greater than the derived max_model_len \
(max_position_embeddings=4096.0 or model_max_length=None in model's config.json). To allow overriding this maximum, \
set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1. [type=value_error, input_value=ArgsKwargs(()), input_type=ArgsKwargs]
"""
NO_HUB = """\
OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached files.
Check your internet connection or see how to run the library in offline mode at 'https://huggingface.co/docs'.
"""
TORCH_OOM = """\
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 896.00 MiB. GPU 0 has a total capacity of 79.10 GiB of \
which 512.00 MiB is free. Including non-PyTorch memory, this process has 78.50 GiB memory in use.
"""
IN_USE = """\
ValueError: Free memory on device cuda:0 (10.2/79.1 GiB) on startup is less than desired GPU memory utilization (0.92, \
72.8 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.
"""
GATED = """\
huggingface_hub.errors.GatedRepoError: 403 Client Error. (Request ID: Root=1-67;abc)

Cannot access gated repo for url https://huggingface.co/meta-llama/Llama-3.1-8B/resolve/main/config.json.
Access to model meta-llama/Llama-3.1-8B is restricted.

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
OSError: You are trying to access a gated repo.
Make sure to have access to it at https://huggingface.co/meta-llama/Llama-3.1-8B.
"""


def pod(container: dict[str, Any] | None = None, *, ready_changed: str = CREATED, **status: Any) -> PodSnapshot:
    """A pod that was created at 12:00, on a node, with a container as its status shows it."""
    return observed.pod(
        {
            "metadata": {"name": "llama-0", "labels": {"vllm-operator.dev/revision": "r1"}},
            "spec": {
                "nodeName": "gpu-1",
                "nodeSelector": {"nvidia.com/gpu.product": "H100"},
                "containers": [
                    {
                        "name": "vllm",
                        "image": "registry/vllm:1",
                        "resources": {"limits": {"nvidia.com/gpu": "4", "memory": "64Gi"}},
                        "startupProbe": {"failureThreshold": 360, "periodSeconds": 5},
                    }
                ],
                "volumes": [
                    {"name": "cache", "emptyDir": {}},
                    {"name": "chat-template", "configMap": {"name": "chat"}},
                    {"name": "models-0", "persistentVolumeClaim": {"claimName": "weights"}},
                ],
            },
            "status": {
                "startTime": CREATED,
                "conditions": [
                    {"type": "PodScheduled", "status": "True", "lastTransitionTime": CREATED},
                    {"type": "Ready", "status": "False", "lastTransitionTime": ready_changed},
                    {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": CREATED},
                ],
                "containerStatuses": [{"name": "vllm", "restartCount": 1, "ready": False, **(container or {})}],
                **status,
            },
        }
    )


def failed(log: str = "", *, code: int = 1, reason: str = "Error", ended: str = ENDED, **rest: Any) -> PodSnapshot:
    """A pod whose container ended and is about to be started again."""
    ending = {"exitCode": code, "reason": reason, "startedAt": STARTED, "finishedAt": ended, "message": log}
    restarts = rest.pop("restarts", 1)
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}
    return pod({"state": waiting, "lastState": {"terminated": ending}, "restartCount": restarts}, **rest)


def waiting(reason: str, message: str = "") -> PodSnapshot:
    return pod({"state": {"waiting": {"reason": reason, "message": message}}})


def unscheduled(message: str, reason: str = "Unschedulable") -> PodSnapshot:
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    return pod(conditions=[condition], containerStatuses=[])


def found(*pods: PodSnapshot) -> tuple[Reason, str]:
    finding = workload(None, pods)
    assert finding, "no trouble was found"
    return finding


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


@pytest.mark.parametrize(
    ("log", "reason", "told"),
    [
        (CONTRADICTION, Reason.INVALID_ARGUMENTS, "does not match the quantization method"),
        (
            NO_CACHE,
            Reason.KV_CACHE_TOO_SMALL,
            "raise kvCache.memoryPerGPU where it is set, or raise tensorParallelSize",
        ),
        (CACHE_TOO_SMALL, Reason.KV_CACHE_TOO_SMALL, "takes 1.5 GiB, and 0.9 GiB are left; set maxModelLen to 1152"),
        (NO_TOKENIZER, Reason.TOKENIZER_MISSING, "set model.tokenizer.uri"),
        (NO_ADAPTER, Reason.ADAPTER_NOT_FOUND, "no LoRA adapter at /models/adapters/none: check"),
        (TOO_LONG, Reason.INVALID_ARGUMENTS, "maxModelLen 999999 is more than the model was made for (4096)"),
        (NO_HUB, Reason.HUB_UNREACHABLE, "cannot reach https://huggingface.co: check"),
        (
            TORCH_OOM,
            Reason.OUT_OF_GPU_MEMORY,
            "896.00 MiB were asked for, and 512.00 MiB of 79.10 GiB were free on GPU 0",
        ),
        (f"ERROR Failed to load model - not enough GPU memory. Try\n{TORCH_OOM}", Reason.MODEL_TOO_LARGE, "weights"),
        (
            f"    self.model_runner.load_model(\n{TORCH_OOM}",
            Reason.MODEL_TOO_LARGE,
            "the 79.10 GiB of GPU 0: raise tensor",
        ),
        (IN_USE, Reason.GPU_MEMORY_IN_USE, "GPU cuda:0 on node gpu-1: 10.2 of 79.1 GiB are free"),
        (GATED, Reason.MODEL_GATED, "accept its terms on the hub"),
        (
            "RuntimeError: CUDA error: uncorrectable ECC error encountered\nCUDA kernel",
            Reason.GPU_ERROR,
            "encountered)",
        ),
        ("RuntimeError: NCCL error: unhandled system error", Reason.GPU_ERROR, "(NCCL error: unhandled system error)"),
        (
            "RuntimeError: The NVIDIA driver on your system is too old (found version 12040). Please update",
            Reason.DRIVER_UNSUITABLE,
            "node gpu-1 is too old (CUDA 12040)",
        ),
        ("OSError: [Errno 28] No space left on device: '/cache/x'", Reason.NO_SPACE_LEFT, "raise cache.claim.storage"),
        (
            "OSError: [Errno 30] Read-only file system: '/models/m/.lock'",
            Reason.CACHE_NOT_WRITABLE,
            "must write /models/m/.lock",
        ),
        (
            "huggingface_hub.errors.HfHubHTTPError: \n\n429 Too Many Requests: you have reached your 'api' rate limit.",
            Reason.HUB_RATE_LIMITED,
            "rate limit",
        ),
        (
            "OSError: v9 is not a valid git identifier (branch name, tag name or commit id) that exists",
            Reason.REVISION_NOT_FOUND,
            "no revision v9: check",
        ),
        (
            "OSError: org/nothing is not a local folder and is not a valid model identifier listed on 'https://'",
            Reason.MODEL_NOT_FOUND,
            "the hub has no model org/nothing, or",
        ),
        (
            WRAPPER,
            Reason.CONTAINER_FAILED,
            "the cause stands further up in its log: see kubectl logs llama-0 --previous",
        ),
        ("torch.SomeError: an unknown end", Reason.CONTAINER_FAILED, "torch.SomeError: an unknown end (exit code 1)"),
        ("a plain line\n", Reason.CONTAINER_FAILED, "a plain line (exit code 1)"),
        ("", Reason.CONTAINER_FAILED, "exit code 1; kubectl logs llama-0 --previous shows more"),
    ],
)
def test_a_container_that_fails_to_start_is_explained_in_its_own_words(log: str, reason: Reason, told: str) -> None:
    got, message = found(failed(log))
    assert (got, told in message) == (reason, True), message
    assert message.startswith("vLLM in pod llama-0 does not start: ")
    assert len(message) < 1000


def test_an_unknown_flag_or_value_is_told_in_vllms_sentence() -> None:
    reason, message = found(failed(BAD_VALUE, code=2))
    assert reason == Reason.INVALID_ARGUMENTS
    assert "refuses its arguments: vllm serve: error: argument --block-size: invalid int value: 'abc'" in message


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: symptom.says[:40])
def test_every_symptom_is_found_with_its_values_and_says_what_to_do(symptom: Any) -> None:
    values = dict.fromkeys(symptom.pattern.groupindex, "7")
    said = symptom.says.replace("{}", "and so on").format(**values)
    match = symptom.pattern.search(f"INFO before\nValueError: {said} after")
    assert match
    assert all(value.startswith("7") for value in match.groupdict().values())
    told = symptom.told.format(node="gpu-1", **values)
    assert "{" not in told
    assert len(told) < 400
    assert ": " in told or "; " in told


NO_KERNEL = f"""\
(EngineCore pid=18) ERROR 11-26 00:56:33 [core.py:1512]   File "{VLLM}/_custom_ops.py", line 4453, in cpu_gemm_wna16
(EngineCore pid=18) ERROR 11-26 00:56:33 [core.py:1512]     torch.ops._C.cpu_gemm_wna16(
(EngineCore pid=18) ERROR 11-26 00:56:33 [core.py:1512] AttributeError: '_OpNamespace' '_C' object has no attribute \
'cpu_gemm_wna16'
(APIServer pid=1) ERROR 11-26 00:56:33 [async_llm.py:906] vllm.v1.engine.exceptions.EngineDeadError: EngineCore \
encountered an issue. See stack trace (above) for the root cause.
INFO:     Finished server process [1]
"""


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
    assert "signal 99" in found(failed(code=227))[1]


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


@pytest.mark.parametrize(
    ("text", "kept", "gone"),
    [
        ("token hf_abcdefghijklmnop is invalid", "is invalid", "abcdefgh"),
        ("GET https://user:pass@hub.example/x", "hub.example/x", "pass"),
        ("url https://s3.example/w?X-Amz-Signature=abc123 failed", "https://s3.example/w?*** failed", "abc123"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization", "abcdefgh"),
        ("api_key='s3cr3tvalue' given", "given", "s3cr3t"),
        ("env AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI set", "set", "wJalr"),
        ("sk-proj-abcdefgh1234", "***", "abcdefgh"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.abc", "***", "hbGci"),
        ("key AbCdEfGhIjKlMnOpQrStUvWxYz0123456789", "key ***", "AbCdEf"),
    ],
)
def test_credentials_are_taken_out(text: str, kept: str, gone: str) -> None:
    assert kept in redact(text)
    assert gone not in redact(text)
    assert gone not in found(failed(f"ValueError: {text}"))[1]
    assert gone not in found(waiting("ErrImagePull", f"something odd: {text}"))[1]


@pytest.mark.parametrize(
    "text",
    [
        "max_num_batched_tokens (8192) must be at least max_num_seqs=16",
        "max_num_batched_tokens=8192 is too small",
        "tokenizer: /models/org/tiny is missing",
        "DeepSeek-R1-Distill-Qwen-32B-AWQ-quantized-by-somebody",
        "image@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    ],
)
def test_what_explains_is_not_taken_for_a_credential(text: str) -> None:
    assert redact(text) == text


def test_what_is_said_anew_each_time_is_left_out() -> None:
    assert redact("404 Client Error. (Request ID: Root=1-6;f) at 0x7f00aa11bb22") == "404 Client Error. at 0x..."


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ('rpc error: code = NotFound desc = failed to pull image "x": not found', "does not exist: check name and tag"),
        ("pull access denied, repository does not exist or may require authorization", "pod.imagePullSecrets"),
        ("failed to do request: Head: dial tcp: lookup registry: no such host", "cannot reach the registry"),
        ("toomanyrequests: You have reached your pull rate limit", "rate limit"),
    ],
)
def test_an_image_that_is_not_pulled_is_told_with_the_cause(message: str, told: str) -> None:
    reason, text = found(waiting("ErrImagePull", message))
    assert (reason, told in text) == (Reason.IMAGE_PULL_FAILED, True), text
    assert "image registry/vllm:1 cannot be pulled" in text
    again = f'Back-off pulling image "registry/vllm:1": ErrImagePull: {message}'
    assert found(waiting("ImagePullBackOff", again))[1] == text


def test_an_unknown_pull_error_reads_the_same_while_the_kubelet_waits() -> None:
    back_off = 'Back-off pulling image "registry/vllm:1": ErrImagePull: something odd'
    assert found(waiting("ErrImagePull", "something odd")) == found(waiting("ImagePullBackOff", back_off))


@pytest.mark.parametrize(
    ("message", "reason", "told"),
    [
        ('secret "hub" not found', Reason.SECRET_MISSING, "Secret hub does not exist: create it"),
        ('configmap "chat" not found', Reason.CONFIG_MAP_MISSING, "ConfigMap chat does not exist"),
        ("couldn't find key token in Secret team-a/hub", Reason.SECRET_MISSING, "Secret hub has no key token"),
        ("something else", Reason.CONTAINER_CONFIG, "something else"),
    ],
)
def test_what_the_pod_refers_to_is_named_when_it_is_missing(message: str, reason: Reason, told: str) -> None:
    got, text = found(waiting("CreateContainerConfigError", message))
    assert (got, told in text) == (reason, True), text


def test_an_image_without_vllm_is_told() -> None:
    said = (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
        'unable to start container process: exec: "vllm": executable file not found in $PATH'
    )
    reason, message = found(failed(said, code=128, reason="StartError"))
    assert reason == Reason.CONTAINER_CONFIG
    assert "image registry/vllm:1 has no command `vllm`" in message


NOT_HELPFUL = (
    "preemption: 0/5 nodes are available: {} Preemption is not helpful for scheduling, {} No preemption victims"
)


@pytest.mark.parametrize(
    ("message", "reason", "told"),
    [
        (
            "0/5 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient nvidia.com/gpu, 2 node(s) "
            f"didn't match Pod's node affinity/selector. no new claims to deallocate, {NOT_HELPFUL.format(3, 2)}",
            Reason.INSUFFICIENT_GPUS,
            "among 5: 1 with taints that it does not tolerate; 2 with less free nvidia.com/gpu than the 4 that it "
            "needs; 2 without the labels that it asks for (nvidia.com/gpu.product=H100)",
        ),
        (
            "0/5 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
            f"4 Insufficient nvidia.com/gpu. {NOT_HELPFUL.format(5, 0)}",
            Reason.GPU_NODES_TOO_SMALL,
            "even when empty: lower tensorParallelSize",
        ),
        (
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes",
            Reason.NO_MATCHING_NODE,
            "check accelerator.product",
        ),
        ("0/3 nodes are available: 3 node(s) had untolerated taint(s).", Reason.UNTOLERATED_TAINTS, "pod.tolerations"),
        (
            "0/3 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity, 2 node(s) had "
            "untolerated taint(s).",
            Reason.VOLUME_ELSEWHERE,
            "1 out of its volume's reach",
        ),
        (
            "0/3 nodes are available: 3 Insufficient memory.",
            Reason.UNSCHEDULABLE,
            "3 with less free memory than it needs",
        ),
        (
            '0/3 nodes are available: persistentvolumeclaim "weights" not found. preemption: 0/3 nodes are available',
            Reason.CLAIM_MISSING,
            "PersistentVolumeClaim weights does not exist",
        ),
        (
            "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/3",
            Reason.VOLUME_NOT_BOUND,
            "(weights)",
        ),
        ("no nodes available to schedule pods", Reason.UNSCHEDULABLE, "no nodes available to schedule pods"),
    ],
)
def test_a_pod_without_a_node_is_told_with_counts(message: str, reason: Reason, told: str) -> None:
    got, text = found(unscheduled(message))
    assert (got, told in text) == (reason, True), text


def test_a_gated_pod_waits_for_its_queue() -> None:
    reason, message = found(unscheduled("Scheduling is blocked due to non-empty scheduling gates", "SchedulingGated"))
    assert (reason, "scheduling gate" in message) == (Reason.UNSCHEDULABLE, True)


@pytest.mark.parametrize(
    ("said", "reason", "told"),
    [
        (
            'pods "llama-1" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=4, used: '
            "requests.nvidia.com/gpu=6, limited: requests.nvidia.com/gpu=8",
            Reason.QUOTA_EXCEEDED,
            "ResourceQuota gpus is used up: a pod asks for requests.nvidia.com/gpu=4, requests.nvidia.com/gpu=6 is "
            "taken, of requests.nvidia.com/gpu=8;",
        ),
        (
            'pods "llama-1" is forbidden: error looking up service account a/robot: serviceaccount "robot" not found',
            Reason.PODS_REFUSED,
            "ServiceAccount robot does not exist",
        ),
        (
            'admission webhook "policy" denied the request: no',
            Reason.PODS_REFUSED,
            "refuses to create the pods: admission",
        ),
    ],
)
def test_pods_that_are_refused_are_told_with_the_cause(said: str, reason: Reason, told: str) -> None:
    condition = ConditionSnapshot("ReplicaFailure", "True", "FailedCreate", said)
    finding = workload(DeploymentSnapshot(1, 1, 0, 1, (condition,)), [])
    assert finding
    assert (finding[0], told in finding[1]) == (reason, True), finding[1]


EVICTED = "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 900Mi. "


def test_a_pod_that_its_node_gave_up_counts_only_until_another_takes_its_place() -> None:
    gone = pod({}, phase="Failed", reason="Evicted", message=EVICTED)
    loading = pod({"state": {"running": {}}})
    reason, message = found(gone)
    assert reason == Reason.EVICTED
    assert "node gpu-1 gave pod llama-0 up (Evicted, The node was low on resource: ephemeral-storage" in message
    assert "set cache.claim" in message
    assert workload(None, [gone, loading]) is None
    assert progress([gone, loading]).startswith("pod llama-0 loads the model; before that, node gpu-1 gave pod")


def test_a_node_without_healthy_gpus_is_named() -> None:
    said = (
        "Allocate failed due to requested number of devices unavailable for nvidia.com/gpu. Requested: 4, Available: 3"
    )
    reason, message = found(pod({}, phase="Failed", reason="UnexpectedAdmissionError", message=said))
    assert reason == Reason.GPU_UNAVAILABLE
    assert "node gpu-1 could not give pod llama-0 its GPUs" in message


def test_what_the_service_cannot_go_on_without_is_told_before_what_passes() -> None:
    unplaced = unscheduled("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    assert found(unplaced, failed(GATED))[0] == Reason.MODEL_GATED
    assert Reason.INSUFFICIENT_GPUS in TRANSIENT


def test_a_pod_that_only_needs_time_says_what_it_does() -> None:
    creating = {"state": {"waiting": {"reason": "ContainerCreating"}}}
    bare = [{"type": "PodScheduled", "status": "True"}, {"type": "PodReadyToStartContainers", "status": "False"}]
    unmounted = pod(creating, conditions=bare)
    assert workload(None, [unmounted]) is None
    assert progress([unmounted]) == (
        "pod llama-0 waits for its volumes (ConfigMap chat, PersistentVolumeClaim weights) and network on node gpu-1"
    )
    assert progress([pod(creating)]) == "pod llama-0 is being started"
    assert progress([pod({"state": {"running": {}}})]) == "pod llama-0 loads the model"
    assert progress([]) == "waiting for the pods to be created"


def test_no_message_is_longer_than_a_condition_may_be() -> None:
    limit = next(item.max_length for item in Condition.model_fields["message"].metadata if hasattr(item, "max_length"))
    for text in (f"ValueError: {'x ' * 3000}", f"No adapter found for {'y' * 3000}"):
        assert len(found(failed(text, restarts=1000))[1]) < 1000 < limit
    assert (
        len(
            found(unscheduled(f"0/9 nodes are available: {', '.join(f'1 node(s) are odd {n}' for n in range(999))}"))[1]
        )
        < 1000
    )


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
