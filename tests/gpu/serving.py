"""Part 2 of `make gpu-check`: two replicas as the operator runs them, on one GPU or more, and clients.

    python -m gpu.serving [--tensor-parallel SIZE] [--only PART ...] [--model NAME] [--user UID] [--home FOLDER]

Random weights, no download. It needs root (see pod.py). One line for each thing that was tried; ends with 1 where one
failed. An embedding model follows, on a GPU of the replica that was drained.
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
from functools import partial
from pathlib import Path

from cluster.host import REPOSITORY
from gpu import clients, machine
from gpu.pod import Object, Pod, render
from gpu.random_model import ADAPTER_RANK
from support.load import Crowd, Load
from vllm_operator.api import InferenceServiceSpec
from vllm_operator.planner.accelerators import find
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.plan import plan

NAME, ADAPTER, EMBEDDER = "chat", "adapter", "embed"
# Of engine_cases.json.
EMBEDDING_MODEL = "qwen3-0.6b"
READY_SECONDS, HANG_SECONDS = 480.0, 75.0
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


def _named(name: str, share: int | None, spec: Object) -> Object:
    """A service; `share`: percent of a GPU that it may take, where it does not have it for itself."""
    cache: Object = {"kvCache": {"gpuMemoryUtilizationPercent": share}} if share else {}
    return {
        "apiVersion": "vllm-operator.dev/v1alpha1", "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "default"}, "spec": {**spec, **cache},
    }  # fmt: skip


def service(share: int | None, size: int) -> Object:
    """The service that is tried, with `size` GPUs a replica."""
    adapters = [{"name": ADAPTER, "uri": "pvc://models/adapter"}]
    spec = {
        "model": {"uri": "pvc://models/model"}, "maxModelLen": 16384, "toolCallParser": "hermes",
        "lora": {"adapters": adapters, "maxRank": ADAPTER_RANK}, "tensorParallelSize": size,
    }  # fmt: skip
    return _named(NAME, share, spec)


def embedding_service(share: int | None) -> Object:
    """The embedding model's: a service says by vLLM's own flags that it gives vectors."""
    flags = ["--runner=pooling", "--convert=embed"]
    return _named(
        EMBEDDER, share, {"model": {"uri": "pvc://models/embedding"}, "maxModelLen": 4096, "extraArgs": flags}
    )


class Check:
    """The things that are tried, one after another, on running replicas. `embedder` is not yet started."""

    def __init__(self, pods: list[Pod], embedder: Pod, service: Object, models: Path) -> None:
        self.pods, self._embedder, self._service, self._models = pods, embedder, service, models
        self.failed = False
        # Bytes of each replica's /dev/shm that were used at most, whenever somebody looked.
        self._shared = [0 for _ in pods]
        self.balancer = Balancer([pod.port for pod in pods])

    def tell(self, what: str, said: str, *, passed: bool) -> None:
        """One line."""
        self.failed = self.failed or not passed
        print(f"{'ok  ' if passed else 'FAIL'} {what}: {said}", flush=True)

    def run(self, what: str, part: Callable[[], tuple[bool, str]]) -> None:
        """One thing; what it raises is its failure."""
        began = time.monotonic()
        try:
            passed, said = part()
        except Exception as error:
            passed, said = False, f"{type(error).__name__}: {error}"
        self.tell(what, f"{said} ({time.monotonic() - began:.0f} s)", passed=passed)

    def _config(self, model: str) -> Object:
        config: Object = json.loads((self._models / model / "config.json").read_text())
        return config

    def _url(self, pod: Pod) -> str:
        return f"http://127.0.0.1:{pod.port}/v1"

    def _look(self) -> None:
        self._shared = [max(most, pod.shared_memory()[1]) for most, pod in zip(self._shared, self.pods, strict=True)]

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
        result = plan(spec, model_of(self._config("model")), gpu)
        if not result.capacity:
            return False, f"{tokens:,} tokens, and no plan: {result.message}"
        planned = result.capacity.kv_cache_tokens
        off = planned / tokens - 1
        said = f"KV cache {tokens:,} tokens, planned {planned:,} ({off:+.2%}) on {result.gpus_per_replica} GPUs"
        return abs(off) <= 0.05, said

    def clients(self) -> tuple[bool, str]:
        """Models, chat, stream and completion by the OpenAI SDK, by the project's own example."""
        environment = {**os.environ, "OPENAI_BASE_URL": self.balancer.url, "OPENAI_API_KEY": "none"}
        command = [sys.executable, str(REPOSITORY / "examples/clients/openai_sdk.py")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        return done.returncode == 0, f"{len(done.stdout)} characters of answers" if done.stdout else done.stderr[-500:]

    def tools(self) -> tuple[bool, str]:
        """Calls of functions that a client forces."""
        return clients.tools(self.balancer.url, NAME)

    def adapter(self) -> tuple[bool, str]:
        """The LoRA adapter beside the model."""
        return clients.adapter(self._url(self.pods[0]), NAME, ADAPTER)

    def saturation(self) -> tuple[bool, str]:
        """The hang detection says nothing while more is asked for than there is."""
        answers: list[int] = []
        with Crowd(self.balancer.url, NAME, 1500, tokens=256) as crowd:
            until = time.monotonic() + 45
            while time.monotonic() < until:
                answers += [pod.get("/-/ready") for pod in self.pods]
                self._look()
                time.sleep(1)
            crowd.clients = 0
        good = set(answers) == {200} and not crowd.tally.failures
        return good, f"{crowd.tally.line('1500 clients')}, ready: {sorted(set(answers))} of {len(answers)} probes"

    def shared_memory(self) -> tuple[bool, str]:
        """The pods' /dev/shm, which ranks exchange tensors in, is as large as they need."""
        self._look()
        size = self.pods[0].shared_memory()[0]
        most = " and ".join(f"{used / 2**20:,.1f} MiB" for used in self._shared)
        return max(self._shared) < size / 2, f"{size / 2**30:g} GiB, of which {most} were used at most"

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
            ended = pod.terminate(60)
            seconds = time.monotonic() - began
        good = not load.tally.failures and not load.tally.aborted and (status, ended) == (0, 0)
        first = f"; {load.tally.failures[0]}" if load.tally.failures else ""
        return (
            good,
            f"{load.tally.line('drain')}, hook {drained:.1f} s, ended after {seconds:.1f} s with {ended}{first}",
        )

    def _make_room(self) -> None:
        """The embedding model is started once, in place of the replica that was drained."""
        if self._embedder.process is None:
            self.pods[0].kill()
            self._embedder.start()

    def hang(self) -> tuple[bool, str]:
        """An engine that is stopped is known by its readiness within a minute. The embedding model starts meanwhile."""
        self._make_room()
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
        left = pod.words_left.read_text()
        return "no step for" in left, f"/-/ready answers 504 after {seconds:.0f} s; left for the operator: {left!r}"

    def embeddings(self) -> tuple[bool, str]:
        """Vectors of a model that gives nothing else."""
        self._make_room()
        waited = self._embedder.wait("/-/ready", 200, READY_SECONDS)
        good, said = clients.embeddings(self._url(self._embedder), EMBEDDER, self._config("embedding")["hidden_size"])
        return good, f"{said}; Ready after {waited:.0f} s more"


PARTS: dict[str, Callable[[Check], tuple[bool, str]]] = {
    "plan": Check.plan, "clients": Check.clients, "tools": Check.tools, "LoRA": Check.adapter,
    "saturation": Check.saturation, "shared memory": Check.shared_memory, "drain": Check.drain,
    "hang": Check.hang, "embeddings": Check.embeddings,
}  # fmt: skip


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


def devices(size: int) -> list[str]:
    """CUDA_VISIBLE_DEVICES of each replica; the same for both where there are GPUs for one, or SystemExit."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(machine.gpu_count())))
    own = given.split(",")
    if len(own) == size:
        return [",".join(own)] * 2
    if len(own) < 2 * size:
        raise SystemExit(f"--tensor-parallel {size} takes {size} GPUs, or {2 * size}, and there are {len(own)}")
    return [",".join(own[number * size : (number + 1) * size]) for number in range(2)]


def _models(folder: Path, model: str) -> None:
    """Write the models, in processes of their own: they touch a GPU, whose memory is wanted."""
    command = [sys.executable, "-m", "gpu.random_model"]
    wanted = [
        [str(folder / "model"), model, f"--adapter={folder / 'adapter'}"],
        [str(folder / "embedding"), EMBEDDING_MODEL],
    ]
    writers = [subprocess.Popen([*command, *words]) for words in wanted]
    if sum(writer.wait() != 0 for writer in writers):
        raise SystemExit("the models with random weights could not be written: see above")


def check(home: Path, model: str, user: int, size: int, only: list[str]) -> bool:
    """The parts named in `only`, in their order. Returns whether all went well."""
    gpus = devices(size)
    share = 40 if gpus[0] == gpus[1] else None
    models = home / "models"
    _models(models, model)
    wanted = service(share, size)
    template = render(wanted)
    pods = [
        Pod(template, home / f"pod{number}", models, gpus=gpus[number], port=8000 + number, user=user)
        for number in range(2)
    ]
    embedder = Pod(
        render(embedding_service(share)), home / "pod2", models, gpus=gpus[0].split(",")[0], port=8002, user=user
    )
    try:
        seconds = _start(pods, together=share is None)
        check = Check(pods, embedder, wanted, models)
        check.tell("start", f"ready after {' and '.join(f'{each:.0f} s' for each in seconds)}", passed=True)
        for what, part in PARTS.items():
            if what in only:
                check.run(what, partial(part, check))
        return not check.failed
    except (TimeoutError, ChildProcessError) as error:
        print(f"FAIL start: {error}")
        return False
    finally:
        for pod in [*pods, embedder]:
            pod.kill()


def main() -> int:
    """Try it and say how it went."""
    parser = argparse.ArgumentParser(prog="gpu.serving", description="the operator's pods on this machine's GPUs")
    parser.add_argument("--model", default="llama32-3b", help="a Llama of engine_cases.json (default: %(default)s)")
    parser.add_argument(
        "--tensor-parallel", type=int, default=1, metavar="SIZE", help="GPUs of a replica (default: %(default)s)"
    )
    parser.add_argument("--only", nargs="*", choices=PARTS, metavar="PART", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--user", type=int, default=1000, help="who vLLM runs as (default: the pods' %(default)s)")
    parser.add_argument("--home", type=Path, help="where model, logs and caches lie (default: removed afterwards)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("this needs root, to mount the pod's volumes where vLLM is to find them: run it with sudo")
    print(machine.describe(), flush=True)
    # Whoever ends this ends the replicas, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    only = options.only or list(PARTS)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        home = options.home or Path(scratch)
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o755)
        return 0 if check(home, options.model, options.user, options.tensor_parallel, only) else 1


if __name__ == "__main__":
    sys.exit(main())
