"""The plan of changes: what is done in which order, what is kept or withheld, and the lines that it prints."""

from dataclasses import replace
from typing import Any

from support.snapshots import deployment, service
from vllm_operator.api.resource import InferenceService
from vllm_operator.apply.changes import Changes, Known, plan_changes
from vllm_operator.apply.decision import Act
from vllm_operator.apply.ledger import Ledger
from vllm_operator.assess.fits import Assessment, Inspection
from vllm_operator.manifests import pod_template
from vllm_operator.manifests.revision import KEPT_REVISIONS
from vllm_operator.settings import Images, Settings
from vllm_operator.snapshots.child import Child, ChildKey, child
from vllm_operator.status.evidence import Evidence

SETTINGS = Settings(images=Images(operator="operator:1"))
FITS = Assessment(True, "Fits", "it fits")
TOO_LARGE = Assessment(False, "WeightsTooLarge", "the weights are larger than the GPU")
INSPECTED = Inspection("key", error=None)


def plan(owner: InferenceService, live: dict[ChildKey, Child], assessment: Assessment = FITS, **more: Any) -> Changes:
    """The plan for a service with these children."""
    evidence = Evidence(owner, live=live, inspection=INSPECTED, before={"model": {"inspected": "key"}}, **more)
    return plan_changes(evidence, Known(assessment, SETTINGS, Ledger(), {}, 1000.0))


def kept(owner: InferenceService, number: int = 1) -> tuple[ChildKey, Child]:
    """The ControllerRevision of a service's spec."""
    name = f"{owner.name}-{owner.revision}"
    body = {
        "kind": "ControllerRevision",
        "metadata": {"name": name, "namespace": "n", "resourceVersion": "5", "labels": {}},
        "revision": number,
        "data": {"template": pod_template(owner, SETTINGS)},
    }
    snapshot = replace(child(body), owner_uid=owner.uid, revision=owner.revision)
    return ("ControllerRevision", name), snapshot


def deployed(owner: InferenceService, revision: str) -> tuple[ChildKey, Child]:
    """The Deployment whose pods are of a revision."""
    key = ("Deployment", owner.name)
    return key, Child(*key, owner.uid, 5, "", revision=revision, deployment=deployment(1))


def other(kind: str, owner: InferenceService, name: str = "", uid: str | None = "") -> tuple[ChildKey, Child]:
    """Any other child."""
    key = (kind, name or owner.name)
    return key, Child(*key, owner.uid if uid == "" else uid, 5, "")


def done(changes: Changes) -> list[str]:
    """The acts in order."""
    return [f"{change.act} {change.key[0]}" for change in changes.steps]


def test_a_new_service_keeps_its_template_first_and_its_pods_come_last_but_for_the_monitoring() -> None:
    changes = plan(service(replicas=2), {}, served=frozenset({"ServiceMonitor"}))
    assert done(changes) == [
        "create ControllerRevision",
        "create Service",
        "create Deployment",
        "create PodDisruptionBudget",
        "create ServiceMonitor",
    ]
    assert [change.key[0] for change in changes.steps if change.gives_way] == ["Deployment"]
    assert str(changes).splitlines()[1] == f"create Service {service().name}: is not there"


def test_pods_that_do_not_fit_are_withheld_and_the_rest_is_made() -> None:
    changes = plan(service(), {}, TOO_LARGE)
    assert changes.template is None
    assert done(changes) == ["create Service"]
    assert str(changes).startswith("withhold the pods of the spec: the weights are larger than the GPU")


def test_what_is_deployed_stays_and_is_kept_repaired_where_the_new_spec_does_not_fit() -> None:
    before, after = service(maxModelLen=1024), service(maxModelLen=2048)
    live = dict([kept(before), deployed(after, before.revision)])
    changes = plan(after, live, TOO_LARGE)
    assert changes.withheld
    assert changes.template == pod_template(before, SETTINGS)
    assert "apply Deployment" in done(changes)
    assert "create ControllerRevision" not in done(changes)


def test_a_plan_that_fails_later_for_the_deployed_spec_withholds_nothing() -> None:
    owner = service()
    changes = plan(owner, dict([kept(owner), deployed(owner, owner.revision)]), TOO_LARGE)
    assert not changes.withheld
    assert changes.template == pod_template(owner, SETTINGS)


def test_without_the_template_of_what_is_deployed_nothing_of_it_is_touched() -> None:
    after = service(maxModelLen=2048)
    live = dict([deployed(after, "lost"), other("HorizontalPodAutoscaler", after)])
    assert done(plan(after, live, TOO_LARGE)) == ["create Service"]


def test_the_kept_template_is_rendered_once_whatever_the_settings_become() -> None:
    owner = service()
    key, snapshot = kept(owner)
    later = Settings(images=Images(gpu="vllm/vllm-openai:v9"))
    evidence = Evidence(owner, live={key: snapshot}, inspection=INSPECTED)
    changes = plan_changes(evidence, Known(FITS, later, Ledger(), {}, 1000.0))
    assert changes.template == pod_template(owner, SETTINGS)


def test_an_autoscaler_goes_before_anything_is_applied_and_the_rest_after() -> None:
    owner = service(replicas=2)
    live = dict(
        [
            kept(owner),
            deployed(owner, owner.revision),
            other("HorizontalPodAutoscaler", owner),
            other("NetworkPolicy", owner),
        ]
    )
    acts = done(plan(owner, live))
    assert acts[1] == "delete HorizontalPodAutoscaler"
    assert acts[-1] == "delete NetworkPolicy"


def test_what_is_not_ours_is_not_deleted() -> None:
    owner = service()
    live = dict([other("NetworkPolicy", owner, uid="another"), other("PersistentVolumeClaim", owner, "c", uid=None)])
    assert not [act for act in done(plan(owner, live)) if act.startswith("delete")]


def test_old_renderings_are_kept_up_to_a_number_the_oldest_go_first() -> None:
    specs = [service(maxModelLen=1024 * number) for number in range(1, KEPT_REVISIONS + 3)]
    live = dict(kept(spec, number) for number, spec in enumerate(specs, 1))
    gone = [change.key[1] for change in plan(specs[-1], live).steps if change.act is Act.DELETE]
    assert gone == [f"{specs[0].name}-{spec.revision}" for spec in specs[:2]]


def test_the_inspect_job_is_made_once_and_goes_with_the_report_in_the_status() -> None:
    owner = service()
    evidence = Evidence(owner, inspection=Inspection("key", pending=True))
    known = Known(Assessment(None, "Inspecting", "it is inspected", pending=True), SETTINGS, Ledger(), {}, 1000.0)
    changes = plan_changes(evidence, known)
    assert done(changes)[-1] == "create Job"
    name = changes.steps[-1].key[1]
    running = dict([other("Job", owner, name)])
    assert done(plan_changes(replace(evidence, live=running), known))[-1] == "keep Job"
    assert done(plan(owner, running))[-1] == "delete Job"
