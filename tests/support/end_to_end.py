"""What the end-to-end tests agree on: names and addresses, and how they ask a model."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from support.kube import Kube, Object

NAMESPACE = "e2e"
# Of a registry that the tests run on the node: the runtime asks one of this name without TLS.
REGISTRY_PORT = 5055
# The API key of the service `keyed`.
KEY = "sk-of-the-tests"
CHAT: Object = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}


def hub_address(kubeconfig: Path) -> str:
    """Of the Service of a hub that the tests run as a pod: there is no DNS, and clusters have other ranges."""
    first = Kube(kubeconfig, "default").get("service", "kubernetes")
    assert first
    return ".".join([*first["spec"]["clusterIP"].split(".")[:2], "77", "77"])


def call(url: str, body: Object | None = None, key: str = "", timeout: float = 120) -> tuple[int, str]:
    """One HTTP request: status and text."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def chat(url: str, model: str, **extra: Any) -> tuple[int, str]:
    """One chat completion."""
    key = extra.pop("key", "")
    return call(f"{url}/chat/completions", {"model": model, **CHAT, **extra}, key)
