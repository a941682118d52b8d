"""One vLLM server of a source while it is taken over: its draft, its variables, and where its files come from."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field

from .documents import Sources
from .draft import Draft
from .launch.variables import Variables
from .part import Part


class NotTakenError(Exception):
    """A part of a source that has no place in a service. The text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume where the container has it."""

    path: str
    kind: str
    """As Kubernetes calls it: persistentVolumeClaim, hostPath, emptyDir, configMap ..."""
    source: Part
    """What stands below the kind."""
    volume: Part
    mount: Part
    name: str
    sub: str = ""
    """Its subPath."""


@dataclass
class Server:
    """One server, and what is known around it."""

    draft: Draft
    sources: Sources
    variables: Variables = field(default_factory=Variables)
    mounts: Sequence[Mount] = ()
    uses: dict[str, str] = field(default_factory=dict)
    """What a mount turned out to be for, by its path."""
    node: str = ""
    """The node that the pods are pinned to."""
    replicas: int = 1
    nodes: Part = field(default=Part(None, ()))
    """The number of pods that each replica has, where the source says so."""
    image_path: str = ""
    """Where the model is in the image that it comes from."""

    def __post_init__(self) -> None:
        """Credentials among the variables, and those that a script sets later, are hidden from then on."""
        self.draft.report.secrets |= self.variables.secrets
        self.variables.secrets = self.draft.report.secrets

    @property
    def spread(self) -> bool:
        """Whether the source has each replica on several nodes."""
        return self.nodes.text not in ("", "1")

    def mounted(self, path: str) -> tuple[Mount, str] | None:
        """The mount that holds a path, and the rest of the path within it."""
        path = posixpath.normpath(path)
        found = [one for one in self.mounts if path == one.path or path.startswith(one.path.rstrip("/") + "/")]
        if not found:
            return None
        mount = max(found, key=lambda one: len(one.path))
        return mount, posixpath.relpath(path, mount.path).removeprefix(".")
