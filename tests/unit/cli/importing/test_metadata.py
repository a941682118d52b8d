"""What a source's metadata says that no API server would take is left out and told, and the rest is taken over."""

import json

import pytest

from support.imports import deployment, of_text, said_of
from vllm_operator.cli.importing.report import Went


@pytest.mark.parametrize(
    ("metadata", "what"),
    [
        ({"namespace": "${NAMESPACE}"}, "namespace"),
        ({"labels": {"a team": "x"}}, "label a team"),
        ({"labels": {"team": "x y"}}, "label team"),
        ({"annotations": {"a team": "x"}}, "annotation a team"),
    ],
)
def test_a_wrong_part_is_left_out(metadata: dict[str, object], what: str) -> None:
    source = deployment(replicas=2)
    source["metadata"] |= metadata
    found = of_text(json.dumps(source))
    (service,) = (one for one in found.documents if one["kind"] == "InferenceService")
    assert service["metadata"] == {"name": "m"}
    assert service["spec"]["replicas"] == 2
    assert [went for went, _ in said_of(found, what)] == [Went.LEFT]
