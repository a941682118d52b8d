"""What the statuses of other services teach a plan, once for each rendering. What that comes to, assess/ decides."""

from ..api.resource import InferenceService, Key
from ..assess.lessons import Report, lessons, report_of
from ..assess.resolution import LEARNED, PLAN, Resolved
from ..assess.terms import Terms
from ..planner.versions import version_of
from ..settings import Settings
from ..snapshots.own import ObjectSnapshot
from .memory import Memory
from .view import View


class Teaching:
    """Remembers what each service's status tells, as each new service asks all of its namespace."""

    def __init__(self, view: View, settings: Settings) -> None:
        self._view, self._settings = view, settings
        self._reports: dict[Key, tuple[int, Report | None]] = {}

    def learned(self, service: InferenceService, terms: Terms, memory: Memory) -> tuple[Resolved, ...]:
        """What is learned for a new spec; nothing for one whose template is kept, with what was learned then."""
        if terms.kept or any(one.field == LEARNED for one in terms.resolved):
            return ()
        if memory.learned is None or memory.learned[0] != service.revision:
            memory.learned = (service.revision, self._learned(service, terms))
        return memory.learned[1]

    def _learned(self, service: InferenceService, terms: Terms) -> tuple[Resolved, ...]:
        others = self._settings.learn_from_namespaces
        version = version_of(terms.spec.image or self._settings.default_image(terms.spec.accelerator.resource))
        if version is None:
            return ()
        for key in self._reports.keys() - set(self._view.known()):
            del self._reports[key]
        shown = self._view.services(service.namespace, others)
        reports = [report for key, one in shown if (report := self._report(key, one))]
        found = lessons(reports, service.namespace, others, version)
        values = {product: one.difference for product, one in found.items()}
        why = "; ".join(f"{product}: {one.evidence}" for product, one in found.items())
        return (Resolved(LEARNED, values, PLAN, why[:253]),) if values else ()

    def _report(self, key: Key, one: ObjectSnapshot) -> Report | None:
        if '"engine"' not in one.packed_status:
            return None
        if key not in self._reports or self._reports[key][0] != one.resource_version:
            self._reports[key] = (one.resource_version, report_of(key, one.spec, one.status))
        return self._reports[key][1]
