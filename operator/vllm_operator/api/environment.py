"""Environment variables of vLLM's container: which of them `env` may set, and what to use instead of the others.

On the list is what neither loads code, nor names a file to be run or written, nor sends credentials, logs or requests
elsewhere, nor belongs to the operator, the platform team or a field of the spec. It is a list of names, because
libraries read many more than anybody knows, some of them in any case (`Https_proxy`). Not on it on purpose: compilers
and their flags (CC, NVCC_*, TORCH_CUDA_ARCH_LIST, GCC_EXEC_PREFIX), PYTHONWARNINGS (imports a module),
VLLM_USE_RUST_FRONTEND (passes by our middleware), VLLM_MEDIA_URL_ALLOW_REDIRECTS (leads out of the media domains),
OTEL_EXPORTER_OTLP_HEADERS (is logged where it cannot be read).
"""

from typing import Annotated, Literal

from pydantic import model_validator

from .base import ApiModel, Form, KeyName, Limits, ObjectName, optional, required, rule, said_of, with_rules

# Switches, numbers and words, by who reads them. tests/vllm_parser holds vLLM's against the pinned version.
_VLLM = (
    "ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE", "ALLOW_LONG_MAX_MODEL_LEN", "ALLREDUCE_USE_FLASHINFER",
    "ALLREDUCE_USE_SYMM_MEM", "BATCH_INVARIANT", "BLOCKSCALE_FP8_GEMM_FLASHINFER", "CHAT_TEMPLATE_RENDER_TIMEOUT",
    "COMPUTE_NANS_IN_LOGITS", "CPU_INT4_W4A8", "CPU_NUM_OF_RESERVED_CPU", "CPU_OMP_THREADS_BIND",
    "DEEP_GEMM_WARMUP", "DISABLED_KERNELS", "DISABLE_COMPILE_CACHE", "DISABLE_LOG_LOGO", "DISABLE_PYNCCL",
    "DISABLE_REQUEST_ID_RANDOMIZATION", "DISABLE_SHARED_EXPERTS_STREAM", "ENABLE_COHERE_API",
    "ENABLE_CUDAGRAPH_GC", "ENABLE_CUDA_COMPATIBILITY", "ENABLE_FLA_PACKED_RECURRENT_DECODE",
    "ENABLE_INDUCTOR_COORDINATE_DESCENT_TUNING", "ENABLE_INDUCTOR_MAX_AUTOTUNE", "ENABLE_RESPONSES_API_STORE",
    "ENABLE_V1_MULTIPROCESSING", "ENFORCE_STRICT_TOOL_CALLING", "ENGINE_READY_TIMEOUT_S",
    "EXECUTE_MODEL_TIMEOUT_SECONDS", "FLASHINFER_ALLREDUCE_BACKEND", "FLASHINFER_WORKSPACE_BUFFER_SIZE",
    "FLOAT32_MATMUL_PRECISION", "GDN_DECODE_KERNEL", "GPT_OSS_HARMONY_SYSTEM_INSTRUCTIONS",
    "HTTP_TIMEOUT_KEEP_ALIVE", "IMAGE_FETCH_TIMEOUT", "AUDIO_FETCH_TIMEOUT", "VIDEO_FETCH_TIMEOUT",
    "KV_CACHE_LAYOUT", "KV_EVENTS_USE_INT_BLOCK_HASHES", "LOGGING_COLOR", "LOGGING_LEVEL", "LOG_BATCHSIZE_INTERVAL",
    "LOG_MODEL_INSPECTION", "LOG_STATS_INTERVAL", "LORA_DISABLE_PDL", "MARLIN_INPUT_DTYPE",
    "MARLIN_USE_ATOMIC_ADD", "MAX_AUDIO_CLIP_FILESIZE_MB", "MAX_AUDIO_DECODE_DURATION_S", "MAX_COMPLETION_PROMPTS",
    "MAX_IMAGE_PIXELS", "MAX_MEDIA_DOWNLOAD_SIZE_MB", "MAX_N_SEQUENCES", "MAX_STOP_STRINGS",
    "MAX_TOKENS_PER_EXPERT_FP4_MOE", "MEDIA_FETCH_MAX_RETRIES", "MEDIA_LOADING_THREAD_COUNT",
    "MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS", "MLA_DISABLE", "MOE_SKIP_PADDING", "MOE_USE_DEEP_GEMM",
    "MQ_MAX_CHUNK_BYTES_MB", "PP_LAYER_PARTITION", "RAISE_ON_LOGIT_NANS", "REGEX_COMPILATION_TIMEOUT_S",
    "RINGBUFFER_WARNING_INTERVAL", "ROCM_FP8_MFMA_PAGE_ATTN", "ROCM_FP8_PADDING", "ROCM_MOE_PADDING",
    "ROCM_QUICK_REDUCE_CAST_BF16_TO_FP16", "ROCM_QUICK_REDUCE_MAX_SIZE_BYTES_MB",
    "ROCM_QUICK_REDUCE_QUANTIZATION", "ROCM_SHUFFLE_KV_CACHE_LAYOUT", "ROCM_USE_AITER",
    "ROCM_USE_AITER_CUSTOM_AR", "ROCM_USE_AITER_FP4BMM", "ROCM_USE_AITER_FP4_ASM_GEMM", "ROCM_USE_AITER_FP8BMM",
    "ROCM_USE_AITER_FUSION_SHARED_EXPERTS", "ROCM_USE_AITER_LINEAR", "ROCM_USE_AITER_MHA", "ROCM_USE_AITER_MLA",
    "ROCM_USE_AITER_MOE", "ROCM_USE_AITER_RMSNORM", "ROCM_USE_AITER_TRITON_GEMM", "ROCM_USE_AITER_TRITON_ROPE",
    "ROCM_USE_AITER_UNIFIED_ATTENTION", "ROCM_USE_SKINNY_GEMM", "SHARED_EXPERTS_STREAM_TOKEN_THRESHOLD",
    "SKIP_P2P_CHECK", "SPARSE_INDEXER_MAX_LOGITS_MB", "SYSTEM_START_DATE", "TOOL_JSON_ERROR_AUTOMATIC_RETRY",
    "TOOL_PARSE_REGEX_TIMEOUT_SECONDS", "USE_BREAKABLE_CUDAGRAPH", "USE_DEEP_GEMM", "USE_DEEP_GEMM_E8M0",
    "USE_FLASHINFER_MOE_INT4", "USE_FLASHINFER_SAMPLER", "USE_FUSED_MOE_GROUPED_TOPK", "USE_NCCL_SYMM_MEM",
    "USE_STANDALONE_COMPILE", "USE_TRITON_AWQ", "USE_V2_MODEL_RUNNER", "V1_OUTPUT_PROC_CHUNK_SIZE",
    "WEIGHT_OFFLOADING_DISABLE_PIN_MEMORY", "WEIGHT_OFFLOADING_DISABLE_UVA", "WORKER_MULTIPROC_METHOD",
    "WORKER_SHUTDOWN_TIMEOUT_SECONDS", "WSL2_ENABLE_PIN_MEMORY", "XGRAMMAR_CACHE_MB",
)  # fmt: skip
_HUB = (
    "HF_HUB_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_SYMLINKS_WARNING", "HF_HUB_DISABLE_TELEMETRY",
    "HF_HUB_DISABLE_XET", "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ENABLE_HF_TRANSFER", "HF_HUB_ETAG_TIMEOUT",
    "HF_HUB_OFFLINE", "HF_HUB_VERBOSITY", "HF_XET_HIGH_PERFORMANCE", "HF_XET_NUM_CONCURRENT_RANGE_GETS",
    "SAFETENSORS_FAST_GPU", "TIKTOKEN_ENCODINGS_BASE", "TOKENIZERS_PARALLELISM", "TRANSFORMERS_OFFLINE",
    "TRANSFORMERS_VERBOSITY",
)  # fmt: skip
_PROCESSORS = (
    "CUDA_DEVICE_MAX_CONNECTIONS", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING", "CUDA_MODULE_LOADING",
    "GPU_MAX_HW_QUEUES", "HIP_FORCE_DEV_KERNARG", "HSA_ENABLE_SDMA", "HSA_NO_SCRATCH_RECLAIM",
    "HSA_OVERRIDE_GFX_VERSION", "KMP_AFFINITY", "KMP_BLOCKTIME", "KMP_TPAUSE", "MKL_NUM_THREADS", "OMP_NUM_THREADS",
    "OMP_PLACES", "OMP_PROC_BIND", "OPENBLAS_NUM_THREADS", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_HIP_ALLOC_CONF", "RAYON_NUM_THREADS", "TORCH_BLAS_PREFER_HIPBLASLT", "TORCH_SHOW_CPP_STACKTRACES",
)  # fmt: skip
_NETWORK = (
    "GLOO_SOCKET_IFNAME", "NCCL_ALGO", "NCCL_BUFFSIZE", "NCCL_CROSS_NIC", "NCCL_CUMEM_ENABLE", "NCCL_DEBUG",
    "NCCL_DEBUG_SUBSYS", "NCCL_IB_DISABLE", "NCCL_IB_GID_INDEX", "NCCL_IB_HCA", "NCCL_IB_QPS_PER_CONNECTION",
    "NCCL_IB_RETRY_CNT", "NCCL_IB_SL", "NCCL_IB_TC", "NCCL_IB_TIMEOUT", "NCCL_IGNORE_CPU_AFFINITY",
    "NCCL_MAX_NCHANNELS", "NCCL_MIN_NCHANNELS", "NCCL_NET_GDR_LEVEL", "NCCL_NVLS_ENABLE", "NCCL_P2P_DISABLE",
    "NCCL_P2P_LEVEL", "NCCL_PROTO", "NCCL_SHM_DISABLE", "NCCL_SOCKET_FAMILY", "NCCL_SOCKET_IFNAME",
    "TORCH_DISTRIBUTED_DEBUG", "TORCH_NCCL_ASYNC_ERROR_HANDLING", "TORCH_NCCL_AVOID_RECORD_STREAMS",
    "TORCH_NCCL_BLOCKING_WAIT", "TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC", "TP_SOCKET_IFNAME",
)  # fmt: skip
_PROCESS = (
    "FORCE_COLOR", "LANG", "LC_ALL", "NO_COLOR", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_SCHEDULE_DELAY", "OTEL_EXPORTER_OTLP_INSECURE", "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG", "PYTHONFAULTHANDLER", "PYTHONHASHSEED", "PYTHONUNBUFFERED", "TZ",
)  # fmt: skip
# Read as they are by whoever uses them, and never shown. Any other variable's value is printed where it cannot be read.
CREDENTIALS = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY",
)  # fmt: skip
OF_VLLM = tuple(f"VLLM_{name}" for name in _VLLM)
ALLOWED = (*OF_VLLM, *_HUB, *_PROCESSORS, *_NETWORK, *_PROCESS, *CREDENTIALS)

