"""Starts programs that outlive this one, and ends exactly those again: each is known by its pid and its start time."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from cluster.host import ClusterError


def started(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty when there is no such process (or only its remains)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    state, threads = fields[0], int(fields[17])
    # The first thread of a killed process ends before the others, which hold its ports and files until they end too.
    return "" if state in {"Z", "X"} and threads <= 1 else fields[19]


def _reap(pid: int) -> None:
    """Collect an ended child, if it was one of this very program."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


class Processes:
    """The programs of one cluster, recorded in its state directory."""

    def __init__(self, state: Path) -> None:
        self.logs = state / "logs"
        self._file = state / "processes.json"

    def start(self, name: str, arguments: Sequence[str | Path], env: Mapping[str, str] | None = None) -> int:
        """Start a program in a session of its own, with its output in logs/<name>.log, and return its pid."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(a) for a in arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        try:
            self._record(name, process.pid)
        except BaseException:
            process.kill()
            raise
        process.returncode = 0  # it is meant to outlive this program: no warning about that
        return process.pid

    def _record(self, name: str, pid: int) -> None:
        self._write({**self._read(), name: {"pid": pid, "started": started(pid)}})

    def pid(self, name: str) -> int:
        """The pid of a program that runs, or 0."""
        entry = self._read().get(name)
        if entry is None:
            return 0
        pid = int(entry["pid"])
        _reap(pid)
        return pid if entry["started"] and started(pid) == entry["started"] else 0

    def names(self) -> list[str]:
        """Every program that was started and not ended by `end`, running or not."""
        return list(self._read())

    def check(self) -> None:
        """Raise when a program has ended by itself, with the end of its log."""
        for name in self.names():
            if not self.pid(name):
                raise ClusterError(f"{name} has ended; the end of its log:\n{self.tail(name)}")

    def tail(self, name: str, lines: int = 15) -> str:
        """The last lines that a program printed."""
        log = self.logs / f"{name}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.is_file() else "(no log)"

    def end(self, *names: str, grace: float = 5) -> None:
        """End these programs, or all: asked first, then killed."""
        chosen = list(names) or list(reversed(self.names()))
        for name in chosen:
            self._signal(name, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while any(self.pid(name) for name in chosen) and time.monotonic() < deadline:
            time.sleep(0.02)
        for name in chosen:
            self._signal(name, signal.SIGKILL)
        while any(self.pid(name) for name in chosen):
            time.sleep(0.02)
        self._write({name: entry for name, entry in self._read().items() if name not in chosen})

    def _signal(self, name: str, number: signal.Signals) -> None:
        if pid := self.pid(name):
            with suppress(ProcessLookupError):
                os.killpg(pid, number)  # with what it runs inside other namespaces

    def _read(self) -> dict[str, dict[str, str | int]]:
        try:
            read: dict[str, dict[str, str | int]] = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        return read

    def _write(self, entries: dict[str, dict[str, str | int]]) -> None:
        if not entries and not self._file.parent.is_dir():
            return
        scratch = self._file.with_suffix(".part")
        scratch.write_text(json.dumps(entries))
        scratch.rename(self._file)
