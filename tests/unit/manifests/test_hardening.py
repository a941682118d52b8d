"""The security fixes of the pod template: their numbers go up, and templates say which of them they have."""

from support.snapshots import service
from vllm_operator.manifests import pod_template
from vllm_operator.manifests.hardening import FIXES, VERSION, VERSION_ANNOTATION, missing, version_of
from vllm_operator.settings import Settings


def test_new_templates_have_every_fix() -> None:
    assert version_of(pod_template(service(), Settings())) == VERSION
    assert missing(VERSION) == []
    assert [fix.version for fix in FIXES] == sorted(fix.version for fix in FIXES)


def test_a_template_that_says_nothing_of_it_has_none() -> None:
    for said in ({}, {VERSION_ANNOTATION: "x"}, {VERSION_ANNOTATION: "-1"}, {VERSION_ANNOTATION: "9" * 400}):
        assert version_of({"metadata": {"annotations": said}}) == 1
    assert version_of({"metadata": {}}) == 1
    assert missing(1) == [fix.without for fix in FIXES]
