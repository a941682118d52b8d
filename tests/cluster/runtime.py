"""containerd in a node's namespaces, with an image store that stays in the cache between clusters."""

import json
import os
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.enclosure import Enclosure
from cluster.host import ClusterError, cache_root, command, lock, step
from cluster.processes import Processes
from cluster.program_image import image_name, program_image

SOCKET = "/run/containerd/containerd.sock"
PLUGINS = "/usr/lib/cni"


class Containerd:
    """One containerd. Its images survive it; its containers do not."""

    def __init__(self, enclosure: Enclosure, state: Path, processes: Processes) -> None:
        self._enclosure = enclosure
        self._state = state
        self._processes = processes

    @property
    def store(self) -> Path:
        """Where images are kept; two nodes at once have two, as containerd demands."""
        network = self._enclosure.network
        return cache_root() / "containerd" / str(network.slot if network else 0)

    def start(self, pods: str, folders: Mapping[str, str] | None = None) -> None:
        """Start containerd without waiting for it; `folders` of this machine are in all containers, read-only."""
        self.store.mkdir(parents=True, exist_ok=True)
        networks = self._state / "cni" / "net.d"
        networks.mkdir(parents=True, exist_ok=True)
        (networks / "10-pods.conflist").write_text(json.dumps(self._pod_network(pods)))
        if folders:
            self._base.write_text(json.dumps(self._base_spec(folders)))
        (self._state / "containerd.toml").write_text(self._configuration(networks))
        self._run()

    def settle(self) -> None:
        """Wait for it, and forget the containers of earlier clusters, which were ended without being asked."""
        self._await()
        old = self._ctr("containers", "list", "--quiet").split()
        if old:
            self._ctr("containers", "delete", *old)
            # Its CRI service has read them at its start.
            self._processes.end("containerd", grace=0)
            command([*self._enclosure.inside, "sh", "-c", f"rm -f {SOCKET}*"])
            self._run()
            self._await()
        self.load(program_image("pause"))

    def load(self, archive: Path) -> list[str]:
        """Import an image archive, unless just this file was imported before, and return the names in it."""
        names = references(archive)
        status = archive.stat()
        identity = f"{archive.name} {status.st_size} {status.st_mtime_ns}"
        record = self.store / "imported.json"
        with lock(f"images-{self.store.name}"):
            imported: dict[str, str] = json.loads(record.read_text()) if record.is_file() else {}
            present = self._ctr("images", "list", "--quiet").split()
            if all(imported.get(n) == identity and n in present for n in names):
                return names
            with step(f"importing {', '.join(names)} into containerd"):
                self._ctr("images", "import", str(archive))
            present = self._ctr("images", "list", "--quiet").split()
            if lost := [n for n in names if n not in present]:
                raise ClusterError(f"{archive} was imported, but containerd does not list {', '.join(lost)}.")
            scratch = record.with_suffix(f".{os.getpid()}")
            scratch.write_text(json.dumps({**imported, **dict.fromkeys(names, identity)}))
            scratch.rename(record)
        return names

    @property
    def _base(self) -> Path:
        """What containers have before the kubelet says more; not there without folders of this machine."""
        return self._state / "base-spec.json"

    def _base_spec(self, folders: Mapping[str, str]) -> dict[str, Any]:
        spec: dict[str, Any] = json.loads(command(["ctr", "oci", "spec"]))
        spec["process"].pop("rlimits", None)  # as containerd does where no such file is named
        for target, source in folders.items():
            mount = {"destination": target, "type": "bind", "source": source, "options": ["rbind", "ro", "nosuid"]}
            spec["mounts"].append(mount)
        return spec

    def _run(self) -> None:
        containerd = ["containerd", "--config", str(self._state / "containerd.toml")]
        self._processes.start("containerd", [*self._enclosure.inside, *containerd])

    def _await(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            self._processes.check()
            try:
                self._ctr("version")
            except ClusterError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def _ctr(self, *arguments: str) -> str:
        return command([*self._enclosure.inside, "ctr", "--address", SOCKET, "--namespace", "k8s.io", *arguments])

    def _pod_network(self, pods: str) -> dict[str, object]:
        # Each pod has a route of its own instead of a bridge, so that all traffic passes the node's netfilter: a bridge
        # needs the kernel's br_netfilter for that, which not every machine has.
        addresses = {
            "type": "host-local",
            "ranges": [[{"subnet": pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(self._state / "cni" / "addresses"),
        }
        return {"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp", "ipam": addresses}]}

    def _configuration(self, networks: Path) -> str:
        cri = 'plugins."io.containerd.grpc.v1.cri"'
        base = f'base_runtime_spec = "{self._base}"' if self._base.exists() else ""
        unused = ["aufs", "btrfs", "devmapper", "zfs"]
        return f"""
version = 2
root = "{self.store}"
state = "/run/containerd"
disabled_plugins = {json.dumps([f"io.containerd.snapshotter.v1.{name}" for name in unused])}
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{self._state}/opt"
[{cri}]
  sandbox_image = "{image_name("pause")}"
  restrict_oom_score_adj = true  # a machine may lack CAP_SYS_RESOURCE
  [{cri}.cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{networks}"
  [{cri}.containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [{cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      {base}
      [{cri}.containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def references(archive: Path) -> list[str]:
    """The names of the images in an archive, in Docker's or in OCI's format."""
    with tarfile.open(archive, "r:") as tar:
        members = {m.name: m for m in tar if m.name in {"manifest.json", "index.json"}}
        if not members:
            raise ClusterError(f"{archive} is no image archive: it has neither manifest.json nor index.json.")
        kind, member = sorted(members.items(), reverse=True)[0]
        file = tar.extractfile(member)
        content: Any = json.load(file) if file else None
    if kind == "manifest.json":
        return [tag for image in content for tag in image["RepoTags"] or []]
    return [m["annotations"]["org.opencontainers.image.ref.name"] for m in content["manifests"]]
