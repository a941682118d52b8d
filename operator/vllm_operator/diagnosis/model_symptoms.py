"""Lines of a log that tell of the model or an argument: hub, cache, files, vLLM's flags. Order is priority."""

from ..api.reasons import Reason
from .rank_symptoms import HOST_MEMORY
from .symptom import OF_PROTOCOL, OF_SYSTEM, Symptom

OF_HTTPX = "httpx"
"""A `source`: the names of the exceptions of httpx, with which the hub is asked, under any of the package's names."""
_MODEL = "vllm/config/model.py"
_HUB = "transformers/utils/hub.py"
_HTTP = "huggingface_hub/utils/_http.py"
_HUB_FIX = "check model.uri, and model.tokenSecretRef if the model is private"
_ACCESS = "accept its terms on the hub, and set model.tokenSecretRef to a token of that account"
_LIMITED = (
    "the hub's rate limit is reached: set model.tokenSecretRef (a token has a higher limit), keep the cache in "
    "cache.claim, or serve from pvc://; vLLM is started again meanwhile"
)
_CONFIG = "transformers/models/auto/configuration_auto.py"
_STRICT = "huggingface_hub/errors.py"
_SPACE = "raise cache.claim.storage, or pod and node storage where there is no claim"
_EGRESS = "check the cluster's egress and proxy settings"
_AWAY = f"the pod cannot reach the hub: {_EGRESS}, or serve from pvc://"
# What a download ends in that may never have begun: files lie on hosts of their own, which egress may not let through.
_UNREACHED = ("ConnectError", "ConnectTimeout")
# What keeps a download from its end once it has begun.
_BREAKS = ("ReadError", "ReadTimeout", "RemoteProtocolError")
_REFUSED = "use another checkpoint, or an image that knows it"

