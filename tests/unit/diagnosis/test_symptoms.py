"""What each known line of a log is told as: reason, values, and what to do."""

from typing import Any

import pytest

from support.pod_status import SERVED, failed, found
from support.vllm_logs import (
    CACHE_TOO_SMALL,
    CACHE_TOO_SMALL_OLDEST,
    CONTRADICTION,
    GATED,
    HEARD,
    IN_USE,
    IN_USE_BESIDE_WEIGHTS,
    IN_USE_OLDEST,
    INDUCTOR_ENDS,
    NO_ADAPTER,
    NO_CACHE,
    NO_HUB,
    NO_TOKENIZER,
    TOO_LONG,
    TORCH_OOM,
    TRIED,
    TRITON_ENDS,
    WRAPPER,
)
from vllm_operator.api.reasons import Reason
from vllm_operator.diagnosis import wants_log
from vllm_operator.diagnosis.catalogue import SYMPTOMS


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
        (
            CACHE_TOO_SMALL_OLDEST,
            Reason.KV_CACHE_TOO_SMALL,
            "takes 1.50 GiB, and 0.90 GiB are left; set maxModelLen to 1152",
        ),
        (
            CACHE_TOO_SMALL_OLDEST.replace("Based on the available memory, the estimated maximum model length is", ""),
            Reason.KV_CACHE_TOO_SMALL,
            "takes 1.50 GiB, and 0.90 GiB are left; raise",
        ),
        (IN_USE_OLDEST, Reason.GPU_MEMORY_IN_USE, "of a GPU on node gpu-1: 10.5 of 79.2 GiB are free, and vLLM is to"),
        (
            IN_USE_BESIDE_WEIGHTS,
            Reason.GPU_MEMORY_IN_USE,
            "GPU cuda:0 on node gpu-1, beside the model's weights: 10",
        ),
        (
            "ValueError: Tensor parallel size (4) cannot be larger than the number of available GPUs (2).",
            Reason.GPU_UNAVAILABLE,
            "vLLM needs 4 GPUs and sees 2 on node gpu-1: check",
        ),
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


ADDRESS = "https://huggingface.co/org/model/resolve/main/config.json"


# As requests (below vLLM 0.11.2), httpx2 (below 0.32) and OpenSSL say it, above what transformers makes of it.
@pytest.mark.parametrize(
    ("said", "reason", "told"),
    [
        (f"429 Client Error: Too Many Requests for url: {ADDRESS}", Reason.HUB_RATE_LIMITED, "rate limit"),
        (f"Client error '429 Too Many Requests' for url '{ADDRESS}'", Reason.HUB_RATE_LIMITED, "rate limit"),
        (f"503 Server Error: Service Unavailable for url: {ADDRESS}", Reason.HUB_UNREACHABLE, "(503 Service Unav"),
        # Of a server that says no words beside its code.
        (f"503 Server Error:  for url: {ADDRESS}", Reason.HUB_UNREACHABLE, "before it, fails (503): vLLM is started"),
        (f"429 Client Error:  for url: {ADDRESS}", Reason.HUB_RATE_LIMITED, "rate limit"),
        (f"Server error '503 Service Unavailable' for url '{ADDRESS}'", Reason.HUB_UNREACHABLE, "('503 Service Unav"),
        (f"Server error '502 Bad Gateway' for url '{ADDRESS}'", Reason.HUB_UNREACHABLE, "('502 Bad Gateway'): vLLM is"),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate chain "
            "(_ssl.c:1006)",
            Reason.HUB_UNREACHABLE,
            "setting caConfigMap",
        ),
    ],
)
@pytest.mark.parametrize("error", ["huggingface_hub.errors.HfHubHTTPError: ", "httpx2.ConnectError: "])
def test_why_the_hub_is_not_reached_is_told_before_that(error: str, said: str, reason: Reason, told: str) -> None:
    for log in (f"{error}{said}\n", f"{error}{said}\n\nThe above exception was the direct cause\n{NO_HUB}"):
        got, message = found(failed(log))
        assert (got, told in message) == (reason, True), message
        assert not wants_log(failed(log))
    assert wants_log(failed(NO_HUB)), "the cause stands further up"


