"""The reasons that conditions and Events carry. They are API: scripts and alerts match on them."""

from enum import StrEnum


class Reason(StrEnum):
    """One word for why a condition is as it is."""

    VALID = "Valid"
    INVALID = "Invalid"
    IMAGE_NOT_ALLOWED = "ImageNotAllowed"
    # The ServingClass of a service.
    ADMITTED = "Admitted"
    CLASS_NOT_FOUND = "ClassNotFound"
    CLASS_NOT_ALLOWED = "ClassNotAllowed"
    CLASS_LIMIT_EXCEEDED = "ClassLimitExceeded"
    CLASS_CONTRADICTED = "ClassContradicted"
    CLASS_UNREADABLE = "ClassUnreadable"
    # The memory plan. Further reasons: inspection/report.py, planner/plan.py and planner/refusals.py.
    INSPECTING = "Inspecting"
    MODEL_NOT_PLANNED = "ModelNotPlanned"
    GPU_UNKNOWN = "GpuUnknown"
    WITHHELD = "Withheld"
    AVAILABLE = "Available"
    STARTING = "Starting"
    ROLLING_OUT = "RollingOut"
    SCALED_TO_ZERO = "ScaledToZero"
    SUSPENDED = "Suspended"
    NAME_TAKEN = "NameTaken"
    REFUSED = "Refused"
    # Before a container starts.
    IMAGE_PULL_FAILED = "ImagePullFailed"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - the name of a reason
    CONFIG_MAP_MISSING = "ConfigMapMissing"
    CONTAINER_CONFIG = "ContainerConfigError"
    # On its node, before its container is made.
    VOLUME_NOT_MOUNTED = "VolumeNotMounted"
    VOLUME_IN_USE = "VolumeInUse"
    SANDBOX_FAILED = "PodSandboxFailed"
    PODS_REFUSED = "PodsRefused"
    QUOTA_EXCEEDED = "QuotaExceeded"
    EVICTED = "Evicted"
    # No node.
    CLAIM_MISSING = "ClaimMissing"
    VOLUME_NOT_BOUND = "VolumeNotBound"
    VOLUME_ELSEWHERE = "VolumeElsewhere"
    INSUFFICIENT_GPUS = "InsufficientGpus"
    GPUS_FRAGMENTED = "GpusFragmented"
    GPU_NODES_TOO_SMALL = "GpuNodesTooSmall"
    NO_MATCHING_NODE = "NoMatchingNode"
    UNTOLERATED_TAINTS = "UntoleratedTaints"
    UNSCHEDULABLE = "Unschedulable"
    # The model and where it comes from.
    MODEL_NOT_FOUND = "ModelNotFound"
    REVISION_NOT_FOUND = "RevisionNotFound"
    ADAPTER_NOT_FOUND = "AdapterNotFound"
    MODEL_GATED = "ModelGated"
    MODEL_UNSUPPORTED = "ModelUnsupported"
    TOKENIZER_MISSING = "TokenizerMissing"
    TOKENIZER_MISMATCH = "TokenizerMismatch"
    CHAT_TEMPLATE_MISSING = "ChatTemplateMissing"
    CHAT_TEMPLATE_INVALID = "ChatTemplateInvalid"
    HUB_TOKEN_REFUSED = "HubTokenRefused"  # noqa: S105
    HUB_RATE_LIMITED = "HubRateLimited"
    HUB_UNREACHABLE = "HubUnreachable"
    NO_SPACE_LEFT = "NoSpaceLeft"
    CACHE_NOT_WRITABLE = "CacheNotWritable"
    # Memory and GPUs.
    MODEL_TOO_LARGE = "ModelTooLarge"
    KV_CACHE_TOO_SMALL = "KvCacheTooSmall"
    OUT_OF_GPU_MEMORY = "OutOfGpuMemory"
    GPU_MEMORY_IN_USE = "GpuMemoryInUse"
    GPU_UNAVAILABLE = "GpuUnavailable"
    GPU_UNSUITABLE = "GpuUnsuitable"
    GPU_ERROR = "GpuError"
    KERNEL_MISSING = "KernelMissing"
    DRIVER_UNSUITABLE = "DriverUnsuitable"
    OUT_OF_MEMORY = "OutOfMemory"
    # The container's life.
    INVALID_ARGUMENTS = "InvalidArguments"
    STARTUP_TIMEOUT = "StartupTimeout"
    NOT_ANSWERING = "NotAnswering"
    LIVENESS_FAILED = "LivenessFailed"
    ENGINE_DIED = "EngineDied"
    ENGINE_HUNG = "EngineHung"
    CONTAINER_FAILED = "ContainerFailed"
    PROGRESSING = "Progressing"
    STABLE = "Stable"
    STALLED = "Stalled"
    NOT_STALLED = "NotStalled"
    CONFIGURATION_CHANGED = "ConfigurationChanged"
    SERVICE_MONITOR_APPLIED = "ServiceMonitorApplied"
    API_MISSING = "ServiceMonitorApiMissing"
    # The autoscaler.
    SCALING = "Scaling"
    AUTOSCALER_STARTING = "AutoscalerStarting"
    AUTOSCALER_FAILED = "AutoscalerFailed"
    AUTOSCALER_REFUSED = "AutoscalerRefused"
    AUTOSCALER_PAUSED = "AutoscalerPaused"
    KEDA_API_MISSING = "KedaApiMissing"
    METRICS_API_MISSING = "MetricsApiMissing"
    NO_METRIC_YET = "NoMetricYet"
    TRIGGER_FAILED = "TriggerFailed"
    TARGET_UNREACHABLE = "TargetUnreachable"
    AT_MAXIMUM = "AtMaximum"


# They may go away without any change to the service: it only needs time, others free what it waits for, or a restart
# helps. With any other reason for not being available, a service is stalled.
TRANSIENT = frozenset(
    {
        Reason.STARTING,
        Reason.INSPECTING,
        Reason.ROLLING_OUT,
        Reason.QUOTA_EXCEEDED,
        Reason.EVICTED,
        Reason.VOLUME_NOT_BOUND,
        Reason.VOLUME_ELSEWHERE,
        Reason.VOLUME_NOT_MOUNTED,
        Reason.VOLUME_IN_USE,
        Reason.SANDBOX_FAILED,
        Reason.INSUFFICIENT_GPUS,
        Reason.GPUS_FRAGMENTED,
        Reason.GPU_NODES_TOO_SMALL,
        Reason.NO_MATCHING_NODE,
        Reason.UNTOLERATED_TAINTS,
        Reason.UNSCHEDULABLE,
        Reason.HUB_RATE_LIMITED,
        Reason.HUB_UNREACHABLE,
        Reason.GPU_ERROR,
        Reason.NOT_ANSWERING,
        Reason.LIVENESS_FAILED,
        Reason.ENGINE_DIED,
        Reason.ENGINE_HUNG,
    }
)
