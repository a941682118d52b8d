"""What the batches of a namespace ask for of a class's GPUs. Who gets them, assess/limits.py decides."""

from collections.abc import Iterator, Mapping

from ..api import BATCH_KIND
from ..api.resource import Key
from ..api.serving_class import ServingClass
from ..assess.limits import Claimant, most_gpus
from ..services.view import View
from ..settings import Settings
from ..snapshots.batch import JobSnapshot
from ..snapshots.own import ObjectSnapshot
from ..vllm.batch import MERGE, RUN
from ..watch.sources import Indices
from .engine import Engine, as_begun, engine_of
from .evidence import end_of
from .parse import parse
from .view import BatchView


class BatchClaimants:
    """Remembers what batches ask for: of one namespace, each asks of all."""

    def __init__(self, indices: Indices, settings: Settings) -> None:
        self._view, self._services, self._settings = BatchView(indices), View(indices), settings
        self._engines: dict[Key, tuple[object, Engine | None]] = {}

    def __call__(self, namespace: str, own: ServingClass) -> Iterator[Claimant]:
        """Those of a class in a namespace, and what runs or ends there without one."""
        counted: set[str] = set()
        for one, run in self._batches(namespace, own):
            counted |= {run.uid} if run else set()
            yield one
        for uid, gpus in self._view.left(namespace, own.name, counted).items():
            yield Claimant(("Job", Key(namespace, uid)), "", True, 0, 0, gpus)

    def _batches(self, namespace: str, own: ServingClass) -> Iterator[tuple[Claimant, JobSnapshot | None]]:
        """Those that may have pods, with the Job of these: none that is suspended, or that has been answered."""
        known = self._view.known()
        for key in self._engines.keys() - set(known):
            del self._engines[key]
        for key in known:
            snapshot = self._view.batch(key) if key.namespace == namespace else None
            if snapshot and not snapshot.spec.get("suspend") and not end_of(snapshot.status):
                jobs = self._view.jobs(key, snapshot.uid)
                engine = self._engine(key, snapshot, jobs)
                if engine and engine.own == own:
                    yield from self._claimant(key, snapshot, engine, jobs)

    def _claimant(
        self, key: Key, snapshot: ObjectSnapshot, engine: Engine, jobs: Mapping[str, JobSnapshot]
    ) -> Iterator[tuple[Claimant, JobSnapshot | None]]:
        run = jobs.get(RUN)
        if MERGE in jobs or (run and (run.complete or run.failed)):
            return
        asked = run.gpus if run else 0 if engine.refusal else most_gpus(engine.service.spec)
        held = sum(one.pod.asked.count for one in self._view.pods(key, [run] if run else ()) if not one.ended)
        yield Claimant((BATCH_KIND, key), snapshot.created, has_pods=run is not None, held=held, asked=asked), run

    def _engine(self, key: Key, snapshot: ObjectSnapshot, jobs: Mapping[str, JobSnapshot]) -> Engine | None:
        """As its pods were made, or would be now; None of a spec that cannot be read."""
        ref = snapshot.spec.get("serviceRef")
        lends = self._services.service(Key(key.namespace, ref["name"])) if ref else None
        classes = self._services.classes(key.namespace)
        kept = [job.engine for job in jobs.values()]
        made_of = (snapshot.uid, snapshot.generation, lends and (lends.uid, lends.generation), classes, kept)
        if key not in self._engines or self._engines[key][0] != made_of:
            batch, fault = parse(key, snapshot)
            now = engine_of(batch, lends.spec if lends else None, classes, self._settings)
            found = as_begun(now, batch, jobs, classes)
            self._engines[key] = (made_of, None if fault and not found.begun else found)
        return self._engines[key][1]
