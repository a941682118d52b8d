"""What was seen of a service, flat, for tests of what is said of it: one argument for each thing that matters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vllm_operator.api.resource import InferenceService
from vllm_operator.assess.fits import NOT_ASSESSED, Assessment, Inspection
from vllm_operator.assess.supply import Supply
from vllm_operator.diagnosis import Autoscaler, Finding
from vllm_operator.manifests.hardening import VERSION
from vllm_operator.snapshots.child import Child, ChildKey
from vllm_operator.snapshots.pod import PodSnapshot
from vllm_operator.snapshots.workload import DeploymentSnapshot
from vllm_operator.status.evidence import Account, Engine, Evidence, Outcome


@dataclass
class Scene:
    """Evidence, assessment and outcome of a service."""

    spec_error: Finding | None = None
    apply_error: Finding | None = None
    deployment: DeploymentSnapshot | None = None
    pods: Sequence[PodSnapshot] = ()
    fallen: PodSnapshot | None = None
    old_pods: Sequence[PodSnapshot] = ()
    replaces: bool = False
    supply: Supply | None = None
    image: str | None = None
    arguments: tuple[str, ...] = ()
    monitoring: bool = False
    autoscaler: Autoscaler = field(default_factory=Autoscaler)
    start_replicas: int = 1
    startup_seconds: int | None = None
    inspection: Inspection = field(default_factory=lambda: Inspection("", pending=True))
    assessment: Assessment = NOT_ASSESSED
    withheld: bool = False
    engine: Engine = field(default_factory=Engine)
    changed: Sequence[str] | None = ()
    missing: tuple[str, ...] = ()

    def account(self, service: InferenceService, before: Mapping[str, Any] | None = None) -> Account:
        """The account of it for a service; `before` is the status as it stands."""
        evidence = Evidence(
            service=service,
            before=before or {},
            spec_error=self.spec_error,
            live=self._live(service),
            pods=self.pods,
            fallen=self.fallen,
            old_pods=self.old_pods,
            served=frozenset({"ServiceMonitor"} if self.monitoring else ()),
            autoscaler=replace(self.autoscaler, refused=""),
            start_replicas=self.start_replicas,
            startup_seconds=self.startup_seconds,
            inspection=self.inspection,
            supply=self.supply,
            engine=self.engine,
            changed=self.changed,
            missing=self.missing,
        )
        refused = {"HorizontalPodAutoscaler": self.autoscaler.refused} if self.autoscaler.refused else {}
        outcome = Outcome(self.image, self.arguments, self.withheld, self.apply_error, refused)
        return Account(evidence, self.assessment, outcome)

    def _live(self, service: InferenceService) -> dict[ChildKey, Child]:
        live: dict[ChildKey, Child] = {}
        if self.deployment:
            child = Child("Deployment", service.name, service.uid, 1, "", deployment=self.deployment)
            live["Deployment", service.name] = child
        for number in range(2 if self.replaces else 1):
            name = f"{service.name}-{number}"
            live["ControllerRevision", name] = Child(
                "ControllerRevision", name, service.uid, 1, "", packed_template=b"", template_version=VERSION
            )
        return live
