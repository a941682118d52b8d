"""The programs of the cluster, built from their Go modules at the versions that tests/cluster/go/*/go.mod pin."""

import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cluster.host import ClusterError, cache_root, command, content_hash, lock, logged, step

MODULES = Path(__file__).parent / "go"
WORKSPACE = MODULES / "go.work"
# A compiler ends before its garbage matters; to collect it takes a quarter of the time.
COMPILING = {"CGO_ENABLED": "0", "GOGC": "off", "GOMEMLIMIT": "2GiB"}


def _no_flags(_version: str) -> str:
    return ""


def _kubernetes_flags(version: str) -> str:
    # Without these the components report v0.0.0 and misbehave (feature gates compare versions).
    major, minor, _ = version.removeprefix("v").split(".", 2)
    base = "k8s.io/component-base/version"
    values = {
        f"{base}.gitVersion": version,
        f"{base}.gitMajor": major,
        f"{base}.gitMinor": minor,
        "k8s.io/client-go/pkg/version.gitVersion": version,
    }
    return " ".join(f"-X {name}={value}" for name, value in values.items())


def _helm_flags(version: str) -> str:
    return f"-X helm.sh/helm/v4/internal/version.version={version}"


def _lazy(_version: str) -> str:
    return "-extldflags=-Wl,-z,lazy"


@dataclass(frozen=True)
class _Source:
    """A Go module kept in this package, and what to build of it."""

    package: str
    module: str = ""
    """The required module whose version names the build."""
    commands: tuple[str, ...] = ()
    """Names to link to the binary, which looks at the name it is called by."""
    flags: Callable[[str], str] = _no_flags
    usual: str = "less than a minute"
    stages: tuple[str, ...] = ()
    """Files of the module to keep beside the binary, joined in stages.yaml."""
    tags: tuple[str, ...] = ()
    """Go's build tags."""
    others: Mapping[str, str] = field(default_factory=dict)
    """Further programs of the same module: name and package."""
    folder: str = ""
    """Where go.mod is, if not in a folder of the same name."""
    linking: Mapping[str, str] = field(default_factory=dict)
    """Environment of a build that needs a C compiler."""


_KUBERNETES = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
)
# NVML is a library that is opened at run time: its names are resolved when they are used, not when this is linked.
_NVML = {"CGO_ENABLED": "1", "CGO_LDFLAGS_ALLOW": "-Wl,--unresolved-symbols=ignore-in-object-files"}
_DEVICE_PLUGIN = "github.com/NVIDIA/k8s-device-plugin"
_PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator"
_KEDA = "github.com/kedacore/keda/v2"
_CONTAINERD = "github.com/containerd/containerd/v2"
SOURCES = {
    "kubernetes": _Source(".", "k8s.io/kubernetes", _KUBERNETES, _kubernetes_flags, "about 7 min at 2 cores"),
    "helm": _Source(
        "helm.sh/helm/v4/cmd/helm",
        "helm.sh/helm/v4",
        flags=_helm_flags,
        usual="about 1.5 min at 2 cores, less after Kubernetes",
    ),
    "kwok": _Source(
        "sigs.k8s.io/kwok/cmd/kwok",
        "sigs.k8s.io/kwok",
        stages=("node/fast/node-*", "node/heartbeat-with-lease/node-*", "pod/fast/pod-*"),
    ),
    "kind": _Source("sigs.k8s.io/kind", "sigs.k8s.io/kind"),
    "kstatus": _Source(".", "sigs.k8s.io/cli-utils"),
    "promtool": _Source(
        "github.com/prometheus/prometheus/cmd/promtool",
        "github.com/prometheus/prometheus",
        tags=("remove_all_sd",),  # service discovery: the clients of a dozen clouds
        usual="about 1.5 min at 2 cores",
    ),
    "prometheus": _Source(
        "github.com/prometheus/prometheus/cmd/prometheus",
        "github.com/prometheus/prometheus",
        folder="promtool",
        tags=("remove_all_sd", "enable_kubernetes_sd"),
        usual="about 1 min at 2 cores",
    ),
    "prometheus-operator": _Source(
        f"{_PROMETHEUS_OPERATOR}/cmd/operator",
        _PROMETHEUS_OPERATOR,
        others={"prometheus-config-reloader": f"{_PROMETHEUS_OPERATOR}/cmd/prometheus-config-reloader"},
        usual="about 1.5 min at 2 cores",
    ),
    "prometheus-adapter": _Source(
        "sigs.k8s.io/prometheus-adapter/cmd/adapter",
        "sigs.k8s.io/prometheus-adapter",
        usual="about 1.5 min at 2 cores",
    ),
    "keda": _Source(
        f"{_KEDA}/cmd/operator",
        _KEDA,
        others={name: f"{_KEDA}/cmd/{name.removeprefix('keda-')}" for name in ("keda-adapter", "keda-webhooks")},
        usual="about 5 min at 2 cores",
    ),
    "coredns": _Source(".", "github.com/coredns/coredns", usual="about 2 min at 2 cores"),
    "kueue": _Source("sigs.k8s.io/kueue/cmd/kueue", "sigs.k8s.io/kueue", usual="about 7 min at 2 cores"),
    "kube-router": _Source(
        "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
        "github.com/cloudnativelabs/kube-router/v2",
        usual="about 1.5 min at 2 cores",
    ),
    "kuberay": _Source(
        "github.com/ray-project/kuberay/ray-operator",
        "github.com/ray-project/kuberay/ray-operator",
        usual="about 3 min at 2 cores",
    ),
    "lws": _Source("sigs.k8s.io/lws/cmd", "sigs.k8s.io/lws", usual="about 1.5 min at 2 cores"),
    "containerd": _Source(
        f"{_CONTAINERD}/cmd/containerd",
        _CONTAINERD,
        tags=("no_btrfs", "no_devmapper", "no_zfs"),
        others={name: f"{_CONTAINERD}/cmd/{name}" for name in ("containerd-shim-runc-v2", "ctr")},
        usual="about 2 min at 2 cores",
    ),
    "crane": _Source(
        "github.com/google/go-containerregistry/cmd/crane",
        "github.com/google/go-containerregistry",  # also a registry, for tests
    ),
    "gofakes3": _Source("github.com/johannesboyne/gofakes3/cmd/gofakes3", "github.com/johannesboyne/gofakes3"),
    "nvidia-device-plugin": _Source(
        f"{_DEVICE_PLUGIN}/cmd/nvidia-device-plugin",
        _DEVICE_PLUGIN,
        flags=_lazy,
        usual="about 2 min at 2 cores",
        others={"gpu-feature-discovery": f"{_DEVICE_PLUGIN}/cmd/gpu-feature-discovery"},
        folder="device-plugin",
        linking=_NVML,
    ),
    "pause": _Source("."),
}