# What PyTorch, CUDA and NVML are documented to say of a GPU that is lost while it serves; none was measured.
LOST = [
    ("torch.AcceleratorError: CUDA error: unspecified launch failure\nSearch for `cudaErrorLaunchFailure'", "launch"),
    ("torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered\nSearch for", "ECC error encountered)"),
    ("torch.AcceleratorError: CUDA error: unknown error\nCUDA kernel errors might be", "(CUDA error: unknown error)"),
    ("torch.AcceleratorError: CUDA error: hardware stack error\n", "(CUDA error: hardware stack error)"),
    (
        "torch.AcceleratorError: CUDA error: Invalid access of peer GPU memory over nvlink or a hardware error\n",
        "over nvlink or a hardware error)",
    ),
    ("RuntimeError: CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(", "CUBLAS_STATUS_EXECUTION"),
    (
        "RuntimeError: CUDA driver error: unspecified launch failure\n",
        "(CUDA driver error: unspecified launch failure)",
    ),
    ("vllm.third_party.pynvml.NVMLError_GpuIsLost: GPU is lost", "a GPU of node gpu-1 is lost"),
    (
        "Unable to determine the device handle for GPU0000:3B:00.0: GPU is lost.  Reboot the system to recover it",
        "a GPU of node gpu-1 is lost",
    ),
    (
        "torch.distributed.DistBackendError: NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:93, "
        "unhandled cuda error (run with NCCL_DEBUG=INFO for details), NCCL version 2.28.9",
        "unhandled cuda error",
    ),
]


@pytest.mark.parametrize(("log", "told"), LOST)
def test_a_gpu_that_is_lost_while_it_serves_is_named(log: str, told: str) -> None:
    reason, message = found(failed(log))
    assert (reason, told in message) == (Reason.GPU_ERROR, True), message
    assert "drain" in message


NEW_TYPE = """\
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, The checkpoint you are trying to load has model type `qwen9` but Transformers does not recognize this \
architecture. This could be because of an issue with the checkpoint, or because your version of Transformers is out of \
date.

You can update Transformers with the command `pip install --upgrade transformers`. [type=value_error, input_value=x]
"""
STRICT = "huggingface_hub.errors.StrictDataclass"


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (NEW_TYPE, "does not know models of type qwen9: use a newer image"),
        (
            f"{STRICT}ClassValidationError: Class validation error for validator 'validate_architecture':\n"
            "    ValueError: The hidden size (100) is not a multiple of the number of attention heads (7).",
            "config.json (The hidden size (100) is not a multiple of the number of attention heads (7)): use another",
        ),
        (
            f"{STRICT}FieldValidationError: Validation error for field 'vocab_size':\n"
            "    TypeError: Field 'vocab_size' expected int, got str (value: 'x')",
            "refuses vocab_size of the model's config.json (",
        ),
        (
            "ValueError: Unrecognized model in /models/x. Should have a `model_type` key in its config.json.",
            "the config.json of /models/x names no model_type",
        ),
    ],
)
def test_what_is_wrong_with_the_model_is_no_argument(log: str, told: str) -> None:
    prefixed = "".join(f"(APIServer pid=1) {line}\n" for line in log.split("\n"))
    for said in (log, prefixed):
        reason, message = found(failed(said))
        assert (reason, told in message) == (Reason.MODEL_UNSUPPORTED, True), message


@pytest.mark.parametrize(
    "said",
    [
        "httpx2.ConnectError: [Errno -2] Name or service not known",
        "httpx.ConnectError: [Errno 111] Connection refused",
        "httpx2.ConnectTimeout: timed out",
        "httpx2.ConnectTimeout",
        "RuntimeError: CAS Client Error: Request error: error sending request",
    ],
)
def test_a_download_that_may_never_have_begun_points_at_egress(said: str) -> None:
    reason, message = found(failed(f'Traceback (most recent call last):\n  File "x.py", line 3, in y\n{said}\n'))
    assert (reason, "check the cluster's egress and proxy settings" in message) == (Reason.HUB_UNREACHABLE, True)
    assert ("goes on with it" in message) == ("CAS" in said), message


