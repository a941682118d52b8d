"""The program of a batch as a process of its own, which can be killed as a pod is: with all that it has started."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from vllm_operator.vllm.batch import runner


def written(folder: Path) -> Path:
    """The program, as a pod finds it."""
    path = folder / "vllm_batch.py"
    path.write_text(runner())
    return path


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Pod:
    """A process that runs a share, its log in a file."""

    def __init__(self, command: Sequence[str | Path], port: int, log: Path, env: Mapping[str, str]) -> None:
        self._port = port
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [str(word) for word in command], stdout=file, stderr=file, env=dict(env), start_new_session=True
            )

    def ready(self) -> bool:
        """Whether its engine is loaded."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    def ended(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def wait_until(self, moment: float, *, ready: bool = False) -> bool:
        """Waits until a moment of the monotonic clock, or until it is ready; False: it has ended before."""
        while time.monotonic() < moment and not (ready and self.ready()):
            if self.ended() is not None:
                return False
            time.sleep(0.05)
        return self.ended() is None

    def kill(self) -> None:
        """Takes it away with all its processes, and without a word."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
