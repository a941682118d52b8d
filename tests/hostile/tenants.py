"""A tenant that attacks, one that works, and the operator between them."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any

from cluster.api import Api
from hostile.attacks import SECRET
from support.kube import Kube, Object, conditions
from support.memory_limit import LimitedOperator
from support.operator_process import lease
from support.services import service

MOST_MIB = 200
# Renewed each 2 s; after 10 s without, its holder writes nothing more.
LEASE_SECONDS = 8
# How much longer an honest edit may take beside an attack, on a machine that both share; and what no edit is held to.
# Where one tenant holds up another, it is a minute, or never.
MOST_RATIO, ALWAYS_FINE_SECONDS = 10, 2.0


@dataclass
class Tenant:
    """kubectl as somebody who is not an admin."""

    kube: Kube
    identity: Sequence[str]

    def tries(self, verb: str, body: Object) -> str:
        """What kubectl says against it; empty where it is done."""
        try:
            self.kube.run(verb, "-f", "-", *self.identity, stdin=json.dumps(body))
        except AssertionError as error:
            return str(error)
        return ""

    def told(self, name: str, kind: str) -> str:
        """Reason and message of a condition, once the operator has looked at the newest spec; empty before."""
        found = self.kube.get("vis", name) or {}
        if found.get("status", {}).get("observedGeneration") != found["metadata"]["generation"]:
            return ""
        one = conditions(found).get(kind, {})
        waits = one.get("reason") in ("", "Inspecting")
        return "" if waits or not one else f"{one['reason']}: {one['message']}"


@dataclass
class Watched:
    """The operator, as its platform team sees it."""

    operator: LimitedOperator
    kube: Kube
    settings: dict[str, Any]

    def unharmed(self) -> None:
        """It answers, acts, is small, and has told no Secret to anybody."""
        self.operator.check()
        assert self.operator.health() == 200
        self.kube.wait("the Lease is renewed", 5, lambda: self._lease_age() < LEASE_SECONDS)
        peak = self.operator.peak_mib()
        assert peak < MOST_MIB, f"{peak:.0f} MiB"
        shown = self.kube.run("get", "vis,events,deployments", "--all-namespaces", "-o", "json")
        assert SECRET not in shown
        assert SECRET not in self.operator.log.read_text(errors="replace")

    def _lease_age(self) -> float:
        """Seconds since it was renewed: all clocks are this machine's."""
        renewed = datetime.fromisoformat(lease(self.kube)["renewTime"])
        return (datetime.now(UTC) - renewed).total_seconds()


@dataclass
class Honest:
    """One service without pods, whose edits are timed from the request until its Deployment has them."""

    api: Api
    kube: Kube
    alone: float = 0.0
    number: int = 1000
    took: list[float] = field(default_factory=list)

    @classmethod
    def settle(cls, watched: Watched) -> "Honest":
        """Makes the service; measures while nobody attacks."""
        kube = Kube(watched.kube.kubeconfig, "honest", watched.kube.patience)
        kube.apply(service("honest", replicas=0))
        kube.wait("it has a Deployment", 30, lambda: kube.get("deployment", "honest"))
        time.sleep(3)
        found = cls(watched.operator.control_plane.api(), kube)
        found.alone = median(found.edit() for _ in range(7))
        return found

    def edit(self, patience: float = 60) -> float:
        """Seconds until an edit has reached the Deployment."""
        self.number += 1
        began = time.monotonic()
        path = "/apis/vllm-operator.dev/v1alpha1/namespaces/honest/inferenceservices/honest"
        self.api.patch(path, {"spec": {"maxModelLen": self.number}})
        while f"--max-model-len={self.number}" not in self._arguments():
            assert time.monotonic() - began < patience, "an honest edit does not reach its Deployment"
            time.sleep(0.02)
        self.took.append(time.monotonic() - began)
        return self.took[-1]

    def goes_on(self, edits: int = 3) -> None:
        """Its edits take no longer than they do without an attacker, within what a shared machine allows."""
        took = median(self.edit() for _ in range(edits))
        ratio = took / self.alone
        assert ratio < MOST_RATIO or took < ALWAYS_FINE_SECONDS, f"{took:.2f} s, {ratio:.0f} times as long as alone"

    def _arguments(self) -> list[Any]:
        found = self.api.get("/apis/apps/v1/namespaces/honest/deployments/honest") or {}
        return list(found["spec"]["template"]["spec"]["containers"][0]["args"])
