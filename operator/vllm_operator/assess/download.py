"""What is known of the download of a model into its cache, and the words for it. Pure; decides nothing about pods."""

from dataclasses import dataclass

from ..api.reasons import Finding, Reason
from ..inspection.progress import Progress, duration, size
from ..inspection.report import InspectionError

# A Job that could not start for so long keeps no pod from running: vLLM downloads the model then. A node may be
# brought by the cluster's autoscaler.
START_SECONDS, NODE_SECONDS = 120.0, 900.0


@dataclass(frozen=True, slots=True)
class Download:
    """How far it is. With neither a progress nor a word, its Job is only to be made."""

    key: str
    """What is fetched: see manifests/download.py."""
    done: bool = False
    late: bool = False
    """Whether its Job does not start, so that nothing waits for it."""
    progress: Progress | None = None
    waits: str = ""
    """Why its pod does not run, as a clause."""
    error: InspectionError | None = None


def told(known: Download | None, uri: str, claim: str) -> Finding:
    """Why there are no pods before the download is done."""
    what = f"{uri} into the claim {claim}"
    if known and known.error:
        text = f"{what} cannot be downloaded: {known.error}; no pods are made, and it is tried again within 10 minutes"
        return known.error.reason, text
    if known and known.progress:
        return Reason.DOWNLOADING, f"Downloading {_figures(known.progress)}: {what}; pods are made once it is there"
    waits = f" ({known.waits})" if known and known.waits else ""
    return Reason.DOWNLOADING, f"Downloading {what}: its Job starts{waits}; pods are made once the model is there"


def _figures(progress: Progress) -> str:
    """For people: 43 % (60.3 of 140.2 GB, 850.0 MB/s, 2 min left)."""
    figures = [f"{size(progress.done)} of {size(progress.total)}"]
    if progress.checks:
        figures.append("what is there is compared with what the hub says of it")
    elif progress.waits:
        figures.append("another Job fetches it into this claim")
    elif progress.rate:
        left = progress.seconds_left
        figures += [f"{size(progress.rate)}/s", *([f"{duration(left)} left"] if left is not None else [])]
    return f"{progress.percent} % ({', '.join(figures)})"
