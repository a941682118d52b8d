"""Names by which the rest of the operator, and whoever looks at the cluster, knows the children and what is in them.

Constants only, and names made of a service's own: what builds a child is in the child's file.
"""

from ..api import GROUP
from ..api.resource import InferenceService
from ..vllm.argv import PORT

# Owns the fields that we apply, and says who posted an Event.
FIELD_MANAGER = "vllm-operator"
MANAGED_BY = "vllm-operator"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
INSTANCE_LABEL = "app.kubernetes.io/instance"
# On namespaces: their name, by the API server.
NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"
# On the operator's own pods, by its chart.
OPERATOR_LABELS = {"app.kubernetes.io/name": "vllm-operator"}
# On pods and revisions: which rendering of the spec they belong to.
REVISION_LABEL = f"{GROUP}/revision"
# On pods: the uid of their service, which no other pod has by accident.
SERVICE_UID_LABEL = f"{GROUP}/service-uid"
# On pods: the ServingClass that they were made of.
CLASS_LABEL = f"{GROUP}/serving-class"
# On the inspect Job, its pod and what is kept of what it said: what was inspected. The Service selects none of them.
INSPECTION_LABEL = f"{GROUP}/inspection"
# On the download Job and its pod: what is fetched. The Service selects none of them.
DOWNLOAD_LABEL = f"{GROUP}/download"
# On the Jobs of a batch and their pods: its name, and which of its steps they are. No Service selects them.
BATCH_LABEL, STEP_LABEL = f"{GROUP}/batch", f"{GROUP}/batch-step"
# Kueue's, on what it keeps of a Job: the uid of that.
JOB_UID_LABEL = "kueue.x-k8s.io/job-uid"
# Kueue's, which its webhook puts into the templates of a LeaderWorkerSet in a queue.
OF_QUEUED_SET = ("kueue.x-k8s.io/pod-suspending-parent", "kueue.x-k8s.io/pod-group-serving")
# Kueue's, on the pods of a group that it admits as a whole: the Workload that stands for the group.
QUEUED_GROUP_LABEL = "kueue.x-k8s.io/pod-group-name"
GROUP_API, GROUP_KIND = "leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"
# LeaderWorkerSet's, on the pods of groups: the set, the group, and which pod of it (0: the leader). Its StatefulSets
# have the first one.
SET_LABEL = "leaderworkerset.sigs.k8s.io/name"
GROUP_LABEL = "leaderworkerset.sigs.k8s.io/group-index"
RANK_LABEL = "leaderworkerset.sigs.k8s.io/worker-index"
# On a set, and on its pods: the label of nodes whose values are the domains that groups have to themselves.
TOPOLOGY_ANNOTATION = "leaderworkerset.sigs.k8s.io/exclusive-topology"
# The source of our middleware, which the kubelet makes a file of. A ConfigMap would need rights on all ConfigMaps, and
# would have to live exactly as long as templates and pods that name it; here it is part of the kept template.
MIDDLEWARE_ANNOTATION = f"{GROUP}/middleware"
RAY_API, RAY_KIND = "ray.io/v1", "RayService"
# On the pods of KubeRay's operator: its chart and its kustomization give them this one.
KUBERAY_LABELS = {"app.kubernetes.io/component": "kuberay-operator"}
# What KubeRay makes of a RayService, and its pods of.
RAY_CLUSTER = "RayCluster"
# KubeRay's, on pods: head or worker.
RAY_NODE_LABEL = "ray.io/node-type"
RAY_HEAD, RAY_WORKER = "head", "worker"
# On kept templates that are not for vLLM's own server: what runs vLLM instead.
RUNTIME_ANNOTATION = f"{GROUP}/runtime"
# LeaderWorkerSet makes a Service of the set's name: it cannot be that of ours. Short, as the StatefulSets of its groups
# have longer names, and those end at 52.
_GROUPS = "-g"
# On every metric of a service's pods: the name of the service.
SERVICE_LABEL = "inferenceservice"
# On nodes: which product their GPUs are, by the resource that pods ask for.
_PRODUCT_LABELS = {
    "nvidia.com/gpu": "nvidia.com/gpu.product",
    "nvidia.com/gpu.shared": "nvidia.com/gpu.product",
    "amd.com/gpu": "amd.com/gpu.product-name",
}
_MIG = "nvidia.com/mig-"


def is_slice(resource: str) -> bool:
    """Whether a resource is slices of GPUs, which MIG has made."""
    return resource.startswith(_MIG)


def is_gpu(resource: str) -> bool:
    """Whether a resource is GPUs, or slices of them, that services can ask for."""
    return resource in _PRODUCT_LABELS or is_slice(resource)


def product_label(resource: str) -> str:
    """The label of nodes that tells the product of their devices; empty where there is none.

    GPU feature discovery has labels of their own for MIG slices of several sizes (strategy `mixed`).
    """
    return f"{resource}.product" if is_slice(resource) else _PRODUCT_LABELS.get(resource, "")


def device_taints(resource: str) -> list[str]:
    """Keys of taints that keep all pods off nodes with the devices, but those that ask for them."""
    whole = "nvidia.com/gpu" if resource.startswith("nvidia.com/") else resource
    return list(dict.fromkeys([whole, resource])) if is_gpu(resource) else []


# vLLM's container in a pod, and its port.
CONTAINER = "vllm"
# The one of the pods of inspect and download Jobs.
INSPECTOR, DOWNLOADER = "inspect", "download"
PORT_NAME = "http"
# Of pods of Ray, whose metrics have a port of their own.
METRICS_PORT_NAME, METRICS_PORT = "metrics", 8080


def group_name(service: str) -> str:
    """The LeaderWorkerSet of the service with this name."""
    return f"{service}{_GROUPS}"


def service_of_group(name: str) -> str:
    """The service whose LeaderWorkerSet would have this name; empty where there is none."""
    return name.removesuffix(_GROUPS) if name.endswith(_GROUPS) else ""


def service_url(owner: InferenceService) -> str:
    """Base URL of the OpenAI API within the cluster."""
    return f"http://{owner.name}.{owner.namespace}.svc:{PORT}/v1"


def hpa_of(service: InferenceService) -> tuple[str, str]:
    """Kind and name of the HorizontalPodAutoscaler that scales the service: ours, or the one that KEDA keeps."""
    scaling = service.spec.autoscaling
    by_keda = scaling is not None and scaling.provider == "KEDA"
    return "HorizontalPodAutoscaler", f"keda-hpa-{service.name}" if by_keda else service.name
