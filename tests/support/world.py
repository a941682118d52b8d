"""The loop over services in memory: a reconciler, the API server that it asks, and a clock that tests move."""

import asyncio
from typing import Any

from support.clock import Clock
from support.fake_api import FakeApi
from support.kube import Object
from vllm_operator.api import API_VERSION
from vllm_operator.api.resource import Key
from vllm_operator.cluster import Cluster, path
from vllm_operator.inspection.report import Facts, encode
from vllm_operator.loop.kinds import Surroundings, all_claimants, queues
from vllm_operator.manifests.names import DOWNLOAD_LABEL, INSPECTION_LABEL, INSTANCE_LABEL
from vllm_operator.services.first_status import FIRST_STATUS_SECONDS
from vllm_operator.services.kind import INFERENCE_SERVICE, SOURCES
from vllm_operator.services.reconcile import ServiceReconciler
from vllm_operator.settings import Images, Settings

NAMESPACE = "team-a"
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 256,
    "max_position_embeddings": 128,
    "torch_dtype": "bfloat16",
}
LARGE = {**CONFIG, "hidden_size": 16384, "intermediate_size": 65536, "num_hidden_layers": 128, "vocab_size": 128000}


class World:
    """A reconciler, the API server that it asks, and a clock."""

    def __init__(self, *, inspects: bool = True, api: FakeApi | None = None, **allowed: Any) -> None:
        self.api, self.clock = api or FakeApi(), Clock()
        self.indices: dict[str, Any] = {}
        self.served: frozenset[str] = frozenset()
        self.requeued: list[Key] = []
        images = Images(operator="operator:1" if inspects else None)
        self.settings = Settings(images=images, engine_metrics=False, **allowed)
        self.begin()

    def begin(self, image: str = "") -> None:
        """An operator begins, with nothing remembered; perhaps one with another default image."""
        if image:
            self.settings = self.settings.model_copy(update={"images": Images(gpu=image, operator="operator:1")})
        around = Surroundings(
            Cluster(self.api, lambda _: 10.0),
            self.settings,
            self.indices,
            lambda: self.served,
            self.requeued.append,
            self.clock,
            all_claimants([INFERENCE_SERVICE], self.indices, self.settings),
            queues(),
        )
        self.reconciler = ServiceReconciler(around)
        self.watch()

    def watch(self) -> None:
        """The watches show all that is there now."""
        self.indices.clear()
        self.indices |= self.api.shown(SOURCES)

    def service(self, name: str = "llama", created: str = "", **spec: Any) -> Key:
        """A user applies a service."""
        body = {
            "apiVersion": API_VERSION,
            "kind": "InferenceService",
            "metadata": {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "creationTimestamp": created},
            "spec": {"model": {"uri": "hf://a/b"}, "accelerator": {"product": "NVIDIA-L4"}, **spec},
        }
        url = path("InferenceService", NAMESPACE, name)
        self.api.put(url, {**body, "status": self.api.objects.get(url, {}).get("status", {})})
        self.watch()
        return Key(NAMESPACE, name)

    def serving_class(self, name: str = "h100", created: str = "2026-11-24T12:00:00Z", **spec: Any) -> None:
        """A platform team applies a class."""
        meta = {"name": name, "uid": f"uid-{name}", "creationTimestamp": created}
        body = {"apiVersion": API_VERSION, "kind": "ServingClass", "metadata": meta, "spec": spec}
        self.api.put(path("ServingClass", "", name), body)
        self.watch()

    def inspected(self, name: str = "llama", config: dict[str, Any] = CONFIG, commit: str | None = None) -> None:
        """The inspect Job's pod ends with a report."""
        job = next(child for child in self.children("Job") if child.startswith(f"{name}-inspect"))
        key = self.api.objects[path("Job", NAMESPACE, job)]["metadata"]["labels"][INSPECTION_LABEL]
        ended = {"name": "inspect", "state": {"terminated": {"message": encode(Facts(config, commit=commit))}}}
        body = {
            "metadata": {
                "name": job,
                "namespace": NAMESPACE,
                "labels": {INSTANCE_LABEL: name, INSPECTION_LABEL: key},
                "ownerReferences": self._controller("Job", job),
            },
            "spec": {"containers": []},
            "status": {"containerStatuses": [ended]},
        }
        self.api.objects[path("Pod", NAMESPACE, job)] = body
        self.watch()

    def downloads(self, status: Object, name: str = "llama") -> None:
        """The download Job's pod is in a state."""
        job = next(child for child in self.children("Job") if child.startswith(f"{name}-download"))
        key = self.api.objects[path("Job", NAMESPACE, job)]["metadata"]["labels"][DOWNLOAD_LABEL]
        labels, owners = {INSTANCE_LABEL: name, DOWNLOAD_LABEL: key}, self._controller("Job", job)
        meta = {"name": f"{job}-x", "namespace": NAMESPACE, "labels": labels, "ownerReferences": owners}
        self.api.objects[path("Pod", NAMESPACE, f"{job}-x")] = {
            "metadata": meta, "spec": {"containers": []}, "status": status,
        }  # fmt: skip
        self.watch()

    def pod(self, name: str = "llama-1", service: str = "llama", status: Object | None = None) -> str:
        """The Deployment controller makes a pod of what the Deployment asks for now. Returns its URL path."""
        replica_set = self.replica_set(service)
        labels = self.api.objects[path("Deployment", NAMESPACE, service)]["spec"]["template"]["metadata"]["labels"]
        owners = self._controller("ReplicaSet", replica_set)
        url = path("Pod", NAMESPACE, name)
        self.api.objects[url] = {
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "uid": f"uid-{name}",
                "labels": labels,
                "ownerReferences": owners,
            },
            "spec": {"containers": [{"name": "vllm", "image": "i"}]},
            "status": status or {},
        }
        self.watch()
        return url

    def replica_set(self, service: str = "llama") -> str:
        """The Deployment controller makes the ReplicaSet of a Deployment. Returns its name."""
        name = f"{service}-5d8"
        labels = self.api.objects[path("Deployment", NAMESPACE, service)]["spec"]["template"]["metadata"]["labels"]
        owners = self._controller("Deployment", service)
        meta = {"name": name, "namespace": NAMESPACE, "labels": labels, "ownerReferences": owners}
        self.api.put(path("ReplicaSet", NAMESPACE, name), {"metadata": meta})
        self.watch()
        return name

    def _controller(self, kind: str, name: str) -> list[Object]:
        uid = self.api.objects[path(kind, NAMESPACE, name)]["metadata"]["uid"]
        return [{"kind": kind, "name": name, "uid": uid, "controller": True}]

    def pods_of_jobs_go(self) -> None:
        """The garbage collector deletes the pods of Jobs that are gone."""
        for name in self.children("Pod"):
            if name not in self.children("Job"):
                self.api.objects.pop(path("Pod", NAMESPACE, name))
        self.watch()

    def reconcile(self, key: Key, *, watched: bool = True) -> float | None:
        """One reconcile; then the watches show what came of it, if they do not lag."""
        self.api.requests.clear()
        again = asyncio.run(self._reconcile(key))
        if watched:
            self.watch()
        return again

    async def _reconcile(self, key: Key) -> float | None:
        """What is read meanwhile is read to its end."""
        again = await self.reconciler.reconcile(key)
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        return again

    def children(self, kind: str) -> list[str]:
        """Names of the objects of a kind."""
        prefix = path(kind, NAMESPACE) + "/"
        return [url.removeprefix(prefix) for url in self.api.objects if url.startswith(prefix)]

    def writes(self) -> list[str]:
        """What the last reconcile asked for that is stored: the verb and what it was about."""
        asked = [(verb, url) for verb, url in self.api.requests if verb not in ("get", "try")]
        return [f"{verb} {url.split(NAMESPACE + '/')[1]}" for verb, url in asked]

    def status(self, name: str = "llama") -> dict[str, Any]:
        """The status that stands."""
        status: dict[str, Any] = self.api.objects[path("InferenceService", NAMESPACE, name)].get("status", {})
        return status

    def reason(self, kind: str = "Ready") -> str:
        """The reason of a condition."""
        reasons = {entry["type"]: entry["reason"] for entry in self.status()["conditions"]}
        return str(reasons[kind])

    def message(self, kind: str) -> str:
        """The message of a condition."""
        messages = {entry["type"]: entry["message"] for entry in self.status()["conditions"]}
        return str(messages[kind])


def serving(**spec: Any) -> tuple[World, Key]:
    """A service whose children are all there, and whose first status is written."""
    world = World()
    key = world.service(**spec)
    world.reconcile(key)
    world.inspected()
    world.reconcile(key)
    world.clock.now += FIRST_STATUS_SECONDS
    world.reconcile(key)  # the status is written
    world.reconcile(key)
    return world, key
