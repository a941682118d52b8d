"""A real control plane on this machine: etcd, kube-apiserver, kube-controller-manager and kube-scheduler."""

import ipaddress
import json
import random
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from cluster import kwok, pki
from cluster.api import Api
from cluster.host import ClusterError, lock, require, state_root, step
from cluster.processes import Processes
from cluster.tools import tool

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
# The default of 20 requests/s hides how fast an operator is when hundreds of objects change at once.
RATES = ("--kube-api-qps=500", "--kube-api-burst=1000")
CONCURRENCY = ("deployment", "replicaset", "endpoint", "service-endpoint", "gc")


@dataclass(frozen=True)
class Site:
    """Where the programs of a control plane run and listen."""

    address: str = "127.0.0.1"
    services: str = "10.96.0.0/16"
    inside: tuple[str, ...] = ()
    """What to put before each program to start it inside a node's namespaces."""
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return f"https://{self.address}:{self.ports['apiserver']}"


def state_of(name: str) -> Path:
    """The state directory of a cluster; its name becomes part of paths and of cgroups."""
    if not name or not all(c.isascii() and (c.isalnum() or c == "-") for c in name) or name[0] == "-":
        raise ClusterError(f"A cluster's name has only letters, digits and dashes: {name!r} has others.")
    return state_root() / name


def free_ports(*names: str) -> dict[str, int]:
    """A port that nobody listens on for each name, below the range that outgoing connections use."""
    held: list[socket.socket] = []
    try:
        while len(held) < len(names):
            one = socket.socket()
            try:
                one.bind(("127.0.0.1", random.randint(20000, 32000)))
            except OSError:
                one.close()
                continue
            held.append(one)
        return {name: one.getsockname()[1] for name, one in zip(names, held, strict=True)}
    finally:
        for one in held:
            one.close()


def wait_for(what: str, seconds: float, done: Callable[[], bool], processes: Processes) -> None:
    """Wait until something is so, giving up early when one of the programs ends."""
    deadline = time.monotonic() + seconds
    while not done():
        processes.check()
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not so after {seconds:.0f} s; the logs are in {processes.logs}.")
        time.sleep(0.05)


