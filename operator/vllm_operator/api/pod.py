"""The scheduling fields and environment of the pods: a narrow, typed part of Kubernetes' PodSpec.

It is typed so that `kubectl apply` refuses a mistake and `kubectl explain` documents it; it holds nothing that could
undo what the operator sets (security context, command, volumes).
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .base import ApiModel, Bytes, Cpu, KeyName, LabelKey, LabelValue, ObjectName, ShortText, rule, schema, with_rules

RESERVED_LABELS = "app.kubernetes.io/ and vllm-operator.dev/"
_OWN_KEYS = "self.all(k, !k.startsWith('app.kubernetes.io/') && !k.startsWith('vllm-operator.dev/'))"

# Environment that would change what code runs, or that the operator sets itself from a field of the spec.
FORBIDDEN_ENV_PREFIXES = ("LD_", "PYTHON", "GLIBC_", "BASH_", "PIP_", "UV_")
FORBIDDEN_ENV = (
    "PATH", "IFS", "ENV", "HOME", "USER", "TMPDIR", "GCONV_PATH", "MALLOC_CONF",
    "VLLM_PLUGINS", "VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "VLLM_ALLOW_INSECURE_SERIALIZATION",
    "VLLM_RINGBUFFER_WARNING_INTERVAL", "VLLM_LORA_RESOLVER_CACHE_DIR", "VLLM_LORA_RESOLVER_HF_REPO_LIST",
    "VLLM_API_KEY", "VLLM_CACHE_ROOT", "VLLM_CONFIG_ROOT", "VLLM_HOST_IP", "VLLM_PORT", "VLLM_LOGGING_CONFIG_PATH",
    "VLLM_KEEP_ALIVE_ON_ENGINE_DEATH", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK",
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HOME", "HF_ENDPOINT", "HF_HUB_CACHE",
    "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "XDG_CACHE_HOME",
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES", "TRITON_LIBCUDA_PATH", "CUDA_INJECTION64_PATH", "NCCL_NET_PLUGIN", "NCCL_TUNER_PLUGIN",
    "NCCL_PROFILER_PLUGIN", "CC", "CXX", "CUDA_HOME",
)  # fmt: skip


class Toleration(ApiModel):
    """Lets the pods run on nodes with a matching taint."""

    key: ShortText | None = Field(None, description="Key of the taint; empty with operator Exists matches every taint.", examples=["nvidia.com/gpu"])
    operator: Literal["Exists", "Equal"] | None = Field(None, description="Exists, or Equal (the default) to compare the value.", examples=["Exists"])
    value: LabelValue | None = Field(None, description="Value of the taint, with operator Equal.", examples=["true"])
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(None, description="Effect of the taint; omitted matches all.", examples=["NoSchedule"])
    toleration_seconds: int | None = Field(None, ge=0, description="Seconds that a NoExecute taint is tolerated; omitted: for ever.", examples=[300])


class Requirement(ApiModel):
    """One comparison of a label (or of a node's field)."""

    key: LabelKey = Field(description="The label's key.", examples=["topology.kubernetes.io/zone"])
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = Field(description="How to compare.", examples=["In"])
    values: Annotated[list[LabelValue], Field(max_length=64)] | None = Field(
        None, description="Values to compare with; none for Exists and DoesNotExist.", examples=[["zone-a"]], json_schema_extra=schema(list_type="atomic")
    )


class LabelSelector(ApiModel):
    """Selects objects by their labels; an empty selector selects all."""

    match_labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=32)] | None = Field(None, description="Labels that must be equal.", examples=[{"app": "web"}])
    match_expressions: Annotated[list[Requirement], Field(max_length=32)] | None = Field(
        None, description="Comparisons that must all hold.", examples=[[{"key": "app", "operator": "Exists"}]], json_schema_extra=schema(list_type="atomic")
    )


