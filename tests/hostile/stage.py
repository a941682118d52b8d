"""A control plane for a hostile tenant beside an honest one, and an operator in 256 MiB."""

from collections.abc import Iterator
from contextlib import contextmanager

from cluster.control_plane import ControlPlane
from cluster.host import REPOSITORY
from hostile.attacks import REPORTS, SECRET
from hostile.tenants import Tenant, Watched
from support.kube import Kube, Object
from support.memory_limit import LimitedOperator
from support.operator_process import install_rights
from support.services import PATIENCE, await_garbage_collection

SETTINGS = {
    "engineMetrics": True,
    "allowedImages": ["localhost/vllm*:*"],
    "allowedClaims": {"example.com/models": "yes"},
    "images": {"operator": "vllm-operator:test"},
}
TEAMS = ("team-a", "team-b")
ALICE = ("--as=alice", "--as-group=team-a", "--as-group=system:authenticated")
EDITH = ("--as=edith", "--as-group=system:authenticated")


@contextmanager
def stage(name: str) -> Iterator[Watched]:
    """The operator, and what must hold of it after each attack, on a control plane of this name."""
    plane = ControlPlane.start(name)
    operator: LimitedOperator | None = None
    try:
        # Their pods have addresses of this machine.
        plane.start_kwok(REPORTS, "--cidr=127.77.0.1/24")
        plane.add_kwok_nodes(2)
        operator = LimitedOperator(plane, install_rights(plane))
        kube = Kube(plane.kubeconfig, "default", PATIENCE)
        for namespace in (*TEAMS, "honest"):
            kube.run("create", "namespace", namespace)
        for namespace in TEAMS:
            team = Kube(plane.kubeconfig, namespace)
            team.apply(_claim("payments"))
            team.run("create", "secret", "generic", "payroll", f"--from-literal=password={SECRET}")
        tenant = REPOSITORY / "examples" / "policies" / "tenant.yaml"
        kube.run("apply", "--namespace=team-a", "-f", str(tenant))
        kube.run("create", "rolebinding", "edith", "--clusterrole=edit", "--user=edith", "--namespace=team-b")
        await_garbage_collection(kube)
        operator.start(**SETTINGS)
        yield Watched(operator, kube, SETTINGS)
    finally:
        if operator:
            operator.stop()
        plane.stop()


def tenant_of(watched: Watched, namespace: str, *identity: str) -> Tenant:
    """Somebody, in a namespace."""
    return Tenant(Kube(watched.kube.kubeconfig, namespace, PATIENCE), identity)


def _claim(name: str) -> Object:
    """A claim of an application that is none of ours."""
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}
