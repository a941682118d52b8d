"""That memory which was freed goes back to the system, where glibc would keep it."""

import subprocess
import sys

from cluster.host import REPOSITORY

# What is freed first has glibc keep blocks of such a size on its heap; what is kept last holds those below it there.
FREED = """
import sys
from pathlib import Path
from vllm_operator.loop import heap
if sys.argv[1:]:
    heap.give_back()
bytearray(30 << 20)
many = [b"x" * (200 << 10) for _ in range(300)]
kept = bytearray(1000)
del many
print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line))
"""


def resident_mib(*words: str) -> float:
    """Of a process that has freed nearly all that it took."""
    command = [sys.executable, "-c", FREED, *words]
    environment = {"PYTHONPATH": str(REPOSITORY / "operator")}
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout) / 1024


def test_freed_memory_goes_back() -> None:
    assert resident_mib("give back") < resident_mib() - 30
