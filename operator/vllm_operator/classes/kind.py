"""ServingClass, as the loop knows it: its watch, and its reconciler."""

from collections.abc import Iterable, Mapping

from ..api import CLASS_KIND
from ..api.resource import Body, Key
from ..api.serving_class import ServingClass, ServingClassStatus
from ..loop.kinds import Kind
from ..resources import RESOURCES
from ..snapshots.own import ObjectSnapshot, key_of, snapshot
from ..snapshots.serving_class import UnreadClass, serving_class
from ..status.schema import conform
from ..watch.sources import Indices, Item, Source
from .reconcile import PARSED, STATUSES, ClassReconciler


def _status(body: Body) -> Mapping[Key, ObjectSnapshot]:
    # Whoever may edit the status, or another version of the operator, may have left there what is none.
    status, _ = conform(body.get("status") or {}, ServingClassStatus)
    return {key_of(body): snapshot({**body, "status": status})}


def _parsed(body: Body) -> Mapping[Key, ServingClass | UnreadClass]:
    return {key_of(body): serving_class(body)}


def _all(_: Body, indices: Indices) -> Iterable[Item]:
    """Which classes are defaults, each default says."""
    return [Item(CLASS_KIND, key) for key in indices[STATUSES]]


SOURCES = (Source(RESOURCES[CLASS_KIND], {STATUSES: _status, PARSED: _parsed}, _all, CLASS_KIND),)
SERVING_CLASS = Kind(CLASS_KIND, SOURCES, ClassReconciler)
