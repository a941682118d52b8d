"""`make bench-scale`: 300 services at once, on fake nodes. How fast their children are applied, what that costs the API
server, and that nothing is written afterwards. Exits with 1 when a figure misses its target.

The figures are the API server's: they come from its audit log. What a machine can do at all is measured beside them: a
client that has the children ready sends them to a control plane of its own, as many at a time as the operator does.
"""

import argparse
import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from cluster.control_plane import ControlPlane
from support.kube import Kube
from support.operator_process import ACCOUNT, OperatorProcess, install_rights
from support.rights import WRITES, requests, writes
from support.services import service
from vllm_operator.cli.render import service_of
from vllm_operator.cluster import path
from vllm_operator.manifests import Rendered, controller_revision, desired, pod_template
from vllm_operator.settings import Settings

NAMESPACE = "bench"
SERVICES = "/apis/vllm-operator.dev/v1alpha1/namespaces/bench/inferenceservices"
CHILDREN = ("deployments", "services", "controllerrevisions")
LEAST_PER_SECOND = 30.0
LEAST_OF_LIMIT = 0.7
MOST_MIB = 120.0


@dataclass
class Table:
    """The figures, printed as they come, and whether all meet their targets."""

    missed: list[str] = field(default_factory=list)

    def row(self, what: str, figure: str, target: str = "", *, met: bool = True) -> None:
        """Prints one figure."""
        print(f"{what:<58}{figure:>18}   {target}{'' if met else '   MISSED'}", flush=True)
        if not met:
            self.missed.append(what)


def seconds(timestamp: str) -> float:
    """An audit log's time as seconds."""
    return datetime.fromisoformat(timestamp).timestamp()


def wait(what: str, limit: float, done: Any) -> None:
    """Waits until `done()` is true."""
    deadline = time.monotonic() + limit
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not so after {limit:.0f} s")
        time.sleep(2)  # to look costs the API server, too


def all_ready(plane: ControlPlane, count: int) -> bool:
    """Whether every service is Ready and settled."""
    items = (plane.api().get(SERVICES) or {"items": []})["items"]
    conditions = [{c["type"]: c["status"] for c in item.get("status", {}).get("conditions", [])} for item in items]
    settled = [c for c in conditions if c.get("Ready") == "True" and "Reconciling" not in c]
    return len(settled) == count


Request = tuple[str, str, dict[str, Any]]


async def send(plane: ControlPlane, requests_of: list[Request], at_once: int) -> None:
    """Sends requests (verb, path, body) as the cluster's admin, over connections that are kept."""
    api = plane.api()
    connector = aiohttp.TCPConnector(ssl=api.context, limit=at_once)
    async with aiohttp.ClientSession(api.server, connector=connector) as session:

        async def one(verb: str, url: str, body: dict[str, Any]) -> None:
            kind = "application/apply-patch+yaml" if verb == "PATCH" else "application/json"
            async with session.request(verb, url, json=body, headers={"Content-Type": kind}) as answer:
                if answer.status >= 300:
                    raise SystemExit(f"{verb} {url}: {answer.status} {await answer.text()}")

        await asyncio.gather(*(one(*request) for request in requests_of))


def apply_all(plane: ControlPlane, count: int) -> None:
    """Creates all services, as fast as the API server takes them."""
    asyncio.run(send(plane, [("POST", SERVICES, service(f"s{number}")) for number in range(count)], 8))


def applies(count: int) -> list[Request]:
    """Server-side apply of everything that the operator makes of the services, the pods last, as in a burst."""
    children: list[dict[str, Any]] = []
    for number in range(count):
        owner = service_of(service(f"s{number}"))
        template = pod_template(owner, Settings())
        children += [controller_revision(owner, 1, Rendered(template)), *desired(owner, template, served=())]
    children.sort(key=lambda child: child["kind"] == "Deployment")
    query = "fieldManager=bench&force=true&fieldValidation=Ignore"
    for child in children:
        child["metadata"]["namespace"] = NAMESPACE
    return [
        ("PATCH", f"{path(child['kind'], NAMESPACE, child['metadata']['name'])}?{query}", child) for child in children
    ]


def limit_of_machine(count: int) -> float:
    """Services per second of a client that does nothing but send, without an operator."""
    plane = ControlPlane.start("bench-limit")
    try:
        plane.add_kwok_nodes(20)
        Kube(plane.kubeconfig, NAMESPACE).run("create", "namespace", NAMESPACE)
        wanted = applies(count)
        started = time.monotonic()
        asyncio.run(send(plane, wanted, Settings().workers))
        return count / (time.monotonic() - started)
    finally:
        plane.stop()