@pytest.mark.parametrize(
    "said",
    [
        "huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate the file on the Hub "
        "and we cannot find the requested files in the local cache. Please check your connection and try again",
        "huggingface_hub.errors.IncompleteSnapshotError: The cached snapshot for 'org/m' (revision 'main', commit abc) "
        "is incomplete: 2 file(s) are missing (model-00002.safetensors). The Hub could not be reached (ConnectError: "
        "[Errno -2] Name or service not known). Re-run the download with network access to complete the snapshot.",
        "httpx2.RemoteProtocolError: peer closed connection without sending complete message body (received 123 bytes)",
        "httpx2.ReadTimeout: The read operation timed out",
        "httpx.ReadError: [Errno 104] Connection reset by peer",
        "httpx2.ReadError",
        "OSError: Consistency check failed: file should be of size 4976698672 but has size 4900000000 (model-00001).\n"
        "This is usually due to network issues while downloading the file. Please retry with `force_download=True`.",
        "RuntimeError: CAS Client Error: Request error: error sending request",
    ],
)
def test_a_hub_that_breaks_off_passes(said: str) -> None:
    traceback = f'Traceback (most recent call last):\n  File "x.py", line 3, in y\n{said}'.split("\n")
    log = "".join(f"(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510] {line}\n" for line in traceback)
    reason, message = found(failed(f"{log}{WRAPPER}"))
    assert reason == Reason.HUB_UNREACHABLE, message


@pytest.mark.parametrize(
    ("said", "reason", "told"),
    [
        (
            "safetensors_rust.SafetensorError: Error while deserializing header: header too large",
            Reason.MODEL_NOT_FOUND,
            "is not whole, or only points to it as Git LFS does (header too large): delete it",
        ),
        (
            "safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, file not fully "
            "covered",
            Reason.MODEL_NOT_FOUND,
            "(incomplete metadata, file not fully covered): delete it",
        ),
        (
            "ValueError: No valid attention backend found for cuda with AttentionSelectorConfig(head_size=512). "
            "Reasons: {FLASH_ATTN: [head_size not supported]}.",
            Reason.GPU_UNSUITABLE,
            "no attention for the model on the GPU of node gpu-1: set accelerator.product",
        ),
        *(
            (said, Reason.OUT_OF_MEMORY, "raise resources.requests.memory")
            for said in (
                "OSError: [Errno 12] Cannot allocate memory",
                "OSError: Cannot allocate memory (os error 12)",
                "RuntimeError: unable to mmap 9976698672 bytes from file </models/m/a.safetensors>: Cannot allocate "
                "memory (12)",
                "RuntimeError: [enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate "
                "memory: you tried to allocate 9976698672 bytes. Error code 12 (Cannot allocate memory)",
            )
        ),
    ],
)
def test_files_attention_and_memory_that_are_wanting_are_told(said: str, reason: Reason, told: str) -> None:
    got, message = found(failed(f"{said}\n{WRAPPER}"))
    assert (got, told in message) == (reason, True), message


def test_a_full_volume_is_told_also_where_the_hubs_client_says_so() -> None:
    said = "RuntimeError: CAS Client Error: I/O error: No space left on device (os error 28)"
    assert found(failed(said))[0] == Reason.NO_SPACE_LEFT


def test_a_connection_that_broke_off_and_ended_nothing_is_not_the_cause() -> None:
    tried = "httpx2.ReadTimeout: The read operation timed out\nValueError: nobody knows this\n"
    assert found(failed(tried))[0] == Reason.CONTAINER_FAILED


# What PyTorch is documented to say where CUDA does not start; none was measured.
UNSTARTED = [
    "RuntimeError: CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing env "
    "variable CUDA_VISIBLE_DEVICES after program start. Setting the available devices to be zero.",
    "RuntimeError: CUDA driver initialization failed, you might not have a CUDA gpu.",
    "RuntimeError: Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling "
    "NumCudaDevices() that might have already set an error? Error 802: system not yet initialized",
    "RuntimeError: CUDA error: no CUDA-capable device is detected",
]


@pytest.mark.parametrize("log", UNSTARTED)
def test_a_gpu_that_is_not_there_at_the_start_is_named(log: str) -> None:
    reason, message = found(failed(log))
    assert reason == Reason.GPU_UNAVAILABLE
    assert "check the device plugin" in message


