"""Part 4 of `make gpu-check`: a cluster whose node has this machine's GPUs, the operator by its chart, and services.

    python -m gpu.whole [--vllm-python PATH] [--vllm-path FOLDERS] [--model NAME] [--logs FOLDER]

Control plane, containerd, kubelet, NVIDIA's device plugin and GPU feature discovery; a service of one GPU and one of
two: planned, Ready, answered, rolled under requests, deleted. One line for each thing, with its seconds; ends
with 1 where one failed. It needs root, and leaves nothing behind.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.demo.kubectl import Kubectl
from cluster.host import REPOSITORY, ClusterError, command, state_root
from cluster.node import LocalCluster
from cluster.tools import tool
from gpu import device_plugin, host_images, machine
from support.load import Load

CLUSTER, SYSTEM, TEAM, CLAIM = "gpu-check", "vllm-operator-system", "team", "models"
OURS = [str(REPOSITORY / name) for name in ("tests", "operator")]
READY_SECONDS = 400.0
# What a service is made of, and what must be gone with it.
CHILDREN = ("pods", "services", "deployments", "replicasets", "controllerrevisions", "jobs", "poddisruptionbudgets")
Object = dict[str, Any]


class Table:
    """What was tried, how it went and how long it took."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, float, bool]] = []

    def run(self, what: str, part: Callable[[], str]) -> bool:
        """One thing; what it raises is its failure."""
        began, passed = time.monotonic(), True
        print(f"  {what} ...", flush=True)
        try:
            said = part()
        except Exception as error:
            passed, said = False, f"{type(error).__name__}: {error}"
        self.rows.append((what, said, time.monotonic() - began, passed))
        print(self._line(self.rows[-1]), flush=True)
        return passed

    def failed(self) -> bool:
        """Whether anything was not as it should be."""
        return not self.rows or not all(passed for *_, passed in self.rows)

    def print(self) -> None:
        """All of it."""
        print("\n| what | seen | seconds |\n| --- | --- | --- |")
        for what, said, seconds, passed in self.rows:
            print(f"| {what} | {'' if passed else 'FAILED: '}{said} | {seconds:.1f} |", flush=True)

    @staticmethod
    def _line(row: tuple[str, str, float, bool]) -> str:
        what, said, seconds, passed = row
        return f"{'ok  ' if passed else 'FAIL'} {what}: {said} ({seconds:.1f} s)"


