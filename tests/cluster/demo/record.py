"""What the demo has made, written down before it is made, so that `make demo-down` removes that and nothing else."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from cluster.demo.targets import Current, Kind, Local, Target, has_kind_network
from cluster.host import state_root


@dataclass
class Record:
    """What there is to remove."""

    kind: str
    context: str = ""
    namespaces: list[str] = field(default_factory=list)
    release: bool = False
    definitions: bool = False
    """Whether the demo installed the CRDs."""
    leases: list[str] = field(default_factory=list)
    """Those that came with the operator, which makes them itself: `helm uninstall` does not know of them."""
    network: bool = False
    """Whether kind's network in Docker came with the demo."""

    @staticmethod
    def _file() -> Path:
        return state_root() / "demo.json"

    @classmethod
    def load(cls) -> Self | None:
        """The record of the last run, if it left anything."""
        try:
            return cls(**json.loads(cls._file().read_text()))
        except FileNotFoundError:
            return None

    @classmethod
    def of(cls, target: Target) -> Self:
        """A new record for a cluster."""
        if isinstance(target, Current):
            return cls("current", target.context)
        if isinstance(target, Kind):
            return cls("kind", network=not has_kind_network())
        return cls("local")

    def same_cluster(self, other: "Record") -> bool:
        """Whether both are about one cluster."""
        return (self.kind, self.context) == (other.kind, other.context)

    def target(self) -> Target:
        """The cluster that this is about."""
        if self.kind == "current":
            return Current(self.context)
        because = "the demo started it"
        return Kind(because) if self.kind == "kind" else Local(because)

    def save(self) -> None:
        """Write it down."""
        self._file().parent.mkdir(parents=True, exist_ok=True)
        scratch = self._file().with_suffix(".part")
        scratch.write_text(json.dumps(asdict(self)))
        scratch.rename(self._file())

    def forget(self) -> None:
        """Everything is removed."""
        self._file().unlink(missing_ok=True)
