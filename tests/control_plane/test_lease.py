"""Two operators by mistake: one acts, the other waits, alive, and takes over."""

import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from support.kube import Kube
from support.operator_process import ACCOUNT, OperatorProcess, account, add_account, lease
from support.rights import writes
from support.services import children, ready, service

pytestmark = pytest.mark.control_plane
RIVAL = "another"
CLAIM = ("holderIdentity", "acquireTime", "leaseTransitions")


@pytest.fixture
def rival(operator: OperatorProcess) -> Iterator[OperatorProcess]:
    """The operator of another release, which does not run yet; the first one acts before and after."""
    other = OperatorProcess(operator.control_plane, add_account(operator.control_plane, RIVAL), RIVAL)
    try:
        yield other
    finally:
        other.stop()
        if operator.process:
            operator.process.send_signal(signal.SIGCONT)
        if operator.process and operator.process.poll() is not None:
            operator.process = None
        if operator.process is None:
            operator.start()


def now() -> str:
    """As the audit log writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_of_two_releases_one_acts_and_the_other_takes_over(
    kube: Kube, operator: OperatorProcess, rival: OperatorProcess
) -> None:
    ready(kube)
    rival.start()
    audit = operator.control_plane.audit_log
    kube.wait("it says what it waits for", 15, lambda: "holds the Lease default/vllm-operator" in rival.tail())
    ready(kube, "first")
    assert writes(audit, account(RIVAL)) == []
    operator.kill()
    killed = time.monotonic()
    kube.apply(service("second"))
    kube.wait("the other acts", 30, lambda: "Deployment" in children(kube, "second"))
    assert time.monotonic() - killed < 30
    kube.ready("second", 30)
    since = now()
    operator.start()
    assert operator.answers()
    ready(kube, "third")
    assert writes(audit, ACCOUNT, since) == []
    asked = datetime.now(UTC)
    rival.stop()
    ready(kube, "fourth")
    taken = datetime.fromisoformat(lease(kube)["acquireTime"])
    assert (taken - asked).total_seconds() < 10, "the Lease was not handed over"


def test_one_that_was_suspended_writes_nothing_when_it_wakes(
    kube: Kube, operator: OperatorProcess, rival: OperatorProcess
) -> None:
    ready(kube)
    begun = rival.log.stat().st_size if rival.log.exists() else 0
    rival.start()
    assert operator.process
    operator.process.send_signal(signal.SIGSTOP)
    # Its sockets fill with what it has to do.
    kube.merge("vis", "llama", {"spec": {"maxModelLen": 1024}})
    kube.wait("the other acts", 30, lambda: b": acts" in rival.log.read_bytes()[begun:])
    kube.ready("llama", 30)
    kube.merge("vis", "llama", {"spec": {"maxModelLen": 2048}})
    kube.ready("llama", 30)
    since, held = now(), lease(kube)
    operator.process.send_signal(signal.SIGCONT)
    kube.wait("it ends", 20, lambda: operator.process and operator.process.poll() is not None)
    assert "has taken the Lease" in operator.tail()
    found = lease(kube)
    assert [found[key] for key in CLAIM] == [held[key] for key in CLAIM], "it has let go of what is another's"
    assert writes(operator.control_plane.audit_log, ACCOUNT, since) == []


def test_operators_of_different_namespaces_all_act(
    kube: Kube, operator: OperatorProcess, rival: OperatorProcess
) -> None:
    operator.restart(watchNamespaces=[kube.namespace])
    rival.start(watchNamespaces=["default", "not-there"])
    ready(kube)
    elsewhere = Kube(kube.kubeconfig, "default", kube.patience)
    ready(elsewhere)
    elsewhere.run("delete", "vis", "llama")
    rival.stop()
    operator.stop()