def measure_apply(plane: ControlPlane, operator: OperatorProcess, count: int, limit: float, table: Table) -> None:
    """From the first service to the last child; `limit` is what the machine can do without an operator."""
    first = datetime.now(UTC).timestamp()
    apply_all(plane, count)
    wait("all services are Ready", 300, lambda: all_ready(plane, count))
    time.sleep(5)  # what is still on its way
    events = [e for e in requests(plane.audit_log, ACCOUNT) if e.get("objectRef", {}).get("namespace") == NAMESPACE]
    applied = [e for e in events if e["verb"] == "patch" and e["objectRef"]["resource"] in CHILDREN]
    last = max(seconds(e["stageTimestamp"]) for e in applied)
    rate = count / (last - first)
    table.row(
        "services per second, all children applied",
        f"{rate:.1f}",
        f">= {LEAST_PER_SECOND:.0f}",
        met=rate >= LEAST_PER_SECOND,
    )
    share = rate / limit
    table.row(
        "share of the services per second without an operator",
        f"{share:.0%}",
        f">= {LEAST_OF_LIMIT:.0%}",
        met=share >= LEAST_OF_LIMIT,
    )
    measure_requests(events, count, table)
    mib = operator.resident_mib()
    table.row("operator's resident memory, MiB", f"{mib:.0f}", f"< {MOST_MIB:.0f}", met=mib < MOST_MIB)


def measure_requests(events: list[dict[str, Any]], count: int, table: Table) -> None:
    """What one service costs, by verb and resource."""
    asked: Counter[str] = Counter()
    for event in events:
        where = event["objectRef"]
        asked[f"{event['verb']} {'/'.join(filter(None, (where['resource'], where.get('subresource'))))}"] += 1
    limits = {f"patch {child}": 1.0 for child in CHILDREN}  # and no read: what is not there is applied without one
    limits |= {"patch inferenceservices/status": 2.0, "create events": 2.0}
    for request, number in sorted(asked.items()):
        verb = request.split()[0]
        if verb in (*WRITES, "get"):
            each, limit = number / count, limits.get(request, 0.0)
            table.row(f"{request}, per service", f"{each:.2f}", f"<= {limit:.0f}", met=each <= limit)


@contextmanager
def churn(plane: ControlPlane) -> Iterator[Counter[str]]:
    """Pods of others come and go and nodes change, several times a second, until the block ends."""
    stop, done = threading.Event(), Counter[str]()
    api = plane.api()

    def run() -> None:
        number = 0
        while not stop.wait(0.2):
            number += 1
            container = {"name": "web", "image": "web", "resources": {"requests": {"cpu": "1"}}}
            meta = {"name": f"other-{number}", "labels": {"app": "other"}}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}
            api.create("/api/v1/namespaces/default/pods", pod)
            api.patch(f"/api/v1/nodes/fake-{number % 20}", {"metadata": {"labels": {"example.com/beat": str(number)}}})
            if number > 20:
                api.request("DELETE", f"/api/v1/namespaces/default/pods/other-{number - 20}")
            done["rounds"] = number

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()


def measure_silence(plane: ControlPlane, length: float, table: Table) -> None:
    """Writes of the operator while nobody changes a service."""
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    with churn(plane) as done:
        time.sleep(length)
    found = writes(plane.audit_log, ACCOUNT, since)
    what = f"writes in {length:.0f} s, with {done['rounds']} pods and node changes of others"
    table.row(what, str(len(found)), "0", met=not found)
    print(*found[:10], sep="\n", end="\n" if found else "")


def main() -> int:
    """Runs it all on a control plane of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=300)
    parser.add_argument("--silence", type=float, default=600, help="seconds to watch for writes (default: %(default)s)")
    arguments = parser.parse_args()
    table = Table()
    limit = limit_of_machine(arguments.services)
    table.row("services per second, sent by a client without an operator", f"{limit:.1f}")
    plane = ControlPlane.start("bench-scale")
    operator: OperatorProcess | None = None
    try:
        plane.add_kwok_nodes(20)
        operator = OperatorProcess(plane, install_rights(plane))
        Kube(plane.kubeconfig, NAMESPACE).run("create", "namespace", NAMESPACE)
        operator.start()
        time.sleep(2)  # its watches are up
        measure_apply(plane, operator, arguments.services, limit, table)
        measure_silence(plane, arguments.silence, table)
        operator.check()
    finally:
        if operator:
            operator.stop()
        plane.stop()
    if table.missed:
        print(f"missed: {', '.join(table.missed)}")
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
