"""What people in the field write, without a cluster: `render` refuses it with the right words, or makes the right pods.

tests/control_plane/test_validation.py holds the refusals of the same files against a real API server.
"""

from pathlib import Path

import pytest
import yaml

from support.field_cases import CASES, FOLDER, Case
from vllm_operator import settings
from vllm_operator.api import KIND
from vllm_operator.assess.classes import Classes
from vllm_operator.assess.policy import fault
from vllm_operator.cli.render import render, service_of
from vllm_operator.cli.validation import faults


def allowed(case: Case) -> settings.Settings:
    """The settings as they come, and what the case says that the platform team allows."""
    return settings.Settings.model_validate(case.settings)


def said_of(case: Case) -> str:
    """Everything that is said against a manifest: by the CRD, else by the settings as they come."""
    if found := faults(case.manifest, KIND):
        return "\n".join(found)
    finding = fault(service_of(case.manifest).spec, allowed(case))
    return finding[1] if finding else ""


def test_there_are_cases() -> None:
    assert {case.name for case in CASES} == {path.stem for path in Path(FOLDER).iterdir()}
    assert CASES


@pytest.mark.parametrize("case", [case for case in CASES if case.refused], ids=lambda case: case.name)
def test_it_is_refused(case: Case) -> None:
    said = said_of(case)
    assert [part for part in case.refused if part not in said] == [], said


@pytest.mark.parametrize("case", [case for case in CASES if not case.refused], ids=lambda case: case.name)
def test_it_is_accepted(case: Case) -> None:
    assert said_of(case) == ""
    children = render(case.manifest, allowed(case), Classes({}))
    (deployment,) = (child for child in children if child["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    arguments = " ".join(container["args"])
    assert [part for part in case.args if part not in arguments] == [], arguments
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert {name: variables.get(name) for name in case.env} == case.env
    text = yaml.safe_dump_all(children, width=10_000)
    assert [part for part in case.text if part not in text] == [], text