_OPERATOR = "the operator sets it: leave it out"
_IMAGE = "it decides which code runs: leave it out, or use an image that has it"
# Variables that vLLM no longer reads, by what took their place. Not all of them: those that people still set.
GONE: dict[str, tuple[str, ...]] = {
    "leave it out": (
        "VLLM_DISABLE_PAD_FOR_CUDAGRAPH", "VLLM_ENABLE_FUSED_MOE_ACTIVATION_CHUNKING", "VLLM_ENABLE_MOE_DP_CHUNK",
        "VLLM_ENGINE_ITERATION_TIMEOUT_S", "VLLM_FUSED_MOE_CHUNK_SIZE", "VLLM_MOE_DP_CHUNK_SIZE",
        "VLLM_NO_DEPRECATION_WARNING", "VLLM_ROCM_CUSTOM_PAGED_ATTN", "VLLM_ROCM_USE_AITER_PAGED_ATTN",
        "VLLM_RPC_TIMEOUT", "VLLM_SKIP_DEEP_GEMM_WARMUP", "VLLM_SLEEP_WHEN_IDLE", "VLLM_USE_RAY_COMPILED_DAG",
        "VLLM_USE_RAY_SPMD_WORKER", "VLLM_USE_TRITON_FLASH_ATTN", "VLLM_USE_TRTLLM_FP4_GEMM", "VLLM_USE_V1",
    ),
    "use extraArgs with --attention-backend": (
        "VLLM_ATTENTION_BACKEND", "VLLM_USE_AITER_UNIFIED_ATTENTION", "VLLM_V1_USE_PREFILL_DECODE_ATTENTION",
    ),
    "use tuning.attention": (
        "VLLM_DISABLE_FLASHINFER_PREFILL", "VLLM_FLASHINFER_DISABLE_Q_QUANTIZATION",
        "VLLM_FLASH_ATTN_MAX_NUM_SPLITS_FOR_CUDA_GRAPH", "VLLM_FLASH_ATTN_VERSION", "VLLM_USE_CUDNN_PREFILL",
        "VLLM_USE_TRTLLM_ATTENTION", "VLLM_USE_TRTLLM_RAGGED_DEEPSEEK_PREFILL",
    ),
    "use extraArgs with --moe-backend": (
        "VLLM_FLASHINFER_MOE_BACKEND", "VLLM_MXFP4_USE_MARLIN", "VLLM_USE_FLASHINFER_MOE_FP16",
        "VLLM_USE_FLASHINFER_MOE_FP4", "VLLM_USE_FLASHINFER_MOE_FP8", "VLLM_USE_FLASHINFER_MOE_MXFP4_BF16",
        "VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8", "VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8_CUTLASS",
    ),
    "use extraArgs with --linear-backend": (
        "VLLM_NVFP4_GEMM_BACKEND", "VLLM_TEST_FORCE_FP8_MARLIN", "VLLM_USE_FBGEMM", "VLLM_USE_NVFP4_CT_EMULATIONS",
    ),
    "use extraArgs with --all2all-backend": ("VLLM_ALL2ALL_BACKEND",),
    "use extraArgs with --mm-processor-cache-gb": ("VLLM_MM_INPUT_CACHE_GIB",),
    "use extraArgs with --mm-hasher-algorithm": ("VLLM_MM_HASHER_ALGORITHM",),
    "use extraArgs with --prefix-cache-retention-interval": ("VLLM_PREFIX_CACHE_RETENTION_INTERVAL",),
    "leave it out, and profile outside the cluster": ("VLLM_TORCH_PROFILER_DIR",),
}  # fmt: skip
_GONE = {name: f"it is gone from vLLM: {instead}" for instead, names in GONE.items() for name in names}

