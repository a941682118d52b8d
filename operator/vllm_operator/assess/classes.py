"""Which ServingClass a service has: the one that it names, or a default that its namespace may use. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..api.reasons import Finding, Reason
from ..api.scheduling import LabelSelector
from ..api.serving_class import ServingClass
from ..api.spec import InferenceServiceSpec
from .nodes import holds

ASK = "or ask the platform team"
NAMESPACES_UNREADABLE = (
    "the operator may not read the labels of namespaces; a cluster role with list and watch on namespaces gives it that"
)


@dataclass(frozen=True, slots=True)
class Classes:
    """The ServingClasses, and the labels of a service's namespace, as far as the operator may read them."""

    by_name: Mapping[str, ServingClass] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    """Classes that are there and cannot be read: by name, what is wrong with their specs."""
    unreadable: str = ""
    """Why no class can be read, with what to do; empty where they can be."""
    namespace_labels: Mapping[str, str] | None = None
    """None where they cannot be read."""

    def default(self) -> ServingClass | None:
        """The newest of the default classes that the namespace may use."""
        return next((one for one in defaults(self.by_name.values()) if self.allows(one)), None)

    def allows(self, own: ServingClass) -> bool | None:
        """Whether the namespace may use a class; None where that cannot be known."""
        if own.spec.namespaces is None:
            return True
        return None if self.namespace_labels is None else selects(own.spec.namespaces, self.namespace_labels)


def defaults(classes: Iterable[ServingClass]) -> list[ServingClass]:
    """The default classes, the one that holds first: as with StorageClasses the newest, of equally old ones by name."""
    marked = sorted((one for one in classes if one.spec.default), key=lambda one: one.name)
    return sorted(marked, key=lambda one: one.created, reverse=True)


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors"""
    return all(labels.get(key) == value for key, value in (selector.match_labels or {}).items()) and all(
        holds(requirement, labels) for requirement in selector.match_expressions or []
    )


class ClassRefusedError(Exception):
    """A service may not have its class: the reason, and a sentence for people."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.refusal: Finding = (reason, message)


def class_of(spec: InferenceServiceSpec, classes: Classes) -> ServingClass | None:
    """The class that a service has; None: none. Raises ClassRefusedError where it may not have the one it names."""
    name = spec.serving_class_name
    if not name:
        return classes.default() if name is None else None
    if classes.unreadable:
        raise ClassRefusedError(Reason.CLASS_UNREADABLE, f"ServingClass {name} is not known: {classes.unreadable}")
    if name in classes.unread:
        raise ClassRefusedError(Reason.CLASS_UNREADABLE, f"ServingClass {name} cannot be read: {classes.unread[name]}")
    own = classes.by_name.get(name)
    if own is None:
        known = ", ".join(sorted(one.name for one in classes.by_name.values() if classes.allows(one))) or "none"
        message = f"there is no ServingClass {name}: name one that this namespace may use (there are: {known}), {ASK}"
        raise ClassRefusedError(Reason.CLASS_NOT_FOUND, message)
    allowed = classes.allows(own)
    if allowed is None:
        message = f"who may use ServingClass {name} is not known: {NAMESPACES_UNREADABLE}"
        raise ClassRefusedError(Reason.CLASS_UNREADABLE, message)
    if not allowed:
        message = f"ServingClass {name} is not for this namespace (its spec.namespaces): name another class, {ASK}"
        raise ClassRefusedError(Reason.CLASS_NOT_ALLOWED, message)
    return own