NCCL = (
    "torch.distributed.DistBackendError: NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:93, {}, "
    "NCCL version 2.28.9\n{}\nLast error:\n{}\n"
)
UNHANDLED, SYSTEM = "unhandled cuda error (run with NCCL_DEBUG=INFO for details)", "unhandled system error"
CALL = "ncclUnhandledCudaError: Call to CUDA function failed."
SOCKET = "ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error. "
USAGE = "ncclInvalidUsage: This usually reflects invalid usage of NCCL library."
REMOTE = "ncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely."
GLOO = "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:538] "
STORE = "torch.distributed."
NO_ADDRESS = "The client socket has failed to connect to any network address of (pair-g-0.pair-g, 29501)."
WATCHDOG = (
    "terminate called after throwing an instance of 'c10::DistBackendError'\n"
    "  what():  [PG ID 0 Rank 0] Watchdog caught collective operation timeout: WorkNCCL(OpType=ALLREDUCE)\n"
)
OTHERS = "see first what the other ranks say, then NetworkPolicies"


@pytest.mark.parametrize(
    ("log", "reason", "told"),
    [
        (NCCL.format(UNHANDLED, CALL, "Cuda failure 2 'out of memory'"), Reason.OUT_OF_GPU_MEMORY, "ran out: lower"),
        (NCCL.format(UNHANDLED, CALL, "Cuda failure 'out of memory'"), Reason.OUT_OF_GPU_MEMORY, "ran out: lower"),
        (
            NCCL.format(
                SYSTEM,
                SOCKET,
                "Error while creating shared memory segment /dev/shm/nccl-o1XqGd (size 33030528), error: No space left "
                "on device (28)",
            ),
            Reason.NO_SPACE_LEFT,
            "(/dev/shm) is full, most often of what earlier runs of its container left there: delete the pod",
        ),
        ("OSError: [Errno 28] No space left on device: '/psm_a1b2'", Reason.NO_SPACE_LEFT, "(/dev/shm) is full"),
        (
            NCCL.format(
                SYSTEM,
                SOCKET,
                "Error while creating shared memory segment /dev/shm/nccl-o1XqGd (size 33030528), error: Cannot "
                "allocate memory (12)",
            ),
            Reason.OUT_OF_MEMORY,
            "its node gives it no more host memory",
        ),
        *(
            (
                NCCL.format(SYSTEM, SOCKET, f"Call to {call} failed with error Cannot allocate memory"),
                Reason.GPU_ERROR,
                f"node gpu-1 lets the pod lock too little memory for RDMA ({call}): see that its container runtime",
            )
            for call in ("ibv_reg_mr_iova2", "ibv_reg_mr", "ibv_create_cq")
        ),
        (
            NCCL.format(SYSTEM, SOCKET, "socketStartConnect: Connect to 10.0.0.5<43211> failed : Connection refused"),
            Reason.RANK_UNREACHABLE,
            f"does not reach another one at 10.0.0.5<43211> (Connection refused): {OTHERS}",
        ),
        (
            NCCL.format("invalid usage", USAGE, "Bootstrap : no socket interface found"),
            Reason.RANK_UNREACHABLE,
            "check NCCL_SOCKET_IFNAME in env",
        ),
        (
            NCCL.format("invalid usage", USAGE, "Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 3b000"),
            Reason.GPU_UNAVAILABLE,
            "ranks 1 and 0 got the same GPU of node gpu-1: shares of one GPU",
        ),
        (
            NCCL.format(
                "remote process exited or there was a network error",
                REMOTE,
                "socketProgress: Connection closed by remote peer pair-g-0-1<5123>",
            ),
            Reason.RANK_UNREACHABLE,
            f"a rank has lost another one (NCCL): {OTHERS}",
        ),
        (f"torch.distributed.DistBackendError: {REMOTE}", Reason.RANK_UNREACHABLE, OTHERS),
        (
            "RuntimeError: NCCL error: remote process exited or there was a network error",
            Reason.RANK_UNREACHABLE,
            OTHERS,
        ),
        (f"{GLOO}Read error [10.0.0.3]:43112: Connection reset by peer", Reason.RANK_UNREACHABLE, "(gloo: Read error)"),
        (f"{GLOO}Connection closed by peer [10.0.0.3]:43112", Reason.RANK_UNREACHABLE, OTHERS),
        (WATCHDOG, Reason.RANK_UNREACHABLE, "waited in vain for the others (collective operation timeout)"),
        (
            f"{STORE}DistNetworkError: The client socket has timed out after 600000ms while trying to connect to "
            "(pair-g-0.pair-g, 29501).",
            Reason.RANK_UNREACHABLE,
            f"does not reach the first one at pair-g-0.pair-g:29501: {OTHERS}",
        ),
        (
            f"{STORE}DistNetworkError: {NO_ADDRESS} The client socket has failed to connect to [::1]:29501 (errno: 111",
            Reason.RANK_UNREACHABLE,
            f"does not reach the first one at pair-g-0.pair-g:29501: {OTHERS}",
        ),
        (
            f"{STORE}DistNetworkError: {NO_ADDRESS} The IPv4 network addresses of (pair-g-0.pair-g, 29501) cannot be "
            "retrieved (gai error: -2 - Name or service not known).",
            Reason.RANK_UNREACHABLE,
            f"the address of the first one, pair-g-0.pair-g (Name or service not known): {OTHERS}",
        ),
        (
            f"{STORE}DistStoreError: Timed out after 601 seconds waiting for clients. 1/2 clients joined.",
            Reason.RANK_UNREACHABLE,
            f"of 2 ranks 1 reached the first one in time: {OTHERS}",
        ),
    ],
)
def test_why_ranks_do_not_work_together_is_told_and_no_node_is_drained_for_it(
    log: str, reason: Reason, told: str
) -> None:
    prefixed = "".join(f"(Worker_TP1 pid=61) ERROR 11-29 11:38:58 [x.py:953] {line}\n" for line in log.split("\n"))
    for said in (log, prefixed):
        got, message = found(failed(said))
        assert (got, told in message, "drain" in message) == (reason, True, False), message


