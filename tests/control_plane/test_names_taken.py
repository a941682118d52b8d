"""An object of somebody else that has the name of a child is never adopted, whatever its kind."""

from typing import Any, NamedTuple

import pytest

from support.child_kinds import Example, example
from support.kube import Kube, Object, conditions
from support.services import children, reason, service
from vllm_operator.manifests.kinds import BY_KIND, CHILD_KINDS, ChildKind

pytestmark = pytest.mark.control_plane


class Taken(NamedTuple):
    """A service, and the object of another that has the name of one of its children."""

    row: ChildKind

    @property
    def example(self) -> Example:
        """The example of the kind."""
        return example(self.row)

    @property
    def service(self) -> Object:
        """The service; it is called like the kind. Its model is its own: those of one model have one Job together."""
        name = self.row.kind.lower()
        return service(name, model={"uri": f"hf://org/{name}"}, **self.example.spec)

    @property
    def name(self) -> str:
        """The name that is taken."""
        return self.example.name(self.service)

    @property
    def other(self) -> Object:
        """The object of another."""
        head = {"apiVersion": self.row.api_version, "kind": self.row.kind, "metadata": {"name": self.name}}
        return {**head, **self.example.others}


TAKEN = [Taken(row) for row in CHILD_KINDS]


def as_it_was_made(found: Object | None) -> list[Any]:
    """What only somebody who changes an object changes: all but its status, and what its controller notes."""
    assert found
    meta = found["metadata"]
    return [found.get("spec"), found.get("data"), meta.get("labels"), meta.get("ownerReferences")]


@pytest.mark.usefixtures("every_api")
def test_somebody_elses_object_is_never_adopted(kube: Kube) -> None:
    kube.apply(*(taken.other for taken in TAKEN))
    before = {taken.row.kind: as_it_was_made(kube.get(taken.row.kind, taken.name)) for taken in TAKEN}
    kube.apply(*(taken.service for taken in TAKEN))
    for taken in TAKEN:
        name, kind = taken.service["metadata"]["name"], taken.row.kind

        def says(taken: Taken = taken, name: str = name) -> bool:
            found = conditions(kube.get("vis", name) or {}).get(taken.example.condition, {})
            return f"the {taken.row.kind} {taken.name} in namespace" in found.get("message", "")

        # Without an inspection its pods are made all the same, after two minutes: then it is told why.
        kube.wait(f"it says that the {kind} is not its own", 150 if kind == "Job" else 30, says)
    for taken in TAKEN:
        assert as_it_was_made(kube.get(taken.row.kind, taken.name)) == before[taken.row.kind]


def test_it_goes_on_when_the_name_is_free(kube: Kube) -> None:
    taken = Taken(BY_KIND["Service"])
    kube.apply(taken.other, taken.service)
    kube.wait("it says so", 10, lambda: reason(kube, name="service") == "NameTaken")
    kube.run("delete", "service", taken.name)
    kube.ready("service", 60)
    assert children(kube, "service")["Service"]["spec"]["ports"][0]["port"] == 8000
