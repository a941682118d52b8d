"""Where the pods may run, typed as in Kubernetes' PodSpec, so that `kubectl apply` refuses a mistake."""

from typing import Literal

from .base import ApiModel, LabelKey, Labels, LabelValue, ObjectName, ShortText, optional, required, rule, with_rules


class Toleration(ApiModel):
    """Lets the pods run on nodes with a matching taint."""

    model_config = with_rules(
        rule(
            "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
            "a toleration with operator Exists has no value: remove the value, or use operator Equal",
        ),
        rule(
            "has(self.key) && self.key != '' || has(self.operator) && self.operator == 'Exists'",
            "a toleration without a key matches every taint: say so with operator Exists, or add the key",
        ),
        rule(
            "!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",
            "tolerationSeconds needs effect NoExecute",
        ),
    )

    key: ShortText | None = optional(
        "Key of the taint; empty with operator Exists matches every taint.", "nvidia.com/gpu"
    )
    operator: Literal["Exists", "Equal"] | None = optional("Exists, or Equal (the default): compare values.", "Exists")
    value: LabelValue | None = optional("Value of the taint, with operator Equal.", "true")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = optional(
        "Effect of the taint; omitted matches all.", "NoSchedule"
    )
    toleration_seconds: int | None = optional(
        "Seconds that a NoExecute taint is tolerated; omitted: for ever.", 300, ge=0, le=2147483647
    )


class Requirement(ApiModel):
    """One comparison of a label (or of a node's field)."""

    model_config = with_rules(
        rule(
            "self.operator in ['Exists', 'DoesNotExist'] ? !has(self.values) || self.values.size() == 0"
            " : has(self.values) && self.values.size() > 0",
            "operators Exists and DoesNotExist take no values; the others need some",
        )
    )

    key: LabelKey = required("The label's key.", "topology.kubernetes.io/zone")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = required("How to compare.", "In")
    values: list[LabelValue] | None = optional(
        "Values to compare with; none for Exists and DoesNotExist.", ["zone-a"], max_length=64, list_type="atomic"
    )


class FieldRequirement(ApiModel):
    """One comparison of a node's field: Kubernetes knows the node's name only."""

    key: ShortText = required(
        "The field.",
        "metadata.name",
        rules=[rule("self == 'metadata.name'", "must be metadata.name, the only field of nodes to compare")],
    )
    operator: Literal["In", "NotIn"] = required("How to compare.", "In")
    values: list[ShortText] = required(
        "The name of the node.", ["node-1"], min_length=1, max_length=1, list_type="atomic"
    )


class LabelSelector(ApiModel):
    """Selects objects by their labels; an empty selector selects all."""

    match_labels: Labels | None = optional("Labels that must be equal.", {"app": "web"}, max_length=32)
    match_expressions: list[Requirement] | None = optional(
        "Comparisons that must all hold.", [{"key": "app", "operator": "Exists"}], max_length=16, list_type="atomic"
    )


_GPU_NODES = {"matchExpressions": [{"key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-L4"]}]}
_OTHER_NODES = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}


class NodeSelectorTerm(ApiModel):
    """Comparisons of one node; all of them must hold."""

    match_expressions: list[Requirement] | None = optional(
        "Comparisons of the node's labels.", _GPU_NODES["matchExpressions"], max_length=16, list_type="atomic"
    )
    match_fields: list[FieldRequirement] | None = optional(
        "Comparisons of the node's fields (metadata.name).",
        [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}],
        max_length=8,
        list_type="atomic",
    )


class NodeSelector(ApiModel):
    """Nodes that match any of the terms."""

    node_selector_terms: list[NodeSelectorTerm] = required(
        "A node must match one of these.", [_GPU_NODES], min_length=1, max_length=16, list_type="atomic"
    )


class PreferredNodes(ApiModel):
    """A preference for nodes."""

    weight: int = required("1 to 100; more is preferred.", 50, ge=1, le=100)
    preference: NodeSelectorTerm = required("The nodes that are preferred.", _GPU_NODES)


