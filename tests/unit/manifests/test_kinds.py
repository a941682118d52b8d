"""Every kind of child is complete, and of one that is not it is said what is missing, and where to add it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import kopf
import pytest
import yaml

from cluster.host import REPOSITORY
from support.child_kinds import EXAMPLES, Example
from support.kube import Object
from support.places import PLACES
from support.rights import Right, granted
from vllm_operator.api.resource import InferenceService
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.manifests import Scaling, pod_template
from vllm_operator.manifests.kinds import AUTOSCALERS, BY_KIND, CHILD_KINDS, ChildKind, Parts, Pruned
from vllm_operator.services.kind import SOURCES
from vllm_operator.settings import Settings
from vllm_operator.watch.registration import register
from vllm_operator.watch.watches import Watches

RIGHTS_FILE = "charts/vllm-operator/files/rbac.yaml"


@dataclass(frozen=True)
class Surroundings:
    """All that has to know of a kind of child, beside its row."""

    # apiVersion of the manifests in the golden files, by kind.
    goldens: Mapping[str, set[str]]
    rights: Collection[Right]
    # API version and plural.
    watched: Collection[tuple[str, str]]
    examples: Mapping[str, Example]
    # Of fields of the spec.
    places: Collection[str]


@cache
def found() -> Surroundings:
    """The surroundings as they are in the repository."""
    goldens: dict[str, set[str]] = {}
    for path in (REPOSITORY / "tests" / "golden").glob("*.yaml"):
        for manifest in yaml.load_all(path.read_text(), yaml.CSafeLoader):
            goldens.setdefault(manifest["kind"], set()).add(manifest["apiVersion"])
    rules = yaml.safe_load((REPOSITORY / RIGHTS_FILE).read_text())
    registry = kopf.OperatorRegistry()
    register(registry, Watches(lambda: None), SOURCES, lambda *_, **__: None)
    selectors = [handler.selector for handler in registry._watching.get_all_handlers()]  # no public way to ask
    watched = {("/".join(filter(None, (s.group, s.version))), str(s.plural or s.any_name)) for s in selectors if s}
    return Surroundings(goldens, granted(rules["namespaced"]), watched, EXAMPLES, PLACES)


def missing(row: ChildKind, around: Surroundings) -> Iterator[str]:
    """What a kind of child still lacks: a sentence each, which says where to add it."""
    kind = row.kind
    example = around.examples.get(kind)
    if example is None:
        yield f"{kind} has no example: add it to EXAMPLES in tests/support/child_kinds.py"
    else:
        yield from _unknown_fields(kind, example, around.places)
        if row.build:
            yield from _wrongly_built(row, example)
    if kind not in around.goldens:
        if row.build is None:
            yield f"{kind} has no builder: write one in manifests/, and name it in its row in manifests/kinds.py"
        else:
            yield f"{kind} is in no golden file: add a service that has one to SERVICES in tests/golden/test_golden.py"
    elif around.goldens[kind] != {row.api_version}:
        yield f"{kind} is of {row.api_version} in manifests/kinds.py, and of another version in tests/golden"
    group = row.api_version.rpartition("/")[0]
    if lacking := [verb for verb in row.verbs if Right(verb, group, row.plural) not in around.rights]:
        yield f"the chart lets the operator not {', '.join(lacking)} {row.plural}: run `make generated` ({RIGHTS_FILE})"
    if (row.api_version, row.plural) not in around.watched:
        yield f"{row.plural} are not watched: SOURCES in services/kind.py leaves {kind} out"


def _unknown_fields(kind: str, example: Example, places: Collection[str]) -> Iterator[str]:
    for path in _leaves(example.spec):
        steps = path.split(".")
        if not any(".".join(steps[: length + 1]) in places for length in range(len(steps))):
            yield f"spec.{path}, which asks for a {kind}, arrives nowhere: add it to PLACES in tests/support/places.py"


def _leaves(node: Object, path: str = "") -> Iterator[str]:
    for name, value in node.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield path + name


def _wrongly_built(row: ChildKind, example: Example) -> Iterator[str]:
    assert row.build
    made = row.build(parts(example.spec))
    if made is None:
        yield f"the builder of {row.kind} makes none for the spec of its example in tests/support/child_kinds.py"
    elif (made["kind"], made["apiVersion"]) != (row.kind, row.api_version):
        what = f"{made['kind']} of {made['apiVersion']}"
        yield f"the builder of {row.kind} of {row.api_version} makes a {what}: manifests/kinds.py and it have to agree"


def parts(spec: Object) -> Parts:
    """What the builders are given."""
    whole = {"model": {"uri": "hf://org/name"}, **{name: spec[name] for name in spec if name in _KNOWN}}
    owner = InferenceService("default", "llama", "7f0c", 1, InferenceServiceSpec.model_validate(whole))
    return Parts(owner, pod_template(owner, Settings()), Scaling())


_KNOWN = {field.alias or name for name, field in InferenceServiceSpec.model_fields.items()}


@pytest.mark.parametrize("row", CHILD_KINDS, ids=lambda row: row.kind)
def test_nothing_is_missing(row: ChildKind) -> None:
    assert list(missing(row, found())) == []


def test_every_kind_that_is_known_anywhere_has_a_row() -> None:
    assert [kind for kind in found().goldens if kind not in BY_KIND] == [], "no row in manifests/kinds.py"
    assert [kind for kind in EXAMPLES if kind not in BY_KIND] == [], "no row in manifests/kinds.py"
    children = {place.place.partition(" ")[0] for place in PLACES.values() if place.kind == "child"}
    assert children - BY_KIND.keys() == set(), "no row in manifests/kinds.py"


def test_rows_name_each_kind_and_resource_once() -> None:
    assert (
        len({row.kind for row in CHILD_KINDS})
        == len({(row.api_version, row.plural) for row in CHILD_KINDS})
        == len(CHILD_KINDS)
    )


def test_an_autoscaler_that_is_not_wanted_goes_before_another_is_made() -> None:
    assert {row.kind for row in CHILD_KINDS if row.pruned is Pruned.FIRST} == AUTOSCALERS


# A kind of child that somebody adds, and all that knows of it.
ROUTE = ChildKind(
    kind="HTTPRoute",
    api_version="gateway.networking.k8s.io/v1",
    plural="httproutes",
    build=lambda _: {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"},
    pruned=Pruned.LAST,
    optional=True,
)


def complete() -> Surroundings:
    """What knows of ROUTE when nothing was forgotten."""
    return Surroundings(
        goldens={"HTTPRoute": {"gateway.networking.k8s.io/v1"}},
        rights={Right(verb, "gateway.networking.k8s.io", "httproutes") for verb in ROUTE.verbs},
        watched={("gateway.networking.k8s.io/v1", "httproutes")},
        examples={"HTTPRoute": Example({}, edit={}, spec={"route": {"hostname": "llm.example.com"}})},
        places={"route.hostname"},
    )


def test_a_kind_of_which_nothing_was_forgotten_lacks_nothing() -> None:
    assert list(missing(ROUTE, complete())) == []


@pytest.mark.parametrize(
    ("row", "forgotten", "sentence"),
    [
        (ROUTE, {"examples": {}}, "has no example: add it to EXAMPLES in tests/support/child_kinds.py"),
        (ROUTE, {"goldens": {}}, "is in no golden file: add a service that has one to SERVICES in tests/golden/"),
        (replace(ROUTE, build=None), {"goldens": {}}, "has no builder: write one in manifests/"),
        (replace(ROUTE, build=lambda _: None), {}, "makes none for the spec of its example"),
        (replace(ROUTE, build=lambda _: {"apiVersion": "v1", "kind": "Route"}), {}, "makes a Route of v1"),
        (ROUTE, {"goldens": {"HTTPRoute": {"example.com/v1"}}}, "of another version in tests/golden"),
        (ROUTE, {"rights": set()}, "get, list, watch, create, patch, delete httproutes: run `make generated`"),
        (ROUTE, {"watched": set()}, "httproutes are not watched: SOURCES in services/kind.py"),
        (ROUTE, {"places": set()}, "spec.route.hostname, which asks for a HTTPRoute, arrives nowhere: add it to"),
    ],
)
def test_one_edit_that_was_forgotten_is_named(row: ChildKind, forgotten: dict[str, Any], sentence: str) -> None:
    (said,) = missing(row, replace(complete(), **forgotten))
    assert "HTTPRoute" in said or "httproutes" in said
    assert sentence in said