@pytest.mark.parametrize(
    "cause",
    [
        "Cuda failure 999 'unknown error'",
        "NET/IB : Got completion from 10.0.0.5: 12",
        # Of a plugin of NCCL's, and of memory that it pins.
        "NET/OFI Unable to register memory (type = 2) for device 0. RC: -12, Error: Cannot allocate memory",
    ],
)
def test_what_nccl_failed_at_last_is_shown(cause: str) -> None:
    reason, message = found(failed(NCCL.format(UNHANDLED, CALL, cause)))
    assert (reason, f"(unhandled cuda error (run with NCCL_DEBUG=INFO for details): {cause})" in message) == (
        Reason.GPU_ERROR,
        True,
    ), message


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered", Reason.GPU_ERROR),
        ("OSError: [Errno 28] No space left on device: '/cache/x'", Reason.NO_SPACE_LEFT),
        (f"NCCL error: {UNHANDLED}\n{TORCH_OOM}", Reason.OUT_OF_GPU_MEMORY),
    ],
)
@pytest.mark.parametrize("echo", [f"{GLOO}Connection closed by peer [10.0.0.3]:1", f"RuntimeError: {REMOTE}", WATCHDOG])
def test_a_rank_that_only_heard_of_the_end_of_another_hides_no_cause(cause: str, reason: Reason, echo: str) -> None:
    for log in (f"{cause}\n{echo}\n", f"{echo}\n{cause}\n"):
        assert found(failed(log))[0] == reason


def test_an_error_that_is_not_known_is_told_before_what_gloo_heard() -> None:
    echo = f"{GLOO}Connection closed by peer [10.0.0.3]:1"
    assert "nobody knows this" in found(failed(f"ValueError: nobody knows this\n{echo}\n"))[1]


GLOO_FILE = "[../third_party/gloo/gloo/transport/tcp/pair.cc:538]"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"{GLOO_FILE} Connection closed by peer [10.0.0.3]:43112", "(gloo: Connection closed by peer)"),
        (f"{GLOO_FILE} Read error [10.0.0.3]:43112: Connection reset by peer", "(gloo: Read error)"),
        (f"{GLOO_FILE} Application timeout caused pair closure", "(gloo: Application timeout caused pair closure)"),
        (f"Gloo connectFullMesh failed with {GLOO_FILE} no error", "(gloo: no error)"),
    ],
)
def test_what_gloo_heard_is_told_before_what_only_says_that_the_engine_failed(said: str, told: str) -> None:
    whole = HEARD.format(heard=said)
    for log in (whole, whole.split("\n", 1)[1], f"RuntimeError: {said}", f"{whole}BrokenPipeError: [Errno 32] Broken"):
        reason, message = found(failed(log))
        assert (reason, told in message, OTHERS in message) == (Reason.RANK_UNREACHABLE, True, True), message


def test_what_gloo_says_otherwise_is_shown_as_it_is() -> None:
    reason, message = found(failed(HEARD.format(heard="gloo/transport/tcp/pair.cc gave up")))
    assert (reason, "pair.cc gave up (exit code 1)" in message) == (Reason.CONTAINER_FAILED, True), message


