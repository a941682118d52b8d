"""Programs that a user may have: taken from PATH where they are new enough, else built from their Go modules."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from cluster.host import ClusterError, say
from cluster.tools import tool

# The oldest version that does what is asked of it here, and how it tells its own.
OLDEST = {"kubectl": (1, 30), "helm": (3, 14), "kind": (0, 24)}
ASK = {"kubectl": ["version", "--client"], "helm": ["version", "--short"], "kind": ["version"]}


@cache
def program(name: str) -> Path:
    """The path of kubectl, helm or kind. Raises ClusterError where PATH has none and none can be built."""
    oldest = ".".join(map(str, OLDEST[name]))
    found = shutil.which(name)
    own = version(found, ASK[name]) if found else None
    if found and own and own >= OLDEST[name]:
        return Path(found)
    if found:
        told = f"is {'.'.join(map(str, own))}" if own else "tells no version"
        say(f"  {found} {told}, and {oldest} or newer is needed")
    if shutil.which("go") is None:
        raise ClusterError(f"{name} is missing: install {name} {oldest} or newer, or Go 1.26 to build it with.")
    return tool(name)


def version(path: str, words: list[str]) -> tuple[int, int] | None:
    """Major and minor version that a program tells of itself; None where it tells none."""
    try:
        said = subprocess.run([path, *words], capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    told = re.search(r"\bv(\d+)\.(\d+)\.\d+", said.stdout)
    return (int(told[1]), int(told[2])) if told else None
