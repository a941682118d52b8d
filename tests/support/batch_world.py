"""The loop over batches in memory: a reconciler, the API server that it asks, and a clock that tests move."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from support.clock import Clock
from support.fake_api import FakeApi
from support.kube import Object
from support.world import CONFIG, NAMESPACE
from vllm_operator.api import API_VERSION, BATCH_KIND
from vllm_operator.api.resource import Key
from vllm_operator.batches.kind import SOURCES
from vllm_operator.batches.reconcile import BatchReconciler
from vllm_operator.cluster import Cluster, path
from vllm_operator.inspection.report import Facts, encode
from vllm_operator.kinds import KINDS
from vllm_operator.loop.kinds import Surroundings, all_claimants, queues
from vllm_operator.services.kind import SOURCES as SERVICE_SOURCES
from vllm_operator.settings import Images, Settings

REPORT = {"total": 10, "valid": 10, "invalid": 0, "duplicates": 0, "tooLong": 0, "files": 1, "bytes": 900, "first": []}
MERGED = {"done": 10, "failed": 0, "unanswered": 0, "promptTokens": 100, "outputTokens": 50}
KEY = Key(NAMESPACE, "nightly")


class BatchWorld:
    """A reconciler, the API server that it asks, and a clock. There are claims `data` and `one`."""

    def __init__(self, *, inspects: bool = True, **allowed: Any) -> None:
        self.api, self.clock = FakeApi(), Clock()
        self.indices: dict[str, Any] = {}
        self.served: frozenset[str] = frozenset()
        self.settings = Settings(images=Images(operator="operator:1" if inspects else None), **allowed)
        self.claim("data", "ReadWriteMany")
        self.claim("one", "ReadWriteOnce")
        self.begin()

    def begin(self) -> None:
        """An operator begins, with nothing remembered."""
        cluster = Cluster(self.api, lambda _: 10.0)
        claimants = all_claimants(KINDS, self.indices, self.settings)
        around = Surroundings(
            cluster,
            self.settings,
            self.indices,
            lambda: self.served,
            lambda _: None,
            self.clock,
            claimants,
            queues(),
        )
        self.reconciler = BatchReconciler(around)
        self.watch()

    def watch(self) -> None:
        """The watches show all that is there now."""
        self.indices.clear()
        self.indices |= self.api.shown([*SERVICE_SOURCES, *SOURCES])

    def claim(self, name: str, mode: str, **labels: str) -> None:
        """Somebody makes a claim."""
        spec = {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}}
        meta = {"name": name, "namespace": NAMESPACE, "labels": labels}
        body = {"kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}
        self.api.put(path("PersistentVolumeClaim", NAMESPACE, name), body)

    def batch(self, ago: int = 0, labels: dict[str, str] | None = None, **spec: Any) -> Key:
        """A user applies a batch; `ago` seconds ago, it was made."""
        created = (datetime.now(UTC) - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
        meta = {"name": KEY.name, "namespace": NAMESPACE, "uid": "uid-nightly", "labels": labels or {}}
        given = {
            "template": {"model": {"uri": "hf://a/b"}, "accelerator": {"product": "NVIDIA-L4"}},
            "input": {"uri": "pvc://data/in.jsonl"},
            "output": {"uri": "pvc://data/out"},
            **spec,
        }
        url = path(BATCH_KIND, *KEY)
        body = {
            "apiVersion": API_VERSION,
            "kind": BATCH_KIND,
            "metadata": {**meta, "creationTimestamp": created},
            "spec": {key: value for key, value in given.items() if value is not None},
        }
        self.api.put(url, {**body, "status": self.api.objects.get(url, {}).get("status", {})})
        self.watch()
        return KEY

    def reconcile(self, times: int = 1) -> float | None:
        """So many reconciles; then the watches show what came of each."""
        again = None
        for _ in range(times):
            self.api.requests.clear()
            again = asyncio.run(self._reconcile())
            self.watch()
        return again

    async def _reconcile(self) -> float | None:
        """What is read meanwhile is read to its end."""
        again = await self.reconciler.reconcile(KEY)
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        return again

    def ends(self, step: str, message: Any = "", exit_code: int = 0) -> None:
        """The pod of a step ends, and with it its Job."""
        self.pod(step, {"state": {"terminated": {"exitCode": exit_code, "message": _text(message)}}})
        url = path("Job", NAMESPACE, f"{KEY.name}-{step}")
        condition = {"type": "Failed" if exit_code else "Complete", "status": "True", "message": "it ended"}
        self.api.objects[url]["status"] = {"conditions": [condition]}
        self.watch()

    def pod(self, step: str, container: Object, index: int = 0, ready: str = "False") -> None:
        """The Job controller has made a pod of a step, and the kubelet says this of its container."""
        job = self.api.objects[path("Job", NAMESPACE, f"{KEY.name}-{step}")]
        name = f"{KEY.name}-{step}-{index}-x"
        template = job["spec"]["template"]
        owner = {"kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"], "controller": True}
        self.api.objects[path("Pod", NAMESPACE, name)] = {
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "uid": f"uid-{name}",
                "labels": template["metadata"]["labels"],
                "annotations": {"batch.kubernetes.io/job-completion-index": str(index)},
                "ownerReferences": [owner],
            },
            "spec": template["spec"],
            "status": {
                "containerStatuses": [{"name": template["spec"]["containers"][0]["name"], **container}],
                "conditions": [{"type": "Ready", "status": ready}, {"type": "PodScheduled", "status": "True"}],
                "podIP": "10.0.0.1",
            },
        }
        self.watch()

    def fetching(self, step: str, state: Object, phase: str = "Pending") -> None:
        """The pod of a step is at the container that brings what its runner reads, of which the kubelet says this."""
        self.pod(step, {"state": {"waiting": {"reason": "PodInitializing"}}})
        pod = self.api.objects[path("Pod", NAMESPACE, f"{KEY.name}-{step}-0-x")]
        image = pod["spec"]["initContainers"][0]["image"]
        pod["status"] |= {"phase": phase, "initContainerStatuses": [{"name": "fetch", "image": image, "state": state}]}
        self.watch()

    def fails(self, step: str) -> None:
        """The Job of a step gives up."""
        condition = {"type": "Failed", "status": "True", "message": "it failed too often"}
        self.job(step)["status"] = {"conditions": [condition]}
        self.watch()

    def refuses(self, step: str, said: str, at: str = "2026-11-24T12:00:00Z") -> None:
        """The Job controller tells by an Event that the API server refuses the pods of a step."""
        about = {"kind": "Job", "name": f"{KEY.name}-{step}", "uid": self.job(step)["metadata"]["uid"]}
        message = f'Error creating: pods "{KEY.name}-{step}-x" is forbidden: {said}'
        event = {"reason": "FailedCreate", "message": message, "involvedObject": about, "lastTimestamp": at}
        self.api.events.append(event)

    def inspected(self, config: Object = CONFIG) -> None:
        """The inspect Job ends with a report."""
        self.ends("inspect", encode(Facts(config)))

    def runs(self, **spec: Any) -> None:
        """A batch whose input is checked, whose model fits, and whose run Job is there."""
        self.batch(**spec)
        self.reconcile()
        self.inspected()
        self.ends("check", REPORT)
        self.reconcile(2)

    def job(self, step: str) -> Object:
        """The Job of a step."""
        return self.api.objects[path("Job", NAMESPACE, f"{KEY.name}-{step}")]

    def steps(self) -> list[str]:
        """The steps that there are Jobs of."""
        prefix = path("Job", NAMESPACE, f"{KEY.name}-")
        return sorted(url.removeprefix(prefix) for url in self.api.objects if url.startswith(prefix))

    def status(self) -> dict[str, Any]:
        """The status that stands."""
        status: dict[str, Any] = self.api.objects[path(BATCH_KIND, *KEY)].get("status", {})
        return status

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition; empty where there is none."""
        entries = {entry["type"]: entry for entry in self.status().get("conditions", ())}
        return (entries[kind]["status"], entries[kind]["reason"]) if kind in entries else ("", "")

    def message(self, kind: str = "Ready") -> str:
        """The message of a condition."""
        return str({entry["type"]: entry["message"] for entry in self.status()["conditions"]}[kind])


def _text(message: Any) -> str:
    return message if isinstance(message, str) else json.dumps(message)
