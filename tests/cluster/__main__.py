"""A real Kubernetes on this machine.

python -m cluster up NAME [NODES]     start a cluster with a node or several, or find it running
python -m cluster down NAME           end what was started under that name and remove it
python -m cluster status [NAME]       what runs, and where its kubeconfig is
python -m cluster kubeconfig NAME     print the path of the kubeconfig
python -m cluster load NAME ARCHIVE   make an image archive known to the node
python -m cluster build IMAGE         build images/IMAGE; prints its name and its archive
python -m cluster tool NAME           build a program if need be; prints its path
python -m cluster prepare [IMAGE...]  build all programs and these images side by side
"""

import sys
from pathlib import Path

from cluster.control_plane import ControlPlane, state_of
from cluster.host import ClusterError, lock, say, state_root
from cluster.images import build
from cluster.node import LocalCluster
from cluster.prepare import prepare
from cluster.tools import SOURCES, tool

# The demo's alone, that of machines with GPUs, and those of benches.
UNCOMMON = {"kind", "nvidia-device-plugin", "coredns", "containerd", "kueue"}


def down(name: str) -> None:
    """End what was started under a name, be it healthy, half started or only a control plane."""
    if not state_of(name).is_dir():
        say(f"nothing of {name} is here")
        return
    with lock(f"cluster-{name}"):
        LocalCluster(name).stop()
    say(f"{name} is gone")


def status(name: str) -> bool:
    """Print what of a cluster runs; true when it is healthy."""
    control_plane = ControlPlane.find(name)
    if control_plane is None:
        print(f"{name}: not running")
        return False
    on_node = bool(control_plane.site.inside)
    healthy = LocalCluster(name).healthy() if on_node else control_plane.healthy()
    kind = "a cluster" if on_node else "a control plane"
    print(f"{name}: {kind}, {'healthy' if healthy else 'not healthy'}")
    print(f"  kubeconfig {control_plane.kubeconfig}")
    for node in LocalCluster(name).nodes:
        prefix = "" if node.number == 1 else f"{node.name}'s "
        for program in node.processes.names():
            pid = node.processes.pid(program)
            print(f"  {prefix}{program}: {f'pid {pid}' if pid else 'not running'}")
    return healthy


def main(arguments: list[str]) -> int:  # noqa: C901, PLR0912 (one case per command)
    """Run one command and return the exit status."""
    try:
        match arguments:
            case ["up", name]:
                print(LocalCluster.start(name).kubeconfig)
            case ["up", name, nodes]:
                print(LocalCluster.start(name, int(nodes)).kubeconfig)
            case ["down", name]:
                down(name)
            case ["status"]:
                names = sorted(p.name for p in state_root().iterdir()) if state_root().is_dir() else []
                healthy = [status(name) for name in names]
                return 0 if all(healthy) else 1
            case ["status", name]:
                return 0 if status(name) else 1
            case ["kubeconfig", name]:
                print(LocalCluster(name).control_plane.kubeconfig)
            case ["load", name, archive]:
                print(*LocalCluster(name).load(Path(archive).absolute()))
            case ["build", name]:
                print(*build(name))
            case ["tool", name]:
                print(tool(name))
            case ["prepare", *names]:
                prepare([name for name in SOURCES if name not in UNCOMMON], names)
            case _:
                say(__doc__ or "")
                return 2
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the same command goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
