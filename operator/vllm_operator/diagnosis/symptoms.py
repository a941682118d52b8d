"""What vLLM and the libraries under it say when they fail -> the reason, and what to do. One table; order is priority.

`says` is the text as its source has it, with `{name}` where a value stands and `{}` where anything may: the pattern is
made of it, and a test looks for its pieces in the named source of the pinned vLLM.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from ..reasons import Reason

_FIELD = re.compile(r"\{(\w*)\}")
# Values are short, on one line, and no sentence: what stands between two known texts can then be no prompt.
_VALUE = r"[^\n]{0,160}?"
_WORD, _REST = r"[^\s'\",]{1,160}", r"[^\n.;'\"]{1,100}"


@dataclass(frozen=True)
class Symptom:
    """One text. `told` is what the user reads; it may use the values of `says`, and {node}.

    `source` is a file below site-packages, or "errno" for the operating system's own words. Texts of CUDA and of
    torch's compiled part have none: no source of theirs is installed where the tests run.
    """

    source: str | None
    says: str
    reason: Reason
    told: str

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the text in a log, wherever a line is broken."""
        parts = _FIELD.split(self.says)
        literals = [re.escape(part).replace(r"\ ", r"\s+").replace(r"\n", r"\s+") for part in parts[::2]]
        values = [f"(?P<{name}>{_VALUE})" if name else _VALUE for name in parts[1::2]] + [""]
        # Nothing bounds a value at either end of a text but the end of its word, or of its line.
        if not literals[0]:
            values[0] = f"(?P<{parts[1]}>{_WORD})"
        if not literals[-1]:
            values[-2] = f"(?P<{parts[-2]}>{_WORD if parts[-2] == 'path' else _REST})"
        return re.compile("".join(literal + value for literal, value in zip(literals, values, strict=True)))

    def pieces(self) -> list[str]:
        """The fixed parts of the text."""
        return [piece for piece in _FIELD.split(self.says)[::2] if piece.strip()]


_KV = "vllm/v1/core/kv_cache_utils.py"
_MODEL = "vllm/config/model.py"
_HUB = "transformers/utils/hub.py"
_HTTP = "huggingface_hub/utils/_http.py"
_RUNNER = "vllm/v1/worker/gpu_model_runner.py"

_LESS = (
    "raise tensorParallelSize or kvCache.gpuMemoryUtilizationPercent, set kvCache.dtype to fp8, or use a quantized "
    "model"
)
_ROOM = "lower kvCache.gpuMemoryUtilizationPercent or maxNumSeqs, raise tensorParallelSize, or use a quantized model"
_ACCESS = "accept its terms on the hub, and set model.tokenSecretRef to a token of that account"
_HUB_FIX = "check model.uri, and model.tokenSecretRef if the model is private"
_DRIVER = "the node's NVIDIA driver must be at least what the image's CUDA asks for: update it, or use an older image"
_DEVICE = (
    "check the device plugin and driver there, and pod.runtimeClassName if the cluster has a runtime class for GPUs"
)
_DEFECT = "if it happens again on this node only, look for Xid errors in its kernel log and drain it"
_SPACE = "raise cache.claim.storage, or pod and node storage where there is no claim"

