"""kubectl, always with the kubeconfig and context that the demo chose, never with what happens to be current."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.host import ClusterError


@dataclass(frozen=True)
class Kubectl:
    """Runs kubectl against one cluster."""

    program: Path
    kubeconfig: Path | None
    context: str | None = None

    @property
    def options(self) -> list[str]:
        """What names the cluster, for kubectl."""
        config = [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        return [*config, *([f"--context={self.context}"] if self.context else [])]

    def command(self, *arguments: str) -> list[str]:
        """The whole command line."""
        return [str(self.program), *self.options, *arguments]

    def run(self, *arguments: str, text: str | None = None) -> str:
        """Run kubectl and return what it printed; raise with its own words when it fails."""
        result = subprocess.run(self.command(*arguments), check=False, capture_output=True, text=True, input=text)
        if result.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)} failed: {result.stderr.strip()[-2000:]}")
        return result.stdout

    def get(self, *arguments: str) -> dict[str, Any] | None:
        """An object or a list, or None where there is none."""
        output = self.run("get", *arguments, "--ignore-not-found", "--output=json")
        found: dict[str, Any] | None = json.loads(output) if output.strip() else None
        return found

    def items(self, namespace: str, *kinds: str) -> list[dict[str, Any]]:
        """All objects of some kinds in a namespace."""
        found = self.get(",".join(kinds), f"--namespace={namespace}") or {}
        items: list[dict[str, Any]] = found.get("items", [])
        return items

    def apply(self, namespace: str, manifest: str) -> None:
        """Apply manifests in a namespace."""
        self.run("apply", f"--namespace={namespace}", "--server-side", "--field-manager=demo", "-f", "-", text=manifest)
