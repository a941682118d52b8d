"""The pods of a group as they are rendered, with the real vLLM on the CPU: two ranks here find each other."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.control_plane import free_ports
from support.expansion import expanded
from support.real_vllm.environment import interpreter
from support.real_vllm.tiny import QUIET, tiny_model
from support.snapshots import service
from vllm_operator.manifests import pod_template
from vllm_operator.manifests.group import leader_worker_set
from vllm_operator.settings import Settings
from vllm_operator.vllm import middleware
from vllm_operator.vllm.argv import PORT
from vllm_operator.vllm.carried import middleware_text
from vllm_operator.vllm.paths import MIDDLEWARE_PATH
from vllm_operator.vllm.ranks import MASTER_PORT

pytestmark = pytest.mark.slow

OWNER = service(
    model={"uri": "pvc://models/tiny"},
    accelerator={"resource": "cpu"},
    nodesPerReplica=2,
    tensorParallelSize=2,
    maxModelLen=256,
    kvCache={"memoryPerGPU": "64Mi"},
)
# As the `vllm` of an image does.
VLLM = "import sys; from vllm.entrypoints.cli.main import main; sys.argv[0] = 'vllm'; sys.exit(main())"
START_SECONDS, END_SECONDS = 400, 60


@dataclass
class Ranks:
    """The processes of a group, by rank, and where its leader listens."""

    processes: list[subprocess.Popen[bytes]]
    folder: Path
    port: int

    def ask(self, path: str, body: Any = None) -> int:
        """The status of an answer of the leader; 0 for none."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def complete(self) -> int:
        """The status of a completion."""
        return self.ask("/v1/completions", {"model": "llama", "prompt": "hello", "max_tokens": 4})

    def logs(self) -> str:
        """The end of what each has said."""
        return "\n".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("*.log")))

    def kill(self, rank: int) -> None:
        """Kills a rank with all its processes, as a node that is lost does."""
        with suppress(ProcessLookupError):
            os.killpg(self.processes[rank].pid, signal.SIGKILL)
        self.processes[rank].wait(END_SECONDS)


def command_line(container: dict[str, Any], rank: int, ports: dict[str, int]) -> list[str]:
    """What the kubelet would start, with the model and the ports of this machine."""
    told = {"LWS_LEADER_ADDRESS": "localhost", "LWS_GROUP_SIZE": "2", "LWS_WORKER_INDEX": str(rank)}
    here = {
        "/models/models/tiny": str(tiny_model()),
        f"--port={PORT}": f"--port={ports['http']}",
        f"--master-port={MASTER_PORT}": f"--master-port={ports['master']}",
    }
    words = [expanded(argument, told) for argument in container["args"]]
    assert here.keys() <= set(words)
    return [here.get(word, word) for word in words]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    """A group that serves."""
    folder, ports = tmp_path_factory.mktemp("ranks"), free_ports("http", "master")
    (folder / Path(MIDDLEWARE_PATH).name).write_text(middleware_text())
    environment = {**QUIET, "VLLM_CPU_OMP_THREADS_BIND": "nobind", "PYTHONPATH": str(folder)}
    environment |= {"VLLM_HOST_IP": "127.0.0.1", "HOME": str(folder), "VLLM_CACHE_ROOT": str(folder)}
    group = leader_worker_set(OWNER, pod_template(OWNER, Settings()))["spec"]["leaderWorkerTemplate"]
    found = Ranks([], folder, ports["http"])
    try:
        for rank, name in enumerate(("leaderTemplate", "workerTemplate")):
            container = group[name]["spec"]["containers"][0]
            words = [str(interpreter()), "-c", VLLM, "serve", *command_line(container, rank, ports)]
            with (folder / f"rank-{rank}.log").open("wb") as log:
                started = subprocess.Popen(
                    words, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )
            found.processes.append(started)
        deadline = time.monotonic() + START_SECONDS
        while found.ask("/health") != 200:
            assert all(one.poll() is None for one in found.processes), found.logs()
            assert time.monotonic() < deadline, found.logs()
            time.sleep(1)
        yield found
    finally:
        for rank in range(len(found.processes)):
            found.kill(rank)


def test_the_first_request_after_the_group_is_ready_is_answered_at_once(ranks: Ranks) -> None:
    assert ranks.ask(middleware.READY) == 200
    began = time.monotonic()
    assert ranks.complete() == 200, ranks.logs()
    assert time.monotonic() - began < 10


def test_a_leader_notices_with_the_next_request_that_its_worker_is_gone(ranks: Ranks) -> None:
    """So the group is made anew at the worker's end, and is not ready until then: nobody waits for that request."""
    ranks.kill(1)
    time.sleep(5)
    assert ranks.ask("/health") == 200
    assert ranks.complete() == 500
    ranks.processes[0].wait(END_SECONDS)
