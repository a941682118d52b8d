"""Lines of a log that tell of memory that ran out, a GPU, or its driver. Order is priority."""

from ..api.reasons import Reason
from .rank_symptoms import OF_NCCL
from .symptom import Symptom

OF_CSRC = "csrc"
"""A `source`: vLLM's own code for GPUs (csrc/ of https://github.com/vllm-project/vllm)."""
_KV = "vllm/v1/core/kv_cache_utils.py"
_RUNNER = "vllm/v1/worker/gpu_model_runner.py"
_TORCH = "torch/lib/libc10_cuda.so"
_KERNELS = "torch/lib/libtorch_cuda.so"
_CUDA = "nvidia/cu13/lib/libcudart.so.13"
_LESS = (
    "raise tensorParallelSize or kvCache.gpuMemoryUtilizationPercent, set kvCache.dtype to fp8, or use a quantized "
    "model"
)
_ROOM = "lower kvCache.gpuMemoryUtilizationPercent or maxNumSeqs, raise tensorParallelSize, or use a quantized model"
DRIVER = "the node's NVIDIA driver must be at least what the image's CUDA asks for: update it, or use an older image"
"""What to do where a driver and an image do not go together."""
_DEVICE = (
    "check the device plugin and driver there, and pod.runtimeClassName if the cluster has a runtime class for GPUs"
)
_DEFECT = "if it happens again on this node only, look for Xid errors in its kernel log and drain it"

