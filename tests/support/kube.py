"""kubectl against the cluster under test, with JSON in and out, and waits that say what they saw last."""

import json
import re
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cluster.tools import tool

Object = dict[str, Any]


class Kube:
    """One cluster, one namespace."""

    def __init__(self, kubeconfig: Path, namespace: str, patience: float = 1) -> None:
        """Every wait may take `patience` times as long: on a busy machine, where the time is not what is tested."""
        self.kubeconfig, self.namespace, self.patience = kubeconfig, namespace, patience

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 120) -> str:
        """Runs kubectl and returns its output. Raises AssertionError with kubectl's own words where it fails."""
        command = [str(tool("kubectl")), f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *arguments]
        result = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=timeout)
        if check and result.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def apply(self, *objects: Object) -> None:
        """Applies objects."""
        for item in objects:
            self.run("apply", "--server-side", "-f", "-", stdin=json.dumps(item))

    def get(self, kind: str, name: str) -> Object | None:
        """The object, or None."""
        found = self.run("get", kind, name, "--ignore-not-found", "-o", "json")
        return dict(json.loads(found)) if found else None

    def list(self, kind: str, selector: str = "") -> list[Object]:
        """All objects of a kind, by label."""
        return list(json.loads(self.run("get", kind, "-l", selector, "-o", "json"))["items"])

    def merge(self, kind: str, name: str, patch: Object) -> None:
        """Merges a patch into an object."""
        self.run("patch", kind, name, "--type=merge", "-p", json.dumps(patch))

    def wait(self, what: str, seconds: float, done: Callable[[], Any]) -> Any:
        """Waits until `done` returns something true and returns that."""
        deadline = time.monotonic() + seconds * self.patience
        while not (result := done()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not so after {seconds:.0f} s\n{self.overview()}")
            time.sleep(0.5)
        return result

    def overview(self) -> str:
        """What a failed test shows of the cluster."""
        parts = [self.run("get", "vis,deployments,pods,jobs,pvc", "-o", "wide", check=False)]
        for service in self.list("vis"):
            lines = [f"{c['type']}={c['status']} {c['reason']}: {c['message']}" for c in conditions(service).values()]
            parts.append("\n".join([service["metadata"]["name"], *lines]))
        parts += [self.run("logs", pod["metadata"]["name"], "--tail=15", check=False) for pod in self.list("pods")]
        return "\n".join(parts)

    def ready(self, name: str, seconds: float = 480) -> Object:
        """Waits until a service is Ready with its newest spec and no rollout goes on, and returns it."""

        def settled() -> Object | None:
            service = self.get("vis", name)
            found = conditions(service) if service else {}
            current = (
                service and service.get("status", {}).get("observedGeneration") == service["metadata"]["generation"]
            )
            fine = found.get("Ready", {}).get("status") == "True" and "Reconciling" not in found
            return service if current and fine else None

        return dict(self.wait(f"{name} is Ready", seconds, settled))

    def url(self, name: str) -> str:
        """Base URL of a service's OpenAI API, as this machine reaches it."""
        service = self.get("service", name)
        assert service, f"no Service {name}"
        where = service["spec"]["clusterIP"], service["spec"]["ports"][0]["port"]

        def reached() -> bool:  # the node learns of a pod's address a moment after the pod is ready
            with suppress(OSError), socket.create_connection(where, timeout=5):
                return True
            return False

        self.wait(f"{name} is reached", 30, reached)
        return "http://{}:{}/v1".format(*where)


def namespace_of(test: pytest.Item) -> str:
    """The namespace of a test: its own, and another one where it is tried again."""
    name = re.sub("[^a-z0-9]+", "-", test.name.removeprefix("test_").lower())[:58].strip("-")
    tries = getattr(test, "execution_count", 1)
    return f"{name}-{tries}" if tries > 1 else name


def established(crd: Object | None) -> bool:
    """Whether the API server serves what a CRD declares. `kubectl wait` fails where there are no conditions yet."""
    return bool(conditions(crd or {}).get("Established", {}).get("status") == "True")


def conditions(service: Object) -> dict[str, Object]:
    """The conditions of a service by type."""
    return {entry["type"]: entry for entry in service.get("status", {}).get("conditions") or ()}
