"""The types of the conditions in a service's status: each with what it says, for people and for documents.

The one place for them: the CRD's text, `kubectl vllm logs`, README's table and docs/reasons.md follow. Which reasons
may stand in which type is said in reasons.py; when a condition holds is decided in status/. `find` and `holds` read the
conditions of any object. Imports nothing heavy.
"""

from collections.abc import Mapping
from enum import StrEnum, unique
from typing import Any

GOOD, TROUBLE = True, False
OF_A_BATCH = "only of a batch"
ALWAYS, WHILE_TRUE, WHILE_FALSE = "always", "only while it is True", "only while it is False"


@unique
class ConditionType(StrEnum):
    """One aspect of a service. They are API: scripts, alerts and GitOps tools match on them."""

    good: bool
    """The status of a service without trouble: most are good when True, some when False or absent."""
    there: str
    """When a service with a valid spec has the condition."""
    holds: str
    """What is so while the status is True, in a few words."""
    says: str
    """What it says whether it is so, for the documents."""

    def __new__(cls, value: str, good: bool, there: str, holds: str, says: str) -> "ConditionType":
        """A row of the registry: the name, and what is to be known of it."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.good, member.there, member.holds, member.says = good, there, holds, says
        return member

    # fmt: off
    READY = ("Ready", GOOD, ALWAYS, "it serves its current spec",
        "pods with the current spec serve; if not, the first reason why")
    SPEC_VALID = ("SpecValid", GOOD, ALWAYS, "the spec is valid",
        "the operator can act on the spec; Ready summarizes it")
    ADMITTED = ("Admitted", GOOD, WHILE_FALSE, "its ServingClass lets it run",
        "its ServingClass is there, is for its namespace, and its limits are kept; if not, no new pods are made")
    FITS = ("Fits", GOOD, ALWAYS, "the model fits the GPUs",
        "the model fits the GPUs, with the numbers and what would; Unknown, with why, never keeps pods from running")
    WORKLOAD_AVAILABLE = ("WorkloadAvailable", GOOD, ALWAYS, "enough of its pods serve",
        "all pods but one at most serve; if not, what keeps them from it; Ready summarizes it")
    CHAT_AVAILABLE = ("ChatAvailable", GOOD, WHILE_FALSE, "chats are answered",
        "the model has a chat template; gates nothing")
    MONITORING_AVAILABLE = ("MonitoringAvailable", GOOD, ALWAYS, "Prometheus is told to scrape it",
        "Prometheus has a ServiceMonitor for the pods; gates nothing")
    SCALING_ACTIVE = ("ScalingActive", GOOD, "only with `autoscaling`", "its number of pods follows the load",
        "the number of pods follows the load; if not, why; gates nothing")
    INPUT_VALID = ("InputValid", GOOD, OF_A_BATCH, "the input of the batch can be answered",
        "the input of a batch was checked, and its requests can be answered")
    RUNNING = ("Running", GOOD, OF_A_BATCH, "pods of the batch answer requests",
        "pods of a batch answer its requests; if not, why")
    COMPLETE = ("Complete", GOOD, OF_A_BATCH, "the output of the batch is whole",
        "every request of a batch is in its output or its error file")
    FAILED = ("Failed", TROUBLE, OF_A_BATCH, "the batch ended before that",
        "a batch has ended before all its requests were answered, and why")
    OUTDATED = ("Outdated", TROUBLE, WHILE_TRUE, "its pods run with what was right earlier",
        "pods run with an old version of a Secret, ConfigMap, ServingClass or default, or without a security fix, and "
        "how to roll them; gates nothing")
    INCOMPLETE = ("Incomplete", TROUBLE, WHILE_TRUE, "its status lacks what cannot be read or told",
        "part of what the status is made of is odd or too large, and was left out; which, and why; gates nothing")
    RECONCILING = ("Reconciling", TROUBLE, WHILE_TRUE, "it is still being brought to its spec",
        "the service is still being brought to its spec; for `kubectl wait`, Flux and Argo CD (kstatus)")
    STALLED = ("Stalled", TROUBLE, WHILE_TRUE, "it waits for somebody to change something",
        "the service will not get there without a change; for `kubectl wait`, Flux and Argo CD (kstatus)")
    # fmt: on

    @classmethod
    def named(cls, name: str) -> "ConditionType | None":
        """The type of that name; None for one that only another version of the operator knows."""
        return next((member for member in cls if member == name), None)


def find(status: Mapping[str, Any] | None, kind: str) -> Mapping[str, Any]:
    """A condition of a status; empty where there is none, or no status yet."""
    entries = (status or {}).get("conditions") or ()
    return next((entry for entry in entries if entry.get("type") == kind), {})


def holds(status: Mapping[str, Any] | None, kind: str) -> bool:
    """Whether a condition of a status is there, and True."""
    return find(status, kind).get("status") == "True"
