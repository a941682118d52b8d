"""InferenceBatch, as the loop knows it: its watches, and its reconciler."""

from collections.abc import Iterable, Mapping

from ..api import BATCH_KIND
from ..api.batch import InferenceBatchStatus
from ..api.resource import Body, Key
from ..loop.kinds import Kind
from ..resources import RESOURCES
from ..snapshots.batch import BatchPod, JobSnapshot, batch_pod, job, of_batch
from ..snapshots.own import ObjectSnapshot, key_of, snapshot
from ..status.schema import conform
from ..watch.sources import Indices, Item, Source
from .claimants import BatchClaimants
from .figures import batch_fleet
from .reconcile import BatchReconciler
from .view import BATCHES, JOBS, PODS

# Several events of a step come at once; they are worth one look.
EVENT_DELAY_SECONDS = 0.5


def _batch(body: Body) -> Mapping[Key, ObjectSnapshot]:
    # Whoever may edit the status, or another version of the operator, may have left there what is none.
    status, _ = conform(body.get("status") or {}, InferenceBatchStatus)
    return {key_of(body): snapshot({**body, "status": status})}


def _job(body: Body) -> Mapping[Key, JobSnapshot]:
    owner = of_batch(body)
    return {owner: job(body)} if owner else {}


def _pod(body: Body) -> Mapping[Key, BatchPod]:
    owner = of_batch(body)
    return {owner: batch_pod(body)} if owner else {}


def _itself(body: Body, _: Indices) -> Iterable[Item]:
    return [Item(BATCH_KIND, key_of(body))]


def _owner(body: Body, _: Indices) -> Iterable[Item]:
    owner = of_batch(body)
    return [Item(BATCH_KIND, owner)] if owner else []


SOURCES = (
    Source(RESOURCES[BATCH_KIND], {BATCHES: _batch}, _itself),
    Source(RESOURCES["Job"], {JOBS: _job}, _owner, BATCH_KIND, delay=EVENT_DELAY_SECONDS, labelled=True),
    Source(RESOURCES["Pod"], {PODS: _pod}, _owner, BATCH_KIND, delay=EVENT_DELAY_SECONDS, labelled=True),
)
INFERENCE_BATCH = Kind(BATCH_KIND, SOURCES, BatchReconciler, (batch_fleet,), BatchClaimants)