@cache
def tool(name: str) -> Path:
    """The path of a program (kubectl, kubelet, helm, kwok, ...), built on first use."""
    for source_name, source in SOURCES.items():
        if name == source_name or name in source.commands or name in source.others:
            return _built(source_name, source) / name
    known = sorted({*SOURCES, *(name for source in SOURCES.values() for name in (*source.commands, *source.others))})
    raise ClusterError(f"No such tool: {name}; there are {', '.join(known)}.")


def programs(name: str) -> list[str]:
    """The programs that are built under the name of a tool; links to the same program are one."""
    return [name, *SOURCES[name].others]


def version(name: str) -> str:
    """The version that a tool's module pins; empty for the project's own programs."""
    required = SOURCES[name].module
    pins = (_folder(name) / "go.mod").read_text()
    found = re.search(rf"^\s*(?:require )?{re.escape(required)} (v\S+)", pins, re.M)
    return found[1] if required and found else ""


def module_files(name: str) -> Path:
    """The files of the module that a tool is built from, such as its CRDs and manifests. Read-only."""
    words: list[str | Path] = ["go", "-C", _folder(name), "mod", "download", "-json", SOURCES[name].module]
    said = command(words, env=_environment(name))
    return Path(json.loads(said)["Dir"])


def _folder(name: str) -> Path:
    return MODULES / (SOURCES[name].folder or name)


def _members() -> list[str]:
    """The folders whose modules share one set of versions."""
    return re.findall(r"^\t\./(\S+)$", WORKSPACE.read_text(), re.M)


def _workspace(name: str) -> str:
    """What decides the versions of a tool's module, as GOWORK."""
    return str(WORKSPACE) if _folder(name).name in _members() else "off"


def _environment(name: str) -> dict[str, str]:
    """What Go sees when it works on a tool's module."""
    return {**os.environ, **COMPILING, "GOWORK": _workspace(name)}


def _built(name: str, source: _Source) -> Path:
    flags = f"-s -w {source.flags(version(name))}".strip()
    files = sorted(p for p in _folder(name).iterdir() if p.suffix in {".go", ".mod", ".sum"})
    if _workspace(name) != "off":  # any module of it may raise a version that this one uses, too
        files += [*sorted(MODULES.glob("go.work*")), *(MODULES / member / "go.mod" for member in _members())]
    words = (*source.commands, *source.stages, *source.tags, *source.others.values())
    key = content_hash(files, flags, source.package, platform.machine(), *words)
    target = cache_root() / "tools" / "-".join(filter(None, [name, version(name), key]))
    if target.is_dir():
        return target
    with lock(f"tool-{name}"):
        if not target.is_dir():
            _build(name, source, flags, target)
    return target


def _build(name: str, source: _Source, flags: str, target: Path) -> None:
    if shutil.which("go") is None:
        raise ClusterError(
            "Go is missing: install Go 1.26 or newer (go.dev/doc/install); the cluster is built with it."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    title = f"{name} {version(name)}".strip()
    options = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-tags", ",".join(source.tags), "-ldflags", flags]
    scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    try:
        with step(f"building {title} from its Go module ({source.usual} the first time)"):
            for program, package in {name: source.package, **source.others}.items():
                logged(
                    ["go", "build", *options, "-o", scratch / program, package],
                    cache_root() / "logs" / f"build-{program}.log",
                    cwd=_folder(name),
                    env={**_environment(name), **source.linking},
                )
        for link in source.commands:
            (scratch / link).symlink_to(name)
        if source.stages:
            stages = module_files(name) / "kustomize" / "stage"
            found = [f for glob in source.stages for f in sorted(stages.glob(f"{glob}.yaml"))]
            (scratch / "stages.yaml").write_text("---\n".join(f.read_text() for f in found))
        scratch.chmod(0o755)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
