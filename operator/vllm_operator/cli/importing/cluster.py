"""Reads what is to be imported from the cluster, as the user, with what stands around it. Reads no Secret."""

import argparse
import asyncio
from typing import Any, NamedTuple

from ..fleet.client import FleetError, NotThereError, UserClient, connect
from .documents import ImportInputError, Sources
from .part import Part

_NOT_OURS = (
    "managedFields",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "selfLink",
    "ownerReferences",
)


class Place(NamedTuple):
    """A kind in the API: where it is, and how people write it."""

    api: str
    plural: str
    kind: str
    short: tuple[str, ...] = ()


_PLACES = (
    Place("/apis/apps/v1", "deployments", "Deployment", ("deploy",)),
    Place("/apis/apps/v1", "statefulsets", "StatefulSet", ("sts",)),
    Place("/apis/apps/v1", "daemonsets", "DaemonSet", ("ds",)),
    Place("/apis/apps/v1", "replicasets", "ReplicaSet", ("rs",)),
    Place("/apis/batch/v1", "jobs", "Job"),
    Place("/api/v1", "pods", "Pod", ("po",)),
    Place("/apis/leaderworkerset.x-k8s.io/v1", "leaderworkersets", "LeaderWorkerSet", ("lws",)),
    Place("/apis/serving.kserve.io/v1alpha1", "llminferenceservices", "LLMInferenceService", ("llmisvc",)),
    Place("/apis/serving.kserve.io/v1beta1", "inferenceservices", "InferenceService", ("isvc",)),
    Place("/apis/production-stack.vllm.ai/v1alpha1", "vllmruntimes", "VLLMRuntime"),
    Place("/apis/kubeai.org/v1", "models", "Model"),
    Place("/apis/kaito.sh/v1beta1", "workspaces", "Workspace", ("wk", "wks")),
    Place("/apis/apps.nvidia.com/v1alpha1", "nimservices", "NIMService"),
)
# What stands around a workload: only what selects its pods, or scales it, is taken up.
_AROUND = (
    Place("/api/v1", "services", "Service"),
    Place("/apis/autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    Place("/apis/policy/v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    Place("/apis/networking.k8s.io/v1", "networkpolicies", "NetworkPolicy"),
    Place("/apis/keda.sh/v1alpha1", "scaledobjects", "ScaledObject"),
    Place("/apis/autoscaling.aibrix.ai/v1alpha1", "podautoscalers", "PodAutoscaler"),
    Place("/apis/llmd.ai/v1alpha1", "variantautoscalings", "VariantAutoscaling"),
    Place("/apis/monitoring.coreos.com/v1", "servicemonitors", "ServiceMonitor"),
    Place("/apis/monitoring.coreos.com/v1", "podmonitors", "PodMonitor"),
)


_CONFIG_MAP = Place("/api/v1", "configmaps", "ConfigMap")


def place_of(word: str) -> Place:
    """The kind that a word means: deployment, deployments, deploy, deployments.apps. Raises ImportInputError."""
    bare = word.lower().split(".", 1)[0]
    for place in _PLACES:
        if bare in (place.plural, place.kind.lower(), *place.short):
            return place
    known = ", ".join(place.kind for place in _PLACES)
    raise ImportInputError(f"{word} is not a kind that can be imported: it is one of {known}")


def read_cluster(source: str, options: argparse.Namespace) -> Sources:
    """An object of the cluster with what stands around it. Raises ImportInputError."""
    kind, _, name = source.partition("/")
    place = place_of(kind)
    try:
        return asyncio.run(_read(place, name, options))
    except FleetError as error:
        raise ImportInputError(str(error)) from error


async def _read(place: Place, name: str, options: argparse.Namespace) -> Sources:
    async with connect(options.kubeconfig, options.context) as client:
        namespace = options.namespace or client.namespace
        try:
            body = await client.at(f"{place.api}/namespaces/{namespace}/{place.plural}/{name}")
        except NotThereError as error:
            raise ImportInputError(f"there is no {place.kind} {name} in namespace {namespace}") from error
        sources = Sources()
        sources.add("the cluster", _bare(body, place))
        for around in _AROUND:
            found = await _beside(client, sources, around, namespace)
            for item in found.get("items", []):
                if _about(item, body):
                    sources.add("the cluster", _bare(item, around))
        for config in sorted(_configuration(body)):
            if item := await _beside(client, sources, _CONFIG_MAP, namespace, config):
                sources.add("the cluster", _bare(item, _CONFIG_MAP))
    return sources


async def _beside(client: UserClient, sources: Sources, place: Place, namespace: str, name: str = "") -> dict[str, Any]:
    """An object beside the workload, or a list of them; empty where there is none, and noted where it is not known."""
    path = f"{place.api}/namespaces/{namespace}/{place.plural}"
    try:
        return await client.at(f"{path}/{name}" if name else path)
    except NotThereError:
        return {}
    except FleetError as error:
        if not name and await _is_unknown(client, place):
            return {}
        why = f"could not be fetched, and what it says of the workload is lost: {' '.join(str(error).split())}"
        sources.unread.append((f"{place.kind}/{name}" if name else place.kind, why))
        return {}


async def _is_unknown(client: UserClient, place: Place) -> bool:
    """Whether the cluster has no such kind: who may not list it is told so before it is looked for."""
    try:
        found = await client.at(place.api)
    except NotThereError:
        return True
    except FleetError:
        return False
    return all(one.get("name") != place.plural for one in found.get("resources", []))


def _bare(body: dict[str, Any], place: Place) -> dict[str, Any]:
    """An object without what the API server wrote."""
    metadata = {key: item for key, item in body.get("metadata", {}).items() if key not in _NOT_OURS}
    notes = {key: item for key, item in metadata.pop("annotations", {}).items() if "last-applied" not in key}
    if notes:
        metadata["annotations"] = notes
    version = place.api.removeprefix("/apis/").removeprefix("/api/")
    rest = {key: item for key, item in body.items() if key not in ("metadata", "status", "apiVersion", "kind")}
    return {"apiVersion": version, "kind": place.kind, "metadata": metadata, **rest}


def _about(item: dict[str, Any], workload: dict[str, Any]) -> bool:
    """Whether an object selects the pods of a workload, or scales it."""
    spec, name = Part(item.get("spec"), ()), workload["metadata"]["name"]
    if spec.at("scaleTargetRef", "name").text == name:
        return True
    labels = Part(workload, ()).at("spec", "template", "metadata", "labels").value or workload["metadata"].get("labels")
    selector = spec.at("selector") or spec.at("podSelector")
    wanted = (selector.at("matchLabels") or selector).value
    return isinstance(wanted, dict) and bool(wanted) and wanted.items() <= (labels or {}).items()


def _configuration(body: dict[str, Any]) -> set[str]:
    """Names of the ConfigMaps that a body mentions."""
    found: set[str] = set()
    waiting: list[Any] = [body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            for key in ("configMap", "configMapRef", "configMapKeyRef"):
                if isinstance(node.get(key), dict) and isinstance(node[key].get("name"), str):
                    found.add(node[key]["name"])
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return found