# What people set, and where it belongs. Compared in upper case.
INSTEAD: dict[str, str] = {
    **dict.fromkeys(
        ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "HF_API_TOKEN"),
        "use model.tokenSecretRef",
    ),
    "VLLM_API_KEY": "use apiKeySecretRef",
    **dict.fromkeys(
        ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "VLLM_CACHE_ROOT", "XDG_CACHE_HOME",
         "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "VLLM_ASSETS_CACHE", "FLASHINFER_WORKSPACE_BASE",
         "CUDA_CACHE_PATH"),
        "use cache, which keeps all that vLLM downloads and compiles",
    ),
    "HF_ENDPOINT": "it is the operator's setting hubEndpoint: ask the platform team",
    "HTTP_PROXY": "it is the operator's setting httpProxy: ask the platform team",
    **dict.fromkeys(
        ("HTTPS_PROXY", "ALL_PROXY"), "it is the operator's setting httpsProxy: ask the platform team"
    ),
    "NO_PROXY": "it is the operator's setting noProxy: ask the platform team",
    **dict.fromkeys(
        ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"),
        "it is the operator's setting caConfigMap: ask the platform team",
    ),
    **dict.fromkeys(
        ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"),
        "use accelerator and tensorParallelSize: Kubernetes gives the pod its GPUs",
    ),
    "NVIDIA_DRIVER_CAPABILITIES": "vLLM's images set it: leave it out",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "use lora.adapters: list every adapter there, a change rolls the pods",
    "VLLM_SERVER_DEV_MODE": (
        "it opens routes by which anybody ends or changes the server: leave it out; models do not sleep here, suspend "
        "frees a service's GPUs"
    ),
    "VLLM_USE_MODELSCOPE": "weights of ModelScope are not served: copy them to a claim, and use pvc:// in model.uri",
    **_GONE,
    "VLLM_CPU_KVCACHE_SPACE": "use kvCache.memoryPerGPU, which counts for each rank",
    "VLLM_KEEP_ALIVE_ON_ENGINE_DEATH": _OPERATOR,
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "use allowedMediaDomains, which turns redirects off",
    **dict.fromkeys(
        ("HOME", "USER", "TMPDIR", "HOST", "PORT", "VLLM_HOST_IP", "VLLM_PORT", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK",
         "VLLM_USE_RUST_FRONTEND", "PYTHONNOUSERSITE"),
        _OPERATOR,
    ),
    **dict.fromkeys(
        ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "VLLM_PLUGINS", "CUDA_HOME", "TRITON_PTXAS_PATH"),
        _IMAGE,
    ),
}  # fmt: skip