MODELS = (
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
        "Cannot access gated repo for url {path}",
        Reason.MODEL_GATED,
        f"the model, or an adapter, is gated ({{path}}): {_ACCESS}",
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
        _LIMITED,
    ),
    Symptom(OF_PROTOCOL, "429 Client Error:{} for url", Reason.HUB_RATE_LIMITED, _LIMITED),
    # Why it could not be reached, which what follows does not say.
    Symptom(
        "cryptography/hazmat/bindings/_rust.abi3.so",
        "certificate verify failed",
        Reason.HUB_UNREACHABLE,
        "the pod does not trust the certificate that answers for the hub, most often a proxy's or a mirror's: the "
        "operator's setting caConfigMap names those to trust",
    ),
    Symptom(
        "httpx2/_models.py",
        "Server error {status} for url",
        Reason.HUB_UNREACHABLE,
        "the hub, or a proxy before it, fails ({status}): vLLM is started again until it answers",
    ),
    # Not every server says words beside its code.
    Symptom(
        "requests/models.py",
        "{code} Server Error:{what} for url: ",
        Reason.HUB_UNREACHABLE,
        "the hub, or a proxy before it, fails ({code} {what}): vLLM is started again until it answers",
    ),
    Symptom(
        _HUB,
        "We couldn't connect to '{hub}' to load the files",
        Reason.HUB_UNREACHABLE,
        f"the pod cannot reach {{hub}}: {_EGRESS}, or serve from pvc://",
        vague=True,
    ),
    Symptom(
        "huggingface_hub/_snapshot_download.py",
        "An error happened while trying to locate the files on the Hub",
        Reason.HUB_UNREACHABLE,
        _AWAY,
        vague=True,
    ),
    Symptom(
        "huggingface_hub/file_download.py",
        "An error happened while trying to locate the file on the Hub",
        Reason.HUB_UNREACHABLE,
        _AWAY,
        vague=True,
    ),
    Symptom(
        "huggingface_hub/_snapshot_download.py",
        "file(s) are missing ({}){}The Hub could not be reached",
        Reason.HUB_UNREACHABLE,
        f"not all files are in the cache, and {_AWAY}",
        vague=True,
    ),
    Symptom(
        "huggingface_hub/_snapshot_download.py",
        "Cannot find an appropriate cached snapshot folder",
        Reason.HUB_UNREACHABLE,
        "the model is not in the cache, and vLLM may not ask the hub (HF_HUB_OFFLINE): remove that from env, or fill "
        "the cache",
    ),
    # vLLM says so of whatever keeps it from an adapter of the hub (vllm/lora/worker_manager.py).
    Symptom(
        "vllm/exceptions.py",
        "No adapter found for {path}",
        Reason.ADAPTER_NOT_FOUND,
        "there is no LoRA adapter at {path}: check the uri in lora.adapters; of one on the hub also that "
        "model.tokenSecretRef has a token that may read it",
        vague=True,
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
        OF_SYSTEM,
        "No space left on device",
        Reason.NO_SPACE_LEFT,
        f"the volume that the pod writes to is full: {_SPACE}",
    ),
    # As Python, Rust and torch say it, the last of a file that it maps. NCCL may mean memory that a device is to reach.
    *(
        Symptom(OF_SYSTEM, said, Reason.OUT_OF_MEMORY, HOST_MEMORY)
        for said in (
            "[Errno 12] Cannot allocate memory",
            "Cannot allocate memory (os error 12)",
            ">: Cannot allocate memory (12)",
        )
    ),
    Symptom(
        "torch/lib/libc10.so",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate ",
        Reason.OUT_OF_MEMORY,
        HOST_MEMORY,
    ),
    Symptom(
        OF_SYSTEM, "Disk quota exceeded", Reason.NO_SPACE_LEFT, f"the quota of the cache's volume is used: {_SPACE}"
    ),
    Symptom(
        "huggingface_hub/file_download.py",
        "Consistency check failed: file should be of size",
        Reason.HUB_UNREACHABLE,
        "a file of the hub did not arrive whole: vLLM is started again, and fetches it anew",
    ),
    # Of the hub's storage; what is known of the volume stands before.
    Symptom(
        "hf_xet/hf_xet.abi3.so",
        "CAS Client Error: {what}",
        Reason.HUB_UNREACHABLE,
        f"a download from the hub's storage broke off ({{what}}): vLLM is started again, and goes on with it; if that "
        f"lasts, {_EGRESS}",
        ends=True,
    ),
    *(
        Symptom(
            OF_HTTPX,
            f"httpx{{}}.{name}",
            Reason.HUB_UNREACHABLE,
            f"the pod cannot reach the hub, or its storage ({name}): {_EGRESS}, or serve from pvc://",
            ends=True,
        )
        for name in _UNREACHED
    ),
    *(
        Symptom(
            OF_HTTPX,
            f"httpx{{}}.{name}",
            Reason.HUB_UNREACHABLE,
            f"a download from the hub broke off ({name}): vLLM is started again, and goes on with it",
            ends=True,
        )
        for name in _BREAKS
    ),
    Symptom(
        OF_SYSTEM,
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
        OF_SYSTEM,
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
        "the chat template {path} is not there: check chatTemplate, and that the image has it",
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
        _CONFIG,
        "has model type `{type}` but Transformers does not recognize this architecture.",
        Reason.MODEL_UNSUPPORTED,
        "the image's transformers does not know models of type {type}: use a newer image, or another model",
    ),
    Symptom(
        _CONFIG,
        "Unrecognized model in {model}. Should have a `model_type` key in its",
        Reason.MODEL_UNSUPPORTED,
        "the config.json of {model} names no model_type: check model.uri, or use another checkpoint",
    ),
    # How transformers checks what config.json says.
    Symptom(
        _STRICT,
        "Class validation error for validator '{}': {}: {what}",
        Reason.MODEL_UNSUPPORTED,
        f"transformers refuses the model's config.json ({{what}}): {_REFUSED}",
    ),
    Symptom(
        _STRICT,
        "Validation error for field '{field}': {}: {what}",
        Reason.MODEL_UNSUPPORTED,
        f"transformers refuses {{field}} of the model's config.json ({{what}}): {_REFUSED}",
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
        "safetensors/_safetensors_rust.abi3.so",
        "Error while deserializing header: {what}",
        Reason.MODEL_NOT_FOUND,
        "a file of the model's weights is not whole, or only points to it as Git LFS does ({what}): delete it from the "
        "cache or the volume, and fetch it anew",
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
        "vllm/model_executor/layers/quantization/auto_awq.py",
        "size is not aligned with the quantized weight shape. This can be caused by too large tensor parallel size.",
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
