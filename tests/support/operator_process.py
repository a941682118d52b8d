"""The operator as a process of this machine, with the chart's rights and nothing else, against a control plane."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cluster.control_plane import ControlPlane, free_ports
from cluster.host import REPOSITORY
from support.chart import CHART, IMAGE, NAMESPACE, RELEASE, helm
from support.kube import Kube, Object, established
from vllm_operator.api import GROUP, PLURALS

RIGHTS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
# For `env`: as in a pod, whose containers may be restarted.
IN_A_POD = {"POD_NAME": "operator-0"}
# The pods of fake nodes have made-up addresses: nothing may be sent there.
SETTINGS: Object = {"engineMetrics": False, "logFormat": "text"}


def account(release: str) -> str:
    """The name of a release's service account, as the audit log has it."""
    return f"system:serviceaccount:{NAMESPACE}:{release}"


def chart_rights(*words: str, release: str = RELEASE) -> list[Object]:
    """The chart's manifests that give its account its rights."""
    printed = helm("template", release, CHART, f"--namespace={NAMESPACE}", IMAGE, *words).ok()
    return [one for one in yaml.load_all(printed, yaml.CSafeLoader) if one and one["kind"] in RIGHTS]


ACCOUNT = account(RELEASE)


def chart_rules() -> list[Object]:
    """The rules of the operator's own roles: of all that is bound to its account and not to others."""
    rights = chart_rights()
    bound = [
        one["roleRef"]["name"]
        for one in rights
        if one["kind"] in ("RoleBinding", "ClusterRoleBinding")
        and {"kind": "ServiceAccount", "name": RELEASE, "namespace": NAMESPACE} in one["subjects"]
    ]
    return [rule for one in rights if one["metadata"]["name"] in bound for rule in one.get("rules", [])]


def install_rights(control_plane: ControlPlane) -> Path:
    """Applies the CRD and the chart's rights; returns a kubeconfig of the chart's account."""
    kube = Kube(control_plane.kubeconfig, NAMESPACE)
    kube.run("create", "namespace", NAMESPACE)
    kube.run("apply", "--server-side", "-f", str(REPOSITORY / "crds"))
    crds = [f"{plural}.{GROUP}" for plural in PLURALS]
    kube.wait("the APIs are there", 30, lambda: all(established(kube.get("crd", crd)) for crd in crds))
    return add_account(control_plane, RELEASE)


def add_account(control_plane: ControlPlane, release: str, *words: str) -> Path:
    """Applies the rights of one more release, with values of the chart; returns a kubeconfig of its account."""
    for item in chart_rights(*words, release=release):
        Kube(control_plane.kubeconfig, item["metadata"].get("namespace", NAMESPACE)).apply(item)
    return kubeconfig_of(control_plane, release)


def kubeconfig_of(control_plane: ControlPlane, release: str) -> Path:
    """A kubeconfig of a release's account, which is there."""
    config: Object = yaml.safe_load(control_plane.kubeconfig.read_text())
    token = Kube(control_plane.kubeconfig, NAMESPACE).run("create", "token", release, "--duration=24h").strip()
    config["users"][0]["user"] = {"token": token}
    path = control_plane.state / f"{release}.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def add_lease_rights(control_plane: ControlPlane, release: str, *namespaces: str) -> None:
    """Lets a release that has the rights of a whole cluster hold the Leases of some namespaces as well."""
    words = (f"--set=watchNamespaces={{{','.join(namespaces)}}}", "--set=crds.install=false")
    for item in chart_rights(*words, release=release):
        if not item["metadata"]["name"].endswith(("-leases", "-old-lease")):
            continue
        name = f"{item['metadata']['name']}-{namespaces[0]}"
        item["metadata"]["name"] = name
        if "roleRef" in item:
            item["roleRef"]["name"] = name
        Kube(control_plane.kubeconfig, item["metadata"]["namespace"]).apply(item)


@dataclass
class OperatorProcess:
    """One operator at a time."""

    control_plane: ControlPlane
    kubeconfig: Path
    name: str = "operator"
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    ports: dict[str, int] = field(default_factory=dict)
    shard: int = 0

    @property
    def log(self) -> Path:
        """What it printed, over all its runs."""
        return self.control_plane.state / f"{self.name}.log"

    def start(self, **settings: Any) -> None:
        """Starts it with these settings and waits until it answers."""
        self.launch(**settings)
        deadline = time.monotonic() + 90
        while not self.answers():
            self.check()
            assert time.monotonic() < deadline, f"the operator does not answer\n{self.tail()}"
            time.sleep(0.1)

    def launch(self, **settings: Any) -> None:
        """Starts it with these settings."""
        assert self.process is None, "it runs already"
        file = self.control_plane.state / f"{self.name}-settings.yaml"
        file.write_text(
            yaml.safe_dump({key: value for key, value in ({**SETTINGS, **settings}).items() if value is not None})
        )
        self.ports = free_ports("metrics", "health")
        words = [f"--{name}-port={port}" for name, port in self.ports.items()]
        words += [f"--shard={self.shard}"] if self.shard else []  # earlier versions know no such option
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vllm_operator", "run", f"--settings={file}", *words],
                env={**os.environ, **self._env(), **self.env},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _env(self) -> dict[str, str]:
        return {"KUBECONFIG": str(self.kubeconfig), "PYTHONPATH": str(REPOSITORY / "operator")}

    def health(self) -> int:
        """What its health endpoint answers within the time that the chart's probe allows; 0: nothing."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['health']}/healthz", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def answers(self) -> bool:
        """Whether it is healthy."""
        return self.health() == 200

    def check(self) -> None:
        """Fails the test when it has ended by itself."""
        assert self.process is not None
        assert self.process.poll() is None, f"the operator has ended\n{self.tail()}"

    def stop(self) -> None:
        """Ends it as Kubernetes would."""
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def kill(self) -> None:
        """Ends it as a crash would."""
        assert self.process
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self, **settings: Any) -> None:
        """Stops and starts it."""
        self.stop()
        self.start(**settings)

    @contextmanager
    def beside(self, install: Callable[[Kube], object], remove: Callable[[Kube], object]) -> Iterator[Kube]:
        """Runs anew with what another project installs, while the block runs, and without it after that."""
        kube = Kube(self.control_plane.kubeconfig, "default")
        install(kube)
        self.restart()
        try:
            yield kube
        finally:
            self.stop()
            remove(kube)
            self.start()

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def resident_mib(self) -> float:
        """Its resident memory."""
        return self._memory_mib("VmRSS")

    def peak_mib(self) -> float:
        """The most memory that it has had since it started."""
        return self._memory_mib("VmHWM")

    def _memory_mib(self, field: str) -> float:
        assert self.process
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))

    def metrics(self) -> str:
        """What it answers Prometheus."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['metrics']}/metrics", timeout=5) as answer:
            return str(answer.read().decode())


def lease(kube: Kube, namespace: str = "kube-system", name: str = "vllm-operator-all") -> Object:
    """What the operators of a cluster share."""
    found = Kube(kube.kubeconfig, namespace).get("lease", name)
    assert found
    return dict(found["spec"])


def version(item: Object) -> tuple[str, str, str]:
    """What changes with every write to an object."""
    return item["kind"], item["metadata"]["name"], item["metadata"]["resourceVersion"]