def until(what: str, seconds: float, done: Callable[[], bool]) -> None:
    """Wait until something is so. Raises ClusterError."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not so after {seconds:.0f} s")
        time.sleep(0.5)


def service(name: str, gpus: int) -> Object:
    """A service that has as many GPUs."""
    spec: Object = {
        "model": {"uri": f"pvc://{CLAIM}/model"}, "maxModelLen": 16384, "enforceEager": True,
        "resources": {"requests": {"cpu": "1", "memory": "4Gi"}},
    }  # fmt: skip
    if gpus > 1:
        spec["tensorParallelSize"] = gpus
    meta = {"name": name, "namespace": TEAM}
    return {"apiVersion": "vllm-operator.dev/v1alpha1", "kind": "InferenceService", "metadata": meta, "spec": spec}


class Whole:
    """The cluster, and what is tried on it."""

    def __init__(self, home: Path, vllm: host_images.Interpreter, model: str) -> None:
        self.home, self._vllm, self._model = home, vllm, model
        self._own = host_images.own_interpreter()
        self.cluster = LocalCluster(CLUSTER)
        self.kubectl = Kubectl(tool("kubectl"), self.cluster.kubeconfig)
        self._writing: subprocess.Popen[bytes] | None = None
        self._left: list[str] = []

    def nodes(self) -> str:
        """A cluster with one node; the model is written meanwhile."""
        environment = {**os.environ, "PYTHONPATH": ":".join([*OURS, *self._vllm.path])}
        words = [self._vllm.program, "-m", "gpu.random_model", str(self.home / "models" / "model"), self._model]
        with (self.home / "model.log").open("wb") as log:
            self._writing = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
        LocalCluster.start(CLUSTER, folders=host_images.folders(self._own, self._vllm))
        images = [name for one in self._images() for name in self.cluster.load(one)]
        said = self.kubectl.get("node", "node") or {}
        info = said["status"]["nodeInfo"]
        return f"{info['kubeletVersion']}, {info['containerRuntimeVersion']}, {' and '.join(images)}"

    def _images(self) -> list[Path]:
        return host_images.write(self.home, self._own, self._vllm)

    def plugin(self) -> str:
        """The node has the GPUs that the device plugin found."""
        found, there = device_plugin.start(self.cluster, until), machine.gpu_count()
        if found != there:
            raise ClusterError(f"the node says {found}, and this machine has {there}")
        return f"allocatable {device_plugin.RESOURCE}: {found}"

    def labels(self) -> str:
        """As GPU feature discovery writes them."""
        found = device_plugin.label(self.cluster)
        names = ("product", "memory", "count", "compute.major", "compute.minor")
        said = ", ".join(f"{name} {found.get(f'{device_plugin.RESOURCE}.{name}', '-')}" for name in names)
        return f"{len(found)} labels: {said}"

    def pod(self) -> str:
        """A pod with one GPU sees that one, and computes on it."""
        script = (
            "import torch; x = torch.ones(512, device='cuda'); print(torch.cuda.device_count(), int((x + x).sum()))"
        )
        script = f'PYTHONPATH={":".join(self._vllm.path)} {self._vllm.program} -c "{script}"'
        container = {
            "name": "one", "image": self._vllm.image, "command": ["sh", "-c", script],
            "resources": {"limits": {device_plugin.RESOURCE: "1"}},
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        }  # fmt: skip
        spec = {"restartPolicy": "Never", "containers": [container], "securityContext": {"runAsUser": 1000}}
        spec |= {"volumes": [{"name": "tmp", "emptyDir": {}}]}
        meta = {"name": "one-gpu", "namespace": "default"}
        self._apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        until("the pod ends", 90, lambda: self._phase("one-gpu") in {"Succeeded", "Failed"})
        said = self.kubectl.run("logs", "one-gpu").strip()
        self.kubectl.run("delete", "pod", "one-gpu", "--now")
        if said.split() != ["1", "1024"]:
            raise ClusterError(f"it said {said[-400:]}")
        return "sees 1 GPU as user 1000, and computes on it"

    def leave(self, count: int) -> str:
        """A pod takes GPUs that others use, so that no service gets them."""
        script = "echo $NVIDIA_VISIBLE_DEVICES; exec sleep 3600"
        container = {
            "name": "one", "image": self._vllm.image, "command": ["sh", "-c", script],
            "resources": {"limits": {device_plugin.RESOURCE: str(count)}},
        }  # fmt: skip
        meta = {"name": "left", "namespace": "default"}
        self._apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}})
        until("the pod runs", 60, lambda: self._phase("left") == "Running" and bool(self.kubectl.run("logs", "left")))
        self._left = self.kubectl.run("logs", "left").strip().split(",")
        return ",".join(self._left)

    def _phase(self, pod: str) -> str:
        return str(((self.kubectl.get("pod", pod) or {}).get("status") or {}).get("phase"))

    def chart(self) -> str:
        """The operator, by its chart."""
        for name in (SYSTEM, TEAM):
            self._apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        repository, _, tag = host_images.OPERATOR.rpartition(":")
        values = {"image.repository": repository, "image.tag": tag, "settings.images.gpu": self._vllm.image}
        settings = [f"--set-string={name}={value}" for name, value in values.items()]
        chart = str(REPOSITORY / "charts" / "vllm-operator")
        words = ["install", "vllm-operator", chart, *settings, "--wait", "--timeout=2m", f"--namespace={SYSTEM}"]
        command([tool("helm"), *words, f"--kubeconfig={self.cluster.kubeconfig}"])
        return "installed, its pods are Ready"

    def model(self) -> str:
        """Random weights, on a claim."""
        if self._writing and self._writing.wait(300):
            raise ClusterError((self.home / "model.log").read_text()[-500:])
        common = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
        folder = {"hostPath": {"path": str(self.home / "models"), "type": "Directory"}, "capacity": {"storage": "1Ti"}}
        asked = {"resources": {"requests": {"storage": "1Ti"}}, "volumeName": CLAIM}
        self._apply(
            {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": CLAIM}, "spec": {**common, **folder}}
        )
        meta = {"name": CLAIM, "namespace": TEAM}
        self._apply(
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": {**common, **asked}}
        )
        size = sum(file.stat().st_size for file in (self.home / "models" / "model").iterdir())
        return f"{self._model}, {size / 1e9:.1f} GB"

    def serve(self, name: str, gpus: int) -> str:
        """Planned from the node's labels, and Ready."""
        self._apply(service(name, gpus))
        until(f"{name} is Ready", READY_SECONDS, lambda: self._condition(name, "Ready") == "True")
        status = self._status(name)
        asked = self._pods(name)[0]["spec"]["containers"][0]["resources"]["limits"][device_plugin.RESOURCE]
        if asked != str(gpus):
            raise ClusterError(f"the pod has {asked} GPUs and should have {gpus}")
        plan = status.get("plan") or {}
        said = re.search(r"KV cache size: ([\d,]+) tokens", self.kubectl.run("logs", *self._one(name)))
        if not said or not plan.get("kvCacheTokens"):
            raise ClusterError(f"no size of the KV cache: {'the plan' if said else 'vLLM'} says none")
        tokens, planned = int(said[1].replace(",", "")), int(plan["kvCacheTokens"])
        off = planned / tokens - 1
        return f"{asked} x {plan.get('gpu')}; KV cache {tokens:,} tokens, planned {planned:,} ({off:+.2%})"

    def _one(self, name: str) -> tuple[str, str]:
        return self._pods(name)[0]["metadata"]["name"], f"--namespace={TEAM}"

    def ask(self, name: str) -> str:
        """A chat completion through the Service."""
        body = {"model": name, "messages": [{"role": "user", "content": "What is vLLM?"}], "max_tokens": 32}
        request = urllib.request.Request(
            f"{self._url(name)}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            usage = json.load(answer)["usage"]
        return f"{usage['prompt_tokens']} tokens asked, {usage['completion_tokens']} answered"

    def roll(self, name: str, *, spare: bool) -> str:
        """Another pod takes the place of the first; where a GPU is spare, no request fails meanwhile."""
        before = {pod["metadata"]["uid"] for pod in self._pods(name)}
        rollout: Object = {"restartedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        if spare:
            rollout["maxSurge"] = 1
        patch = json.dumps({"spec": {"rollout": rollout}})

        def rolled() -> bool:
            now = [pod for pod in self._pods(name) if not pod["metadata"].get("deletionTimestamp")]
            others = len(now) == 1 and now[0]["metadata"]["uid"] not in before
            return others and self._condition(name, "Ready") == "True" and _ready(now[0])

        def change() -> None:
            self.kubectl.run(
                "patch", "inferenceservice", name, f"--namespace={TEAM}", "--type=merge", f"--patch={patch}"
            )
            until(f"{name} is rolled", READY_SECONDS, rolled)

        if not spare:
            change()
            return "another pod is Ready"
        with Load(self._url(name), name, rate=10, least=100, tokens=16) as load:
            change()
            time.sleep(15)  # the first pod drains, and ends
        if load.tally.failures or load.tally.aborted:
            raise ClusterError(f"{load.tally.line('roll')}: {load.tally.failures[:1]}")
        return f"another pod is Ready; {load.tally.line('requests:')}"

    def delete(self, name: str) -> str:
        """Nothing of the service is left, and no GPU is in use."""
        self.kubectl.run("delete", "inferenceservice", name, f"--namespace={TEAM}")
        left: list[str] = []

        def gone() -> bool:
            found = self.kubectl.items(TEAM, *CHILDREN)
            left[:] = [f"{one['kind']} {one['metadata']['name']}" for one in found]
            return not left

        try:
            until("nothing is left", 200, gone)
        except ClusterError as error:
            raise ClusterError(f"{error}: {', '.join(left)}") from error
        if used := [pid for pid, gpu in machine.processes() if gpu not in self._left]:
            raise ClusterError(f"processes {', '.join(used)} still use a GPU")
        return f"no {', '.join(CHILDREN)}; no process on a GPU"

    def _apply(self, body: Object) -> None:
        self.kubectl.run("apply", "--server-side", "--filename=-", text=json.dumps(body))

    def _status(self, name: str) -> Object:
        found = self.kubectl.get("inferenceservice", name, f"--namespace={TEAM}") or {}
        status: Object = found.get("status") or {}
        return status

    def _condition(self, name: str, kind: str) -> str:
        conditions = {one["type"]: one["status"] for one in self._status(name).get("conditions", [])}
        return str(conditions.get(kind))

    def _pods(self, name: str) -> list[Object]:
        found = self.kubectl.get(
            "pods", f"--namespace={TEAM}", f"--selector=app.kubernetes.io/name=vllm,app.kubernetes.io/instance={name}"
        )
        items: list[Object] = (found or {})["items"]
        return items

    def _url(self, name: str) -> str:
        found = self.kubectl.get("service", name, f"--namespace={TEAM}") or {}
        return f"http://{found['spec']['clusterIP']}:8000/v1"

    def keep_logs(self, folder: Path) -> None:
        """What programs and pods said, and what is in the cluster."""
        shutil.copytree(self.cluster.state / "logs", folder / "programs", dirs_exist_ok=True)
        for source, name in ((self.cluster.state / "log" / "pods", "pods"), (self.home / "model.log", "model.log")):
            if source.is_dir():
                shutil.copytree(source, folder / name, dirs_exist_ok=True)
            elif source.exists():
                shutil.copy(source, folder / name)
        for kinds in ("nodes", "pods,events,deployments,jobs,inferenceservices"):
            found = self.kubectl.run("get", kinds, "--all-namespaces", "--output=yaml")
            (folder / f"{kinds.partition(',')[0]}.yaml").write_text(found)


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def check(whole: Whole, table: Table, leave: int) -> None:
    """All of it; what needs a part that failed is left out."""
    base: list[tuple[str, Callable[[], str]]] = [
        ("cluster", whole.nodes), ("device plugin", whole.plugin), ("GPU feature discovery", whole.labels),
        *([("GPUs left to others", lambda: whole.leave(leave))] if leave else []),
        ("a pod with a GPU", whole.pod), ("operator", whole.chart), ("model", whole.model),
    ]  # fmt: skip
    for what, part in base:
        if not table.run(what, part):
            return
    there = machine.gpu_count() - leave
    for name, gpus in (("one", 1), ("two", 2)):
        if gpus > there:
            print(f"left out: a service with {gpus} GPUs, as there is {there}")
            continue
        title = f"service with {gpus} GPU{'s' if gpus > 1 else ''}"
        if table.run(f"{title}: Ready", lambda name=name, gpus=gpus: whole.serve(name, gpus)):  # type: ignore[misc]
            table.run(f"{title}: answered", lambda name=name: whole.ask(name))  # type: ignore[misc]
            spare = there >= 2 * gpus
            table.run(f"{title}: rolled", lambda name=name, spare=spare: whole.roll(name, spare=spare))  # type: ignore[misc]
        table.run(f"{title}: deleted", lambda name=name: whole.delete(name))  # type: ignore[misc]


def main() -> int:
    """Try it and say how it went."""
    parser = argparse.ArgumentParser(
        prog="gpu.whole", description="the whole on a cluster of this machine with its GPUs"
    )
    parser.add_argument("--model", default="llama32-3b", help="a Llama of engine_cases.json (default: %(default)s)")
    parser.add_argument("--vllm-python", default=sys.executable, help="the Python that has vLLM (default: this one)")
    parser.add_argument("--vllm-path", default="", help="its PYTHONPATH, if it needs one")
    parser.add_argument("--leave", type=int, default=0, help="so many GPUs are in use by others (default: none)")
    parser.add_argument("--logs", type=Path, help="where to leave the logs of all programs and pods")
    options = parser.parse_args()
    program = shutil.which(options.vllm_python) or options.vllm_python
    vllm = host_images.Interpreter(program, tuple(filter(None, options.vllm_path.split(":"))))
    print(f"{machine.gpu_count()} x {machine.name()}", flush=True)
    table = Table()
    state_root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=state_root(), prefix=".gpu-check-") as scratch:
        home = Path(scratch)
        home.chmod(0o755)
        (home / "models").mkdir()
        whole = Whole(home, vllm, options.model)
        try:
            check(whole, table, options.leave)
        finally:
            if options.logs:
                options.logs.mkdir(parents=True, exist_ok=True)
                table.run("logs", lambda: whole.keep_logs(options.logs) or str(options.logs))  # type: ignore[func-returns-value]
            whole.cluster.stop()
            table.print()
    return 1 if table.failed() else 0


if __name__ == "__main__":
    sys.exit(main())