MEMORY = (
    Symptom(
        _KV,
        "model's max seq len ({wanted}), ({needed} GiB KV cache is needed, which is larger than the available KV cache "
        "memory ({available} GiB). {}the estimated maximum model length is {length}. ",
        Reason.KV_CACHE_TOO_SMALL,
        "the KV cache is too small for one request of {wanted} tokens: that takes {needed} GiB, and {available} GiB "
        f"are left; set maxModelLen to {{length}} (vLLM's own estimate) or to auto, or {_LESS}",
    ),
    Symptom(
        _KV,
        "model's max seq len ({wanted}), ({needed} GiB KV cache is needed, which is larger than the available KV cache "
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
        "vllm/v1/worker/cpu_worker.py",
        "Available memory on node {} ({free}/{total} GiB) on startup is less than desired CPU memory utilization "
        "({share}, {wanted} GiB)",
        Reason.OUT_OF_MEMORY,
        "on the CPU vLLM is to take {wanted} GiB for its KV cache, and {free} of {total} GiB are free: set "
        "kvCache.memoryPerGPU to what the cache may take",
    ),
    Symptom(
        _RUNNER,
        "Failed to load model - not enough GPU memory. ",
        Reason.MODEL_TOO_LARGE,
        "the model's weights do not fit the GPU's memory: raise tensorParallelSize, or use a quantized model",
    ),
    Symptom(
        _RUNNER,
        "CUDA out of memory occurred when warming up sampler with {count} dummy requests.",
        Reason.OUT_OF_GPU_MEMORY,
        f"GPU memory ran out while vLLM prepared for {{count}} requests at once: {_ROOM}",
    ),
    Symptom(
        None,
        "out of memory. Tried to allocate {asked}. GPU {device} has a total capacity of {total} of which {free} is "
        "free",
        Reason.OUT_OF_GPU_MEMORY,
        f"GPU memory ran out: {{asked}} were asked for, and {{free}} of {{total}} were free on GPU {{device}}; {_ROOM}",
    ),
    Symptom("torch/cuda/__init__.py", "OutOfMemoryError", Reason.OUT_OF_GPU_MEMORY, f"GPU memory ran out: {_ROOM}"),
)

DEVICES = (
    Symptom(
        "vllm/config/parallel.py",
        "World size ({size}) is larger than the number of available GPUs ({count}) in this node.",
        Reason.GPU_UNAVAILABLE,
        f"vLLM needs {{size}} GPUs and sees {{count}} on node {{node}}: {_DEVICE}",
    ),
    Symptom(
        "vllm/config/device.py",
        "Failed to infer device type",
        Reason.GPU_UNAVAILABLE,
        f"vLLM sees no GPU on node {{node}}: {_DEVICE}",
    ),
    Symptom(
        None, "No CUDA GPUs are available", Reason.GPU_UNAVAILABLE, f"vLLM sees no GPU on node {{node}}: {_DEVICE}"
    ),
    Symptom(
        None,
        "Found no NVIDIA driver on your system",
        Reason.DRIVER_UNSUITABLE,
        f"the pod sees no NVIDIA driver on node {{node}}: {_DEVICE}",
    ),
    Symptom(
        None,
        "The NVIDIA driver on your system is too old (found version {version})",
        Reason.DRIVER_UNSUITABLE,
        f"the NVIDIA driver of node {{node}} is too old (CUDA {{version}}): {_DRIVER}",
    ),
    Symptom(
        None,
        "CUDA driver version is insufficient for CUDA runtime version",
        Reason.DRIVER_UNSUITABLE,
        f"the NVIDIA driver of node {{node}} is too old for the image: {_DRIVER}",
    ),
    Symptom(
        None,
        "forward compatibility was attempted on non supported HW",
        Reason.DRIVER_UNSUITABLE,
        f"the NVIDIA driver of node {{node}} does not suit the image: {_DRIVER}",
    ),
    Symptom(
        None,
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
        "Bfloat16 is only supported on GPUs with compute capability of at least 8.0. ",
        Reason.GPU_UNSUITABLE,
        "the GPU of node {node} has no bfloat16: set dtype to float16, or accelerator.product to a newer GPU",
    ),
    Symptom(
        None,
        "CUDA error: {what}",
        Reason.GPU_ERROR,
        f"a GPU of node {{node}} failed (CUDA error: {{what}}): {_DEFECT}",
    ),
    Symptom(
        "vllm/distributed/device_communicators/pynccl_wrapper.py",
        "NCCL error: {what}",
        Reason.GPU_ERROR,
        f"the GPUs of node {{node}} could not exchange data (NCCL error: {{what}}): {_DEFECT}",
    ),
)

