"""An API server that is gone, hangs, forgets, or refuses: nothing is lost, and no retry is without bounds."""

import os
import random
import signal
import time

import pytest

from cluster.control_plane import ControlPlane
from control_plane.faults.proxy import READS, Asked, FaultProxy, Refusal
from support.kube import Kube
from support.operator_process import OperatorProcess
from support.services import children, ready, service
from vllm_operator.watch.watches import DEAD_SECONDS

pytestmark = pytest.mark.control_plane


def revive(process: OperatorProcess) -> bool:
    """Restarts the operator where it has ended, as the kubelet does."""
    if process.process and process.process.poll() is not None:
        process.process = None
        process.start()
        return True
    return False


def lengths(kube: Kube) -> dict[str, str]:
    """The context length that each Deployment's vLLM is given."""
    found = {item["metadata"]["name"]: item["spec"]["template"]["spec"] for item in kube.list("deployments")}
    return {
        name: next((arg for arg in pod["containers"][0]["args"] if arg.startswith("--max-model-len")), "").partition(
            "="
        )[2]
        for name, pod in found.items()
    }


def test_an_api_server_that_is_restarted(
    kube: Kube, plane: ControlPlane, process: OperatorProcess, proxy: FaultProxy
) -> None:
    """It forgets what happened before: what was deleted meanwhile is shown by no watch."""
    ready(kube, replicas=2)
    with proxy.watches_cut():
        for kind in ("service", "pdb"):
            kube.run("delete", kind, "llama")
        kube.merge("vis", "llama", {"spec": {"maxModelLen": 1024}})
        plane.restart_apiserver()
    restarts = 0

    def made_again() -> bool:
        nonlocal restarts
        restarts += revive(process)
        return {"Service", "PodDisruptionBudget"} <= set(children(kube)) and lengths(kube)["llama"] == "1024"

    kube.wait("nothing was lost", 150, made_again)
    assert restarts <= 2
    kube.ready("llama", 60)


def test_watches_that_are_cut_in_silence(kube: Kube, process: OperatorProcess, proxy: FaultProxy) -> None:
    """For good: events are due, and the API server answers all else. A restart helps, and the probe asks for it."""
    ready(kube)
    assert process.answers()
    with proxy.watches_cut():
        started = time.monotonic()  # a watch is up to 30 s old by now, and dead when it is 90 s old
        kube.merge("vis", "llama", {"spec": {"maxModelLen": 1024}})
        kube.run("delete", "service", "llama")
        kube.apply(service("late"))
        kube.wait("the liveness probe fails", 150, lambda: process.health() not in (0, 200))
        assert 50 < time.monotonic() - started < 150
        started = time.monotonic()
        process.stop()  # as the kubelet does then
        assert time.monotonic() - started < 20, "it does not end in time"
        process.start()
        kube.wait("nothing was lost", 60, lambda: "Service" in children(kube) and lengths(kube)["llama"] == "1024")
    kube.ready("llama", 90)
    kube.ready("late", 90)


def test_an_etcd_that_hangs(kube: Kube, plane: ControlPlane, process: OperatorProcess, proxy: FaultProxy) -> None:
    for number in range(10):
        kube.apply(service(f"s{number}"))
    for number in range(10):
        kube.ready(f"s{number}", 120)
    etcd = plane.processes.pid("etcd")
    kube.merge("vis", "s0", {"spec": {"maxModelLen": 1024}})
    os.kill(etcd, signal.SIGSTOP)
    since = time.monotonic()
    try:
        while time.monotonic() - since < 30:
            assert process.answers(), "to restart the operator does not help against it"
            time.sleep(1)
    finally:
        os.kill(etcd, signal.SIGCONT)
    assert max(proxy.counted(since).values(), default=0) <= 20
    for number in range(1, 10):
        kube.merge("vis", f"s{number}", {"spec": {"maxModelLen": 2048}})

    wanted = {"s0": "1024"} | {f"s{number}": "2048" for number in range(1, 10)}

    def arrived() -> bool:
        revive(process)
        return lengths(kube) == wanted

    kube.wait("all changes have arrived", 120, arrived)


def test_an_api_server_that_fails_to_show_anything(kube: Kube, process: OperatorProcess, proxy: FaultProxy) -> None:
    """For longer than a watch may be silent, and Leases are renewed: a restart would be told the same."""
    ready(kube)
    proxy.refuse = lambda asked: Refusal(504) if asked.method in READS and "/leases/" not in asked.path else None
    try:
        kube.merge("vis", "llama", {"spec": {"maxModelLen": 1024}})
        since = time.monotonic()
        while time.monotonic() - since < DEAD_SECONDS + 30:
            assert process.answers()
            time.sleep(1)
    finally:
        proxy.refuse = lambda _: None
    kube.wait("the change has arrived", 45, lambda: lengths(kube)["llama"] == "1024")
    assert process.answers()
    process.check()


def test_an_api_server_that_refuses_at_random(kube: Kube, process: OperatorProcess, proxy: FaultProxy) -> None:
    dice = random.Random(7)
    refusals = [Refusal(429, retry_after=2), Refusal(500), Refusal(503)]

    def refuse(asked: Asked) -> Refusal | None:
        if dice.random() > (0.1 if asked.watch else 0.15):
            return None
        return dice.choice(refusals if asked.method in READS else [*refusals, Refusal(409)])

    since = time.monotonic()
    proxy.refuse = refuse
    try:
        for number in range(20):
            kube.apply(service(f"s{number}", replicas=2))
        for number in range(20):
            kube.merge("vis", f"s{number}", {"spec": {"maxModelLen": 2048}})
        wanted = {f"s{number}": "2048" for number in range(20)}
        kube.wait("all changes have arrived", 240, lambda: lengths(kube) == wanted)
    finally:
        proxy.refuse = lambda _: None
    for number in range(20):
        kube.ready(f"s{number}", 120)
    assert len(kube.list("deployments")) == 20
    assert len(proxy.refused) > 20
    writes = {one: count for one, count in proxy.counted(since).items() if one[0] != "GET"}
    # The Events of all services are posted to one path.
    assert sum(count for (method, _), count in writes.items() if method == "POST") <= 20 * 10
    assert max(count for (method, _), count in writes.items() if method != "POST") <= 30
    # Who is told to wait, waits.
    told = [one for one, refusal in proxy.refused if refusal.retry_after and one.method == "PATCH"]
    again = {
        one: min((o.at for o in proxy.asked if o.path == one.path and o.at > one.at), default=None) for one in told
    }
    early = [one for one, at in again.items() if at is not None and at - one.at < 1.9 and "/status" not in one.path]
    assert told
    assert early == []
