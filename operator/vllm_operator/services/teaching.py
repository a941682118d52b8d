"""What the statuses of other services teach a plan, once for each rendering. What that comes to, assess/ decides."""

from ..api.resource import InferenceService
from ..assess.lessons import lessons
from ..assess.resolution import LEARNED, PLAN, Resolved
from ..assess.terms import Terms
from ..planner.versions import version_of
from ..settings import Settings
from .memory import Memory
from .view import View


def learned(service: InferenceService, terms: Terms, memory: Memory, view: View, own: Settings) -> tuple[Resolved, ...]:
    """What is learned for a new spec; nothing for one whose template is kept, with what was learned then."""
    if terms.kept or any(one.field == LEARNED for one in terms.resolved):
        return ()
    if memory.learned is None or memory.learned[0] != service.revision:
        memory.learned = (service.revision, _learned(service, terms, view, own))
    return memory.learned[1]


def _learned(service: InferenceService, terms: Terms, view: View, own: Settings) -> tuple[Resolved, ...]:
    others = own.learn_from_namespaces
    spec = terms.spec
    version = version_of(own.image_of(spec))
    if version is None:
        return ()
    found = lessons(view.reports(service.namespace, others), service.namespace, others, version)
    values = {product: one.difference for product, one in found.items()}
    why = "; ".join(f"{product}: {one.evidence}" for product, one in found.items())
    return (Resolved(LEARNED, values, PLAN, why[:253]),) if values else ()
