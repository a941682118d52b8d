"""For each kind of child an example: the spec that asks for it, an edit by hand, and somebody else's object.

The tests go through the operator's own rows (manifests/kinds.py) and take the example of each from here: a kind without
one fails them, and none is passed over.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.kube import Object
from vllm_operator.api.resource import InferenceService
from vllm_operator.cli.render import service_of
from vllm_operator.manifests import pod_template
from vllm_operator.manifests.devices import pod_claims
from vllm_operator.manifests.kinds import ChildKind
from vllm_operator.manifests.names import INSTANCE_LABEL
from vllm_operator.manifests.ray import ray_service
from vllm_operator.settings import Settings


@dataclass(frozen=True)
class Example:
    """An example of one kind of child."""

    others: Object
    """The content of somebody else's object of this kind: all but its name."""
    edit: Object | None
    """A change by hand that is put right; None: what is there stands, whatever becomes of it."""
    spec: Object = field(default_factory=dict)
    """The fields of the spec that lead to it; empty: every service has it."""
    suffix: str = ""
    """Of its name, behind the service's."""
    named: Callable[[InferenceService], str] | None = None
    """Its whole name, where that follows from more."""
    condition: str = "Stalled"
    """Where it is told that its name is taken."""

    @property
    def edits(self) -> list[Object]:
        """Changes by hand that are put right: one of its own, and one that hides whose it is."""
        return [self.edit, _HIDDEN] if self.edit else []

    def name(self, service: Object) -> str:
        """The child's name, for a service's manifest."""
        owner = service_of(service)
        if self.named:
            return self.named(owner)
        return owner.name + self.suffix.format(revision=owner.revision, inspection=owner.inspected)


_SELECTOR = {"matchLabels": {"app": "other"}}
_RELABELLED = {"metadata": {"labels": {"app.kubernetes.io/name": "x"}}}
_HIDDEN = {"metadata": {"labels": {INSTANCE_LABEL: "x"}}}
_BY_KEDA = {"minReplicas": 1, "maxReplicas": 2, "provider": "KEDA"}


def _template(restart: str) -> Object:
    spec = {"containers": [{"name": "web", "image": "web"}], "restartPolicy": restart}
    return {"metadata": {"labels": {"app": "other"}}, "spec": spec}


def _spec(**spec: Any) -> Object:
    return {"spec": spec}


EXAMPLES = {
    "ControllerRevision": Example({"revision": 7, "data": {}}, edit=_RELABELLED, suffix="-{revision}"),
    "PersistentVolumeClaim": Example(
        _spec(accessModes=["ReadWriteOnce"], resources={"requests": {"storage": "1Mi"}}, storageClassName="none"),
        edit=_RELABELLED,
        spec={"cache": {"claim": {"storage": "1Gi", "accessMode": "ReadWriteOnce"}}},
        suffix="-cache",
    ),
    "NetworkPolicy": Example(
        _spec(podSelector=_SELECTOR), edit=_spec(ingress=[{}]), spec={"networkPolicy": {"allowFrom": []}}
    ),
    "Service": Example(
        _spec(ports=[{"port": 80, "protocol": "TCP"}]), edit=_spec(selector={"app.kubernetes.io/name": "x"})
    ),
    # Its spec cannot be changed.
    "ResourceClaimTemplate": Example(
        _spec(spec={"devices": {"requests": [{"name": "one", "exactly": {"deviceClassName": "other"}}]}}),
        edit=_RELABELLED,
        spec={"accelerator": {"deviceClass": "gpu.example.com", "memory": "80Gi"}},
        named=lambda owner: str((pod_claims(owner) or [])[0]["resourceClaimTemplateName"]),
    ),
    "Deployment": Example(
        _spec(selector=_SELECTOR, template=_template("Always")),
        edit=_spec(replicas=5, strategy={"rollingUpdate": {"maxSurge": 3}}),
    ),
    "LeaderWorkerSet": Example(
        _spec(leaderWorkerTemplate={"size": 2, "workerTemplate": _template("Always")}),
        edit=_spec(replicas=5, startupPolicy="LeaderReady"),
        spec={"nodesPerReplica": 2, "tensorParallelSize": 2},
        suffix="-g",
    ),
    "RayService": Example(
        _spec(
            rayClusterConfig={
                "headGroupSpec": {"rayStartParams": {}, "template": _template("Always")},
                "workerGroupSpecs": [
                    {"groupName": "other", "rayStartParams": {}, "maxReplicas": 1, "minReplicas": 1}
                    | {"template": _template("Always")}
                ],
            }
        ),
        edit=_spec(serveConfigV2="applications: []"),
        spec={"runtime": "RayServe", "image": "vllm/vllm-openai:v0.32.0"},
        named=lambda owner: str((ray_service(owner, pod_template(owner, Settings())) or {})["metadata"]["name"]),
    ),
    "PodDisruptionBudget": Example(
        _spec(selector=_SELECTOR), edit=_spec(maxUnavailable=2), spec={"replicas": 2}, condition="WorkloadAvailable"
    ),
    "HorizontalPodAutoscaler": Example(
        _spec(scaleTargetRef={"kind": "Deployment", "name": "other", "apiVersion": "apps/v1"}, maxReplicas=1),
        edit=_spec(maxReplicas=3),
        spec={"autoscaling": {"minReplicas": 1, "maxReplicas": 2}},
        condition="ScalingActive",
    ),
    "ScaledObject": Example(
        _spec(scaleTargetRef={"name": "other"}, triggers=[{"type": "cpu", "metadata": {"value": "60"}}]),
        edit=_spec(maxReplicaCount=3),
        spec={"autoscaling": _BY_KEDA},
        condition="ScalingActive",
    ),
    "ServiceMonitor": Example(
        _spec(selector=_SELECTOR, endpoints=[]),
        edit=_spec(selector={"matchLabels": {"app.kubernetes.io/name": "x"}}),
        condition="MonitoringAvailable",
    ),
    # A Job's pod template is immutable: what runs is left to run.
    "Job": Example(_spec(template=_template("Never")), edit=None, suffix="-inspect-{inspection}", condition="Fits"),
}


def example(row: ChildKind, examples: Mapping[str, Example] = EXAMPLES) -> Example:
    """The example of a kind. Raises AssertionError for a kind that has none."""
    assert row.kind in examples, f"{row.kind} has no example: add it to EXAMPLES in tests/support/child_kinds.py"
    return examples[row.kind]