_UNLISTED = (
    "is not a variable that env may set: the list has the full names, in upper case, of those that neither load code, "
    "name files nor belong to the operator; leave it out, or bake it into an image"
)
_PLAIN_ONLY = (
    "takes no Secret: vLLM prints the value of a variable that it cannot read; use value or configMapKeyRef, or the "
    "fields for Secrets (model.tokenSecretRef, apiKeySecretRef)"
)


def refusal(name: str, *, secret: bool = False) -> str | None:
    """Why a variable may not be set (with `secret`: from a Secret), for people; None where it may."""
    if name not in ALLOWED:
        instead = INSTEAD.get(name.upper())
        return f"{name} is not for env: {instead}" if instead else f"{name} {_UNLISTED}"
    return f"{name} {_PLAIN_ONLY}" if secret and name not in CREDENTIALS else None


class ObjectFieldRef(ApiModel):
    """A field of the pod itself."""

    field_path: Literal[
        "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "status.podIP", "status.hostIP"
    ] = required("The field.", "status.podIP")


class OptionalKeyRef(ApiModel):
    """A key of a Secret or ConfigMap, possibly missing."""

    name: ObjectName = required("Name of the object, in the namespace of the service.", "settings")
    key: KeyName = required("Key within it.", "endpoint")
    optional: bool | None = optional("Whether the pod may start without it.", True)


