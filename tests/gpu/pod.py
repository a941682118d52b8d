"""Runs vLLM on this machine as the operator's pod would: argv, environment, middleware, mounts, shared memory and user.

What is not of the pod: the container's image (vLLM is this machine's), its network (each replica has a port of its own
instead of an address) and read-only root; and where the machine forbids NVLink multicast, vLLM runs without it. It
needs root, for a mount namespace that nothing else is in.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpu import machine
from vllm_operator.api import InferenceServiceSpec
from vllm_operator.api.reasons import Reason
from vllm_operator.api.resource import InferenceService
from vllm_operator.apply.changes import plan_changes
from vllm_operator.apply.ledger import Ledger
from vllm_operator.apply.renderings import Known
from vllm_operator.assess.fits import Assessment
from vllm_operator.manifests import OPTIONAL_KINDS
from vllm_operator.settings import load
from vllm_operator.status.evidence import Evidence

Object = dict[str, Any]
LAST_WORDS = "/dev/termination-log"


def render(service: Object) -> Object:
    """The pod template that the operator makes of a service.

    As `vllm-operator render` does it, but without its check of the CRD's rules: that takes a library which a machine
    with vLLM need not have.
    """
    spec = InferenceServiceSpec.model_validate(service["spec"])
    written = InferenceService("default", service["metadata"]["name"], "", 1, spec)
    unplanned = Assessment(None, Reason.NOT_INSPECTED, "nothing is looked at here")
    known = Known(unplanned, load(None), Ledger(), rendered={}, now=0.0)
    steps = plan_changes(Evidence(written, served=OPTIONAL_KINDS), known).steps
    (deployment,) = (step.manifest for step in steps if step.manifest and step.key[0] == "Deployment")
    # What an API server would have in JSON.
    template: Object = json.loads(json.dumps(deployment["spec"]["template"]))
    return template


class Pod:
    """One replica: a process group below a folder of its own. `gpus`: its CUDA_VISIBLE_DEVICES, with commas between."""

    def __init__(self, template: Object, home: Path, models: Path, *, gpus: str, port: int, user: int) -> None:
        self.port, self.home, self._user, self._gpus = port, home, user, gpus
        self._container: Object = template["spec"]["containers"][0]
        self._mounts = self._make(template, models)
        self.words_left = home / "termination-log"
        self._beside, arguments = machine.without_multicast() if "," in gpus else ({}, {})
        self._flags = [f"--{name.replace('_', '-')}={json.dumps(value)}" for name, value in arguments.items()]
        self.log = home / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def _make(self, template: Object, models: Path) -> list[tuple[str, str]]:
        """The folders of the pod's volumes, (where, mount point): as many as the container mounts."""
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        mounts = []
        for mount in self._container["volumeMounts"]:
            volume = volumes[mount["name"]]
            folder = self.home / "volumes" / mount["name"]
            folder.mkdir(parents=True, exist_ok=True)
            if "persistentVolumeClaim" in volume:
                folder = models
            elif items := volume.get("downwardAPI", {}).get("items"):
                for item in items:
                    name = item["fieldRef"]["fieldPath"].split("'")[1]
                    (folder / item["path"]).write_text(template["metadata"]["annotations"][name])
            else:
                os.chown(folder, self._user, self._user)
            memory = volume.get("emptyDir", {}).get("medium") == "Memory"
            size = volume.get("emptyDir", {}).get("sizeLimit", "").replace("Gi", "g").replace("Mi", "m")
            mounts.append((f"tmpfs,{size}" if memory else str(folder), mount["mountPath"]))
        return mounts

    def command(self, argv: list[str]) -> list[str]:
        """A command in the container's mounts, as its user."""
        # As the kubelet makes it: anybody may write it.
        script = [f"touch {LAST_WORDS} {self.words_left}; chmod 666 {self.words_left}"]
        script.append(f"mount --bind {self.words_left} {LAST_WORDS}")
        # /tmp comes last: the sources may lie in it.
        for source, target in sorted(self._mounts, key=lambda mount: mount[1] == "/tmp"):
            script.append(f"mkdir -p {target}")
            if source.startswith("tmpfs,"):
                script.append(f"mount -t tmpfs -o mode=1777,size={source.removeprefix('tmpfs,')} tmpfs {target}")
            else:
                script.append(f"mount --bind {source} {target}")
        user = str(self._user)
        script.append(f'exec setpriv --reuid={user} --regid={user} --clear-groups --no-new-privs "$@"')
        return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(script), "sh", *argv]

    def _environment(self) -> dict[str, str]:
        rendered = {item["name"]: item["value"] for item in self._container["env"] if "value" in item}
        rendered["PYTHONPATH"] = ":".join(filter(None, [rendered["PYTHONPATH"], os.environ.get("PYTHONPATH", "")]))
        return {**os.environ, **rendered, **self._beside, "CUDA_VISIBLE_DEVICES": self._gpus}

    def words(self, words: list[str]) -> list[str]:
        """A command as rendered, but with the replica's own port."""
        port = f"--port={self.port}"
        return [port if word == "--port=8000" else str(self.port) if word == "8000" else word for word in words]

    def start(self) -> None:
        """Start vLLM, as the kubelet would."""
        container = self._container
        program = container["command"]
        if shutil.which(program[0]) is None:
            program = [sys.executable, "-m", "vllm.entrypoints.cli.main", *program[1:]]
        argv = self.command(self.words([*program, *container["args"], *self._flags]))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                argv, env=self._environment(), stdout=log, stderr=log, start_new_session=True, cwd="/"
            )

    def get(self, path: str) -> int:
        """The status of an answer; 0 where there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def wait(self, path: str, status: int, seconds: float) -> float:
        """Seconds until a probe's path answers so. Raises TimeoutError, or ChildProcessError where vLLM ended."""
        began = time.monotonic()
        while (waited := time.monotonic() - began) < seconds:
            if self.get(path) == status:
                return waited
            if self.process and self.process.poll() is not None:
                raise ChildProcessError(f"vLLM ended with {self.process.returncode}: {self.said()}")
            time.sleep(0.5)
        raise TimeoutError(f"{path} did not answer {status} in {seconds:.0f} s: {self.said()}")

    def said(self) -> str:
        """The end of the log as the kubelet keeps it of a container that failed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-80:])[-2048:]

    def pre_stop(self) -> subprocess.Popen[bytes]:
        """The preStop hook, which the kubelet runs before SIGTERM."""
        hook = self._container["lifecycle"]["preStop"]["exec"]["command"]
        return subprocess.Popen(self.command(self.words(hook)), env=self._environment(), cwd="/")

    def terminate(self, seconds: float) -> int:
        """SIGTERM to the container's first process; its exit status. SIGKILL after so many seconds."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9

    def kill(self) -> None:
        """End all processes of the replica."""
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def shared_memory(self) -> tuple[int, int]:
        """Size of the pod's /dev/shm, and how much of it is used, in bytes, as seen from its mount namespace."""
        assert self.process
        found = os.statvfs(f"/proc/{self.process.pid}/root/dev/shm")
        return found.f_blocks * found.f_frsize, (found.f_blocks - found.f_bfree) * found.f_frsize

    def engine(self) -> int:
        """The process that runs the engine. On several GPUs it is the one that the workers wait for, and no worker."""
        assert self.process
        found = subprocess.run(
            ["ps", "-e", "-o", "pid=,sess=,args="], capture_output=True, text=True, check=True
        ).stdout
        for line in found.splitlines():
            pid, session, name = line.split(None, 2)
            if int(session) == self.process.pid and "EngineCore" in name:
                return int(pid)
        raise LookupError("no process of the replica is called EngineCore")
