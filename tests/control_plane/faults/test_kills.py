"""An operator that is killed at any point goes on where it was: nothing is lost, nothing is done twice."""

import json
import os
import random
import signal
import threading
from contextlib import suppress
from typing import Any

import pytest

from cluster.control_plane import ControlPlane
from control_plane.faults.proxy import READS, Asked, FaultProxy
from support.kube import Kube, conditions
from support.operator_process import OperatorProcess
from support.services import CHILDREN, service

pytestmark = pytest.mark.control_plane
SERVICES = 50
# `make kills` makes 20, which take minutes more.
KILLS = int(os.environ.get("KILLS", "6"))
# A pod of these nodes starts at once; that is the least pace.
START_SECONDS = 15
API = "/apis/vllm-operator.dev/v1alpha1/namespaces"


def declared(number: int) -> dict[str, Any]:
    """The spec of a service at first."""
    spec: dict[str, Any] = {"replicas": 1 + number % 2, "maxModelLen": 1024}
    if number % 3 == 0:
        spec["networkPolicy"] = {"allowFrom": []}
    if number % 10 == 0:
        spec |= {"autoscaling": {"maxReplicas": 3}}
        del spec["replicas"]
    return spec


def changed(number: int) -> dict[str, Any] | None:
    """The spec that it gets; None where it is deleted."""
    if number % 7 == 6:
        return None
    spec = declared(number)
    if number % 2:
        spec["maxModelLen"] = 2048
    if number % 6 == 0:
        del spec["networkPolicy"]
    return spec


def path(namespace: str, number: int | None = None) -> str:
    """Where a service is in the API, or all of a namespace."""
    return f"{API}/{namespace}/inferenceservices" + ("" if number is None else f"/s{number}")


def change(plane: ControlPlane, namespace: str, number: int) -> None:
    """Brings a service to its changed spec, or deletes it."""
    spec = changed(number)
    if spec is None:
        plane.api().request("DELETE", path(namespace, number))
    else:
        dropped = dict.fromkeys(declared(number).keys() - spec.keys())
        plane.api().patch(path(namespace, number), {"spec": {**spec, **dropped}})


def end_state(kube: Kube) -> dict[str, Any]:
    """All that was declared, and what became of it, without what differs between any two namespaces."""
    found: dict[str, Any] = {}
    for item in kube.list(f"vis,{CHILDREN}"):
        kind, meta = item["kind"], item["metadata"]
        if kind == "ControllerRevision":  # how many are kept depends on what was seen
            continue
        spec = {key: value for key, value in item["spec"].items() if key not in ("clusterIP", "clusterIPs")}
        text = json.dumps([spec, meta.get("labels")]).replace(kube.namespace, "NAMESPACE")
        for owner in meta.get("ownerReferences", ()):
            text = text.replace(owner["uid"], "UID")
        found[f"{kind}/{meta['name']}"] = json.loads(text)
    return found


def paces(kube: Kube) -> set[int]:
    """How often the autoscalers may add a pod, in seconds: that is as long as one takes to start."""
    return {item["spec"]["behavior"]["scaleUp"]["policies"][0]["periodSeconds"] for item in kube.list("hpa")}


def settled(plane: ControlPlane, namespace: str) -> bool:
    """Whether the services that are left are Ready with the spec that they have now, and no others have pods."""

    def items(path: str, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (plane.api().get(f"/apis/{path}/namespaces/{namespace}/{kind}") or {})["items"]
        return found

    services = items("vllm-operator.dev/v1alpha1", "inferenceservices")
    fine = [
        item
        for item in services
        if item.get("status", {}).get("observedGeneration") == item["metadata"]["generation"]
        and conditions(item).get("Ready", {}).get("status") == "True"
        and "Reconciling" not in conditions(item)
    ]
    left = [number for number in range(SERVICES) if changed(number)]
    return len(fine) == len(services) == len(left) == len(items("apps/v1", "deployments"))


def kill(process: OperatorProcess, proxy: FaultProxy, dice: random.Random) -> None:
    """Kills the operator before or after a random one of its requests, and starts it again."""
    writes = dice.random() < 0.8  # few requests come before the first write: some kills are to fall there
    left = dice.randint(1, 60 if writes else 12)
    died = threading.Event()

    def count(asked: Asked) -> None:
        nonlocal left
        if "/leases/" not in asked.path and (asked.method not in READS) == writes:
            left -= 1
            if left == 0 and process.process:
                process.process.send_signal(signal.SIGKILL)
                died.set()

    setattr(proxy, dice.choice(("before", "after")), count)
    died.wait(20)  # one that has nothing to do is killed as well
    proxy.before = proxy.after = lambda _: None
    process.kill()
    process.launch()


def test_an_operator_that_is_killed_again_and_again(
    kube: Kube, plane: ControlPlane, process: OperatorProcess, proxy: FaultProxy
) -> None:
    calm = Kube(plane.kubeconfig, "calm")
    calm.run("create", "namespace", "calm")
    for number in range(SERVICES):
        if spec := changed(number):
            plane.api().create(path("calm"), service(f"s{number}", **spec))
    calm.wait("all are Ready", 240, lambda: settled(plane, "calm"))
    # It is known when the pods have started, and written at the next look.
    calm.wait("the autoscalers have their pace", 60, lambda: paces(calm) == {START_SECONDS})
    expected = end_state(calm)
    calm.run("delete", "vis", "--all", "--wait=false")

    dice = random.Random(5)
    at_once = SERVICES * 2 // KILLS
    for number in range(SERVICES):
        plane.api().create(path(kube.namespace), service(f"s{number}", **declared(number)))
        if number % at_once == 0:
            kill(process, proxy, dice)
    kube.wait("all have pods", 240, lambda: len(kube.list("deployments")) == SERVICES)
    for number in range(SERVICES):
        change(plane, kube.namespace, number)
        if number % at_once == 0:
            kill(process, proxy, dice)
    kube.wait("all are Ready", 240, lambda: settled(plane, kube.namespace))
    with suppress(AssertionError):  # the difference says more
        kube.wait("all is as without kills", 60, lambda: end_state(kube) == expected)
    assert end_state(kube) == expected
    # Nothing was rolled twice: one set of pods for the first spec, and at most one for the second.
    rolled = [item["metadata"]["ownerReferences"][0]["name"] for item in kube.list("replicasets")]
    for number in range(SERVICES):
        if spec := changed(number):
            new = spec["maxModelLen"] != declared(number)["maxModelLen"]
            assert rolled.count(f"s{number}") <= 1 + new, f"s{number}"
