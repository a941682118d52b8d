"""Namespaces for one node: what runs in them, mounts in them or is plugged into them goes when they go.

A node's programs see their own processes, mounts and network; a pair of virtual cards joins them to this machine,
which has routes to the node, its pods and its Services. Nothing else of the machine's network is changed, so pods
reach this machine and nothing beyond it.
"""

import ipaddress
import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cluster.host import ClusterError, command, lock
from cluster.processes import Processes, started
from cluster.tools import tool

SLOTS = 8
CGROUPS = Path("/sys/fs/cgroup")
# What the kubelet insists on where there is one hierarchy for all controllers.
CONTROLLERS = {"cpu", "cpuset", "hugetlb", "memory", "pids"}
# Where programs keep things whatever they are told, and what they get there instead, in the state directory.
PLACES = {"/var/lib/cni": "cni", "/var/lib/kubelet": "kubelet", "/var/log": "log"}
# What the kubelet wants of settings that are the whole machine's. It is shown these, so that it changes none.
KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


@dataclass(frozen=True)
class Network:
    """The addresses of one of the few nodes that this machine can carry at once."""

    slot: int

    @property
    def card(self) -> str:
        """This machine's end of the pair of virtual network cards."""
        return f"vllm-op{self.slot}"

    @property
    def cable(self) -> str:
        """Other nodes' ends of their cables to this one."""
        return f"node{self.slot}"

    @property
    def link(self) -> str:
        """The network between this machine and the node."""
        return f"10.245.{self.slot}.0/30"

    @property
    def machine(self) -> str:
        """This machine as the node sees it."""
        return f"10.245.{self.slot}.1"

    @property
    def node(self) -> str:
        """The node's address."""
        return f"10.245.{self.slot}.2"

    @property
    def pods(self) -> str:
        """The addresses of pods."""
        return f"10.244.{self.slot}.0/24"

    @property
    def services(self) -> str:
        """The addresses of Services."""
        return f"10.{96 + self.slot}.0.0/16"