def test_what_a_crash_says_on_its_second_line_is_told() -> None:
    crash = (
        "terminate called after throwing an instance of 'c10::Error'\n  what():  the flux is empty\nException raised"
    )
    assert "instance of 'c10::Error': the flux is empty (exit code 134)" in found(failed(crash, code=134))[1]


COUNTING = (
    "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() that "
    "might have already set an error? Error "
)


@pytest.mark.parametrize("around", ["RuntimeError: {}", f"RuntimeError: {COUNTING}803: {{}}", "CUDA error: {}"])
@pytest.mark.parametrize(
    "said",
    [
        "forward compatibility was attempted on non supported HW",
        "system has unsupported display driver / cuda driver combination",
        "the provided PTX was compiled with an unsupported toolchain.",
        "CUDA driver version is insufficient for CUDA runtime version",
    ],
)
def test_a_driver_that_does_not_suit_the_image_is_no_broken_gpu(around: str, said: str) -> None:
    reason, message = found(failed(f"torch.AcceleratorError: {around.format(said)}\nCUDA kernel errors might be"))
    assert reason == Reason.DRIVER_UNSUITABLE
    assert ("must be at least what the image's CUDA asks for: update it" in message, "Xid" in message) == (True, False)


def test_a_driver_that_has_no_memory_left_is_no_defect() -> None:
    assert found(failed("RuntimeError: CUDA driver error: out of memory"))[0] == Reason.OUT_OF_GPU_MEMORY


@pytest.mark.parametrize(
    ("log", "what"),
    [
        (TRITON_ENDS, "shared memory"),
        (INDUCTOR_ENDS, "triton_red_fused_0"),
        (f"{TRIED}{TRITON_ENDS}", "shared memory"),
    ],
)
def test_a_gpu_with_too_little_shared_memory_is_not_one_whose_memory_ran_out(log: str, what: str) -> None:
    reason, message = found(failed(log))
    assert reason == Reason.GPU_UNSUITABLE
    assert f"kernel ({what}: it takes 131072 bytes, and there are 101376): use another attention backend" in message
    reason, message = found(failed(log, code=0, reason="Completed", ready_changed=SERVED))
    assert (reason, "takes 131072 bytes, and there are 101376" in message) == (Reason.GPU_UNSUITABLE, True)


@pytest.mark.parametrize(
    ("end", "reason", "told"),
    [
        ("RuntimeError: something else", Reason.CONTAINER_FAILED, "something else (exit code 1)"),
        (NO_CACHE, Reason.KV_CACHE_TOO_SMALL, "nothing is left for the KV cache"),
        (TORCH_OOM, Reason.OUT_OF_GPU_MEMORY, "896.00 MiB were asked for"),
        ("RuntimeError: CUDA error: unspecified launch failure", Reason.GPU_ERROR, "unspecified launch failure"),
    ],
)
def test_a_kernel_that_was_left_out_while_others_were_tried_ends_nothing(end: str, reason: Reason, told: str) -> None:
    got, message = found(failed(f"{TRIED}{end}\n"))
    assert (got, told in message) == (reason, True), message


@pytest.mark.parametrize(
    "said",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Allocation was preemptively rejected because it would exceed",
        "torch.OutOfMemoryError: Allocation on device 0 would exceed allowed memory. (out of memory)",
        "torch.cuda.OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB",
        "RuntimeError: Worker failed with error 'torch.OutOfMemoryError: CUDA out of memory.'",
    ],
)
def test_gpu_memory_that_ran_out_is_known_in_all_words_of_torch(said: str) -> None:
    assert found(failed(said))[0] == Reason.OUT_OF_GPU_MEMORY


def test_host_memory_of_ray_is_no_gpu_memory() -> None:
    said = "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory."
    assert found(failed(said))[0] == Reason.CONTAINER_FAILED


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: symptom.says[:40])
def test_every_symptom_is_found_with_its_values_and_says_what_to_do(symptom: Any) -> None:
    values = dict.fromkeys(symptom.pattern.groupindex, "7")
    said = symptom.says.replace("{}", "and so on").format(**values)
    match = symptom.pattern.search(f"INFO before\nValueError: {said} after")
    assert match
    assert all(value.startswith("7") for value in match.groupdict().values())
    message = symptom.message.format(node="gpu-1", **values)
    assert "{" not in message
    assert len(message) < 400
    assert ": " in message or "; " in message
