"""An object of somebody else that has the name of a child is never adopted, whatever its kind."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from control_plane import keda, monitors
from support.kube import Kube, Object, conditions
from support.operator_process import OperatorProcess
from support.services import children, reason, service
from vllm_operator.cli.render import service_of
from vllm_operator.manifests import inspection_key

pytestmark = pytest.mark.control_plane

LABELS = {"matchLabels": {"app": "other"}}
CONTAINERS = [{"name": "web", "image": "web"}]


def _template(restart: str) -> Object:
    return {"metadata": {"labels": {"app": "other"}}, "spec": {"containers": CONTAINERS, "restartPolicy": restart}}


TARGET = {"kind": "Deployment", "name": "other", "apiVersion": "apps/v1"}
AUTOSCALING = {"minReplicas": 1, "maxReplicas": 2}


class Taken(NamedTuple):
    """A service, and the object of another that has the name of one of its children."""

    kind: str
    api_version: str
    content: Object
    spec: Object | None = None
    suffix: str = ""
    condition: str = "Stalled"

    @property
    def service(self) -> Object:
        """The service; it is called like the kind."""
        return service(self.kind.lower(), **(self.spec or {}))

    @property
    def name(self) -> str:
        """The name that is taken."""
        owner = service_of(self.service)
        return owner.name + self.suffix.format(revision=owner.revision, inspection=inspection_key(owner))

    @property
    def other(self) -> Object:
        """The object of another."""
        return {"apiVersion": self.api_version, "kind": self.kind, "metadata": {"name": self.name}, **self.content}


def _spec(**spec: Any) -> Object:
    return {"spec": spec}


CLAIM = {"claim": {"storage": "1Gi", "accessMode": "ReadWriteOnce"}}
TAKEN = (
    Taken("Service", "v1", _spec(ports=[{"port": 80, "protocol": "TCP"}])),
    Taken("Deployment", "apps/v1", _spec(selector=LABELS, template=_template("Always"))),
    Taken("ControllerRevision", "apps/v1", {"revision": 7, "data": {}}, suffix="-{revision}"),
    Taken("PodDisruptionBudget", "policy/v1", _spec(selector=LABELS), {"replicas": 2}),
    Taken("NetworkPolicy", "networking.k8s.io/v1", _spec(podSelector=LABELS), {"networkPolicy": {"allowFrom": []}}),
    Taken(
        "PersistentVolumeClaim",
        "v1",
        _spec(accessModes=["ReadWriteOnce"], resources={"requests": {"storage": "1Mi"}}, storageClassName="none"),
        {"cache": CLAIM},
        "-cache",
    ),
    Taken("Job", "batch/v1", _spec(template=_template("Never")), suffix="-inspect-{inspection}"),
    Taken("ServiceMonitor", "monitoring.coreos.com/v1", _spec(selector=LABELS, endpoints=[])),
    Taken(
        "HorizontalPodAutoscaler",
        "autoscaling/v2",
        _spec(scaleTargetRef=TARGET, maxReplicas=1),
        {"autoscaling": AUTOSCALING},
        condition="ScalingActive",
    ),
    Taken(
        "ScaledObject",
        "keda.sh/v1alpha1",
        _spec(scaleTargetRef={"name": "other"}, triggers=[{"type": "cpu", "metadata": {"value": "60"}}]),
        {"autoscaling": {**AUTOSCALING, "provider": "KEDA"}},
        condition="ScalingActive",
    ),
)


@pytest.fixture
def every_api(kube: Kube, operator: OperatorProcess) -> Iterator[None]:
    """The optional APIs are served, and models are inspected."""
    monitors.install_api(kube)
    keda.install_api(kube)
    operator.restart(images={"operator": "vllm-operator:test"})
    yield
    operator.stop()
    keda.remove_api(kube)
    monitors.remove_api(kube)
    operator.start()


def as_it_was_made(found: Object | None) -> list[Any]:
    """What only somebody who changes an object changes: all but its status, and what its controller notes."""
    assert found
    meta = found["metadata"]
    return [found.get("spec"), found.get("data"), meta.get("labels"), meta.get("ownerReferences")]


@pytest.mark.usefixtures("every_api")
def test_somebody_elses_object_is_never_adopted(kube: Kube) -> None:
    kube.apply(*(taken.other for taken in TAKEN))
    before = {taken.kind: as_it_was_made(kube.get(taken.kind, taken.name)) for taken in TAKEN}
    kube.apply(*(taken.service for taken in TAKEN))
    for taken in TAKEN:
        name = taken.service["metadata"]["name"]

        def says(taken: Taken = taken, name: str = name) -> bool:
            found = conditions(kube.get("vis", name) or {}).get(taken.condition, {})
            return f"the {taken.kind} {taken.name} in namespace" in found.get("message", "")

        kube.wait(f"it says that the {taken.kind} is not its own", 30, says)
    for taken in TAKEN:
        assert as_it_was_made(kube.get(taken.kind, taken.name)) == before[taken.kind]


def test_it_goes_on_when_the_name_is_free(kube: Kube) -> None:
    taken = TAKEN[0]
    kube.apply(taken.other, taken.service)
    kube.wait("it says so", 10, lambda: reason(kube, name="service") == "NameTaken")
    kube.run("delete", "service", taken.name)
    kube.ready("service", 60)
    assert children(kube, "service")["Service"]["spec"]["ports"][0]["port"] == 8000