class ControlPlane:
    """A running control plane. Make one with `start`."""

    def __init__(self, name: str, site: Site) -> None:
        self.name = name
        self.site = site
        self.state = state_of(name)
        self.kubeconfig = self.state / "kubeconfig"
        self.audit_log = self.state / "audit.log"
        self.certificates = self.state / "pki"
        self.processes = Processes(self.state)

    @classmethod
    def start(cls, name: str, *flags: str) -> Self:
        """Start a control plane, or return the one of this name that runs already and is healthy.

        `flags` are the controller manager's.
        """
        require(["openssl"])
        tool("kubernetes")
        with lock(f"cluster-{name}"):
            if (running := cls.find(name)) is not None:
                if running.site.inside:
                    raise ClusterError(f"{name} is a cluster with a node: use LocalCluster for it.")
                if running.healthy():
                    return running
                running.stop()
            control_plane = cls(name, Site(ports=free_ports("apiserver", "etcd", "peer", "manager", "scheduler")))
            with step(f"starting the control plane {name}"):
                control_plane.launch(*flags)
        return control_plane

    @classmethod
    def find(cls, name: str) -> Self | None:
        """What was started under this name, running or not; None as well where another version started it."""
        try:
            record: dict[str, Any] = json.loads((state_of(name) / "site.json").read_text())
            return cls(name, Site(**{**record, "inside": tuple(record["inside"])}))
        except (FileNotFoundError, TypeError):
            return None

    def api(self) -> Api:
        """Requests to its API server as admin."""
        return Api(self.site.server, self.certificates)

    def healthy(self) -> bool:
        """Whether every program runs and the API server says that it is ready."""
        names = self.processes.names()
        if not names or not all(self.processes.pid(name) for name in names) or not self.kubeconfig.is_file():
            return False
        return self.api().ready()

    def stop(self) -> None:
        """End it and remove its state."""
        # Nothing of it is to be kept, so nothing has to be written out first.
        self.processes.end(grace=0)
        shutil.rmtree(self.state, ignore_errors=True)

    def launch(self, *flags: str) -> None:
        """Start the programs in a state directory of their own and wait until pods can be made."""
        self.state.mkdir(parents=True, exist_ok=True)
        (self.state / "site.json").write_text(json.dumps(asdict(self.site)))
        first = str(next(ipaddress.ip_network(self.site.services).hosts()))
        pki.create(self.certificates, sorted({"127.0.0.1", self.site.address, first}))
        for client in ("controller-manager", "scheduler"):
            pki.kubeconfig(self.state / f"{client}.kubeconfig", self.certificates, client, self.site.server, self.name)
        self._run("etcd", *self._etcd())
        self._run("kube-apiserver", *self._apiserver())
        wait_for("the API server is ready", 90, self.api().ready, self.processes)
        self._run("kube-controller-manager", *self._controller_manager(), *flags)
        self._run("kube-scheduler", *self._scheduler())
        pki.kubeconfig(self.kubeconfig, self.certificates, "admin", self.site.server, self.name)
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        wait_for(
            "the default service account is there", 60, lambda: self.api().get(account) is not None, self.processes
        )

    def restart_apiserver(self) -> None:
        """Kill the API server and start it again."""
        self.processes.end("kube-apiserver", grace=0)
        self._run("kube-apiserver", *self._apiserver())
        wait_for("the API server is ready", 90, self.api().ready, self.processes)

    def _run(self, name: str, *arguments: str) -> None:
        self.processes.start(name, [*self.site.inside, tool(name), *arguments])

    def _file(self, name: str) -> str:
        return str(self.certificates / name)

    def _etcd(self) -> list[str]:
        client, peer = (f"http://127.0.0.1:{self.site.ports[port]}" for port in ("etcd", "peer"))
        return [
            f"--data-dir={self.state / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def _apiserver(self) -> list[str]:
        policy = self.state / "audit-policy.json"
        policy.write_text(json.dumps(AUDIT_POLICY))
        on_node = bool(self.site.inside)
        return [
            f"--etcd-servers=http://127.0.0.1:{self.site.ports['etcd']}",
            f"--bind-address={self.site.address}",
            f"--secure-port={self.site.ports['apiserver']}",
            # Without a node there is nobody to reach it through the `kubernetes` Service.
            *([f"--advertise-address={self.site.address}"] if on_node else ["--endpoint-reconciler-type=none"]),
            f"--service-cluster-ip-range={self.site.services}",
            f"--tls-cert-file={self._file('apiserver.crt')}",
            f"--tls-private-key-file={self._file('apiserver.key')}",
            f"--client-ca-file={self._file('ca.crt')}",
            f"--kubelet-client-certificate={self._file('admin.crt')}",
            f"--kubelet-client-key={self._file('admin.key')}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self._file('accounts.key')}",
            f"--service-account-signing-key-file={self._file('accounts.key')}",
            f"--requestheader-client-ca-file={self._file('ca.crt')}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={self._file('front-proxy.crt')}",
            f"--proxy-client-key-file={self._file('front-proxy.key')}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-maxsize=100000",  # one file: tests read it whole
        ]

    def _client_flags(self, client: str) -> list[str]:
        file = self.state / f"{client}.kubeconfig"
        return [f"--{use}kubeconfig={file}" for use in ("", "authentication-", "authorization-")]

    def _controller_manager(self) -> list[str]:
        return [
            *self._client_flags("controller-manager"),
            "--bind-address=127.0.0.1",
            f"--secure-port={self.site.ports['manager']}",
            "--leader-elect=false",
            "--controllers=*",
            f"--service-account-private-key-file={self._file('accounts.key')}",
            f"--root-ca-file={self._file('ca.crt')}",
            "--horizontal-pod-autoscaler-sync-period=5s",  # a third of the default: tests wait for it
            *RATES,
            *(f"--concurrent-{kind}-syncs=20" for kind in CONCURRENCY),
        ]

    def _scheduler(self) -> list[str]:
        return [
            *self._client_flags("scheduler"),
            "--bind-address=127.0.0.1",
            f"--secure-port={self.site.ports['scheduler']}",
            "--leader-elect=false",
            *RATES,
        ]

    def start_kwok(self, reports: Mapping[str, str] | None = None, *flags: str) -> None:
        """Start kwok, which plays the kubelet of the fake nodes: their pods are Running and Ready at once.

        `reports` are what the containers of Jobs leave as termination message, by their second argument.
        """
        if not self.processes.pid("kwok"):
            command = [*kwok.arguments(self.kubeconfig, reports or {}), *flags]
            self.processes.start("kwok", [*self.site.inside, *command])

    def add_kwok_nodes(self, count: int, gpus: int = 8, product: str = "NVIDIA-H100-80GB-HBM3") -> list[str]:
        """Add fake nodes with GPUs, labelled as GPU feature discovery does, and return their names."""
        self.start_kwok()
        api = self.api()
        first = len((api.get("/api/v1/nodes") or {"items": []})["items"])
        names = [f"fake-{first + i}" for i in range(count)]
        for name in names:
            api.create("/api/v1/nodes", kwok.node(name, gpus, product))
        wait_for("the fake nodes are Ready", 60, lambda: all(kwok.ready(api, name) for name in names), self.processes)
        return names
