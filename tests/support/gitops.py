"""How Argo CD and Flux read an object: the Lua of examples/gitops/argocd, and kstatus' and Flux' own code."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from lupa.lua51 import LuaRuntime

from cluster.host import REPOSITORY, command
from cluster.tools import tool
from support.kube import Object

EXAMPLES = REPOSITORY / "examples" / "gitops"
HEALTH = EXAMPLES / "argocd" / "health.lua"
# What Argo CD leaves out of the interpreter: https://github.com/argoproj/argo-cd/blob/master/util/lua/lua.go
_NOT_IN_ARGO_CD = ("string", "math", "io", "debug", "coroutine", "python")
# The CustomResourceDefinitions of the kinds in the examples lie in these Go modules: version, checksum, files.
_CRDS = {
    "github.com/argoproj/argo-cd/v3": (
        "v3.5.7",
        "h1:Xm1BF+I5OgDKUG3SDK49vn2/Y5AMyaNVko+/JT08gj0=",
        ("manifests/crds/application-crd.yaml", "manifests/crds/appproject-crd.yaml"),
    ),
    "github.com/fluxcd/kustomize-controller": (
        "v1.9.6",
        "h1:XB+G3A0mky0j5uVHZWv4oSlS2RvZBoNIUhstIvY0JKE=",
        ("config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",),
    ),
    "github.com/fluxcd/source-controller": (
        "v1.9.6",
        "h1:nG534/bI6nVpyHra7ONAk6xDB3xPsVT+EOLHZHXPrrc=",
        ("config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",),
    ),
}


class Health(NamedTuple):
    """What Argo CD shows."""

    status: str
    message: str


def argocd(item: Object) -> Health:
    """The health of an object. Raises lupa's LuaError where the script fails."""
    lua = LuaRuntime()
    for library in _NOT_IN_ARGO_CD:
        lua.globals()[library] = None
    lua.globals().obj = lua.table_from(item, recursive=True)
    found = lua.execute(HEALTH.read_text())
    return Health(found["status"], found["message"])


def kstatus(*items: Object, expressions: Mapping[str, str] | None = None) -> list[str]:
    """Each object's status as kustomize-controller sees it: by kstatus or, where given, by its healthCheckExprs."""
    asked = "\n".join(json.dumps({"object": item, "expressions": expressions}) for item in items)
    result = subprocess.run([tool("kstatus")], input=asked, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def examples(*folders: str) -> list[Object]:
    """All objects in the examples' folders, without kustomize's own files."""
    paths = [path for folder in folders for path in sorted((EXAMPLES / folder).glob("*.yaml"))]
    items = [item for path in paths for item in yaml.safe_load_all(path.read_text())]
    return [item for item in items if "kustomize.config.k8s.io" not in item.get("apiVersion", "")]


_FLUX = next(item for item in examples("flux") if item["kind"] == "Kustomization")["spec"]["healthCheckExprs"][0]
_EXPRESSIONS = {key: text for key, text in _FLUX.items() if key not in ("apiVersion", "kind")}
# What `read` says of a service that is on its way, that serves, and that somebody must change.
PROGRESSING = ("Progressing", "InProgress", "InProgress")
HEALTHY = ("Healthy", "Current", "Current")
DEGRADED = ("Degraded", "Failed", "Failed")


def read(item: Object) -> tuple[str, str, str]:
    """What Argo CD, kstatus and Flux with the example's healthCheckExprs say of a recorded object."""
    (plain,), (with_expressions,) = kstatus(item), kstatus(item, expressions=_EXPRESSIONS)
    return argocd(item).status, plain, with_expressions


def crds() -> list[Path]:
    """Files with Argo CD's and Flux' own CustomResourceDefinitions. Needs the Go module proxy, once."""
    found = []
    for module, (version, checksum, names) in _CRDS.items():
        about = json.loads(command(["go", "mod", "download", "-json", f"{module}@{version}"]))
        assert about["Sum"] == checksum, f"{module} {version} is not what it was"
        found += [Path(about["Dir"]) / name for name in names]
    return found


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    """A condition as far as anybody reads it."""
    return {"type": kind, "status": status, "reason": reason, "message": message}


def recorded(conditions: Sequence[Mapping[str, Any]], generation: int = 1, observed: int = 1) -> Object:
    """An InferenceService with a status."""
    return {
        "apiVersion": "vllm-operator.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "chat", "generation": generation},
        "spec": {"model": {"uri": "hf://org/name"}},
        "status": {"observedGeneration": observed, "conditions": [dict(entry) for entry in conditions]},
    }
