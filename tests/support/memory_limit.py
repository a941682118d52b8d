"""An operator whose memory the kernel limits, as a pod's is: what takes more is ended."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from support.operator_process import OperatorProcess

ROOT = Path("/sys/fs/cgroup")


@dataclass
class LimitedOperator(OperatorProcess):
    """One in a control group of its own, of so many MiB. Needs root."""

    limit_mib: int = 256

    @property
    def group(self) -> Path:
        """The control group: of version 2, or of the memory controller of version 1."""
        name = f"vllm-operator-test-{os.getpid()}"
        return (ROOT if self._unified() else ROOT / "memory") / name

    def launch(self, **settings: object) -> None:
        """Starts it, and limits it before Python has read its first module."""
        super().launch(**settings)
        assert self.process
        self.process.send_signal(signal.SIGSTOP)
        self.group.mkdir(exist_ok=True)
        if self._unified():
            (ROOT / "cgroup.subtree_control").write_text("+memory")
        limit = "memory.max" if self._unified() else "memory.limit_in_bytes"
        (self.group / limit).write_text(str(self.limit_mib << 20))
        (self.group / "cgroup.procs").write_text(str(self.process.pid))
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends it, and removes the group, which is empty then."""
        super().stop()
        if self.group.is_dir():
            self.group.rmdir()

    @staticmethod
    def _unified() -> bool:
        return (ROOT / "cgroup.controllers").exists()
