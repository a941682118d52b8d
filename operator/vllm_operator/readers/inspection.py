"""One service's inspection: when a Job is needed, and what came of it. What was found is kept in the status."""

import time
from collections.abc import Mapping
from typing import Any

from ..api.reasons import Reason
from ..api.resource import InferenceService
from ..assess.fits import Inspection, facts_of
from ..cluster import Cluster
from ..inspection.report import InspectionError
from ..manifests import Manifest, inspection, inspection_key, model_claim
from ..settings import Settings
from ..snapshots.inspection_pod import InspectionPod

# The first pods wait this long for the Job; it never keeps a service from running.
PATIENCE_SECONDS = 120.0
CLAIM_RETRY_SECONDS = 30.0
_NO_CLAIM = (Reason.CLAIM_MISSING, Reason.VOLUME_NOT_BOUND)


class Inspector:
    """Follows the inspections of one service. Losing it costs a request, never a result."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self._cluster, self._settings = cluster, settings
        self._known: Inspection | None = None
        self._since: tuple[str, float] = ("", 0.0)
        self._claim_bound = False
        self.retry_after: float | None = None

    async def look(
        self, service: InferenceService, status_of: Mapping[str, Any], pod: InspectionPod | None
    ) -> Inspection:
        """What is known, from the status or from what the Job's pod left."""
        key = inspection_key(service)
        self.retry_after = None
        if self._known is None or self._known.key != key:
            model = status_of.get("model") or {}
            report = model.get("report", "") if model.get("inspected") == key else ""
            self._known = _read(key, report) if report else None
        if (self._known is None or self._known.error) and pod and pod.ended:
            self._known = _read(key, pod.message)
        if self._known and self._known.report:
            return self._known
        if trouble := await self._trouble(service):
            return Inspection(key, error=trouble)
        return self._known or self._wait(key)

    async def _trouble(self, service: InferenceService) -> InspectionError | None:
        """Why there can be no Job. A Job would bind a claim that waits for its first consumer, on the wrong node."""
        if not self._settings.images.operator:
            text = "the operator does not know its own image (settings: images.operator)"
            return InspectionError(Reason.NOT_INSPECTED, text)
        claim = model_claim(service)
        if claim is None or self._claim_bound:
            return None
        found = await self._cluster.read("PersistentVolumeClaim", service.namespace, claim)
        self._claim_bound = bool(found) and (found or {}).get("status", {}).get("phase") == "Bound"
        if self._claim_bound:
            return None
        self.retry_after = CLAIM_RETRY_SECONDS
        if found:
            return InspectionError(Reason.VOLUME_NOT_BOUND, f"the claim {claim} is not bound yet")
        return InspectionError(Reason.CLAIM_MISSING, f"there is no claim {claim}: check model.uri")

    def _wait(self, key: str) -> Inspection:
        if self._since[0] != key:
            self._since = (key, time.monotonic())
        left = self._since[1] + PATIENCE_SECONDS - time.monotonic()
        if left > 0:
            self.retry_after = left + 1
            return Inspection(key, pending=True)
        text = f"the inspection has not ended within {PATIENCE_SECONDS:.0f} s: kubectl describe the inspect Job's pod"
        return Inspection(key, error=InspectionError(Reason.NOT_INSPECTED, text))

    def job(self, service: InferenceService, status_of: Mapping[str, Any], known: Inspection) -> Manifest | None:
        """The Job that should exist now: none once the status has the report, and none that could not run."""
        if (status_of.get("model") or {}).get("inspected") == known.key:
            return None
        no_job = known.error and known.error.reason in _NO_CLAIM
        return None if no_job or not self._settings.images.operator else inspection(service, self._settings)


def _read(key: str, report: str) -> Inspection:
    try:
        facts_of(report)
    except InspectionError as error:
        return Inspection(key, error=error)
    return Inspection(key, report)
