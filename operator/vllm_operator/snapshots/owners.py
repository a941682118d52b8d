"""Whose a pod is: told by its controlling owners, link by link up to a child of ours, and never by its labels alone.

Whoever may make pods may give them our labels. An owner reference can be forged too, by whoever has `edit` in the
namespace; what it names has to be there, as a child that the service controls. Pure: bodies in, values out.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from sys import intern

from ..api.resource import Body
from ..manifests.kinds import BY_KIND
from .child import Child, owner_uid


@dataclass(frozen=True, slots=True)
class Link:
    """An object that stands between a child and its pods."""

    kind: str
    uid: str
    owner: str
    """The uid of its own controlling owner."""


def link(body: Body, kind: str) -> Link | None:
    """Snapshot of an object of such a kind; None for one that nothing controls."""
    owner = owner_uid(body["metadata"])
    # One text for an object and all that names it: there are tens of thousands.
    return Link(kind, intern(str(body["metadata"]["uid"])), intern(owner)) if owner else None


def is_link(kind: str, children: Iterable[Child]) -> bool:
    """Whether objects of this kind stand between one of the children and its pods."""
    rows = (BY_KIND[child.kind].pods for child in children)
    return any(kind in way for pods in rows if pods for way in pods.through)


def pod_owners(
    children: Iterable[Child], links: Collection[Link], service_uid: str, *, of_jobs: bool = False
) -> frozenset[str]:
    """Uids of what controls the pods of the service with this uid: of those that serve, or of its Jobs.

    `children`, `links`: all that carry the service's labels; pods are links where others belong to them. A pod is the
    service's own exactly if its controlling owner is one of these.
    """
    # All children of a kind together: whoever may make objects can make thousands with our labels.
    own: dict[str, set[str]] = {}
    for child in children:
        if child.owner_uid == service_uid:
            own.setdefault(child.kind, set()).add(child.uid)
    found: set[str] = set()
    for owner, uids in own.items():
        pods = BY_KIND[owner].pods
        if pods is None or pods.of_jobs is not of_jobs:
            continue
        for way in pods.through:
            level = uids
            for kind in way:
                level = {one.uid for one in links if one.kind == kind and one.owner in level}
            found |= level
    return frozenset(found)
