"""Other operators, for `make bench PROFILES=...`: built by whoever measures them, from their projects' own sources.

production-stack (https://github.com/vllm-project/production-stack): `make build` in its folder operator/, and
PRODUCTION_STACK names that folder. Its services have one replica on a CPU, and no storage, cache or sidecar.
"""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.profiles import Profile, named
from cluster.control_plane import ControlPlane, free_ports
from support.chart import NAMESPACE as OPERATORS
from support.kube import Kube
from support.operator_process import OperatorProcess, account, kubeconfig_of

PRODUCTION_STACK = "production-stack"
_GROUP, _PLURAL = "production-stack.vllm.ai", "vllmruntimes"


@dataclass
class Program(OperatorProcess):
    """Another operator's program, with what controller-runtime gives all of them: kubeconfig and health port."""

    command: Sequence[str] = ()

    def launch(self, **_: Any) -> None:
        """Starts it."""
        assert self.process is None, "it runs already"
        self.ports = free_ports("health")
        address = f"--health-probe-bind-address=127.0.0.1:{self.ports['health']}"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, address],
                env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )


def _install(plane: ControlPlane) -> Program:
    """Its CRDs and its own role, for an account of its name."""
    if not (given := os.environ.get("PRODUCTION_STACK")):
        raise SystemExit("PRODUCTION_STACK has to name the folder operator/ of production-stack, built by `make build`")
    folder = Path(given)
    kube = Kube(plane.kubeconfig, OPERATORS)
    kube.run("create", "namespace", OPERATORS)
    kube.run("apply", "--server-side", "-f", str(folder / "config/crd/bases"))
    kube.run("create", "serviceaccount", PRODUCTION_STACK)
    role = yaml.safe_load((folder / "config/rbac/role.yaml").read_text())
    kube.apply(role)
    bound = f"--serviceaccount={OPERATORS}:{PRODUCTION_STACK}"
    kube.run("create", "clusterrolebinding", PRODUCTION_STACK, f"--clusterrole={role['metadata']['name']}", bound)
    # Which its pods ask for, as the GPU operator makes it.
    kube.apply(
        {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "nvidia"}
    )
    kubeconfig = kubeconfig_of(plane, PRODUCTION_STACK)
    return Program(plane, kubeconfig, PRODUCTION_STACK, command=[str(folder / "bin/manager")])


def _collection(namespace: str) -> str:
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/{_GROUP}/v1alpha1{scope}/{_PLURAL}"


def _runtime(number: int) -> dict[str, Any]:
    image = {"registry": "docker.io", "name": "vllm/vllm-openai:latest"}
    # Without any, commit a6c01db0 of it panics.
    nodes = [{"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}]
    deployment = {"replicas": 1, "resources": {"cpu": "1", "memory": "4Gi"}, "image": image, "nodeSelectorTerms": nodes}
    return {
        "apiVersion": f"{_GROUP}/v1alpha1",
        "kind": "VLLMRuntime",
        "metadata": {"name": named(number)},
        "spec": {
            "model": {"modelURL": "org/name"},
            "vllmConfig": {"port": 8000, "v1": True},
            "deploymentConfig": deployment,
        },
    }


PEERS = (
    Profile(
        name=PRODUCTION_STACK,
        user=account(PRODUCTION_STACK),
        resource=_PLURAL,
        collection=_collection,
        children=("deployments", "services"),
        last="deployments",
        reports={},
        body=_runtime,
        change=lambda turn: {"spec": {"model": {"maxModelLen": 1024 * turn}}},
        is_ready=lambda item: item.get("status", {}).get("modelStatus") == "Ready",
        applies=None,
        install=_install,
        settings={},
    ),
)
