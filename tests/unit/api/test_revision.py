"""What names a rendering: equal specs share one, however they say what they leave out."""

import copy
from collections.abc import Iterator
from typing import Any

from vllm_operator.api.effects import POD_FIELDS
from vllm_operator.api.fields import fields
from vllm_operator.api.resource import InferenceService
from vllm_operator.api.revision import EMPTY_IS_LEFT_OUT
from vllm_operator.api.serving_class import ServingDefaults, ServingPod
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.assess.merging import at, join
from vllm_operator.manifests import pod_template
from vllm_operator.manifests.names import REVISION_LABEL
from vllm_operator.settings import Settings

BASE: dict[str, Any] = {"model": {"uri": "hf://org/model"}}


def service(fields: dict[str, Any]) -> InferenceService:
    return InferenceService("team-a", "llama", "uid", 1, InferenceServiceSpec.model_validate(fields))


def template(owner: InferenceService) -> Any:
    """The pod template without its revision."""
    found = copy.deepcopy(pod_template(owner, Settings()))
    del found["metadata"]["labels"][REVISION_LABEL]
    return found


def with_empty(path: str, empty: Any) -> dict[str, Any]:
    """A spec in which a field is empty."""
    spec = copy.deepcopy(BASE)
    *holders, last = path.split(".")
    node = spec
    for holder in holders:
        node = node.setdefault(holder, {})
    node[last] = empty
    return spec


def without_effect() -> Iterator[tuple[str, InferenceService]]:
    """Each field of pods that may be empty, and is as if it were left out then."""
    plain = template(service(BASE))
    for field in fields(InferenceServiceSpec):
        if field.path.split(".")[0] not in POD_FIELDS or field.scalar:
            continue
        empties: tuple[Any, ...] = ({}, [])
        for empty in empties:
            try:
                owner = service(with_empty(field.path, empty))
            except ValueError:
                continue
            if template(owner) == plain:
                yield field.path, owner


def of_class() -> set[str]:
    """Fields whose value a ServingClass may give as a whole."""
    parts = ((ServingDefaults, ""), (ServingPod, "pod."))
    return {f"{before}{field.path}" for model, before in parts for field in fields(model) if field.leaf}


def keeps_class_away(owner: InferenceService, path: str) -> bool:
    """Whether the service's own value, which is empty, leaves nothing of what its class gives there."""
    given = owner.spec.given()
    offered: Any = {"pool": "of the class"} if at(given, path) == {} else [{"name": "of the class"}]
    return path in of_class() and not join({}, given, path, offered)


def test_what_is_empty_names_the_same_rendering_as_what_is_left_out_where_the_pods_are_the_same() -> None:
    empty = dict(without_effect())
    found = {path: owner for path, owner in empty.items() if not keeps_class_away(owner, path)}
    plain = service(BASE).revision
    assert {path: owner.revision for path, owner in found.items()} == dict.fromkeys(found, plain)
    assert found.keys() - {"accelerator"} == set(EMPTY_IS_LEFT_OUT), "the accelerator is always there"


def test_what_is_empty_and_keeps_the_value_of_a_class_away_names_another_rendering() -> None:
    away = {path: owner for path, owner in without_effect() if keeps_class_away(owner, path)}
    assert away.keys() >= {"extraArgs", "allowedMediaDomains"}
    assert service(BASE).revision not in {owner.revision for owner in away.values()}


def test_taking_a_field_away_that_changes_no_pods_names_the_same_rendering() -> None:
    given: list[dict[str, Any]] = [
        {},
        {"rollout": {}},
        {"rollout": {"maxSurge": 1}},
        {"rollout": {"maxUnavailable": 1}, "resources": {"requests": {}}},
    ]
    assert {service({**BASE, **one}).revision for one in given} == {service(BASE).revision}
