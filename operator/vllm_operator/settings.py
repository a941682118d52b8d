"""The operator's own settings: what the platform team decides for every service. Read once at start, then frozen.

The chart renders `values.settings` into a file; a typo in it stops the operator with one clear error.
"""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from .api.vocabulary import VLLM_VERSION


class _Settings(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")


class Images(_Settings):
    """Images that run vLLM where a service names none. Both carry the same vLLM version, so that the flags agree.

    `operator` is the operator's own, which inspects models too; without it no model is inspected.
    """

    gpu: str = f"vllm/vllm-openai:v{VLLM_VERSION}"
    cpu: str = f"localhost/vllm-cpu:{VLLM_VERSION}"
    operator: str | None = None


class Settings(_Settings):
    """All settings, with the defaults that hold when the file leaves them out."""

    images: Images = Field(default_factory=Images)
    # Shell patterns of images that `spec.image` may name. The default images are always allowed.
    allowed_images: tuple[str, ...] = ("vllm/vllm-openai:*", "vllm/vllm-openai@sha256:*")
    # Namespaces to watch; empty: all.
    watch_namespaces: tuple[str, ...] = ()
    # How the pods reach the model hub, for every pod alike.
    hub_endpoint: str | None = None
    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: str | None = None
    # Name of a ConfigMap, in each service's namespace, whose key ca.crt holds the certificates to trust.
    ca_config_map: str | None = None
    # Whether the operator reads /metrics and /version of pods that became ready.
    engine_metrics: bool = True
    # Where KEDA asks Prometheus for vLLM's metrics.
    prometheus_url: str = "http://prometheus-operated.monitoring.svc:9090"
    # Services reconciled at the same time. More are no faster, and each holds a connection to the API server (0.3 MiB).
    workers: int = Field(32, ge=1, le=256)
    # json: one object per line, for log collectors; text: for people.
    log_format: Literal["json", "text"] = "json"

    def allows_image(self, image: str) -> bool:
        """Whether a service may run this image."""
        defaults = (self.images.gpu, self.images.cpu)
        return image in defaults or any(fnmatchcase(image, pattern) for pattern in self.allowed_images)

    def default_image(self, resource: str) -> str:
        """The image for an accelerator resource (nvidia.com/gpu, amd.com/gpu or cpu)."""
        return self.images.cpu if resource == "cpu" else self.images.gpu


def load(path: Path | None) -> Settings:
    """Settings from a YAML file, or the defaults without one. Raises pydantic.ValidationError for a wrong file."""
    content: Any = yaml.safe_load(path.read_text()) if path else None
    return Settings.model_validate(content or {})
