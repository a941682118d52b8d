"""What each program uses of the machine while a block runs: of what there is, who leaves how much to the others."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from bench.figures import Table, cpu_seconds
from cluster.control_plane import ControlPlane


def programs(plane: ControlPlane) -> dict[str, int]:
    """The pids of a control plane's programs by their names, and of this one."""
    return {name: plane.processes.pid(name) for name in plane.processes.names()} | {"the bench": os.getpid()}


class Shares:
    """CPU of some processes while its block runs."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._before: dict[str, float] = {}
        self._busy = 0.0
        self._began = 0.0
        self.spent: dict[str, float] = {}
        """Seconds by name, once the block has ended."""
        self.seconds = 0.0
        self.others = 0.0
        """Seconds of the CPU that all other programs of the machine took."""

    def __enter__(self) -> Self:
        self._before = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        self._began, self._busy = time.monotonic(), _busy_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._began
        self.spent = {name: cpu_seconds(pid) - self._before[name] for name, pid in self._pids.items()}
        self.others = _busy_seconds() - self._busy - sum(self.spent.values())

    def tell(self, table: Table, when: str, count: int) -> None:
        """A row for each program, by what it took for one of `count` objects; and how busy that kept the machine."""
        for name, spent in sorted(self.spent.items(), key=lambda one: -one[1]):
            table.add(f"{when}: CPU of {name} for one", spent / count * 1000, "ms")
        cores = os.cpu_count() or 1
        used, there = sum(self.spent.values()), self.seconds * cores
        table.add(f"{when}: CPU of all these for one", used / count * 1000, "ms")
        table.add(f"{when}: of {cores} cores, in use by them", used / there * 100, "%")
        table.add(f"{when}: of {cores} cores, in use by what else runs here", self.others / there * 100, "%")


def _busy_seconds() -> float:
    """For how long the machine's cores have been at work, for anybody."""
    first = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _, _, interrupts, soft, *_ = map(int, first.split()[1:])
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")
