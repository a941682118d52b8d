"""`make bench-ray`: a service on Ray Serve, with KubeRay's own operator, the real Ray and the real vLLM on the CPU.

A cluster with a real node, a network that enforces policies, the operator by its chart, and the tiny model. It is
started and asked by the OpenAI API, its ports are tried without Ray's token and from pods of others, it takes new
settings while requests run, follows the load, is given settings that cannot work, gets other pods, and is deleted: a
line for each with its seconds, and an exit status of 1 where one of them does not come about. Takes about twenty
minutes on two cores.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.rollout import READY_SECONDS
from bench.steps import goes_through
from cluster.images import build, reference
from support import kuberay, serving
from support.end_to_end import call, chat
from support.firewall import attacked, enforced
from support.kube import Kube, Object, conditions

NAME = "on-ray"
LABELS = {"app.kubernetes.io/name": "vllm", "app.kubernetes.io/instance": NAME}
SELECTOR = f"app.kubernetes.io/instance={NAME}"
IMAGE = reference("vllm-ray")
ON_RAY: dict[str, Any] = {
    "runtime": "RayServe",
    "image": IMAGE,
    "resources": {"requests": {"cpu": "200m", "memory": "1Gi"}, "limits": {"memory": "8Gi"}},
    "env": [{"name": "VLLM_CPU_OMP_THREADS_BIND", "value": "nobind"}],
}
# What opens a port of the head from another pod of the service: without a token, with a wrong one.
PROBE = """
import sys, urllib.request, urllib.error
def answer(path, headers):
    request = urllib.request.Request(f"http://{sys.argv[1]}:8265{path}", headers=headers)
    try:
        return urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code
for path in ("/api/jobs/", "/api/serve/applications/", "/api/cluster_status"):
    print(path, answer(path, {}), answer(path, {"Authorization": "Bearer wrong"}))
"""
CLIENTS = 4


def ray_service(kube: Kube) -> Object:
    """The only RayService."""
    (found,) = kube.list("rayservices", SELECTOR)
    return found


def pods(kube: Kube, node: str) -> list[Object]:
    """Heads or workers that are not being deleted."""
    found = kube.list("pods", f"{SELECTOR},ray.io/node-type={node}")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def ready(kube: Kube) -> Any:
    return kube.wait("it is Ready", READY_SECONDS, lambda: _told(kube, "Ready", "Available"))


def _told(kube: Kube, kind: str, reason: str) -> Object | None:
    """The condition, where it is of the spec as it stands now, and Serve has taken all of it."""
    service = kube.get("vis", NAME) or {}
    found = conditions(service).get(kind, {})
    of_now = found.get("observedGeneration") == service.get("metadata", {}).get("generation")
    return found if of_now and found.get("reason") == reason and "anew" not in found["message"] else None


def answers(kube: Kube) -> str:
    """An answer, and how long it took."""
    began = time.monotonic()
    status, text = chat(kube.url(NAME), NAME, max_tokens=4)
    assert status == 200, text
    return f"answered in {time.monotonic() - began:.2f} s"


def starts(kube: Kube) -> str:
    """Head and worker, and an answer by the Service that every service has."""
    kube.apply(serving.tiny(NAME, **ON_RAY))
    ready(kube)
    models = json.loads(call(f"{kube.url(NAME)}/models")[1])["data"]
    assert [model["id"] for model in models] == [NAME], models
    assert (len(pods(kube, "head")), len(pods(kube, "worker"))) == (1, 1)
    return answers(kube)


def asks_for_rays_token(kube: Kube) -> str:
    """Ray's own API, through which code can be run, answers nobody without the token."""
    (head,), (worker,) = pods(kube, "head"), pods(kube, "worker")
    said = kube.run("exec", worker["metadata"]["name"], "--", "python3", "-c", PROBE, head["status"]["podIP"])
    found = [line.split() for line in said.splitlines()]
    assert len(found) == 3
    assert all(codes == ["401", "403"] for _, *codes in found), said
    return "401 without, 403 with a wrong one"


def keeps_its_ports_to_itself(kube: Kube) -> str:
    """Of all ports on which head and worker listen, others get through to those of the API and the metrics alone."""
    targets = [*pods(kube, "head"), *pods(kube, "worker")]
    return attacked(kube, targets, {**LABELS, "app.kubernetes.io/component": "kuberay-operator"}, {8000, 8080})


@contextmanager
def requests(kube: Kube) -> Iterator[list[float]]:
    """Clients that ask all the time while the block runs: of each request the seconds.

    Every one is to be answered with 200.
    """
    answered: list[float] = []
    failed: list[str] = []
    over = threading.Event()
    url = kube.url(NAME)

    def ask() -> None:
        while not over.is_set():
            began = time.monotonic()
            try:
                status, text = chat(url, NAME, max_tokens=4)
            except OSError as error:
                status, text = 0, str(error)
            answered.append(time.monotonic() - began)
            if status != 200:
                failed.append(f"after {answered[-1]:.1f} s {status}: {text[:1000]}")

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield answered
    finally:
        over.set()
        for client in clients:
            client.join()
    assert not failed, "\n".join([f"{len(failed)} of {len(answered)} requests failed", *failed[:10]])


