"""Every field arrives where its flag or support/places.py says, and rolls the pods exactly if they are made of it.

What reaches vLLM's command line is in tests/vllm_parser: there vLLM's own parser says what arrives.
"""

from dataclasses import replace
from typing import Any

import pytest

from support.every_field import SAMPLES, Sample, at, dotted, is_at, listed, sample
from support.model_reports import packed
from support.places import PLACES
from vllm_operator.api.resource import InferenceService
from vllm_operator.assess.fits import Inspection, assess, keeps_from_running
from vllm_operator.inspection.report import Facts
from vllm_operator.manifests import OPTIONAL_KINDS, Parts, desired, pod_template
from vllm_operator.settings import Settings
from vllm_operator.snapshots.node import Node

KINDS = {path: PLACES[name].kind for path, _ in SAMPLES if (name := listed(path))}


def template(service: InferenceService) -> Any:
    """The pod template, with the same revision for all: a hash is not an effect."""
    return pod_template(replace(service, revision="revision"), Settings())


def planned(service: InferenceService) -> dict[str, Any]:
    """What the memory plan of a service comes to, for a model that no GPU has room for."""
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 16384, "intermediate_size": 53248,
        "num_hidden_layers": 126, "num_attention_heads": 128, "num_key_value_heads": 8, "vocab_size": 128256,
        "max_position_embeddings": 131072, "torch_dtype": "bfloat16",
    }  # fmt: skip
    nodes = [Node("one", (("nvidia.com/gpu.product", "NVIDIA-L4"),), (("nvidia.com/gpu", 8),), ())]
    known = [] if service.spec.accelerator.memory else nodes
    assessment = assess(service, Inspection("key", packed(Facts(config))), known, "vllm/vllm-openai:v0.32.0")
    assert assessment.plan
    assert assessment.plan.capacity
    return {
        "totalBytes": assessment.plan.capacity.memory.total,
        "withheld": keeps_from_running(service.spec, assessment),
    }


def places(found: Sample) -> list[Any]:
    """What is at the place of a field in the children of each of its two services."""
    match found.place.kind:
        case "pod":
            return [at(template(service), found.steps) for service in found.services]
        case "env":
            (name,) = found.steps[:1]
            environments = [at(template(service), ("spec", "containers", "0", "env")) for service in found.services]
            return [next(v for v in variables if v["name"] == name) for variables in environments]
        case "plan":
            return [planned(service)[found.place.place] for service in found.services]
    kind = found.place.place.partition(" ")[0]
    children = [desired(Parts(service, template(service)), OPTIONAL_KINDS) for service in found.services]
    return [at(next((child for child in some if child["kind"] == kind), None), found.steps) for some in children]


def test_every_field_arrives_somewhere() -> None:
    for path, _ in SAMPLES:
        assert listed(path), (
            f"spec.{dotted(path)} arrives nowhere: give the field its vLLM flag (`flag=` in api/), or, where it has "
            "none, a row in tests/support/places.py"
        )
    for name in PLACES.keys() - {listed(path) for path, _ in SAMPLES}:
        pytest.fail(f"{name} in tests/support/places.py is no field of the spec: remove the row")


@pytest.mark.parametrize(
    ("path", "schema"), [pytest.param(*s, id=dotted(s[0])) for s in SAMPLES if KINDS.get(s[0]) != "argv"]
)
def test_the_value_arrives(path: tuple[str, ...], schema: dict[str, Any]) -> None:
    found = sample(path, schema)
    first, second = places(found)
    assert is_at(found.arrived[0], first)
    assert is_at(found.arrived[1], second)
    assert first != second


@pytest.mark.parametrize(("path", "schema"), [pytest.param(*s, id=dotted(s[0])) for s in SAMPLES])
def test_what_changes_the_pods_rolls_them_and_nothing_else_does(path: tuple[str, ...], schema: dict[str, Any]) -> None:
    found = sample(path, schema)
    first, second = found.services
    rolls = found.place.kind in ("argv", "env", "pod")
    assert (template(first) != template(second)) == rolls
    assert (first.revision != second.revision) == rolls, (
        f"spec.{found.path} must {'not ' if rolls else ''}say `rolls=False` in api/: a change of it arrives in "
        f"{found.place.kind} {found.place.place}, and {'rolls' if rolls else 'changes no'} pods"
    )
