"""`make bench-queues`: batches and groups in a queue of Kueue's own controller, on a control plane with fake nodes.

Kueue 0.17 and LeaderWorkerSet 0.8, each with its webhooks, and the operator with the chart's rights. Two batches and
two groups want a quota that is enough for one: who waits is told with Kueue's sentence, and goes on when it is free. A
line for each with its seconds, and an exit status of 1 where one of them does not come about. Needs root; takes two
minutes, and seven more to build Kueue at first.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from bench.steps import goes_through
from cluster.control_plane import ControlPlane
from support import groups, queues
from support.batch_objects import add_volumes, batch, claim
from support.kube import Kube, Object, conditions
from support.model_reports import REPORTS
from support.operator_process import OperatorProcess, install_rights
from support.services import await_garbage_collection, service

GPUS = {"resource": "nvidia.com/gpu", "product": "NVIDIA-H100-80GB-HBM3"}
QUOTA = {"nvidia.com_gpu": "16", "cpu": "30", "memory": "900Gi"}
OVER_TWO: dict[str, Any] = {
    "nodesPerReplica": 2,
    "tensorParallelSize": 2,
    "pod": {"labels": queues.LABEL},
    "resources": {"requests": {"cpu": "10", "memory": "1Gi"}},
}
SECONDS = 90


def _told(kube: Kube, kind: str, name: str, condition: str) -> Object:
    found: Object = conditions(kube.get(kind, name) or {}).get(condition, {})
    return found


def _held(kube: Kube, kind: str, name: str, condition: str) -> str:
    """What is told of who waits, once Kueue has said why."""

    def words() -> str:
        message = str(_told(kube, kind, name, condition).get("message", ""))
        return message if "quota" in message else ""

    return str(kube.wait(f"{name} is held, with why", SECONDS, words))


def _runs(kube: Kube, job: str) -> bool:
    return (kube.get("job", job) or {}).get("spec", {}).get("suspend") is False


def _in_queue(name: str, gpus: int) -> Object:
    model = {"uri": "hf://org/name"}
    template = {"model": model, "accelerator": GPUS, "tensorParallelSize": gpus, "planPolicy": "Warn"}
    output = {"uri": f"pvc://data/{name}"}
    return batch(name, labels=queues.LABEL, template=template, output=output)


def second_batch_waits(kube: Kube) -> str:
    """The first has the quota, and no node is large enough for it: it stays."""
    kube.apply(claim("data"), _in_queue("first", 16))
    kube.wait("it has the quota", SECONDS, lambda: _runs(kube, "first-run"))
    kube.apply(_in_queue("second", 4))
    return _held(kube, "vib", "second", "Running")


def second_batch_goes_on(kube: Kube) -> str:
    """The first is cancelled."""
    kube.run("delete", "vib", "first")
    kube.wait("it ends", SECONDS, lambda: _told(kube, "vib", "second", "Complete").get("reason") == "Merged")
    status = (kube.get("vib", "second") or {})["status"]
    return f"{status['done']} of {status['total']} done"


def second_group_waits(kube: Kube) -> str:
    """Each group is one Workload."""
    kube.apply(service(**OVER_TWO, replicas=2))
    said = _held(kube, "vis", "llama", "WorkloadAvailable")
    placed = [pod for pod in kube.list("pods", "app.kubernetes.io/instance=llama") if pod["spec"].get("nodeName")]
    assert len(placed) == 2, [pod["metadata"]["name"] for pod in placed]
    return said


def a_group_rolls_within_its_quota(kube: Kube) -> str:
    """The new group takes the old one's."""
    kube.apply(service(**OVER_TWO, replicas=1))
    kube.ready("llama", SECONDS)
    old = {pod["metadata"]["uid"] for pod in kube.list("pods", "app.kubernetes.io/instance=llama")}
    kube.apply(service(**OVER_TWO, replicas=1, maxModelLen=1024))

    def rolled() -> bool:
        now = {pod["metadata"]["uid"] for pod in kube.list("pods", "app.kubernetes.io/instance=llama")}
        return len(now) == 2 and old.isdisjoint(now)

    kube.wait("both pods are others", SECONDS, rolled)
    kube.ready("llama", SECONDS)
    return "both pods are others, and Ready"


STEPS: tuple[Callable[[Kube], str], ...] = (
    second_batch_waits, second_batch_goes_on, second_group_waits, a_group_rolls_within_its_quota,
)  # fmt: skip


def _sentences(kube: Kube) -> str:
    """What the conditions of all say."""
    return kube.run("get", "vib,vis", "-o", "jsonpath={.items[*].status.conditions[*].message}", check=False)


def main() -> int:
    """Goes through the steps on a control plane of its own."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    plane = ControlPlane.start("bench-queues")
    process: OperatorProcess | None = None
    try:
        plane.start_kwok(REPORTS)
        plane.add_kwok_nodes(2)
        add_volumes(plane, 2)
        process = OperatorProcess(plane, install_rights(plane))
        kube = Kube(plane.kubeconfig, "bench")
        kube.run("create", "namespace", kube.namespace)
        await_garbage_collection(kube)
        groups.install_api(kube)
        groups.select(kube)
        with groups.controller(plane, kube), queues.controller(plane, kube):
            queues.quota(kube, **QUOTA)
            process.start()
            return 0 if goes_through(STEPS, kube, partial(_sentences, kube)) else 1
    finally:
        if process:
            process.stop()
        plane.stop()


if __name__ == "__main__":
    sys.exit(main())
