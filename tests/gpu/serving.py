"""Part 2 of `make gpu-check`: two replicas as the operator runs them, on one or two GPUs, and clients.

    python -m gpu.serving [--model NAME] [--user UID] [--home FOLDER]

Random weights, no download. It needs root (see pod.py). One line for each thing that was tried; ends with 1 where one
failed.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.host import REPOSITORY
from gpu import machine
from gpu.pod import Pod, render
from support.load import Crowd, Load
from vllm_operator.api import InferenceServiceSpec
from vllm_operator.planner.accelerators import find
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.plan import plan

NAME = "chat"
READY_SECONDS, HANG_SECONDS = 420.0, 75.0
# What kube-proxy takes to learn that a pod ends, or less.
ENDPOINTS_SECONDS = 2.0
REQUESTS, RATE, TOKENS = 1000, 25.0, 32


class Balancer:
    """A Service's address: each new connection goes to one of the replicas that are listed then, as with kube-proxy."""

    def __init__(self, ports: list[int]) -> None:
        self.ports, self._next, self.url = list(ports), 0, ""
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        threading.Thread(target=self._run, args=(ready,), daemon=True).start()
        ready.wait()

    def _run(self, ready: threading.Event) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._connect, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        ready.set()
        self._loop.run_forever()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._next += 1
        port = self.ports[self._next % len(self.ports)]
        try:
            answers, requests = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pipe(reader, requests), _pipe(answers, writer))


async def _pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    except OSError:
        pass
    finally:
        target.close()


def service(share: int | None) -> dict[str, Any]:
    """The service that is tried."""
    cache = {"kvCache": {"gpuMemoryUtilizationPercent": share}} if share else {}
    spec = {"model": {"uri": "pvc://models/model"}, "maxModelLen": 16384, "toolCallParser": "hermes", **cache}
    return {
        "apiVersion": "vllm-operator.dev/v1alpha1", "kind": "InferenceService",
        "metadata": {"name": NAME, "namespace": "default"}, "spec": spec,
    }  # fmt: skip


