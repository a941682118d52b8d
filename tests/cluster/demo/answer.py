"""A question to the served model, through its Service, with the OpenAI SDK."""

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.demo.kubectl import Kubectl
from cluster.host import ClusterError

QUESTION = "What is vLLM?"


@contextmanager
def reachable(kubectl: Kubectl, namespace: str, service: str, *, routed: bool) -> Iterator[tuple[str, str]]:
    """The base URL of a Service of port 8000 as seen from this machine, and how it is reached."""
    if routed:  # this machine has routes to the cluster's Services
        found = kubectl.get("service", service, f"--namespace={namespace}")
        address = str((found or {})["spec"]["clusterIP"])
        yield f"http://{address}:8000/v1", f"the Service's own address {address}"
        return
    command = kubectl.command("port-forward", f"--namespace={namespace}", f"service/{service}", ":8000")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as forward:
        try:
            line = forward.stdout.readline() if forward.stdout else ""
            if (port := re.search(r"127\.0\.0\.1:(\d+)", line)) is None:
                raise ClusterError(f"kubectl port-forward failed: {line.strip()}")
            yield f"http://127.0.0.1:{port[1]}/v1", "kubectl port-forward"
        finally:
            forward.terminate()


def ask(base_url: str, model: str) -> Iterator[str]:
    """Stream one chat completion."""
    from openai import OpenAI  # noqa: PLC0415 (a second to import, which `make demo-down` does not need)

    client = OpenAI(base_url=base_url, api_key="none", max_retries=3, timeout=60)
    stream = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": QUESTION}], temperature=0, stream=True
    )
    for chunk in stream:
        if chunk.choices and (text := chunk.choices[0].delta.content):
            yield text


def await_connection(base_url: str, seconds: float = 15) -> None:
    """Wait until the address answers: kube-proxy may be a moment behind a pod that became Ready."""
    host, port = base_url.removeprefix("http://").removesuffix("/v1").split(":")
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise ClusterError(f"{base_url} does not answer: {error}") from error
            time.sleep(0.2)
        else:
            return
