"""The reasons that conditions and Events carry. They are API: scripts and alerts match on them."""

from enum import StrEnum


class Reason(StrEnum):
    """One word for why a condition is as it is."""

    VALID = "Valid"
    INVALID = "Invalid"
    IMAGE_NOT_ALLOWED = "ImageNotAllowed"
    AVAILABLE = "Available"
    STARTING = "Starting"
    ROLLING_OUT = "RollingOut"
    SCALED_TO_ZERO = "ScaledToZero"
    NAME_TAKEN = "NameTaken"
    REFUSED = "Refused"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONTAINER_CONFIG = "ContainerConfigError"
    CONTAINER_FAILED = "ContainerFailed"
    UNSCHEDULABLE = "Unschedulable"
    PODS_REFUSED = "PodsRefused"
    PROGRESSING = "Progressing"
    STABLE = "Stable"
    STALLED = "Stalled"
    NOT_STALLED = "NotStalled"
    SERVICE_MONITOR_APPLIED = "ServiceMonitorApplied"
    API_MISSING = "ServiceMonitorApiMissing"