class EnvVarSource(ApiModel):
    """Where the value of a variable comes from: exactly one source."""

    model_config = with_rules(
        rule(
            "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].filter(x, x).size() == 1",
            "valueFrom needs exactly one of secretKeyRef, configMapKeyRef or fieldRef",
        )
    )

    secret_key_ref: OptionalKeyRef | None = optional(
        f"A key of a Secret, for {', '.join(CREDENTIALS)} only.", {"name": "s3", "key": "id"}
    )
    config_map_key_ref: OptionalKeyRef | None = optional("A key of a ConfigMap.", {"name": "settings", "key": "level"})
    field_ref: ObjectFieldRef | None = optional("A field of the pod.", {"fieldPath": "status.podIP"})


_LISTED = f"self.name in {list(ALLOWED)!r}"
_REFUSAL = said_of(
    {name: f"is not for env: {instead}" for name, instead in INSTEAD.items()}, "self.name.upperAscii()", repr(_UNLISTED)
)


class EnvVar(ApiModel):
    """An environment variable of vLLM's container."""

    model_config = with_rules(
        rule("has(self.value) != has(self.valueFrom)", "an env entry needs either value or valueFrom, and not both"),
        rule(_LISTED, f"this variable {_UNLISTED}", message_expression=f"self.name + ' ' + {_REFUSAL}"),
        rule(
            f"!({_LISTED}) || !has(self.valueFrom) || !has(self.valueFrom.secretKeyRef)"
            f" || self.name in {list(CREDENTIALS)!r}",
            f"this variable {_PLAIN_ONLY}",
            message_expression=f"self.name + ' {_PLAIN_ONLY}'",
        ),
    )

    name: Annotated[
        str,
        Limits(max_length=128),
        Form(r"[A-Za-z_][A-Za-z0-9_]*", "must be letters, digits and _, and not begin with a digit"),
    ] = required("Name of the variable, from a list of those that may be set.", "VLLM_LOGGING_LEVEL")
    value: Annotated[str, Limits(max_length=4096)] | None = optional("Its value, as a string.", "WARNING")
    value_from: EnvVarSource | None = optional(
        "Where its value comes from.", {"configMapKeyRef": {"name": "settings", "key": "level"}}
    )

    @model_validator(mode="after")
    def _allowed(self) -> "EnvVar":
        secret = self.value_from is not None and self.value_from.secret_key_ref is not None
        if said := refusal(self.name, secret=secret):
            raise ValueError(said)
        return self
