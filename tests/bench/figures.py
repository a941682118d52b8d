"""The figures of a benchmark: printed as they come, and as a table with median, smallest and largest of the runs."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from cluster.host import REPOSITORY
from cluster.tools import tool
from vllm_operator import __version__


@dataclass
class Figure:
    """One row: its value in each run, and what it must reach."""

    unit: str
    least: float | None
    most: float | None
    values: list[float] = field(default_factory=list)

    @property
    def target(self) -> str:
        """For people."""
        if self.least is not None:
            return f">= {self.least:g}"
        return "" if self.most is None else f"<= {self.most:g}"

    @property
    def met(self) -> bool:
        """Whether the median reaches it."""
        middle = median(self.values)
        return (self.least is None or middle >= self.least) and (self.most is None or middle <= self.most)


@dataclass
class Table:
    """All figures of all runs."""

    rows: dict[str, Figure] = field(default_factory=dict)
    about: str = ""
    """Another operator's name, while its figures are added: they have nothing to reach."""

    def add(
        self, what: str, value: float, unit: str = "", least: float | None = None, most: float | None = None
    ) -> None:
        """One figure of one run."""
        if self.about:
            what, least, most = f"{self.about}: {what}", None, None
        self.rows.setdefault(what, Figure(unit, least, most)).values.append(round(value, 3))
        print(f"{what:<76}{value:>10.2f} {unit}", flush=True)

    def times(self, what: str, values: list[float], most: float | None = None, worst: float | None = None) -> None:
        """Median and p99 of seconds."""
        found = sorted(values)
        if found:
            self.add(f"{what}, p50", found[len(found) // 2], "s", most=most)
            self.add(f"{what}, p99", found[min(len(found) - 1, int(len(found) * 0.99))], "s", most=worst)

    @property
    def missed(self) -> list[str]:
        """The rows whose median misses its target."""
        return [what for what, row in self.rows.items() if not row.met]

    def status(self) -> int:
        """The exit status of a benchmark, which says what it missed."""
        if self.missed:
            print(f"missed: {', '.join(self.missed)}")
        return 1 if self.missed else 0

    def markdown(self) -> str:
        """For docs."""
        lines = ["| what | median | min | max | target |", "|---|---|---|---|---|"]
        for what, row in self.rows.items():
            low, middle, high = (f"{one:g}" for one in (min(row.values), median(row.values), max(row.values)))
            target = row.target + ("" if row.met else " **missed**")
            lines.append(f"| {what}{f' ({row.unit})' if row.unit else ''} | {middle} | {low} | {high} | {target} |")
        return "\n".join(lines)

    def write(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """table.md and raw.json, each with what they were measured on."""
        folder.mkdir(parents=True, exist_ok=True)
        where = {**machine(), **settings}
        rows = {what: {"unit": row.unit, "target": row.target, "values": row.values} for what, row in self.rows.items()}
        (folder / "raw.json").write_text(json.dumps({"settings": where, "figures": rows}, indent=1) + "\n")
        said = "\n".join(f"- {name}: {value}" for name, value in where.items())
        (folder / "table.md").write_text(f"{said}\n\n{self.markdown()}\n")


def machine() -> dict[str, Any]:
    """What a figure holds for: the machine, how busy others keep it, and versions."""
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    kubernetes = subprocess.run([tool("kube-apiserver"), "--version"], capture_output=True, text=True, check=True)
    asked = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return {
        "day": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "memory (GiB)": round(int(memory.split()[1]) / 2**20),
        "load average before": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "kubernetes": kubernetes.stdout.split()[-1],
        "operator": f"{__version__} ({commit.stdout.strip()})",
    }


def cpu_seconds(pid: int) -> float:
    """What a process has used of the CPU, in user and kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