class NodeSelectorTerm(ApiModel):
    """Comparisons of one node; all of them must hold."""

    match_expressions: Annotated[list[Requirement], Field(max_length=32)] | None = Field(
        None, description="Comparisons of the node's labels.", examples=[[{"key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-L4"]}]], json_schema_extra=schema(list_type="atomic")
    )
    match_fields: Annotated[list[Requirement], Field(max_length=8)] | None = Field(
        None, description="Comparisons of the node's fields (metadata.name).", examples=[[{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]], json_schema_extra=schema(list_type="atomic")
    )


class NodeSelector(ApiModel):
    """Nodes that match any of the terms."""

    node_selector_terms: Annotated[list[NodeSelectorTerm], Field(min_length=1, max_length=16)] = Field(
        description="A node must match one of these.", examples=[[{"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}]], json_schema_extra=schema(list_type="atomic")
    )


class PreferredNodes(ApiModel):
    """A preference for nodes."""

    weight: int = Field(ge=1, le=100, description="1 to 100; more is preferred.", examples=[50])
    preference: NodeSelectorTerm = Field(description="The nodes that are preferred.", examples=[{"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}])


class NodeAffinity(ApiModel):
    """Which nodes the pods need or prefer."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = Field(None, description="Nodes that the pods need.", examples=[{"nodeSelectorTerms": []}])
    preferred_during_scheduling_ignored_during_execution: Annotated[list[PreferredNodes], Field(max_length=16)] | None = Field(
        None, description="Nodes that the pods prefer.", examples=[[]], json_schema_extra=schema(list_type="atomic")
    )


class PodAffinityTerm(ApiModel):
    """Pods to run near, or away from."""

    topology_key: LabelKey = Field(description="Node label whose equal value means near.", examples=["kubernetes.io/hostname"])
    label_selector: LabelSelector | None = Field(None, description="The other pods.", examples=[{"matchLabels": {"app": "cache"}}])
    namespaces: Annotated[list[ObjectName], Field(max_length=16)] | None = Field(
        None, description="Namespaces of the other pods; omitted: this one.", examples=[["team-b"]], json_schema_extra=schema(list_type="atomic")
    )
    namespace_selector: LabelSelector | None = Field(None, description="Namespaces of the other pods, by label.", examples=[{"matchLabels": {"team": "b"}}])


class WeightedPodAffinityTerm(ApiModel):
    """A preference to run near other pods, or away from them."""

    weight: int = Field(ge=1, le=100, description="1 to 100; more is preferred.", examples=[50])
    pod_affinity_term: PodAffinityTerm = Field(description="The other pods.", examples=[{"topologyKey": "kubernetes.io/hostname"}])


class PodAffinity(ApiModel):
    """Other pods that the pods need, or prefer, to be near (or, as anti-affinity, away from)."""

    required_during_scheduling_ignored_during_execution: Annotated[list[PodAffinityTerm], Field(max_length=16)] | None = Field(
        None, description="Needed.", examples=[[{"topologyKey": "kubernetes.io/hostname"}]], json_schema_extra=schema(list_type="atomic")
    )
    preferred_during_scheduling_ignored_during_execution: Annotated[list[WeightedPodAffinityTerm], Field(max_length=16)] | None = Field(
        None, description="Preferred.", examples=[[{"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}]], json_schema_extra=schema(list_type="atomic")
    )


class Affinity(ApiModel):
    """Where the pods run, relative to nodes and to other pods. As in Kubernetes' PodSpec."""

    node_affinity: NodeAffinity | None = Field(None, description="Nodes.", examples=[{}])
    pod_affinity: PodAffinity | None = Field(None, description="Pods to be near.", examples=[{}])
    pod_anti_affinity: PodAffinity | None = Field(None, description="Pods to be away from.", examples=[{}])


class TopologySpreadConstraint(ApiModel):
    """How the service's pods spread over zones or nodes. Its selector is set by the operator: the service's own pods."""

    max_skew: int = Field(ge=1, description="Most by which the count of pods may differ between two domains.", examples=[1])
    topology_key: LabelKey = Field(description="Node label that names the domain.", examples=["topology.kubernetes.io/zone"])
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = Field(description="What to do with a pod that would break it.", examples=["ScheduleAnyway"])
    min_domains: int | None = Field(None, ge=1, description="Least number of domains.", examples=[2])


class PodSettings(ApiModel):
    """Where and how the pods are scheduled, and what is put on them. Never their security context or command."""

    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=32)] | None = Field(None, description="Labels that a node must have.", examples=[{"pool": "gpu"}])
    tolerations: Annotated[list[Toleration], Field(max_length=32)] | None = Field(
        None, description="Taints that the pods tolerate.", examples=[[{"key": "nvidia.com/gpu", "operator": "Exists"}]], json_schema_extra=schema(list_type="atomic")
    )
    affinity: Affinity | None = Field(None, description="Nodes and pods to be near or away from, as in a PodSpec.", examples=[{"podAntiAffinity": {}}])
    topology_spread_constraints: Annotated[list[TopologySpreadConstraint], Field(max_length=8)] | None = Field(
        None, description="Spreads the pods over zones or nodes.", examples=[[{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}]], json_schema_extra=schema(list_type="atomic")
    )
    priority_class_name: ObjectName | None = Field(None, description="PriorityClass of the pods.", examples=["production"])
    runtime_class_name: ObjectName | None = Field(None, description="RuntimeClass of the pods.", examples=["nvidia"])
    scheduler_name: ObjectName | None = Field(None, description="Scheduler that places the pods.", examples=["kai-scheduler"])
    image_pull_secrets: Annotated[list[ObjectName], Field(max_length=8)] | None = Field(
        None, description="Names of Secrets with registry credentials, in the namespace of the service.", examples=[["registry-key"]], json_schema_extra=schema(list_type="set")
    )
    service_account_name: ObjectName | None = Field(None, description="ServiceAccount of the pods; its token is never mounted.", examples=["llm"])
    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=32)] | None = Field(
        None, description="Labels added to the pods.", examples=[{"team": "a"}],
        json_schema_extra=schema(rules=[rule(_OWN_KEYS, f"labels under {RESERVED_LABELS} belong to the operator: use another prefix")]),
    )
    annotations: Annotated[dict[LabelKey, Annotated[str, StringConstraints(max_length=4096)]], Field(max_length=32)] | None = Field(
        None, description="Annotations added to the pods.", examples=[{"example.com/cost-centre": "42"}],
        json_schema_extra=schema(rules=[rule(_OWN_KEYS, f"annotations under {RESERVED_LABELS} belong to the operator: use another prefix")]),
    )
    fs_group: int | None = Field(None, ge=1, le=2147483647, description="Group that owns the mounted volumes; default 1000.", examples=[2000])


class ObjectFieldRef(ApiModel):
    """A field of the pod itself."""

    field_path: Literal["metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "status.podIP", "status.hostIP"] = Field(
        description="The field.", examples=["status.podIP"]
    )


class OptionalKeyRef(ApiModel):
    """A key of a Secret or ConfigMap, possibly missing."""

    name: ObjectName = Field(description="Name of the object, in the namespace of the service.", examples=["settings"])
    key: KeyName = Field(description="Key within it.", examples=["endpoint"])
    optional: bool | None = Field(None, description="Whether the pod may start without it.", examples=[True])


class EnvVarSource(ApiModel):
    """Where the value of a variable comes from: exactly one source."""

    model_config = with_rules(
        rule("[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].filter(x, x).size() == 1", "valueFrom needs exactly one of secretKeyRef, configMapKeyRef or fieldRef")
    )

    secret_key_ref: OptionalKeyRef | None = Field(None, description="A key of a Secret.", examples=[{"name": "s3", "key": "id"}])
    config_map_key_ref: OptionalKeyRef | None = Field(None, description="A key of a ConfigMap.", examples=[{"name": "settings", "key": "level"}])
    field_ref: ObjectFieldRef | None = Field(None, description="A field of the pod.", examples=[{"fieldPath": "status.podIP"}])


class EnvVar(ApiModel):
    """An environment variable of vLLM's container."""

    model_config = with_rules(
        rule("has(self.value) != has(self.valueFrom)", "an env entry needs either value or valueFrom, and not both"),
        rule(
            f"!(self.name in {list(FORBIDDEN_ENV)!r}) && !{list(FORBIDDEN_ENV_PREFIXES)!r}.exists(p, self.name.startsWith(p))",
            "this variable is not allowed: it loads code or is set by the operator (use the field of the spec, or ask your platform team)",
            message_expression="self.name + ' is not allowed in env: it loads code or is set by the operator (use the field of the spec, or ask your platform team)'",
        ),
    )

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)] = Field(description="Name of the variable.", examples=["VLLM_LOGGING_LEVEL"])
    value: Annotated[str, StringConstraints(max_length=4096)] | None = Field(None, description="Its value.", examples=["DEBUG"])
    value_from: EnvVarSource | None = Field(None, description="Where its value comes from.", examples=[{"secretKeyRef": {"name": "s3", "key": "id"}}])


class ResourceList(ApiModel):
    """CPU and memory. GPUs follow from the parallel sizes and are not set here."""

    cpu: Cpu | None = Field(None, description="CPU cores.", examples=["8"])
    memory: Bytes | None = Field(None, description="Memory of vLLM's processes; /dev/shm and kvCache.cpuOffload are added to it.", examples=["64Gi"])


class Resources(ApiModel):
    """CPU and memory of each pod. Omitted requests get defaults that grow with the number of GPUs."""

    requests: ResourceList | None = Field(None, description="What is reserved on the node.", examples=[{"cpu": "8", "memory": "64Gi"}])
    limits: ResourceList | None = Field(None, description="What may not be exceeded.", examples=[{"memory": "96Gi"}])


class IpBlock(ApiModel):
    """A range of addresses."""

    cidr: Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")] = Field(description="The range.", examples=["192.0.2.0/24"])
    except_: Annotated[list[Annotated[str, StringConstraints(max_length=64)]], Field(max_length=16)] | None = Field(
        None, alias="except", description="Ranges within it that are left out.", examples=[["192.0.2.8/32"]], json_schema_extra=schema(list_type="atomic")
    )


class NetworkPeer(ApiModel):
    """Who may reach the service's port, as in Kubernetes' NetworkPolicy."""

    pod_selector: LabelSelector | None = Field(None, description="Pods, by label.", examples=[{"matchLabels": {"app": "chat"}}])
    namespace_selector: LabelSelector | None = Field(None, description="Namespaces, by label; omitted: this one.", examples=[{"matchLabels": {"kubernetes.io/metadata.name": "team-b"}}])
    ip_block: IpBlock | None = Field(None, description="A range of addresses.", examples=[{"cidr": "192.0.2.0/24"}])
