"""Services, classes and what they name are all that has to be kept: the rest is made anew from them, the same."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from support.kube import Kube, Object, conditions
from support.operator_process import OperatorProcess
from support.services import CHILDREN, LABEL, service

pytestmark = pytest.mark.control_plane
CLASS = "kept-by-a-backup"
# What the cluster decides anew for an object of the same manifest.
DECIDED = ("clusterIP", "clusterIPs", "volumeName")
# What docs/backup.md says of a volume that was kept.
FREED = '[{"op":"remove","path":"/spec/claimRef"}]'
VALUES: dict[str, dict[str, Any]] = {
    "plain": {"apiKeySecretRef": {"name": "key", "key": "key"}},
    "of-class": {"servingClassName": CLASS, "replicas": 2},
    "scaled": {"autoscaling": {"maxReplicas": 3}, "networkPolicy": {"allowFrom": [{"podSelector": {}}]}},
    "cached": {"cache": {"claim": {"storage": "1Gi", "accessMode": "ReadWriteMany"}}},
    "on-a-claim": {"model": {"uri": "pvc://models/tiny"}},
}


def own_objects(kube: Kube) -> list[Object]:
    """What users bring: a Secret, a claim with weights, and services; one of them by a class."""
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    services = [service(name, **spec) for name, spec in VALUES.items()]
    for one in services:
        if "servingClassName" in one["spec"]:
            del one["spec"]["accelerator"]
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"key": "sk-1"}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": claim},
        {
            "apiVersion": "vllm-operator.dev/v1alpha1",
            "kind": "ServingClass",
            "metadata": {"name": CLASS},
            "spec": {"accelerator": {"resource": "cpu"}, "defaults": {"maxModelLen": 1024}},
        },
        *services,
    ]


def made(kube: Kube) -> dict[tuple[str, str], str]:
    """What all children are told to be, by kind and name, without what names this very object."""
    uids = {item["metadata"]["name"]: item["metadata"]["uid"] for item in kube.list("vis")}
    found: dict[tuple[str, str], str] = {}
    for item in kube.list(CHILDREN, LABEL):
        content = {key: item[key] for key in ("spec", "data") if key in item}
        text = json.dumps(without(content, DECIDED), sort_keys=True)
        for uid in uids.values():
            text = text.replace(uid, "UID")
        name = item["metadata"]["name"]
        if item["kind"] == "ControllerRevision":  # its name has a hash of what it keeps, uid and all
            name = item["metadata"]["labels"][LABEL]
        found[item["kind"], name] = text
    return found


def without(value: Any, keys: tuple[str, ...]) -> Any:
    """A value without some keys, at any depth."""
    if isinstance(value, dict):
        return {key: without(one, keys) for key, one in value.items() if key not in keys}
    return [without(one, keys) for one in value] if isinstance(value, list) else value


def told(kube: Kube) -> dict[str, set[tuple[str, str, str]]]:
    """The conditions of each service, but for what its autoscaler says of itself, in its own time."""
    return {
        item["metadata"]["name"]: {
            (c["type"], c["status"], c["reason"]) for c in conditions(item).values() if c["type"] != "ScalingActive"
        }
        for item in kube.list("vis")
    }


def told_again(kube: Kube, before: dict[str, set[tuple[str, str, str]]]) -> None:
    """Waits until the conditions are those of before, and shows how they differ if they are not."""
    deadline = time.monotonic() + 60
    while told(kube) != before and time.monotonic() < deadline:
        time.sleep(0.5)
    assert told(kube) == before


def left(kube: Kube) -> set[str]:
    """The names of children and pods that there are."""
    return {item["metadata"]["name"] for item in kube.list(f"pods,{CHILDREN}", LABEL)}


def all_ready(kube: Kube) -> None:
    for name in VALUES:
        kube.ready(name, 60)


def test_what_the_page_says_to_keep_brings_back_the_same_children(
    kube: Kube, operator: OperatorProcess, tmp_path: Path
) -> None:
    kube.apply(*own_objects(kube))
    try:
        all_ready(kube)
        before, conditions_before = made(kube), told(kube)
        assert len(before) > 3 * len(VALUES)
        kept = {name: tmp_path / f"{name}.yaml" for name in ("classes", "others", "services")}
        for name, kinds in (("classes", "servingclasses"), ("others", "secret/key,pvc/models"), ("services", "vis")):
            words = kinds.split(",") if "/" in kinds else [kinds]
            kept[name].write_text(kube.run("get", *words, "-o", "yaml"))
        kube.run("delete", "vis", "--all")
        kube.run("delete", "secret/key", "pvc/models", f"vsc/{CLASS}")
        kube.wait("only the cache is left", 30, lambda: left(kube) == {"cached-cache"})
        for item in kube.list("pv"):  # of the namespace's own claim, which is another one now
            if (item["spec"].get("claimRef") or {}).items() >= {"namespace": kube.namespace, "name": "models"}.items():
                kube.run("patch", "pv", item["metadata"]["name"], "--type=json", "-p", FREED)
        for file in kept.values():
            kube.run("create", "-f", str(file))
        all_ready(kube)
        assert made(kube) == before
        told_again(kube, conditions_before)
        rolled = [item["metadata"]["name"] for item in kube.list("replicasets") if item["spec"]["replicas"] == 0]
        assert rolled == []
    finally:
        kube.run("delete", "vsc", CLASS, "--ignore-not-found")


def test_without_kept_templates_and_statuses_nothing_is_rolled_and_both_are_there_again(
    kube: Kube, operator: OperatorProcess
) -> None:
    """As after a restore by a tool that brings back no ControllerRevisions and no statuses."""
    kube.apply(*own_objects(kube))
    try:
        all_ready(kube)
        revisions, conditions_before = made(kube), told(kube)
        pods = {item["metadata"]["uid"] for item in kube.list("pods,replicasets", LABEL)}
        operator.stop()
        kube.run("delete", "controllerrevisions", "-l", LABEL)
        for name in VALUES:
            empty = json.dumps([{"op": "remove", "path": "/status"}])
            kube.run("patch", "vis", name, "--subresource=status", "--type=json", "-p", empty)
        assert not any(told(kube).values())
        operator.start()
        told_again(kube, conditions_before)
        assert made(kube) == revisions
        assert {item["metadata"]["uid"] for item in kube.list("pods,replicasets", LABEL)} == pods
    finally:
        kube.run("delete", "vsc", CLASS, "--ignore-not-found")


def test_a_backup_that_is_applied_to_what_runs_changes_nothing(kube: Kube, operator: OperatorProcess) -> None:
    kube.apply(*own_objects(kube))
    try:
        all_ready(kube)
        pods = {item["metadata"]["uid"] for item in kube.list("pods,replicasets", LABEL)}
        kept = kube.run("get", "vis", "-o", "yaml")
        # Written since: no earlier version is taken.
        kube.run("annotate", "vis", "--all", "example.com/edited=yes")
        without = "\n".join(line for line in kept.splitlines() if not line.startswith("    resourceVersion: "))
        kube.run("replace", "-f", "-", stdin=without)
        all_ready(kube)
        assert {item["metadata"]["uid"] for item in kube.list("pods,replicasets", LABEL)} == pods
    finally:
        kube.run("delete", "vsc", CLASS, "--ignore-not-found")