MODELS = (
    Symptom(
        "vllm/exceptions.py",
        "No adapter found for {path}",
        Reason.ADAPTER_NOT_FOUND,
        "there is no LoRA adapter at {path}: check the uri in lora.adapters",
    ),
    Symptom(
        "vllm/lora/peft_helper.py",
        "LoRA rank {rank} is greater than max_lora_rank {most}.",
        Reason.INVALID_ARGUMENTS,
        "an adapter has rank {rank}, and lora.maxRank is {most}: raise lora.maxRank",
    ),
    Symptom(
        _HUB,
        "You are trying to access a gated repo.",
        Reason.MODEL_GATED,
        f"the model is gated: {_ACCESS}",
    ),
    Symptom(
        _HTTP,
        "Cannot access gated repo for url ",
        Reason.MODEL_GATED,
        f"the model is gated: {_ACCESS}",
    ),
    Symptom(
        _HTTP,
        "Invalid credentials in Authorization header",
        Reason.HUB_TOKEN_REFUSED,
        "the hub refuses the token of model.tokenSecretRef: put a valid one into the Secret, and restart the pods "
        "(rollout.restartedAt)",
    ),
    Symptom(
        _HTTP,
        "Cannot access content at: ",
        Reason.HUB_TOKEN_REFUSED,
        "the hub forbids the download with the token of model.tokenSecretRef: give the token read access to the model",
    ),
    Symptom(
        _HTTP,
        "429 Too Many Requests",
        Reason.HUB_RATE_LIMITED,
        "the hub's rate limit is reached: set model.tokenSecretRef (a token has a higher limit), keep the cache in "
        "cache.claim, or serve from pvc://; vLLM is started again meanwhile",
    ),
    Symptom(
        _HUB,
        "{revision} is not a valid git identifier (branch name, tag name or commit id)",
        Reason.REVISION_NOT_FOUND,
        "the model has no revision {revision}: check model.revision (or model.tokenizer.revision)",
    ),
    Symptom(
        _HTTP,
        "Revision Not Found for url: ",
        Reason.REVISION_NOT_FOUND,
        "the model has no such revision: check model.revision (or model.tokenizer.revision)",
    ),
    Symptom(
        _HUB,
        "{model} is not a local folder and is not a valid model identifier",
        Reason.MODEL_NOT_FOUND,
        f"the hub has no model {{model}}, or not for this token: {_HUB_FIX}",
    ),
    Symptom(
        _HTTP,
        "Repository Not Found for url: ",
        Reason.MODEL_NOT_FOUND,
        f"the hub has no such model, or not for this token: {_HUB_FIX}",
    ),
    Symptom(
        _HUB,
        "We couldn't connect to '{hub}' to load the files",
        Reason.HUB_UNREACHABLE,
        "the pod cannot reach {hub}: check the cluster's egress and proxy settings, or serve from pvc://",
    ),
    Symptom(
        "huggingface_hub/_snapshot_download.py",
        "An error happened while trying to locate the files on the Hub",
        Reason.HUB_UNREACHABLE,
        "the pod cannot reach the hub: check the cluster's egress and proxy settings, or serve from pvc://",
    ),
    Symptom(
        "huggingface_hub/_snapshot_download.py",
        "Cannot find an appropriate cached snapshot folder",
        Reason.HUB_UNREACHABLE,
        "the model is not in the cache, and vLLM may not ask the hub (HF_HUB_OFFLINE): remove that from env, or fill "
        "the cache",
    ),
    Symptom(
        "errno", "No space left on device", Reason.NO_SPACE_LEFT, f"the volume that the pod writes to is full: {_SPACE}"
    ),
    Symptom("errno", "Disk quota exceeded", Reason.NO_SPACE_LEFT, f"the quota of the cache's volume is used: {_SPACE}"),
    Symptom(
        "errno",
        "Read-only file system: '{path}'",
        Reason.CACHE_NOT_WRITABLE,
        "vLLM must write {path}, which is read-only: caches belong below /cache, which is writable",
    ),
    Symptom(
        _HUB,
        "PermissionError at {path} when downloading",
        Reason.CACHE_NOT_WRITABLE,
        "user 1000 may not write {path}: set pod.fsGroup to the group of the cache's volume",
    ),
    Symptom(
        "errno",
        "Permission denied: '{path}'",
        Reason.CACHE_NOT_WRITABLE,
        "user 1000 may not use {path}: set pod.fsGroup to the group of the volume, or make its files readable",
    ),
    Symptom(
        "vllm/tokenizers/hf.py",
        "Failed to load the tokenizer. If the tokenizer is a custom tokenizer",
        Reason.TOKENIZER_MISSING,
        "the tokenizer is code of its own: set model.trustRemoteCode if you trust it, or model.tokenizer to another",
    ),
    Symptom(
        "transformers/tokenization_utils_base.py",
        "Can't load tokenizer for '{model}'.",
        Reason.TOKENIZER_MISSING,
        "{model} has no tokenizer: set model.tokenizer.uri to the model that it was made from",
    ),
    Symptom(
        "transformers/tokenization_utils_tokenizers.py",
        "Couldn't instantiate the backend tokenizer from one of: ",
        Reason.TOKENIZER_MISSING,
        "the model has no tokenizer that can be loaded: set model.tokenizer.uri to the model that it was made from",
    ),
    Symptom(
        "vllm/renderers/chat_utils.py",
        "The supplied chat template string ({path}) appears path-like, but doesn't exist!",
        Reason.CHAT_TEMPLATE_INVALID,
        "the chat template {path} is not there: check chatTemplate.configMapKeyRef",
    ),
    Symptom(
        "vllm/renderers/chat_utils.py",
        "The supplied chat template ({path}) looks like a file path, but it failed to be opened.",
        Reason.CHAT_TEMPLATE_INVALID,
        "the chat template {path} cannot be read: check chatTemplate.configMapKeyRef",
    ),
    Symptom(
        "vllm/model_executor/models/registry.py",
        "Model architectures {architectures} are not supported for now.",
        Reason.MODEL_UNSUPPORTED,
        "vLLM does not know the model's architecture {architectures}: use a newer image, or another model",
    ),
    Symptom(
        "vllm/transformers_utils/config.py",
        "Failed to load the model config. If the model is a custom model",
        Reason.MODEL_UNSUPPORTED,
        "the model is code of its own: set model.trustRemoteCode if you trust it",
    ),
    Symptom(
        "vllm/model_executor/model_loader/default_loader.py",
        "Cannot find any model weights with `{model}`",
        Reason.MODEL_NOT_FOUND,
        "there are no weights in {model}: check model.uri",
    ),
    Symptom(
        _HUB,
        "{model} does not appear to have a file named {file}. Checkout",
        Reason.MODEL_NOT_FOUND,
        "{model} has no file {file}: check model.uri",
    ),
    Symptom(
        "huggingface_hub/utils/_validators.py",
        "Repo id must be in the form 'repo_name' or 'namespace/repo_name': '{model}'.",
        Reason.MODEL_NOT_FOUND,
        "there is no folder {model} in the volume: check the path in the pvc:// URIs",
    ),
    Symptom(
        "vllm/transformers_utils/config.py",
        "Invalid repository ID or local directory specified: '{model}'.",
        Reason.MODEL_NOT_FOUND,
        f"{{model}} is no model of the hub and no folder with a config.json: {_HUB_FIX}",
    ),
)