class Enclosure:
    """The namespaces, cgroup and network of one cluster's node."""

    def __init__(self, name: str, state: Path, processes: Processes) -> None:
        self.cgroup = f"vllm-operator-{name}"
        self._state = state
        self._file = state / "enclosure.json"
        self._processes = processes

    @property
    def network(self) -> Network | None:
        """The addresses it has, once it is made."""
        try:
            return Network(json.loads(self._file.read_text())["slot"])
        except FileNotFoundError:
            return None

    @property
    def inside(self) -> tuple[str, ...]:
        """What to put before a command to run it in here."""
        pid = self._first_process()
        if not pid:
            raise ClusterError("The node's namespaces are gone; start the cluster again.")
        return ("nsenter", f"--target={pid}", "--mount", "--net", "--pid", "--ipc", "--uts", "--")

    def create(self) -> Network:
        """Make the namespaces, the cgroup and the network."""
        self._state.mkdir(parents=True, exist_ok=True)
        unshare = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        self._processes.start("node", [*unshare, "--propagation=slave", "--mount-proc", tool("pause")])
        deadline = time.monotonic() + 10
        while not self._first_process():
            self._processes.check()
            if time.monotonic() > deadline:
                raise ClusterError(f"Namespaces cannot be made on this machine: {self._processes.tail('node')}")
            time.sleep(0.01)
        with lock("cluster-slots"):
            network = _free_network()
            self._file.write_text(json.dumps({"slot": network.slot}))
            self._connect(network)
        self._prepare(network)
        self._make_cgroup()
        return network

    def connect(self, other: "Enclosure") -> None:
        """Lay a cable to another node, for what the two and their pods send each other; it goes with either."""
        near, far = self.network, other.network
        if near is None or far is None:
            raise ClusterError("Only nodes that have been made can be connected.")
        with suppress(ClusterError):  # that of a node which was removed just now goes by itself too, but later
            other._shell(f"ip link delete {near.cable}")
        here, there = (["netns", str(one._first_process())] for one in (self, other))
        peer = ["peer", "name", near.cable, *there]
        command(["ip", "link", "add", far.cable, *here, "type", "veth", *peer])
        for node, own, opposite in ((self, near, far), (other, far, near)):
            node._shell(f"""
                ip address add {own.node}/32 dev {opposite.cable}
                ip link set {opposite.cable} up
                ip route add {opposite.node} dev {opposite.cable} src {own.node}
                ip route add {opposite.pods} via {opposite.node} dev {opposite.cable} src {own.node}
            """)

    def remove(self) -> None:
        """End everything in it and remove what it had; also what an interrupted `create` left."""
        if pid := self._first_process():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # the kernel ends all others with it
        self._processes.end(grace=0)
        if network := self.network:
            while (Path("/sys/class/net") / network.card).exists():  # it goes by itself too, but later
                with suppress(ClusterError):
                    command(["ip", "link", "delete", network.card])
        self._remove_cgroup()
        with lock("cluster-slots"):
            # Mere mount points for us, kept if they have content. Removing one undoes the mounts on it everywhere.
            for place in PLACES if not _nodes() else ():
                with suppress(OSError):
                    Path(place).rmdir()

    def _first_process(self) -> int:
        """The process that holds the namespaces: the only child of `unshare`."""
        parent = self._processes.pid("node")
        if not parent:
            return 0
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        # Before it has become the pause program it may still lack its own /proc.
        if not children or Path(f"/proc/{children[0]}/comm").read_text().strip() != "pause":
            return 0
        return int(children[0]) if started(int(children[0])) else 0

    def _connect(self, network: Network) -> None:
        pid = self._first_process()
        command(["ip", "link", "add", network.card, "type", "veth", "peer", "name", "eth0", "netns", str(pid)])
        command(["ip", "address", "add", f"{network.machine}/30", "dev", network.card])
        command(["ip", "link", "set", network.card, "up"])
        script = f"""
            ip link set lo up
            ip address add {network.node}/30 dev eth0
            ip link set eth0 up
            ip route add default via {network.machine}
            echo 1 > /proc/sys/net/ipv4/ip_forward
            echo 0 > /proc/sys/net/ipv4/icmp_ratelimit  # "nobody listens there" is to be said each time
        """
        self._shell(script)
        for addresses in (network.pods, network.services):
            command(["ip", "route", "add", addresses, "via", network.node])

    def _prepare(self, network: Network) -> None:
        """Give the node directories of its own where programs have fixed places."""
        (self._state / "kernel").mkdir(exist_ok=True)
        # Nobody answers there, which is known at once; a name server that drops questions costs seconds for each.
        (self._state / "resolv.conf").write_text(f"nameserver {network.node}\n")
        lines = ["mount --make-rshared /", "mount -t tmpfs -o mode=755 tmpfs /run"]
        for place, own in PLACES.items():
            Path(place).mkdir(parents=True, exist_ok=True)
            (self._state / own).mkdir(exist_ok=True)
            lines.append(f"mount --bind '{self._state}/{own}' {place}")
        for setting, value in KERNEL_SETTINGS.items():
            shown = self._state / "kernel" / setting.replace("/", ".")
            shown.write_text(f"{value}\n")
            lines.append(f"[ ! -e /proc/sys/{setting} ] || mount --bind '{shown}' /proc/sys/{setting}")
        self._shell("\n".join(lines))

    def _shell(self, script: str) -> None:
        command([*self.inside, "sh", "-euc", script])

    def _hierarchies(self) -> list[Path]:
        if (CGROUPS / "cgroup.controllers").exists():
            return [CGROUPS]
        return [d for d in CGROUPS.iterdir() if d.is_dir() and (d / "cgroup.procs").exists() and d.name != "unified"]

    def _make_cgroup(self) -> None:
        for hierarchy in self._hierarchies():
            own = hierarchy / self.cgroup
            own.mkdir(exist_ok=True)
            for setting in ("cpuset.cpus", "cpuset.mems"):
                if hierarchy != CGROUPS and (own / setting).exists():
                    (own / setting).write_text((hierarchy / setting).read_text())
        if (CGROUPS / "cgroup.controllers").exists():
            there = (CGROUPS / "cgroup.controllers").read_text().split()
            wanted = " ".join(f"+{c}" for c in there if c in CONTROLLERS)
            for parent in (CGROUPS, CGROUPS / self.cgroup):
                (parent / "cgroup.subtree_control").write_text(wanted)

    def _remove_cgroup(self) -> None:
        if not CGROUPS.is_dir():
            return
        deadline = time.monotonic() + 10
        for hierarchy in [*self._hierarchies(), CGROUPS / "unified"]:
            while (own := hierarchy / self.cgroup).is_dir():
                for directory, _, _ in os.walk(own, topdown=False):
                    with suppress(OSError):  # the kernel needs a moment after the last process
                        Path(directory).rmdir()
                if own.is_dir() and time.monotonic() > deadline:
                    raise ClusterError(f"{own} still has processes, after everything that was started has ended.")
                time.sleep(0.01)


def _nodes() -> list[Network]:
    """The networks of all nodes on this machine, of any cluster."""
    cards = {card.name for card in Path("/sys/class/net").iterdir()}
    return [network for network in map(Network, range(SLOTS)) if network.card in cards]


def _free_network() -> Network:
    """The first set of addresses that nothing on this machine uses."""
    routes = json.loads(command(["ip", "-json", "-4", "route", "show", "table", "all"]))
    words = [str(r["dst"]) for r in routes if r["dst"] != "default" and r.get("type") not in {"broadcast", "multicast"}]
    used = [ipaddress.ip_network(word, strict=False) for word in words]
    for network in map(Network, range(SLOTS)):
        wanted = [ipaddress.ip_network(a) for a in (network.link, network.pods, network.services)]
        if not any(w.overlaps(u) for w in wanted for u in used if u.version == 4):
            return network
    raise ClusterError(
        f"No free addresses for a node: it needs 10.244.N.0/24, 10.245.N.0/30 and 10.(96+N).0.0/16, N below {SLOTS}, "
        "and this machine has routes to one of each; stop a cluster that is not needed (python -m cluster down NAME)."
    )
