"""What a service may say about its pods: a narrow, typed part of Kubernetes' PodSpec.

It holds nothing that could undo what the operator sets (security context, command, volumes).
"""

from typing import Annotated

from .base import (
    ApiModel,
    Bytes,
    Cpu,
    LabelKey,
    Labels,
    Limits,
    ObjectName,
    Rule,
    label_rules,
    more_than_zero,
    optional,
    required,
    rule,
    with_rules,
)
from .scheduling import Affinity, Toleration, TopologySpreadConstraint

RESERVED = "app.kubernetes.io/ and vllm-operator.dev/"


def _not_ours(what: str) -> Rule:
    return rule(
        "self.all(k, !k.startsWith('app.kubernetes.io/') && !k.startsWith('vllm-operator.dev/'))",
        f"{what} under {RESERVED} belong to the operator: use another prefix",
    )


def _not_kubernetes(what: str) -> Rule:
    return rule(
        "self.all(k, k.startsWith('app.kubernetes.io/') || !k.matches('^([^/]*[.])?(kubernetes|k8s)[.]io/'))",
        f"{what} of kubernetes.io and k8s.io are not for users: Kubernetes and its parts act on them",
    )


class SecretName(ApiModel):
    """A Secret by its name."""

    name: ObjectName = required("Name of the Secret, in the namespace of the service.", "registry-key")


class PodSettings(ApiModel):
    """Where and how the pods are scheduled, and what is put on them. Never their security context or command."""

    node_selector: Labels | None = optional(
        "Labels that a node must have.", {"pool": "gpu"}, max_length=32, rules=label_rules("nodeSelector")
    )
    tolerations: list[Toleration] | None = optional(
        "Taints that the pods tolerate.",
        [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        max_length=32,
        list_type="atomic",
    )
    affinity: Affinity | None = optional(
        "Nodes and pods to be near or away from, as in a PodSpec.",
        {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "..."}]}},
    )
    topology_spread_constraints: list[TopologySpreadConstraint] | None = optional(
        "Spreads the pods over zones or nodes.",
        [{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        max_length=8,
        list_type="map",
        list_map_keys=["topologyKey", "whenUnsatisfiable"],
    )
    exclusive_topology: LabelKey | None = optional(
        "Node label: with nodesPerReplica, each replica is on nodes of one value of it, where no other group of the "
        "namespace is. The operator's setting allowedExclusiveTopologies must allow it.",
        "cloud.google.com/gke-nodepool",
    )
    priority_class_name: ObjectName | None = optional("PriorityClass of the pods.", "production")
    runtime_class_name: ObjectName | None = optional("RuntimeClass of the pods.", "nvidia")
    scheduler_name: ObjectName | None = optional("Scheduler that places the pods.", "kai-scheduler")
    image_pull_secrets: list[SecretName] | None = optional(
        "Secrets with registry credentials.",
        [{"name": "registry-key"}],
        max_length=8,
        list_type="map",
        list_map_keys=["name"],
    )
    service_account_name: ObjectName | None = optional("ServiceAccount of the pods; its token is never mounted.", "llm")
    labels: Labels | None = optional(
        "Labels added to the pods.",
        {"team": "a"},
        max_length=32,
        rules=[*label_rules("labels"), _not_ours("labels"), _not_kubernetes("labels")],
    )
    annotations: dict[Annotated[str, Limits(max_length=317)], Annotated[str, Limits(max_length=4096)]] | None = (
        optional(
            "Annotations added to the pods.",
            {"example.com/cost-centre": "42"},
            max_length=32,
            rules=[label_rules("annotations")[0], _not_ours("annotations"), _not_kubernetes("annotations")],
        )
    )
    fs_group: int | None = optional("Group that owns the mounted volumes (default 1000).", 2000, ge=1, le=2147483647)


def _enough(name: str, quantity: str) -> Rule:
    """The limit is not below the request. `quantity` makes a string of the field, which may be a number."""
    limit, request = (quantity.format(f"self.{kind}.{name}") for kind in ("limits", "requests"))
    return rule(
        f"!has(self.limits) || !has(self.limits.{name}) || !has(self.requests) || !has(self.requests.{name})"
        f" || !isQuantity({limit}) || !isQuantity({request}) || quantity({limit}).compareTo(quantity({request})) >= 0",
        f"resources.limits.{name} must not be below resources.requests.{name}",
    )


CPU_RULE, MEMORY_RULE = _enough("cpu", "string({})"), _enough("memory", "{}")


_DEFAULT = "leave it out for the operator's default"


class ResourceList(ApiModel):
    """CPU, memory and disk. GPUs follow from the parallel sizes and are not set here."""

    cpu: Cpu | None = optional("CPU cores.", 8, rules=[more_than_zero("cpu", _DEFAULT, "string(self)")])
    memory: Bytes | None = optional(
        "Memory of vLLM's processes; /dev/shm, kvCache.cpuOffload and weightsCpuOffloadPerGPU are added to it.",
        "64Gi",
        rules=[more_than_zero("memory", _DEFAULT)],
    )
    ephemeral_storage: Bytes | None = optional(
        "Disk of the node for what the pod writes: downloads where there is no cache.",
        "200Gi",
        alias="ephemeral-storage",
        rules=[more_than_zero("ephemeral-storage", _DEFAULT)],
    )


class Resources(ApiModel):
    """CPU and memory of each pod. Omitted requests get defaults that grow with the number of GPUs."""

    model_config = with_rules(CPU_RULE, MEMORY_RULE)

    requests: ResourceList | None = optional("What is reserved on the node.", {"cpu": "8", "memory": "64Gi"})
    limits: ResourceList | None = optional("What may not be exceeded.", {"memory": "96Gi"})
