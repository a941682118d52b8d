"""The operator's own settings: what the platform team decides for every service. Read once at start, then frozen.

The chart renders `values.settings` into a file; a typo in it stops the operator with one clear error.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from .api import QUEUE_LABEL
from .api.vocabulary import VLLM_VERSION

if TYPE_CHECKING:
    from .api.spec import InferenceServiceSpec

MOST_PRICE = 1e9
"""Of a GPU, in whatever unit."""
MOST_SHARDS = 16


class _Settings(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")


class Images(_Settings):
    """Images that run vLLM where a service names none. All carry the same vLLM version, so that the flags agree.

    `ray` has Ray beside it, for services with `runtime: RayServe`; there is none that the project could name.
    `operator` is the operator's own, which inspects models too; without it no model is inspected.
    """

    gpu: str = f"vllm/vllm-openai:v{VLLM_VERSION}"
    rocm: str = f"vllm/vllm-openai-rocm:v{VLLM_VERSION}"
    cpu: str = f"localhost/vllm-cpu:{VLLM_VERSION}"
    ray: str | None = None
    operator: str | None = None

    @property
    def of_vllm(self) -> tuple[str, ...]:
        """Those that run vLLM."""
        return tuple(image for image in (self.gpu, self.rocm, self.cpu, self.ray) if image)


class PodSecurity(_Settings):
    """Whom pods and Jobs run as."""

    # fixed: user and group 1000. fromNamespace: nothing is set, as OpenShift's restricted-v2 gives a user of its own.
    run_as_user: Literal["fixed", "fromNamespace"] = "fixed"
    # Groups that the files of devices belong to on the nodes, by the resource: pods that ask for it are in them.
    # By default `video` of Debian and its kin, and what `render` most often is there.
    device_groups: Mapping[str, tuple[Annotated[int, Field(ge=1, le=2147483647)], ...]] = Field(
        default_factory=lambda: {"amd.com/gpu": (44, 109, 110)}
    )


class Allowed(_Settings):
    """What services may ask for that could do harm. assess/policy.py checks it; docs/settings.md documents it.

    Lists hold patterns: `*` stands for anything without a slash, `**` for anything.
    """

    # Images that `spec.image` may name.
    allowed_images: tuple[str, ...] = (
        "vllm/vllm-openai:*",
        "vllm/vllm-openai@sha256:*",
        "vllm/vllm-openai-rocm:*",
        "vllm/vllm-openai-rocm@sha256:*",
    )
    # Whether Python code from a model's repository may run.
    allow_trust_remote_code: bool = False
    # Whether vLLM may load parsers from Python files that teams write.
    allow_parser_plugins: bool = False
    # Whether requests and answers may be written into the log of a pod: they are private.
    allow_request_logs: bool = False
    # Organisations of the hub whose models, tokenizers, adapters and draft models may be served.
    allowed_hub_organisations: tuple[str, ...] = ("*",)
    # Images that `model.uri` may name (oci://): they are mounted, and not run.
    allowed_model_images: tuple[str, ...] = ("**",)
    # Labels that a claim must have to be mounted; None: any claim in the service's namespace.
    allowed_claims: Mapping[str, str] | None = None
    # `*` does not stand for system-*: those have to be written out.
    allowed_priority_classes: tuple[str, ...] = ("*",)
    allowed_service_accounts: tuple[str, ...] = ("default",)
    allowed_runtime_classes: tuple[str, ...] = ("nvidia", "nvidia-cdi", "amd")
    # Keys of labels and annotations. Those of kubernetes.io and k8s.io are never allowed.
    allowed_pod_labels: tuple[str, ...] = (
        "team",
        "owner",
        "environment",
        "cost-center",
        "cost-centre",
        QUEUE_LABEL,
    )
    allowed_pod_annotations: tuple[str, ...] = (
        "team",
        "owner",
        "environment",
        "cost-center",
        "cost-centre",
        "gke-gcsfuse/volumes",
    )
    # Extended resources of accelerator.rdma; the containers of such pods may lock memory (IPC_LOCK).
    allowed_rdma_resources: tuple[str, ...] = ()
    # Labels of nodes in pod.exclusiveTopology: a group keeps others away from all nodes that share a value of it.
    allowed_exclusive_topologies: tuple[str, ...] = ()
    # Whether pods may need to be near, or away from, pods of other namespaces: the latter are kept off their nodes.
    allow_cross_namespace_affinity: bool = False
    # Types of KEDA's triggers. Most connect, with KEDA's rights, to an address that the service names.
    allowed_triggers: tuple[str, ...] = ("cron", "kubernetes-workload")
    # Hosts that requests may have vLLM fetch images, audio and video from; `*` alone: any, the cluster's inside too.
    allowed_media_domains: tuple[str, ...] = ()

    def allows_image(self, image: str) -> bool:
        """Whether a service may run this image."""
        return matches(self.allowed_images, image)


class Settings(Allowed):
    """All settings, with the defaults that hold when the file leaves them out."""

    images: Images = Field(default_factory=Images)
    pod_security: PodSecurity = Field(default_factory=PodSecurity)
    # Namespaces to watch; empty: all.
    watch_namespaces: tuple[str, ...] = ()
    # Operators that share the namespaces of the cluster out, each in a process of its own.
    shards: int = Field(1, ge=1, le=MOST_SHARDS)
    # Where the Leases lie that decide which operator acts: the same for all releases, and nobody else may write there.
    lease_namespace: str = Field("kube-system", min_length=1)
    # The family of pods' first address; None: as the operator's own pod has it.
    ip_family: Literal["IPv4", "IPv6"] | None = None
    # Where the operator runs, which the chart knows: the pods of services with a networkPolicy let it in.
    operator_namespace: str = ""
    # Where KubeRay's operator runs: the pods of a service on Ray let it in, and no other pod that has its label.
    kuberay_namespaces: tuple[str, ...] = ("kuberay-system", "kuberay-operator", "kuberay", "ray-system", "default")
    # Whether an operator of version 0.1 is given way: its Lease lies where tenants may write it.
    heed_old_leases: bool = True
    # How the pods reach the model hub, for every pod alike.
    hub_endpoint: str | None = None
    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: str | None = None
    # Name of a ConfigMap, in each service's namespace, whose key ca.crt holds the certificates to trust.
    ca_config_map: str | None = None
    # Names of Secrets, in each service's namespace, with which pods pull the operator's image: those of the inspect and
    # the download Jobs, and of batches with buckets.
    image_pull_secrets: tuple[str, ...] = ()
    # Whether the operator reads /metrics and /version of pods that became ready.
    engine_metrics: bool = True
    # Labels of each service's ServiceMonitor, where Prometheus selects by label.
    service_monitor_labels: Mapping[str, str] = Field(default_factory=dict)
    # Where KEDA asks Prometheus for vLLM's metrics.
    prometheus_url: str = "http://prometheus-operated.monitoring.svc:9090"
    # What GPUs cost, by product label or the planner's name: numbers in any unit, for the order of what is offered.
    # One that is not named has the planner's own number (docs/plan.md).
    gpu_prices: Mapping[str, Annotated[float, Field(gt=0, le=MOST_PRICE)]] = Field(default_factory=dict)
    # Other namespaces whose engines teach the plans of a namespace, as patterns; each has one vote (docs/plan.md).
    learn_from_namespaces: tuple[str, ...] = ()
    # Whether the cluster gets no nodes by itself: what they have no room for, even when empty, is refused then.
    fixed_nodes: bool = False
    # Services reconciled at the same time. More are no faster: their writes wait for each other in the API server, and
    # those of other namespaces with them. Each holds a connection (0.3 MiB).
    workers: int = Field(16, ge=1, le=256)
    # json: one object per line, for log collectors; text: for people.
    log_format: Literal["json", "text"] = "json"

    def allows_image(self, image: str) -> bool:
        """Whether a service may run this image. The default images are always allowed."""
        return image in self.images.of_vllm or super().allows_image(image)

    @model_validator(mode="after")
    def _whole_cluster(self) -> "Settings":
        if self.shards > 1 and self.watch_namespaces:
            raise ValueError("shards is for an operator of the whole cluster: leave it or watchNamespaces out")
        return self

    def in_pod(self, ip: str) -> "Settings":
        """As they hold for an operator whose pod has this address first; empty: it runs in none."""
        if self.ip_family or not ip:
            return self
        return self.model_copy(update={"ip_family": "IPv6" if ":" in ip else "IPv4"})

    def default_image(self, resource: str, *, on_ray: bool = False) -> str:
        """For a resource (nvidia.com/gpu, amd.com/gpu or cpu); with Ray, where one is named."""
        if on_ray and self.images.ray:
            return self.images.ray
        return {"cpu": self.images.cpu, "amd.com/gpu": self.images.rocm}.get(resource, self.images.gpu)

    def image_of(self, spec: "InferenceServiceSpec") -> str:
        """What the pods of a service run."""
        return spec.image or self.default_image(spec.accelerator.resource, on_ray=spec.on_ray)


def matches(patterns: Iterable[str], text: str) -> bool:
    """Whether one of the patterns stands for the whole text.

    `*` is anything without a slash, `**` anything, and `?` one character that is no slash.
    """
    return any(_expression(pattern).fullmatch(text) for pattern in patterns)


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*+|\?)", pattern)
    return re.compile("".join(_WILD.get(part) or re.escape(part) for part in parts))


_WILD = {"*": "[^/]*", "**": ".*", "?": "[^/]"}


def load(path: Path | None) -> Settings:
    """Settings from a YAML file, or the defaults without one. Raises pydantic.ValidationError for a wrong file."""
    content: Any = yaml.safe_load(path.read_text()) if path else None
    return Settings.model_validate(content or {})