class Check:
    """The things that are tried, one after another, on running replicas."""

    def __init__(self, pods: list[Pod], service: dict[str, Any], config: dict[str, Any]) -> None:
        self.pods, self._service, self._config, self.failed = pods, service, config, False
        self.balancer = Balancer([pod.port for pod in pods])

    def tell(self, what: str, said: str, *, passed: bool) -> None:
        """One line."""
        self.failed = self.failed or not passed
        print(f"{'ok  ' if passed else 'FAIL'} {what}: {said}", flush=True)

    def run(self, what: str, part: Callable[[], tuple[bool, str]]) -> None:
        """One thing; what it raises is its failure."""
        try:
            passed, said = part()
        except Exception as error:
            passed, said = False, f"{type(error).__name__}: {error}"
        self.tell(what, said, passed=passed)

    def plan(self) -> tuple[bool, str]:
        """The planned KV cache beside the engine's."""
        text = self.pods[0].log.read_text(errors="replace")
        match = re.search(r"KV cache size: ([\d,]+) tokens", text)
        if not match:
            return False, "vLLM told no size of its KV cache"
        tokens = int(match[1].replace(",", ""))
        name = machine.name()
        gpu = find(name.replace(" ", "-"))
        if gpu is None:
            return True, f"{tokens:,} tokens; the catalogue has no {name}"
        spec = InferenceServiceSpec.model_validate(self._service["spec"])
        result = plan(spec, model_of(self._config), gpu)
        if not result.capacity:
            return False, f"{tokens:,} tokens, and no plan: {result.message}"
        planned = result.capacity.kv_cache_tokens
        off = planned / tokens - 1
        return abs(off) <= 0.05, f"KV cache {tokens:,} tokens, planned {planned:,} ({off:+.2%})"

    def clients(self) -> tuple[bool, str]:
        """Models, chat, stream and completion by the OpenAI SDK, by the project's own example."""
        environment = {**os.environ, "OPENAI_BASE_URL": self.balancer.url, "OPENAI_API_KEY": "none"}
        command = [sys.executable, str(REPOSITORY / "examples/clients/openai_sdk.py")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        return done.returncode == 0, f"{len(done.stdout)} characters of answers" if done.stdout else done.stderr[-500:]

    def saturation(self) -> tuple[bool, str]:
        """The hang detection says nothing while more is asked for than there is."""
        answers: list[int] = []
        with Crowd(self.balancer.url, NAME, 1500, tokens=256) as crowd:
            until = time.monotonic() + 45
            while time.monotonic() < until:
                answers += [pod.get("/-/ready") for pod in self.pods]
                time.sleep(1)
            crowd.clients = 0
        good = set(answers) == {200} and not crowd.tally.failures
        return good, f"{crowd.tally.line('1500 clients')}, ready: {sorted(set(answers))} of {len(answers)} probes"

    def drain(self) -> tuple[bool, str]:
        """One of two replicas is taken away under load: hook, endpoints, SIGTERM, end."""
        pod = self.pods[0]
        with Load(self.balancer.url, NAME, rate=RATE, least=REQUESTS, tokens=TOKENS) as load:
            time.sleep(5)
            began = time.monotonic()
            hook = pod.pre_stop()
            time.sleep(ENDPOINTS_SECONDS)
            self.balancer.ports.remove(pod.port)
            status = hook.wait(150)
            drained = time.monotonic() - began
            ended = pod.terminate(30)
            seconds = time.monotonic() - began
        good = not load.tally.failures and not load.tally.aborted and (status, ended) == (0, 0)
        first = f"; {load.tally.failures[0]}" if load.tally.failures else ""
        return (
            good,
            f"{load.tally.line('drain')}, hook {drained:.1f} s, ended after {seconds:.1f} s with {ended}{first}",
        )

    def hang(self) -> tuple[bool, str]:
        """An engine that is stopped is known by its readiness within a minute."""
        pod = self.pods[1]
        with Load(self.balancer.url, NAME, rate=2, least=1, tokens=4096):
            time.sleep(3)
            engine = pod.engine()
            os.kill(engine, signal.SIGSTOP)
            try:
                seconds = pod.wait("/-/ready", 504, HANG_SECONDS)
            finally:
                os.kill(engine, signal.SIGCONT)
                pod.kill()
        return True, f"/-/ready answers 504 after {seconds:.0f} s"


def _start(pods: list[Pod], *, together: bool) -> list[float]:
    """Start the replicas; seconds until each was ready. On one GPU one after another: each measures what is free."""
    if together:
        for pod in pods:
            pod.start()
        return [pod.wait("/-/ready", 200, READY_SECONDS) for pod in pods]
    found = []
    for pod in pods:
        pod.start()
        found.append(pod.wait("/-/ready", 200, READY_SECONDS))
    return found


def check(home: Path, model: str, user: int) -> bool:
    """All of it. Returns whether all went well."""
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(machine.gpu_count())))
    own = gpus.split(",")[:2]
    share = None if len(own) == 2 else 40
    folder = home / "models" / "model"
    # In a process of its own: it touches a GPU, whose memory is wanted.
    subprocess.run([sys.executable, "-m", "gpu.random_model", str(folder), model], check=True)
    config = json.loads((folder / "config.json").read_text())
    wanted = service(share)
    template = render(wanted)
    pods = [
        Pod(
            template, home / f"pod{number}", home / "models", gpus=own[number % len(own)], port=8000 + number, user=user
        )
        for number in range(2)
    ]
    try:
        seconds = _start(pods, together=len(own) == 2)
        check = Check(pods, wanted, config)
        check.tell("start", f"ready after {' and '.join(f'{each:.0f} s' for each in seconds)}", passed=True)
        parts: dict[str, Callable[[], tuple[bool, str]]] = {
            "plan": check.plan, "clients": check.clients, "saturation": check.saturation, "drain": check.drain,
            "hang": check.hang,
        }  # fmt: skip
        for what, part in parts.items():
            check.run(what, part)
        return not check.failed
    except (TimeoutError, ChildProcessError) as error:
        print(f"FAIL start: {error}")
        return False
    finally:
        for pod in pods:
            pod.kill()


def main() -> int:
    """Try it and say how it went."""
    parser = argparse.ArgumentParser(prog="gpu.serving", description="the operator's pods on this machine's GPUs")
    parser.add_argument("--model", default="llama32-3b", help="a Llama of engine_cases.json (default: %(default)s)")
    parser.add_argument("--user", type=int, default=1000, help="who vLLM runs as (default: the pods' %(default)s)")
    parser.add_argument("--home", type=Path, help="where model, logs and caches lie (default: removed afterwards)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("this needs root, to mount the pod's volumes where vLLM is to find them: run it with sudo")
    print(machine.describe(), flush=True)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        home = options.home or Path(scratch)
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o755)
        return 0 if check(home, options.model, options.user) else 1


if __name__ == "__main__":
    sys.exit(main())
