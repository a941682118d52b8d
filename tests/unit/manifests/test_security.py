"""Whom pods and Jobs run as: the operator's user, or the one that the namespace gives."""

from typing import Any

import pytest

from support.snapshots import service
from vllm_operator.assess.kept import Today, bars
from vllm_operator.manifests import inspection, pod_template
from vllm_operator.settings import Images, Settings

FROM_NAMESPACE = Settings.model_validate({"podSecurity": {"runAsUser": "fromNamespace"}, "images": {"operator": "o:1"}})
IDS = ("runAsUser", "runAsGroup", "fsGroup", "supplementalGroups")


def contexts(settings: Settings, **fields: Any) -> list[dict[str, Any]]:
    """The securityContexts of a service's pods and of its Job's."""
    owner = service(**fields)
    job = inspection(owner, settings)["spec"]["template"]
    return [one["spec"]["securityContext"] for one in (pod_template(owner, settings), job)]


def test_nobody_is_named_where_the_namespace_decides() -> None:
    for found in contexts(FROM_NAMESPACE):
        assert not set(IDS) & set(found)
        assert found["runAsNonRoot"] is True
    for found in contexts(FROM_NAMESPACE, pod={"fsGroup": 1000770000}):
        assert found["fsGroup"] == 1000770000
        assert "runAsUser" not in found


def test_by_default_it_is_user_1000() -> None:
    for found in contexts(Settings(images=Images(operator="o:1"))):
        assert [found.get(name) for name in IDS] == [1000, 1000, 1000, None]


def test_pods_with_amd_gpus_are_in_the_groups_of_their_device_files() -> None:
    amd = {"accelerator": {"resource": "amd.com/gpu"}}
    pod, job = contexts(Settings(images=Images(operator="o:1")), **amd)
    assert pod["supplementalGroups"] == [44, 109, 110]
    assert "supplementalGroups" not in job
    other = Settings.model_validate({"podSecurity": {"deviceGroups": {}}, "images": {"operator": "o:1"}})
    assert "supplementalGroups" not in contexts(other, **amd)[0]


@pytest.mark.parametrize("settings", [Settings(), FROM_NAMESPACE])
def test_a_template_of_either_kind_may_be_kept(settings: Settings) -> None:
    template = pod_template(service(), FROM_NAMESPACE)
    assert bars(template, Today(service().spec, settings)) == ""
    template["spec"]["securityContext"]["runAsUser"] = 0
    assert bars(template, Today(service().spec, settings)) == "its pods have another securityContext"


def test_groups_that_the_setting_does_not_have_are_barred() -> None:
    amd = service(accelerator={"resource": "amd.com/gpu"})
    template = pod_template(amd, Settings())
    assert bars(template, Today(amd.spec, Settings())) == ""
    template["spec"]["securityContext"]["supplementalGroups"] = [44, 0]
    assert "are in groups (0)" in bars(template, Today(amd.spec, Settings()))
    assert "are in groups (44, 109, 110)" in bars(pod_template(amd, Settings()), Today(service().spec, Settings()))