MEMORY = (
    # The memory within a GPU's processors; torch's launcher says it so, Triton with commas. While kernels are tried,
    # those that ask for too much are left out.
    Symptom(
        "torch/lib/libtorch_python.so",
        "out of resource: {what} Required: {required} Hardware limit:{limit} Reducing block sizes or `num_stages` may "
        "help.",
        Reason.GPU_UNSUITABLE,
        "the GPU of node {node} has too little shared memory for a kernel ({what}: it takes {required} bytes, and "
        "there are {limit}): use another attention backend (extraArgs: --attention-backend), set enforceEager, or use "
        "another GPU (accelerator.product)",
        ends=True,
    ),
    Symptom(
        _KV,
        "max seq len ({wanted}), ({needed} GiB KV cache is needed, which is larger than the available KV cache "
        "memory ({available} GiB). {}the estimated maximum model length is {length}. ",
        Reason.KV_CACHE_TOO_SMALL,
        "the KV cache is too small for one request of {wanted} tokens: that takes {needed} GiB, and {available} GiB "
        f"are left; set maxModelLen to {{length}} (vLLM's own estimate) or to auto, or {_LESS}",
    ),
    Symptom(
        _KV,
        "max seq len ({wanted}), ({needed} GiB KV cache is needed, which is larger than the available KV cache "
        "memory ({available} GiB). ",
        Reason.KV_CACHE_TOO_SMALL,
        "the KV cache is too small for one request of {wanted} tokens: that takes {needed} GiB, and {available} GiB "
        f"are left; {_LESS}",
    ),
    Symptom(
        _KV,
        "No available memory for the cache blocks. ",
        Reason.KV_CACHE_TOO_SMALL,
        "nothing is left for the KV cache of the memory that vLLM may use: raise kvCache.memoryPerGPU where it is set, "
        f"or {_LESS}",
    ),
    Symptom(
        _KV,
        "Cannot auto-fit max_model_len: not enough GPU memory available to serve even a single token.",
        Reason.KV_CACHE_TOO_SMALL,
        f"the weights leave memory for not a single token: {_LESS}",
    ),
    Symptom(
        "vllm/v1/worker/utils.py",
        "Free memory on device {device} ({free}/{total} GiB) on startup is less than desired GPU memory utilization "
        "({share}, {wanted} GiB)",
        Reason.GPU_MEMORY_IN_USE,
        "another process holds memory of GPU {device} on node {node}: {free} of {total} GiB are free, and vLLM is to "
        "take {wanted} GiB; end that process (nvidia-smi on the node shows it), or lower "
        "kvCache.gpuMemoryUtilizationPercent",
    ),
    Symptom(
        "vllm/v1/worker/utils.py",
        "Free memory on device {device} ({free}/{total} GiB) on startup is less than the engine's budget after "
        "excluding external process's weights ({share}, {wanted} GiB)",
        Reason.GPU_MEMORY_IN_USE,
        "other processes hold memory of GPU {device} on node {node}, beside the model's weights: {free} of {total} GiB "
        "are free, and vLLM is to take {wanted} GiB; end them (nvidia-smi on the node shows them), or lower "
        "kvCache.gpuMemoryUtilizationPercent",
    ),
    Symptom(
        "vllm/v1/worker/gpu_worker.py",
        "Free memory on device ({free}/{total} GiB) on startup is less than desired GPU memory utilization ({share}, "
        "{wanted} GiB)",
        Reason.GPU_MEMORY_IN_USE,
        "another process holds memory of a GPU on node {node}: {free} of {total} GiB are free, and vLLM is to take "
        "{wanted} GiB; end that process (nvidia-smi on the node shows it), or lower "
        "kvCache.gpuMemoryUtilizationPercent",
        oldest=True,
    ),
    Symptom(
        "vllm/v1/worker/cpu_worker.py",
        "Available memory on node {} ({free}/{total} GiB) on startup is less than desired CPU memory utilization "
        "({share}, {wanted} GiB)",
        Reason.OUT_OF_MEMORY,
        "on the CPU vLLM is to take {wanted} GiB for its KV cache, and {free} of {total} GiB are free: set "
        "kvCache.memoryPerGPU to what the cache may take",
    ),
    Symptom(
        "vllm/v1/worker/cpu_worker.py",
        "Available memory on node {} ({free}/{total} GiB) on kv cache allocation is less than requested memory for kv "
        "({wanted} GiB)",
        Reason.OUT_OF_MEMORY,
        "on the CPU the KV cache is to take {wanted} GiB of memory, and {free} of {total} GiB are free: lower "
        "kvCache.memoryPerGPU, or raise resources.limits.memory",
    ),
    Symptom(
        _RUNNER,
        "Failed to load model - not enough GPU memory. ",
        Reason.MODEL_TOO_LARGE,
        "the model's weights do not fit the GPU's memory: raise tensorParallelSize, or use a quantized model",
    ),
    # The newer of vLLM's two model runners says nothing of its own: the traceback tells the step.
    Symptom(
        _TORCH,
        "out of memory. Tried to allocate {asked}. GPU {device} has a total capacity of {total} of which {free} is "
        "free",
        Reason.OUT_OF_GPU_MEMORY,
        "the model's weights leave too little of the {total} of GPU {device}: what the sampler keeps for maxNumSeqs "
        "requests asked for {asked}, and {free} were free; lower maxNumSeqs, raise tensorParallelSize, or use a "
        "quantized model",
        within="self.sampler = Sampler(",
    ),
    Symptom(
        _TORCH,
        "out of memory. Tried to allocate {asked}. GPU {device} has a total capacity of {total} of which {free} is "
        "free",
        Reason.MODEL_TOO_LARGE,
        "the model's weights do not fit the {total} of GPU {device}: raise tensorParallelSize, or use a quantized "
        "model",
        within="self.model_runner.load_model(",
    ),
    Symptom(
        _RUNNER,
        "CUDA out of memory occurred when warming up sampler with {count} dummy requests.",
        Reason.OUT_OF_GPU_MEMORY,
        f"GPU memory ran out while vLLM prepared for {{count}} requests at once: {_ROOM}",
    ),
    Symptom(
        _TORCH,
        "out of memory. Tried to allocate {asked}. GPU {device} has a total capacity of {total} of which {free} is "
        "free",
        Reason.OUT_OF_GPU_MEMORY,
        f"GPU memory ran out: {{asked}} were asked for, and {{free}} of {{total}} were free on GPU {{device}}; {_ROOM}",
    ),
    # Of another allocator of torch's, or beyond a share of its own. Its launcher of kernels uses the name otherwise.
    Symptom(_TORCH, "OutOfMemoryError{}out of memory", Reason.OUT_OF_GPU_MEMORY, f"GPU memory ran out: {_ROOM}"),
    # What CUDA's own libraries ask for, past torch's allocator.
    Symptom(_CUDA, "CUDA error: {}out of memory", Reason.OUT_OF_GPU_MEMORY, f"GPU memory ran out: {_ROOM}"),
    Symptom(_TORCH, "CUDA driver error: {}out of memory", Reason.OUT_OF_GPU_MEMORY, f"GPU memory ran out: {_ROOM}"),
    # Of its versions some tell the error's number.
    Symptom(OF_NCCL, "Cuda failure{}'out of memory'", Reason.OUT_OF_GPU_MEMORY, f"GPU memory ran out: {_ROOM}"),
    Symptom(OF_CSRC, "Failed: Cuda error {}'out of memory'", Reason.OUT_OF_GPU_MEMORY, f"GPU memory ran out: {_ROOM}"),
    Symptom(_KERNELS, "CUBLAS_STATUS_ALLOC_FAILED", Reason.OUT_OF_GPU_MEMORY, f"GPU memory ran out: {_ROOM}"),
)