def takes_new_settings_in_place(kube: Kube) -> str:
    """The same pods, and no request fails: those that come meanwhile wait."""
    before = {pod["metadata"]["uid"] for pod in (*pods(kube, "head"), *pods(kube, "worker"))}
    with requests(kube) as answered:
        kube.merge("vis", NAME, {"spec": {"maxModelLen": 1024}})
        kube.wait("Serve is told", 60, lambda: "max_model_len: 1024" in ray_service(kube)["spec"]["serveConfigV2"])
        kube.wait("Serve deploys it", 60, lambda: not _told(kube, "WorkloadAvailable", "Available"))
        ready(kube)
    assert before == {pod["metadata"]["uid"] for pod in (*pods(kube, "head"), *pods(kube, "worker"))}
    return f"{len(answered)} requests, none failed, the longest took {max(answered):.1f} s"


def follows_the_load(kube: Kube) -> str:
    """Ray's autoscalers, in a cluster with them: a second worker under load, and one again without."""
    scaling = {"minReplicas": 1, "maxReplicas": 2, "targets": {"runningRequests": 1}}
    scaling["scaleDown"] = {"stabilizationSeconds": 0}
    kube.merge("vis", NAME, {"spec": {"replicas": None, "autoscaling": scaling}})
    kube.wait("another cluster is made", 120, lambda: [_ for _ in _all(kube) if _scaled(_)])
    ready(kube)
    with requests(kube) as answered:
        kube.wait("two serve", READY_SECONDS, lambda: _status(kube).get("readyReplicas") == 2 and _runs(kube))
    kube.wait("one is enough", READY_SECONDS, lambda: len(pods(kube, "worker")) == 1)
    ready(kube)
    said = answers(kube)
    kube.merge("vis", NAME, {"spec": {"replicas": 1, "autoscaling": None}})
    kube.wait("another cluster is made", 120, lambda: [_ for _ in _all(kube) if not _scaled(_)])
    ready(kube)
    return f"{len(answered)} requests, none failed; and with one again: {said}"


def _scaled(one: Object) -> bool:
    return bool(one["spec"]["rayClusterConfig"].get("enableInTreeAutoscaling"))


def _status(kube: Kube) -> Object:
    return dict((kube.get("vis", NAME) or {}).get("status", {}))


def _runs(kube: Kube) -> bool:
    active = ray_service(kube).get("status", {}).get("activeServiceStatus", {})
    return all(app["status"] == "RUNNING" for app in active.get("applicationStatuses", {"": {"status": ""}}).values())


def says_what_cannot_work(kube: Kube) -> str:
    """Settings that vLLM refuses are told in its words; with others it serves again."""
    kube.merge("vis", NAME, {"spec": {"quantization": "awq", "planPolicy": "Warn"}})
    said = kube.wait("it says why", READY_SECONDS, lambda: _failure(kube))
    kube.merge("vis", NAME, {"spec": {"quantization": None}})
    kube.wait("it is taken back", READY_SECONDS, lambda: _runs(kube))
    ready(kube)
    return f"{said}; and with the old ones: {answers(kube)}"


def _failure(kube: Kube) -> str:
    found = conditions(kube.get("vis", NAME) or {}).get("WorkloadAvailable", {})
    return str(found["message"]) if "Ray Serve cannot" in found.get("message", "") else ""


def gets_other_pods(kube: Kube) -> str:
    """Another cluster, after the first one has gone: no GPU is taken twice."""
    before = ray_service(kube)["metadata"]["name"]
    changed = {"name": "VLLM_LOGGING_LEVEL", "value": "WARNING"}
    kube.merge("vis", NAME, {"spec": {"env": [*ON_RAY["env"], changed]}})
    kube.wait("another one is made", 60, lambda: [one["metadata"]["name"] for one in _all(kube)] not in ([before], []))
    assert before not in [one["metadata"]["name"] for one in _all(kube)]
    ready(kube)
    return answers(kube)


def _all(kube: Kube) -> list[Object]:
    return kube.list("rayservices", SELECTOR)


def is_deleted(kube: Kube) -> str:
    """Nothing of it is left."""
    kube.run("delete", "vis", NAME)
    kinds = "pods,rayservices,rayclusters,services,networkpolicies,controllerrevisions,secrets"
    kube.wait("nothing is left", 240, lambda: not [one for one in kube.list(kinds) if NAME in one["metadata"]["name"]])
    return "nothing is left"


STEPS: tuple[Callable[[Kube], str], ...] = (
    starts,
    asks_for_rays_token,
    keeps_its_ports_to_itself,
    takes_new_settings_in_place,
    follows_the_load,
    says_what_cannot_work,
    gets_other_pods,
    is_deleted,
)


def main() -> int:
    """Goes through the steps on a cluster of its own."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    cluster = serving.start("bench-ray")
    kube = Kube(cluster.kubeconfig, "bench")
    try:
        cluster.load(build("vllm-ray")[1])
        kuberay.install_api(kube)
        serving.install_operator(cluster, f"--set=settings.allowedImages={{{IMAGE}}}")
        serving.make_models(kube)
        with enforced(cluster), kuberay.controller(cluster, kube):
            return 0 if goes_through(STEPS, kube, lambda: json.dumps(_status(kube).get("conditions"), indent=1)) else 1
    finally:
        cluster.stop()


if __name__ == "__main__":
    sys.exit(main())
