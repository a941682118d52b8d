"""What each known line of a log is told as: reason, values, and what to do."""

from typing import Any

import pytest

from support.pod_status import SERVED, failed, found
from support.vllm_logs import (
    CACHE_TOO_SMALL,
    CACHE_TOO_SMALL_OLDEST,
    CONTRADICTION,
    GATED,
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