class NodeAffinity(ApiModel):
    """Which nodes the pods need or prefer."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = optional(
        "Nodes that the pods need.", {"nodeSelectorTerms": [_GPU_NODES]}
    )
    preferred_during_scheduling_ignored_during_execution: list[PreferredNodes] | None = optional(
        "Nodes that the pods prefer.", [{"weight": 1, "preference": _GPU_NODES}], max_length=16, list_type="atomic"
    )


class PodAffinityTerm(ApiModel):
    """Pods to run near, or away from."""

    topology_key: LabelKey = required("Node label whose equal value means near.", "kubernetes.io/hostname")
    label_selector: LabelSelector | None = optional("The other pods.", {"matchLabels": {"app": "web"}})
    namespaces: list[ObjectName] | None = optional(
        "Namespaces of the other pods, where the setting allowCrossNamespaceAffinity is on; omitted: this one.",
        ["team-b"],
        max_length=16,
        list_type="atomic",
    )
    namespace_selector: LabelSelector | None = optional(
        "Namespaces of the other pods, by label, where the setting allowCrossNamespaceAffinity is on.",
        {"matchLabels": {"team": "b"}},
    )


class WeightedPodAffinityTerm(ApiModel):
    """A preference to run near other pods, or away from them."""

    weight: int = required("1 to 100; more is preferred.", 50, ge=1, le=100)
    pod_affinity_term: PodAffinityTerm = required("The other pods.", _OTHER_NODES)


class PodAffinity(ApiModel):
    """Other pods that the pods need, or prefer, to be near (or, as anti-affinity, away from)."""

    required_during_scheduling_ignored_during_execution: list[PodAffinityTerm] | None = optional(
        "Other pods that it must be near (or away from).", [_OTHER_NODES], max_length=8, list_type="atomic"
    )
    preferred_during_scheduling_ignored_during_execution: list[WeightedPodAffinityTerm] | None = optional(
        "Other pods that it should be near (or away from).",
        [{"weight": 1, "podAffinityTerm": _OTHER_NODES}],
        max_length=8,
        list_type="atomic",
    )


_AWAY = {"requiredDuringSchedulingIgnoredDuringExecution": [_OTHER_NODES]}


class Affinity(ApiModel):
    """Where the pods run, relative to nodes and to other pods. As in Kubernetes' PodSpec."""

    node_affinity: NodeAffinity | None = optional(
        "Nodes to be on.",
        {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [_GPU_NODES]}},
    )
    pod_affinity: PodAffinity | None = optional("Pods to be near.", _AWAY)
    pod_anti_affinity: PodAffinity | None = optional("Pods to be away from.", _AWAY)


class TopologySpreadConstraint(ApiModel):
    """How the service's pods spread over zones or nodes. The operator sets its selector: the service's own pods."""

    model_config = with_rules(
        rule(
            "!has(self.minDomains) || self.whenUnsatisfiable == 'DoNotSchedule'",
            "minDomains needs whenUnsatisfiable: DoNotSchedule",
        )
    )

    max_skew: int = required("Most by which the count of pods may differ between two domains.", 1, ge=1, le=1000)
    topology_key: LabelKey = required("Node label that names the domain.", "topology.kubernetes.io/zone")
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = required(
        "What to do with a pod that would break it.", "ScheduleAnyway"
    )
    min_domains: int | None = optional("Least number of domains.", 2, ge=1, le=1000)
    node_affinity_policy: Literal["Honor", "Ignore"] | None = optional(
        "Whether only nodes count that the pods' node selector and affinity allow (Honor, the default).", "Honor"
    )
    node_taints_policy: Literal["Honor", "Ignore"] | None = optional(
        "Honor: nodes with taints that the pods do not tolerate, as in a drain, do not count. The default is Ignore.",
        "Honor",
    )
    match_label_keys: list[LabelKey] | None = optional(
        "Labels by which pods are counted apart: with pod-template-hash, those of another version do not count.",
        ["pod-template-hash"],
        max_length=8,
        list_type="set",
    )
