"""What the watches have shown of batches. watch/indices.py holds it; this gives them names and types."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ..api.resource import Key
from ..manifests.batch import job_name
from ..snapshots.batch import BatchPod, JobSnapshot
from ..snapshots.own import ObjectSnapshot
from ..watch.sources import Indices

BATCHES, JOBS, PODS = "batches", "jobs of batches", "pods of batches"


@dataclass(frozen=True, slots=True)
class BatchView:
    """Read-only, and always the newest that the watches have shown."""

    indices: Indices

    def batch(self, key: Key) -> ObjectSnapshot | None:
        """The batch, or None after it was deleted."""
        return next(iter(self.indices[BATCHES].get(key, ())), None)

    def known(self) -> list[Key]:
        """All batches."""
        return list(self.indices[BATCHES])

    def jobs(self, key: Key, uid: str) -> dict[str, JobSnapshot]:
        """The Jobs of the very batch with this uid, by step. One of another name somebody else has made."""
        found: Iterable[JobSnapshot] = self.indices[JOBS].get(key, ())
        own = (job for job in found if job.owner == uid)
        return {job.step: job for job in own if job.name == job_name(key.name, job.step)}

    def left(self, namespace: str, of_class: str, counted: Collection[str]) -> Counter[str]:
        """GPUs of a class that are held beside those of the Jobs with these uids, or may come to be: by the Job's uid.

        Pods take a minute to end. And a batch that was deleted alone leaves its Jobs behind: Kubernetes takes its name
        off them, and they go on.
        """
        taken, made = Counter[str](), Counter[str]()
        for key in {key for index in (PODS, JOBS) for key in self.indices[index] if key.namespace == namespace}:
            jobs: Iterable[JobSnapshot] = self.indices[JOBS].get(key, ())
            for job in jobs:
                if job.serving_class == of_class and not (job.owner or job.complete or job.failed or job.terminating):
                    made[job.uid] = job.gpus
            pods: Iterable[BatchPod] = self.indices[PODS].get(key, ())
            for one in pods:
                if one.pod.serving_class == of_class and not one.ended and one.owner not in counted:
                    taken[one.owner] += one.pod.asked.count
        return taken | made  # of each the larger one

    def pods(self, key: Key, jobs: Iterable[JobSnapshot]) -> list[BatchPod]:
        """The pods that these Jobs control, by name."""
        owners = {job.uid for job in jobs}
        found: Iterable[BatchPod] = self.indices[PODS].get(key, ())
        return sorted((pod for pod in found if pod.owner in owners), key=lambda pod: pod.pod.name)
