"""Controllers of others as processes of this machine: their webhooks, and what they are told of where to serve them."""

import base64
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from cluster.control_plane import ControlPlane
from support.kube import Kube, Object

# Of namespaces whose objects go through the webhooks.
SELECTED = {"lws": "on"}


@contextmanager
def served(kube: Kube, hooks: Sequence[Object], ready: Callable[[], object], seconds: float) -> Iterator[None]:
    """The webhooks are there while the block runs, from when the controller serves them."""
    try:
        kube.wait("its webhooks are served", seconds, ready)
        kube.apply(*hooks)
        yield
    finally:
        for hook in hooks:
            kube.run("delete", hook["kind"], hook["metadata"]["name"], "--ignore-not-found")


def at_this_machine(plane: ControlPlane, manifests: Path, prefix: str, port: int) -> Iterator[Object]:
    """The webhooks of a module, at this machine's address, and for some namespaces."""
    authority = base64.b64encode((plane.certificates / "ca.crt").read_bytes()).decode()
    for document in yaml.safe_load_all(manifests.read_text()):
        document["metadata"]["name"] = f"{prefix}-{document['metadata']['name']}"
        for hook in document["webhooks"]:
            place: dict[str, Any] = hook["clientConfig"].pop("service")
            hook["clientConfig"] = {"url": f"https://127.0.0.1:{port}{place['path']}", "caBundle": authority}
            hook["namespaceSelector"] = {"matchLabels": SELECTED}
        yield document


def configuration(plane: ControlPlane, api: str, port: int, health: str = "0", **more: Any) -> Path:
    """The file of a controller that serves webhooks at a port, in a folder with the certificate for that."""
    # The API server's certificate is for this address as well.
    folder = plane.state / api.partition(".")[2].partition(".")[0]
    folder.mkdir(exist_ok=True)
    for suffix in ("crt", "key"):
        shutil.copy(plane.certificates / f"apiserver.{suffix}", folder / f"tls.{suffix}")
    content = {
        "apiVersion": api,
        "kind": "Configuration",
        "internalCertManagement": {"enable": False},
        "webhook": {"host": "127.0.0.1", "port": port, "certDir": str(folder)},
        "metrics": {"bindAddress": "0"},
        "health": {"healthProbeBindAddress": health},
        **more,
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(content))
    return file
