"""How far a download is: from the log of the Job's pod while it runs, from the pod itself once it has ended.

The pod needs no token of the API server for that, and no port.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from ..again import Again
from ..api.limits import OverLimitError
from ..assess.download import NODE_SECONDS, START_SECONDS, Download
from ..diagnosis.redaction import redact, shorten
from ..inspection.kept import facts_of
from ..inspection.progress import Progress, failure, last
from ..manifests.download import download_key, download_name, is_downloaded
from ..settings import Settings
from ..snapshots.download_pod import DownloadPod
from ..status.evidence import Evidence
from .reader import Clock, Pending

# The status is not written more often.
LOOK_SECONDS = 10.0
_WORDS = 200

ReadLog = Callable[[str], Awaitable[str]]


class DownloadReader:
    """Follows the downloads of one service. `read_log(pod)` gets a log; `done()` is called when one has been read."""

    def __init__(self, read_log: ReadLog, clock: Clock, done: Callable[[], None], settings: Settings) -> None:
        self._read_log, self._clock, self._settings = read_log, clock, settings
        # What was there once is there: its Job goes, and comes back for nothing else.
        self._done = ""
        self._progress: tuple[str, Progress] | None = None
        self._looked_at = -LOOK_SECONDS
        self._waits_since: tuple[str, float] = ("", 0.0)
        # Nor is a Job that did not start asked for again before the watch shows the pods that were made without it.
        self._late = ""
        self._again: Again | None = None
        self._pending = Pending[str](clock, done)

    async def read(self, evidence: Evidence) -> Evidence:
        """The evidence with what is known of the download; nothing where the model is not downloaded by a Job."""
        return replace(evidence, download=self._look(evidence))

    def waits(self) -> Iterator[Again]:
        """The pod is looked at again while it runs, or does not start."""
        if self._again:
            yield self._again

    def _look(self, evidence: Evidence) -> Download | None:
        self._again, service = None, evidence.service
        commit = facts_of(evidence.inspection.packed).commit if evidence.inspection.packed else None
        if commit is None or not is_downloaded(service, self._settings):
            return None
        key, pod = download_key(service, commit), evidence.download_pod
        pod = pod if pod and pod.key == key else None
        if key == self._done or (pod and pod.state == "succeeded"):
            self._done = key
            return Download(key, done=True)
        name = download_name(service, key)
        wanted = evidence.jobs.awaited or ("Job", name) in evidence.live
        if wanted and not (pod and pod.state in ("failed", "runs")):
            return self._waiting(key, pod, evidence.jobs.refused.get(name, ""))
        self._waits_since = ("", 0.0)
        self._late = "" if evidence.pods else self._late
        if pod is None or not wanted:
            return Download(key, late=self._late == key)
        if pod.state == "failed":
            error = failure(pod.message)
            return Download(key, error=type(error)(error.reason, redact(str(error))))
        return self._running(key, pod)

    def _running(self, key: str, pod: DownloadPod) -> Download:
        now = self._clock()
        if pod.name not in self._pending and now >= self._looked_at + LOOK_SECONDS:
            self._looked_at = now
            self._pending.start(pod.name, self._fetch(pod.name))
        self._again = Again(max(self._looked_at + LOOK_SECONDS - now, 0.1), "a download goes on")
        about = self._progress
        return Download(key, progress=about[1] if about and about[0] == pod.name else None)

    async def _fetch(self, pod: str) -> None:
        try:
            found = last(await self._read_log(pod))
        except OverLimitError:  # no log of ours
            return
        if found:
            self._progress = (pod, found)

    def _waiting(self, key: str, pod: DownloadPod | None, refused: str) -> Download:
        """Of a Job that is wanted, and has not started: whether it is there, or is refused."""
        if self._waits_since[0] != key:
            self._waits_since = (key, self._clock())
        patience = NODE_SECONDS if pod and pod.unscheduled else START_SECONDS
        left = self._waits_since[1] + patience - self._clock()
        if left > 0:
            self._again = Again(left + 1, "the download Job has not started")
        self._late = key if left <= 0 else ""
        said = pod.message if pod else f"refused so far: {refused}" if refused else "it has no pod yet"
        return Download(key, late=left <= 0, waits=shorten(redact(said), _WORDS))
