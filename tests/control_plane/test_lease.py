"""Two operators by mistake: one acts, the other waits, alive, and takes over."""

import json
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from support.chart import RELEASE
from support.earlier import RELEASED, source_of
from support.kube import Kube
from support.operator_process import ACCOUNT, OperatorProcess, account, add_account, add_lease_rights, lease
from support.rights import now, writes
from support.services import args, children, ready, service

pytestmark = pytest.mark.control_plane
RIVAL, NARROW = "another", "narrow"
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


def has_argument(kube: Kube, argument: str) -> bool:
    """Whether the pods of llama have an argument."""
    return argument in args(kube)


def services_told(kube: Kube, operator: OperatorProcess) -> int:
    """Of how many services of a namespace an operator exports figures."""
    told = [line for line in operator.metrics().splitlines() if line.startswith("vllm_operator_service_ready{")]
    return sum(f'namespace="{kube.namespace}"' in line for line in told)


def test_of_two_releases_one_acts_and_the_other_takes_over(
    kube: Kube, operator: OperatorProcess, rival: OperatorProcess
) -> None:
    ready(kube)
    rival.start()
    audit = operator.control_plane.audit_log
    kube.wait("it says what it waits for", 15, lambda: "holds the Lease kube-system/vllm-operator-all" in rival.tail())
    ready(kube, "first")
    assert writes(audit, account(RIVAL)) == []
    assert (services_told(kube, operator), services_told(kube, rival)) == (2, 0)
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
    kube.wait("it sees that", 20, lambda: "has taken the Lease" in operator.tail())
    found = lease(kube)
    assert [found[key] for key in CLAIM] == [held[key] for key in CLAIM], "it has let go of what is another's"
    assert writes(operator.control_plane.audit_log, ACCOUNT, since) == []
    kube.wait("it tells nothing of what another sees to", 10, lambda: services_told(kube, operator) == 0)
    rival.stop()
    kube.merge("vis", "llama", {"spec": {"maxModelLen": 512}})
    kube.ready("llama", 30)
    kube.wait("it acts again", 30, lambda: "--max-model-len=512" in args(kube))
    assert services_told(kube, operator) == 1


def test_operators_of_different_namespaces_all_act(
    kube: Kube, operator: OperatorProcess, rival: OperatorProcess
) -> None:
    plane = operator.control_plane
    add_lease_rights(plane, RELEASE, kube.namespace)
    add_lease_rights(plane, RIVAL, "default")
    operator.restart(watchNamespaces=[kube.namespace])
    rival.start(watchNamespaces=["default", "not-there"])
    ready(kube)
    elsewhere = Kube(kube.kubeconfig, "default", kube.patience)
    ready(elsewhere)
    elsewhere.run("delete", "vis", "llama")
    rival.stop()
    operator.stop()


def test_a_namespace_that_is_deleted_ends_nothing_in_the_others(kube: Kube, operator: OperatorProcess) -> None:
    """The Role in it goes as well: the operator has no rights there any more, and nowhere else any others."""
    plane, other = operator.control_plane, Kube(kube.kubeconfig, f"{kube.namespace[:50]}-other", kube.patience)
    other.run("create", "namespace", other.namespace)
    names = [kube.namespace, other.namespace]
    words = f"--set=watchNamespaces={{{','.join(names)}}}", "--set=crds.install=false"
    narrow = OperatorProcess(plane, add_account(plane, NARROW, *words), NARROW)
    operator.stop()
    try:
        narrow.start(watchNamespaces=names)
        for team in (kube, other):
            ready(team)
        other.run("delete", "namespace", other.namespace)
        assert narrow.process
        kube.wait("it ends", 120, lambda: narrow.process and narrow.process.poll() is not None)
        narrow.process = None
        narrow.start(watchNamespaces=names)  # as the kubelet does
        ready(kube, "second")
        assert f"may not watch namespace {other.namespace}" in narrow.tail()
        assert f'vllm_operator_acts{{part="{other.namespace}"}} 0.0' in narrow.metrics()
    finally:
        narrow.stop()
        operator.start()


def test_an_operator_of_the_last_version_and_this_one_exclude_each_other(
    kube: Kube, operator: OperatorProcess, tmp_path: Path
) -> None:
    """Also where they are two releases: one of them acts."""
    source = source_of(RELEASED, tmp_path)
    if source is None:
        pytest.skip("git does not have the last version: a shallow clone")
    plane, audit, name = operator.control_plane, operator.control_plane.audit_log, "default/vllm-operator"
    last = OperatorProcess(plane, add_account(plane, RIVAL), RIVAL, env={"PYTHONPATH": str(source)})
    ready(kube)
    since = now()
    last.start()
    try:
        kube.wait("the last version waits", 20, lambda: f"holds the Lease {name}" in last.tail())
        ready(kube, "first")
        assert writes(audit, account(RIVAL), since) == []
        operator.stop()
        ready(kube, "second")
        since, begun = now(), operator.log.stat().st_size
        operator.start()
        kube.wait("this one waits", 20, lambda: f"holds the Lease {name}" in operator.log.read_text()[begun:])
        ready(kube, "third")
        assert writes(audit, ACCOUNT, since) == []
    finally:
        last.stop()
        if operator.process is None:
            operator.start()
    ready(kube, "fourth")


def test_a_tenant_who_writes_the_lease_of_an_older_version_ends_nothing(kube: Kube, operator: OperatorProcess) -> None:
    """He has `edit` in one of two namespaces that an operator watches, where version 0.1 keeps its Lease."""
    other = Kube(kube.kubeconfig, f"{kube.namespace[:50]}-other", kube.patience)
    other.run("create", "namespace", other.namespace)
    names = [kube.namespace, other.namespace]
    add_lease_rights(operator.control_plane, RELEASE, *names)
    kube.run("create", "rolebinding", "alice", "--clusterrole=edit", "--user=alice")
    try:
        operator.restart(watchNamespaces=names)
        ready(kube)
        ready(other)
        assert operator.process
        begun = operator.log.stat().st_size
        process, old = operator.process.pid, (kube.namespace, "vllm-operator")
        for round_number in range(4):
            alice = json.dumps({"spec": {"holderIdentity": f"alice-{round_number}"}})
            kube.run("patch", "lease", "vllm-operator", "--type=merge", "-p", alice, "--as=alice")
            for team in (kube, other):
                team.merge("vis", "llama", {"spec": {"maxModelLen": 1024 + round_number}})
                team.wait("both are served", 10, partial(has_argument, team, f"--max-model-len={1024 + round_number}"))
            time.sleep(3)
        kube.wait("it is taken back", 15, lambda: "alice" not in lease(kube, *old)["holderIdentity"])
        assert "another operator has taken" not in operator.log.read_text()[begun:]
        operator.check()
        assert operator.process.pid == process
        new = f"leases.coordination.k8s.io/vllm-operator-in-{kube.namespace}"
        for verb in ("get", "update", "delete"):
            assert kube.run("auth", "can-i", verb, new, "-n", "kube-system", "--as=alice", check=False).strip() == "no"
    finally:
        operator.stop()
        other.run("delete", "namespace", other.namespace, "--wait=false", check=False)
        operator.start()
