"""Policies, webhooks, model servers and clocks: what is wrong with one service or machine stays there."""

import json
import socket
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane, free_ports
from cluster.host import require
from control_plane.faults.proxy import FaultProxy
from support.kube import Kube, Object, conditions
from support.operator_process import IN_A_POD, OperatorProcess, lease
from support.services import args, ready, reason, service

pytestmark = pytest.mark.control_plane


def policy(namespace: str) -> list[Object]:
    """What refuses every Service in a namespace."""
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["services"]}
    admission = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": "no-services"}}
    validations = [{"expression": "false", "message": "this team makes no Services"}]
    matches = {"namespaceSelector": selector, "resourceRules": [rule]}
    return [
        {
            **admission,
            "kind": "ValidatingAdmissionPolicy",
            "spec": {"matchConstraints": matches, "validations": validations},
        },
        {
            **admission,
            "kind": "ValidatingAdmissionPolicyBinding",
            "spec": {"policyName": "no-services", "validationActions": ["Deny"]},
        },
    ]


def webhook(namespace: str) -> Object:
    """Asks somebody who does not answer about every Service in a namespace."""
    port = free_ports("nobody")["nobody"]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "nobody"},
        "webhooks": [
            {
                "name": "nobody.example.com",
                "clientConfig": {"url": f"https://127.0.0.1:{port}/"},
                "rules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["services"]}
                ],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
            }
        ],
    }


def refused(kube: Kube) -> bool:
    """Whether the API server, which learns of policies and webhooks a little later, makes no Service."""
    probe = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "probe"}, "spec": {"ports": [{"port": 80}]}}
    return not kube.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(probe), check=False)


def test_a_policy_and_a_webhook_that_refuse_a_child(
    kube: Kube, plane: ControlPlane, process: OperatorProcess, proxy: FaultProxy
) -> None:
    """A quota is in test_conditions.py, and so is a name that is taken."""
    policies = policy(kube.namespace)
    kube.apply(*policies)
    kube.wait("the policy holds", 30, lambda: refused(kube))
    kube.apply(service())
    kube.wait("it says so", 30, lambda: reason(kube) == "Refused")
    assert "this team makes no Services" in conditions(kube.get("vis", "llama") or {})["Ready"]["message"]
    kube.run("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "no-services")
    kube.ready("llama", 90)
    kube.apply(webhook(kube.namespace))
    try:
        kube.wait("the webhook is asked", 30, lambda: refused(kube))
        since = time.monotonic()
        kube.apply(service("unlucky"))
        path = f"/api/v1/namespaces/{kube.namespace}/services/unlucky"
        kube.wait("the webhook is in the way", 30, lambda: proxy.counted(since)["PATCH", path] >= 3)
        elsewhere = Kube(plane.kubeconfig, "default", kube.patience)
        ready(elsewhere, "lucky")
        elsewhere.run("delete", "vis", "lucky")
        seconds = time.monotonic() - since
        assert proxy.counted(since)["PATCH", path] <= 4 + seconds / 4
    finally:
        kube.run("delete", "validatingwebhookconfiguration", "nobody")
    kube.ready("unlucky", 120)


def test_model_servers_that_do_not_answer(kube: Kube, process: OperatorProcess) -> None:
    """Whoever asks them hangs; no other service waits for that."""
    process.restart(engineMetrics=True)
    with ExitStack() as stack:
        listening = [stack.enter_context(socket.socket()) for _ in range(1, 64)]
        for number, one in enumerate(listening, start=1):
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((f"127.77.0.{number}", 8000))
            one.listen(64)  # the kernel takes connections, and nobody answers
        names = [f"s{number}" for number in range(20)]
        kube.apply(*(service(name) for name in names))
        for name in names:
            kube.ready(name, 120)

        def asked() -> int:
            """How many connections were made until now."""
            found = 0
            for one in listening:
                with suppress(BlockingIOError):
                    while True:
                        stack.enter_context(one.accept()[0])
                        found += 1
            return found

        first = kube.wait("they are asked", 30, asked)
        started = time.monotonic()
        ready(kube, "other")
        kube.merge("vis", "s0", {"spec": {"maxModelLen": 1024}})
        kube.wait("a change has arrived", 30, lambda: "--max-model-len=1024" in args(kube, "s0"))
        seconds = time.monotonic() - started
        # The schedule of engine.py: at once, after 5, 15 and 60 s.
        assert first + asked() <= 4 * (len(names) + 2), f"in {seconds:.0f} s"
    process.stop()


def test_a_clock_that_is_set(kube: Kube, plane: ControlPlane, process: OperatorProcess, tmp_path: Path) -> None:
    """Forward by three hours and back again."""
    require(["faketime"])
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    process.stop()
    process.env = {
        **IN_A_POD,
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }

    def ahead() -> float:
        """Hours between the operator's clock and this one, in round numbers."""
        return round((datetime.fromisoformat(lease(kube)["renewTime"]) - datetime.now(UTC)).total_seconds() / 3600)

    try:
        process.start()
        ready(kube)
        held = lease(kube)
        for hours in (3, 0):
            clock.write_text(f"+{hours}h")
            kube.wait("the clock is set", 30, lambda hours=hours: ahead() == hours)  # type: ignore[misc]
            length = 1024 + hours
            kube.merge("vis", "llama", {"spec": {"maxModelLen": length}})
            kube.wait("a change arrives", 20, lambda length=length: f"--max-model-len={length}" in args(kube))  # type: ignore[misc]
            kube.ready("llama", 60)
            assert process.answers()
        assert lease(kube)["acquireTime"] == held["acquireTime"], "the Lease was lost meanwhile"
    finally:
        process.stop()
        process.env = IN_A_POD