DEVICES = (
    Symptom(
        "vllm/config/parallel.py",
        "World size ({size}) is larger than the number of available GPUs ({count}) in this node.",
        Reason.GPU_UNAVAILABLE,
        f"vLLM needs {{size}} GPUs and sees {{count}} on node {{node}}: {_DEVICE}",
    ),
    Symptom(
        "vllm/config/parallel.py",
        "Tensor parallel size ({size}) cannot be larger than the number of available GPUs ({count}).",
        Reason.GPU_UNAVAILABLE,
        f"vLLM needs {{size}} GPUs and sees {{count}} on node {{node}}: {_DEVICE}",
        oldest=True,
    ),
    Symptom(
        "vllm/v1/worker/gpu_worker.py",
        "DP adjusted local rank {rank} is out of bounds. ",
        Reason.GPU_UNAVAILABLE,
        f"vLLM sees fewer GPUs on node {{node}} than it needs, and rank {{rank}} has none: {_DEVICE}",
        oldest=True,
    ),
    Symptom(
        "vllm/v1/worker/gpu_worker.py",
        "local_world_size ({size}) must be less than or equal to the number of visible devices ({count}).",
        Reason.GPU_UNAVAILABLE,
        f"vLLM needs {{size}} GPUs and sees {{count}} on node {{node}}: {_DEVICE}",
        oldest=True,
    ),
    Symptom(
        "vllm/v1/worker/gpu_worker.py",
        "DP adjusted local rank {rank} is out of bounds for {count} devices.",
        Reason.GPU_UNAVAILABLE,
        f"vLLM sees {{count}} GPUs on node {{node}}, and rank {{rank}} has none: {_DEVICE}",
    ),
    Symptom(
        "vllm/config/device.py",
        "Failed to infer device type",
        Reason.GPU_UNAVAILABLE,
        f"vLLM sees no GPU on node {{node}}: {_DEVICE}",
    ),
    Symptom(
        _TORCH, "No CUDA GPUs are available", Reason.GPU_UNAVAILABLE, f"vLLM sees no GPU on node {{node}}: {_DEVICE}"
    ),
    # Before what CUDA says around them.
    Symptom(
        _TORCH,
        "Found no NVIDIA driver on your system",
        Reason.DRIVER_UNSUITABLE,
        f"the pod sees no NVIDIA driver on node {{node}}: {_DEVICE}",
    ),
    Symptom(
        _TORCH,
        "The NVIDIA driver on your system is too old (found version {version})",
        Reason.DRIVER_UNSUITABLE,
        f"the NVIDIA driver of node {{node}} is too old (CUDA {{version}}): {DRIVER}",
    ),
    Symptom(
        _CUDA,
        "CUDA driver version is insufficient for CUDA runtime version",
        Reason.DRIVER_UNSUITABLE,
        f"the NVIDIA driver of node {{node}} is too old for the image: {DRIVER}",
    ),
    Symptom(
        _CUDA,
        "forward compatibility was attempted on non supported HW",
        Reason.DRIVER_UNSUITABLE,
        f"the NVIDIA driver of node {{node}} does not suit the image: {DRIVER}",
    ),
    Symptom(
        _CUDA,
        "system has unsupported display driver / cuda driver combination",
        Reason.DRIVER_UNSUITABLE,
        "the NVIDIA driver of node {node} and the container's CUDA driver library are not of one version: start the "
        f"node anew if its driver was updated; else {DRIVER}",
    ),
    Symptom(
        _CUDA,
        "the provided PTX was compiled with an unsupported toolchain.",
        Reason.DRIVER_UNSUITABLE,
        f"the NVIDIA driver of node {{node}} is too old for kernels of the image: {DRIVER}",
    ),
    Symptom(
        _TORCH,
        "CUDA unknown error - this may be due to an incorrectly set up environment",
        Reason.GPU_UNAVAILABLE,
        f"CUDA does not start on node {{node}}: {_DEVICE}",
    ),
    Symptom(
        _TORCH,
        "CUDA driver initialization failed, you might not have a CUDA gpu.",
        Reason.GPU_UNAVAILABLE,
        f"CUDA's driver does not start on node {{node}}: {_DEVICE}",
    ),
    Symptom(
        _TORCH,
        "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() "
        "that might have already set an error? Error {number}: {what}",
        Reason.GPU_UNAVAILABLE,
        "CUDA counts no GPUs on node {node} (error {number}: {what}): check the device plugin and driver there, and "
        "NVIDIA's fabric manager if its GPUs are linked by NVSwitch",
    ),
    Symptom(
        _CUDA,
        "no kernel image is available for execution on the device",
        Reason.GPU_UNSUITABLE,
        "the image has no code for the GPU of node {node}: set accelerator.product to a newer GPU, or another image",
    ),
    Symptom(
        "vllm/config/vllm.py",
        "The quantization method {method} is not supported for the current GPU. Minimum capability: {minimum}. "
        "Current capability: {current}.",
        Reason.GPU_UNSUITABLE,
        "the quantization {method} needs a GPU of compute capability {minimum} (the one on node {node} has {current}, "
        "in tenths): set accelerator.product to a newer GPU, or use another checkpoint",
    ),
    Symptom(
        "vllm/platforms/cuda.py",
        "No valid attention backend found for {} with ",
        Reason.GPU_UNSUITABLE,
        "vLLM has no attention for the model on the GPU of node {node}: set accelerator.product to another GPU, or "
        "leave out what narrows the choice (kvCache.dtype, tuning, extraArgs); its log has the reasons",
    ),
    Symptom(
        "vllm/platforms/cuda.py",
        "Bfloat16 is only supported on GPUs with compute capability of at least 8.0. ",
        Reason.GPU_UNSUITABLE,
        "the GPU of node {node} has no bfloat16: set dtype to float16, or accelerator.product to a newer GPU",
    ),
    Symptom(
        # vLLM asks for a kernel when it first needs it: the engine dies at the first request.
        "torch/_ops.py",
        "'_OpNamespace' '{}' object has no attribute '{kernel}'",
        Reason.KERNEL_MISSING,
        "vLLM's build for the processor of node {node} has no {kernel}: use another checkpoint, or other nodes "
        "(pod.nodeSelector); on CPUs AWQ and GPTQ need AVX-512",
    ),
    Symptom(
        _CUDA,
        "no CUDA-capable device is detected",
        Reason.GPU_UNAVAILABLE,
        f"vLLM sees no GPU on node {{node}}: {_DEVICE}",
    ),
    Symptom(
        _CUDA,
        "CUDA-capable device(s) is/are busy or unavailable",
        Reason.GPU_MEMORY_IN_USE,
        "another process has a GPU of node {node} for itself: end it (nvidia-smi on the node shows it), or set its "
        "compute mode to Default",
    ),
    Symptom(
        "vllm/third_party/pynvml.py",
        "GPU is lost",
        Reason.GPU_ERROR,
        "a GPU of node {node} is lost: look for Xid errors in its kernel log, drain the node and start it anew",
    ),
    Symptom(
        _CUDA,
        "device-side assert triggered",
        Reason.TOKENIZER_MISMATCH,
        "code on the GPU was asked for what is not there (device-side assert), most often a token that the model does "
        "not have: set model.tokenizer to the one that the model was made with",
    ),
    Symptom(
        "torch/lib/libtorch_cpu.so",
        "index out of range in self",
        Reason.TOKENIZER_MISMATCH,
        "a request held a token that the model does not have: set model.tokenizer to the one that the model was made "
        "with",
    ),
    Symptom(
        _KERNELS,
        "CUDA error: {what}",
        Reason.GPU_ERROR,
        f"a GPU of node {{node}} failed (CUDA error: {{what}}): {_DEFECT}",
    ),
    # It is no exception: the process ends there.
    Symptom(
        OF_CSRC,
        "Failed: Cuda error {}custom_all_reduce{}:{line} '{what}'",
        Reason.GPU_ERROR,
        "the GPUs of node {node} do not reach each other's memory ({what}): set extraArgs: "
        "--disable-custom-all-reduce, or have peer access between them allowed (PCIe ACS, IOMMU, the hypervisor)",
    ),
    # Of calls past CUDA's runtime: memory that can be mapped, symmetric memory.
    Symptom(
        _TORCH,
        "CUDA driver error: {what}",
        Reason.GPU_ERROR,
        f"a GPU of node {{node}} failed (CUDA driver error: {{what}}): {_DEFECT}",
    ),
)

# What was between the GPUs, where nothing else tells: one of them may only have heard of what ended another.
EXCHANGE = (
    Symptom(
        "vllm/distributed/device_communicators/pynccl_wrapper.py",
        "NCCL error: {what}",
        Reason.GPU_ERROR,
        f"the GPUs of node {{node}} could not exchange data (NCCL error: {{what}}): {_DEFECT}",
    ),
    Symptom(
        _KERNELS,
        "NCCL error in: {where}, {what}, NCCL version {version} {kind} Last error: {cause}\n",
        Reason.GPU_ERROR,
        f"the GPUs of node {{node}} could not exchange data ({{what}}: {{cause}}): {_DEFECT}",
    ),
    Symptom(
        _KERNELS,
        "NCCL error in: {where}, {what}",
        Reason.GPU_ERROR,
        f"the GPUs of node {{node}} could not exchange data (NCCL error in {{where}}, {{what}}): {_DEFECT}",
    ),
)