ARGUMENTS = (
    Symptom(
        _MODEL,
        "User-specified max_model_len ({wanted}) is greater than the derived max_model_len ({key}={length} or ",
        Reason.INVALID_ARGUMENTS,
        "maxModelLen {wanted} is more than the model was made for ({length}): lower it, or leave it out",
    ),
    Symptom(
        _MODEL,
        "Total number of attention heads ({heads}) must be divisible by tensor parallel size ({size}).",
        Reason.INVALID_ARGUMENTS,
        "tensorParallelSize {size} does not divide the model's {heads} attention heads: use one that does",
    ),
    Symptom(
        "vllm/distributed/utils.py",
        "This happens when tensor_parallel_size splits the layer input into shards that are not a whole number of "
        "quant groups.",
        Reason.INVALID_ARGUMENTS,
        "tensorParallelSize splits a group of quantized weights: lower it",
    ),
    Symptom(
        _MODEL,
        "Pipeline parallelism is not supported for this model.",
        Reason.INVALID_ARGUMENTS,
        "the model cannot be split by layers: leave pipelineParallelSize out, and raise tensorParallelSize instead",
    ),
    Symptom(
        "vllm/entrypoints/launchers/launcher.py",
        "invalid tool call parser: {parser} (chose from",
        Reason.INVALID_ARGUMENTS,
        "vLLM has no tool call parser {parser}: check toolCallParser",
    ),
    Symptom(
        "vllm/entrypoints/launchers/launcher.py",
        "invalid reasoning parser: {parser} (chose from",
        Reason.INVALID_ARGUMENTS,
        "vLLM has no reasoning parser {parser}: check reasoningParser",
    ),
)

SYMPTOMS = (*MEMORY, *DEVICES, *MODELS, *ARGUMENTS)
