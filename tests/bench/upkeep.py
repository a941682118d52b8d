"""What becomes of a fleet that is there, in the parts of `make bench`: each takes a Run whose objects are all Ready."""

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from bench.client import CREATIONS, send
from bench.fakes import NODES, SERVICES_OF_A_NODE, Moment, meanwhile, patience, seconds, wait
from bench.figures import cpu_seconds
from bench.profiles import named, namespace
from bench.run import Run
from cluster import kwok
from cluster.control_plane import ControlPlane
from cluster.host import REPOSITORY
from support.rights import writes
from vllm_operator.cluster import path

REPAIRS, SINGLES, RECONCILES = 5, 50, 100_000
MOST_NODES, GPUS_OF_A_NODE, PRODUCTS = 1000, 8, 20
# Of each kind, a field that is ours; and what makes a child ours.
EDITS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("Deployment", "edited", {"spec": {"replicas": 2}}),
    ("Service", "edited", {"spec": {"selector": {"app.kubernetes.io/instance": "somebody"}}}),
    ("ControllerRevision", "edited", {"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}}),
    ("Deployment", "labelled as another's", {"metadata": {"labels": {"app.kubernetes.io/instance": "somebody"}}}),
    ("Service", "left without an owner", {"metadata": {"ownerReferences": None}}),
)
DELETED = ("Deployment", "Service", "ControllerRevision")


def list_all(run: Run) -> None:
    """`kubectl vllm status -A`, and a scrape."""
    env = {**os.environ, "KUBECONFIG": str(run.plane.kubeconfig), "PYTHONPATH": str(REPOSITORY / "operator")}
    started = time.monotonic()
    command = [sys.executable, "-m", "vllm_operator", "status", "-A"]
    said = subprocess.run(command, env=env, check=False, stdout=subprocess.PIPE, text=True).stdout
    run.table.add("kubectl vllm status -A", time.monotonic() - started, "s", most=5)
    if (lines := len(said.splitlines())) < run.count:
        raise SystemExit(f"kubectl vllm status -A printed {lines} lines for {run.count} services")
    started = time.monotonic()
    run.metric("vllm_operator_queue_depth")
    run.table.add("a scrape of the operator", time.monotonic() - started, "s", most=1)


def create_one(run: Run) -> None:
    """One more service at a time, while nothing else goes on: until all its children are applied."""
    since = run.now()
    names = [f"one{number}" for number in range(SINGLES)]
    collection = run.profile.collection(namespace(0))
    for number, name in enumerate(names):
        body = run.profile.body(number)
        body["metadata"]["name"] = name
        run.plane.api().create(collection, body)
        time.sleep(1.5)
    wait("all of them have their children", 60, lambda: run.done(since).keys() >= set(names))
    done, created = run.done(since), run.created(since)
    took = [done[name] - created[name] for name in names]
    run.table.times("one created when idle, until its children are applied", took, most=0.1, worst=0.5)
    for name in names:
        run.plane.api().request("DELETE", f"{collection}/{name}")
    time.sleep(10)


def repair(run: Run) -> None:
    """Children of some objects are edited and deleted by hand, one at a time, until the operator has written them."""
    acts = [*EDITS, *((kind, "deleted", None) for kind in DELETED)]
    for kind, what, body in acts:
        took = [_repaired(run, kind, number, body) for number in range(min(REPAIRS, run.count))]
        run.table.times(f"a {kind} {what} by hand, until it is repaired", took, most=1)


def _repaired(run: Run, kind: str, number: int, body: dict[str, Any] | None) -> float:
    """Seconds until a child of an object is as it was; it is deleted where there is no change."""
    where = path(kind, namespace(number))
    query = f"labelSelector=app.kubernetes.io/instance%3D{named(number)}"
    name = (run.plane.api().get(f"{where}?{query}") or {})["items"][0]["metadata"]["name"]
    resource = where.rpartition("/")[2]

    def act() -> None:
        if body:
            run.plane.api().patch(f"{where}/{name}", body)
        else:
            run.plane.api().request("DELETE", f"{where}/{name}")

    took = _until_written(run, act, resource, name)
    time.sleep(1)
    return took


def _until_written(run: Run, act: Callable[[], object], resource: str, name: str, where: Sequence[str] = ()) -> float:
    """Seconds from an act until the operator's next write of a child; in other namespaces, where these are named."""
    since, started = run.now(), time.time()
    act()

    def written() -> list[float]:
        found = (one for one in run.applied(since, resource, where=where) if one["objectRef"]["name"] == name)
        return [seconds(one["stageTimestamp"]) for one in found]

    wait(f"{resource} {name} is written", 60, written, 0.2)
    return written()[0] - started


def change_node(run: Run) -> None:
    """Among a thousand nodes, and with services of twenty kinds of GPUs beside the fleet, a node gets one of these:
    what that costs the operator, beside as long a rest. One service finds its GPUs by it, and gets its pods.
    """
    process = run.operator.process
    assert process
    others = max(0, MOST_NODES - max(NODES, run.count // SERVICES_OF_A_NODE))
    for number in range(others):
        run.plane.api().create("/api/v1/nodes", _still(number))
    names = [_ask_for(run, number) for number in range(PRODUCTS)]
    wait("their services are told", 120, lambda: all(_told(run, name) for name in names))
    # Kubernetes finds out only now that nobody keeps them alive, and writes each of them for it.
    wait("the nodes are told to be lost", 180, lambda: _lost(run) >= others, 2)
    time.sleep(20)
    spent: list[float] = []
    for product in (None, _product(0)):
        before = cpu_seconds(process.pid)
        if product:
            labels = _labels(product)
            run.plane.api().patch("/api/v1/nodes/fake-0", {"metadata": {"labels": labels}})
        time.sleep(30)
        spent.append(cpu_seconds(process.pid) - before)
    run.table.add("one node changes: CPU of the operator", spent[1] - spent[0], "s", most=1)
    wait("its service knows its GPUs", 60, lambda: _told(run, names[0]) != "NoMatchingNode")
    for name in names:
        run.plane.api().request("DELETE", f"{run.profile.collection(namespace(0))}/{name}")


def _product(number: int) -> str:
    return f"NVIDIA-BENCH-{number}"


def _still(number: int) -> dict[str, Any]:
    """A node of some other product that nobody keeps alive."""
    node = kwok.node(f"still-{number}", 0, "")
    del node["metadata"]["annotations"]
    node["metadata"]["labels"] |= _labels(f"NVIDIA-OTHER-{number % PRODUCTS}")
    for resources in (node["status"]["capacity"], node["status"]["allocatable"]):
        resources["nvidia.com/gpu"] = str(GPUS_OF_A_NODE)
    return node


def _lost(run: Run) -> int:
    """How many nodes have the taint of one that is not heard of."""
    nodes = (run.plane.api().get("/api/v1/nodes") or {})["items"]
    taints = ((one["key"], one["effect"]) for node in nodes for one in node["spec"].get("taints", ()))
    return sum(taint == ("node.kubernetes.io/unreachable", "NoSchedule") for taint in taints)


def _labels(product: str) -> dict[str, str]:
    """Of a node with GPUs that are in no catalogue."""
    return {f"nvidia.com/gpu.{name}": value for name, value in (("product", product), ("memory", "81559"))}


def _ask_for(run: Run, number: int) -> str:
    """Makes a service that asks for GPUs of a kind that no node has, and returns its name."""
    name = f"gpus{number}"
    body = run.profile.body(number)
    body["metadata"]["name"] = name
    body["spec"]["accelerator"] = {"product": _product(number)}
    run.plane.api().create(run.profile.collection(namespace(0)), body)
    return name


def _told(run: Run, name: str) -> str:
    """The reason of a service's condition Ready; empty while it has none."""
    found = run.plane.api().get(f"{run.profile.collection(namespace(0))}/{name}") or {}
    conditions = found.get("status", {}).get("conditions", [])
    return next((str(one["reason"]) for one in conditions if one["type"] == "Ready"), "")


def change(run: Run) -> None:
    """A change of all objects' pods: each child that changes is written once; and an edit in another namespace is not
    behind them."""
    settle_alone(run)
    alone = [edited(run, turn) for turn in range(5)]
    since, started, step = run.now(), time.time(), max(3.0, run.count / 300)
    changed, read = set[str](), since
    edits = threading.Thread(target=run.each, args=("MERGE", lambda _: run.profile.change(1)), kwargs={"named_urls": 1})
    edits.start()
    time.sleep(1)
    beside: list[float] = []
    while edits.is_alive() or len(changed) < run.count:
        read, unread = Moment(since.time, run.now().offset), read
        changed |= run.done(unread).keys()
        if time.time() - started > patience(run.count):
            raise SystemExit("not all are changed")
        beside.append(edited(run, 5 + len(beside)))
        time.sleep(min(step, 5))
    edits.join()
    table = run.table
    table.add("change of all, applied", run.count / (max(run.done(since).values()) - started), "services/s")
    table.times("an edit in a namespace of one service, alone", alone)
    table.times("the same while all others are changed", beside)
    wait("all pods serve again", patience(run.count), lambda: run.ready() == run.count + 1, step)
    time.sleep(15)  # progress that is written later
    written = len(run.applied(since, run.profile.last)) / run.count
    table.add(f"writes of {run.profile.last} for one changed", written, "", most=1)
    run.plane.api().request("DELETE", f"{run.profile.collection(_ALONE)}/{named(0)}")


_ALONE = "bench-alone"


def settle_alone(run: Run) -> None:
    """A service that has a namespace to itself."""
    run.plane.api().create("/api/v1/namespaces", {"metadata": {"name": _ALONE}})
    run.plane.api().create(run.profile.collection(_ALONE), run.profile.body(0))
    time.sleep(5)


def edited(run: Run, turn: int) -> float:
    """Seconds until an edit of the service that has a namespace to itself is in its Deployment."""
    url = f"{run.profile.collection(_ALONE)}/{named(0)}"
    edit = partial(run.plane.api().patch, url, run.profile.change(3 + turn % 100))
    return _until_written(run, edit, run.profile.last, named(0), where=[_ALONE])


def silence(run: Run) -> None:
    """Writes of the operator while nobody changes an object of its own."""
    since = run.now()
    with churn(run.plane) as done:
        time.sleep(run.quiet)
    found = writes(run.plane.audit_log, run.profile.user, since.time, since.offset)
    run.table.add(f"writes in {run.quiet:.0f} s of pods and node changes of others", len(found), "", most=0)
    print(f"{done['rounds']} such changes", *found[:10], sep="\n")


@contextmanager
def churn(plane: ControlPlane) -> Iterator[Counter[str]]:
    """Pods of others come and go and nodes change, several times a second, until the block ends."""
    done = Counter[str]()
    api = plane.api()

    def go_on(stop: threading.Event) -> None:
        number = 0
        while not stop.wait(0.2):
            number += 1
            container = {"name": "web", "image": "web", "resources": {"requests": {"cpu": "1"}}}
            meta = {"name": f"other-{number}", "labels": {"app": "other"}}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}
            api.create("/api/v1/namespaces/default/pods", pod)
            beat = {"metadata": {"labels": {"example.com/beat": str(number)}}}
            api.patch(f"/api/v1/nodes/fake-{number % NODES}", beat)
            if number > 20:
                api.request("DELETE", f"/api/v1/namespaces/default/pods/other-{number - 20}")
            done["rounds"] = number

    with meanwhile(go_on):
        yield done


def reconcile(run: Run) -> None:
    """Others annotate Deployments until the operator has looked a hundred thousand times: its memory stays."""
    count = "vllm_operator_reconcile_seconds_count"
    first, began, moment, turn = run.metric(count), 0.0, run.now(), 0
    while (done := run.metric(count) - first) < RECONCILES:
        if not began and done >= RECONCILES / 10:
            began = run.operator.resident_mib()
        turn += 1
        note = {"metadata": {"annotations": {"example.com/turn": str(turn)}}}
        urls = (path("Deployment", namespace(number), named(number)) for number in range(run.count))
        asyncio.run(send(run.plane, [("MERGE", url, note) for url in urls], CREATIONS))
    grown = run.operator.resident_mib() - began
    run.table.add("memory after a tenth of 100,000 reconciles", began, "MiB")
    run.table.add("and more after all of them", grown, "MiB", most=2)
    run.table.add("writes by them", len(run.applied(moment)), "", most=0)


def restart(run: Run) -> None:
    """The operator starts again, and one object is changed meanwhile."""
    time.sleep(15)  # whatever was under way
    run.operator.stop()
    since, started = run.now(), time.time()
    run.operator.start(**run.profile.settings)
    run.plane.api().patch(run.profile.url(0), run.profile.change(2))
    wait("the edit is served", 120, lambda: named(0) in run.done(since), 0.5)
    table = run.table
    table.add("operator restart, until a first edit is served", run.done(since)[named(0)] - started, "s", most=10)
    wait("it has caught up", 300, lambda: not run.metric("vllm_operator_queue_depth"), 0.5)
    table.add("operator restart, until nothing waits", time.time() - started, "s", most=60)
    time.sleep(40)
    table.add("operator restart, memory at most", run.operator.peak_mib(), "MiB")
    table.add("operator's memory after a restart", run.operator.resident_mib(), "MiB", most=run.memory())
    table.add("writes by a restart, that one aside", len(_others(run, since)), "", most=0)


def _others(run: Run, since: Moment) -> list[str]:
    """The operator's writes of all kinds, statuses and Events too, but for what is the first object's."""
    found = writes(run.plane.audit_log, run.profile.user, since.time, since.offset)
    own = re.compile(rf"/{re.escape(named(0))}([-. ]|$)")
    return [one for one in found if not own.search(one)]


PARTS: dict[str, Callable[[Run], None]] = {
    "list": list_all,
    "one": create_one,
    "repair": repair,
    "node": change_node,
    "change": change,
    "silence": silence,
    "restart": restart,
    "reconcile": reconcile,
}
