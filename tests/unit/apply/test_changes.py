"""The plan of changes: what is done in which order, what is kept or withheld, and the lines that it prints."""

from dataclasses import replace
from typing import Any

import pytest

from support.model_reports import packed
from support.snapshots import deployment, pod, service
from vllm_operator.api.reasons import Reason
from vllm_operator.api.resource import InferenceService
from vllm_operator.apply.changes import Changes, plan_changes
from vllm_operator.apply.decision import Act
from vllm_operator.apply.ledger import Ledger
from vllm_operator.apply.renderings import Known
from vllm_operator.assess.fits import Assessment, Inspection
from vllm_operator.inspection.report import Facts
from vllm_operator.manifests import Rendered, kept_model, kept_model_name, pack, pod_template
from vllm_operator.manifests.amounts import KEPT_REVISIONS
from vllm_operator.manifests.kinds import CHILD_KINDS, OPTIONAL_KINDS, ChildKind, Pruned
from vllm_operator.settings import Images, Settings
from vllm_operator.snapshots.child import Child, ChildKey, child, kept_models, revisions
from vllm_operator.snapshots.owned import content
from vllm_operator.status.evidence import Evidence

SETTINGS = Settings(images=Images(operator="operator:1"))
FITS = Assessment(True, Reason.FITS, "it fits")
TOO_LARGE = Assessment(False, Reason.WEIGHTS_TOO_LARGE, "the weights are larger than the GPU")
INSPECTED = Inspection("key", packed(Facts({}, commit="c" * 40)))
INSPECTING = Inspection("key", pending=True)
PENDING = Assessment(None, Reason.INSPECTING, "it is inspected", pending=True)


def plan(owner: InferenceService, live: dict[ChildKey, Child], assessment: Assessment = FITS, **more: Any) -> Changes:
    """The plan for a service with these children, of a model that is known and kept."""
    evidence = Evidence(owner, live={**dict([kept_model_of(owner)]), **live}, inspection=INSPECTED, **more)
    return plan_changes(evidence, Known(assessment, SETTINGS, Ledger(), {}, 1000.0))


def kept_model_of(owner: InferenceService) -> tuple[ChildKey, Child]:
    """What is kept of the model that a service names."""
    key = ("ControllerRevision", kept_model_name(owner))
    assert INSPECTED.packed
    told = content(kept_model(owner, INSPECTED.packed))
    return key, Child(*key, owner.uid, 5, "", packed_model=INSPECTED.packed, owned_content=told)


def kept(owner: InferenceService, number: int = 1) -> tuple[ChildKey, Child]:
    """The ControllerRevision of a service's spec."""
    name = f"{owner.name}-{owner.revision}"
    body = {
        "kind": "ControllerRevision",
        "metadata": {"name": name, "namespace": "n", "resourceVersion": "5", "uid": "u", "labels": {}},
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
        "keep ControllerRevision",
        "create ControllerRevision",
        "create Service",
        "create Deployment",
        "create PodDisruptionBudget",
        "create ServiceMonitor",
    ]
    assert str(changes).splitlines()[2] == f"create Service {service().name}: is not there"


def test_pods_that_do_not_fit_are_withheld_and_the_rest_is_made() -> None:
    changes = plan(service(), {}, TOO_LARGE)
    assert changes.template is None
    assert done(changes) == ["keep ControllerRevision", "create Service"]
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
    assert done(plan(after, live, TOO_LARGE)) == ["keep ControllerRevision", "create Service"]


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
    assert acts[2] == "delete HorizontalPodAutoscaler"
    assert acts[-1] == "delete NetworkPolicy"


@pytest.mark.parametrize("row", CHILD_KINDS, ids=lambda row: row.kind)
def test_what_is_not_wanted_goes_where_its_kind_is_pruned_by_the_spec(row: ChildKind) -> None:
    owner = service()
    stale = other(row.kind, owner, "stale")
    live = dict([kept(owner), stale])
    goes = row.pruned not in (Pruned.NEVER, Pruned.BY_NUMBER)
    assert deleted(plan(owner, live, served=OPTIONAL_KINDS)) == ([stale[0]] if goes else [])
    # Whether the cluster has such objects is not known: that is no reason to delete one.
    assert deleted(plan(owner, live)) == ([stale[0]] if goes and not row.optional else [])


def deleted(changes: Changes) -> list[ChildKey]:
    """What they delete."""
    return [change.key for change in changes.steps if change.act is Act.DELETE]


def test_what_pods_of_an_earlier_rendering_may_need_again_stays_as_long_as_there_are_some() -> None:
    owner = service()
    stale = other("ResourceClaimTemplate", owner, "stale")
    live = dict([kept(owner), stale])
    assert deleted(plan(owner, live, old_pods=[pod()], served=OPTIONAL_KINDS)) == []
    assert deleted(plan(owner, live, served=OPTIONAL_KINDS)) == [stale[0]]


@pytest.mark.parametrize("kind", [row.kind for row in CHILD_KINDS if row.pruned is Pruned.WITH_OLD_PODS])
def test_what_old_pods_hold_stays_until_they_have_finished_their_requests(kind: str) -> None:
    owner = service()
    stale = other(kind, owner, "stale")
    live = dict([kept(owner), stale])
    for ending, gone in (([pod(terminating=True)], []), ([pod(terminating=True, failed=True)], [stale[0]])):
        assert deleted(plan(owner, live, ending=ending, served=OPTIONAL_KINDS)) == gone


def test_what_is_not_ours_is_not_deleted() -> None:
    owner = service()
    live = dict([other("NetworkPolicy", owner, uid="another"), other("PersistentVolumeClaim", owner, "c", uid=None)])
    assert not [act for act in done(plan(owner, live)) if act.startswith("delete")]


def test_old_renderings_are_kept_up_to_a_number_the_oldest_go_first() -> None:
    specs = [service(maxModelLen=1024 * number) for number in range(1, KEPT_REVISIONS + 3)]
    live = dict(kept(spec, number) for number, spec in enumerate(specs, 1))
    gone = [change.key[1] for change in plan(specs[-1], live).steps if change.act is Act.DELETE]
    assert gone == [f"{specs[0].name}-{spec.revision}" for spec in specs[:2]]


def test_the_inspect_job_is_made_once_and_goes_when_the_model_is_known() -> None:
    owner = service()
    evidence = Evidence(owner, inspection=INSPECTING)
    known = Known(PENDING, SETTINGS, Ledger(), {}, 1000.0)
    changes = plan_changes(evidence, known)
    assert done(changes)[-1] == "create Job"
    name = changes.steps[-1].key[1]
    running = dict([other("Job", owner, name)])
    assert done(plan_changes(replace(evidence, live=running), known))[-1] == "keep Job"
    assert done(plan(owner, running))[-1] == "delete Job"


def test_what_is_known_of_a_model_is_kept_before_anything_is_made_of_it() -> None:
    owner = service()
    evidence = Evidence(owner, inspection=INSPECTED)
    first = plan_changes(evidence, Known(FITS, SETTINGS, Ledger(), {}, 1000.0)).steps[0]
    assert (first.act, first.key) == (Act.CREATE, ("ControllerRevision", kept_model_name(owner)))
    assert first.manifest == kept_model(owner, INSPECTED.packed)


def test_what_is_kept_of_a_model_is_no_rendering_and_no_rendering_is_a_model() -> None:
    owner = service()
    live = dict([kept(owner), kept_model_of(owner)])
    assert [child.name for child in revisions(live, owner.uid)] == [f"{owner.name}-{owner.revision}"]
    assert [child.name for child in kept_models(live, owner.uid)] == [kept_model_name(owner)]


def test_what_is_kept_of_another_model_is_deleted_and_its_template_stays() -> None:
    before, after = service(), service(model={"uri": "hf://org/other"})
    live = dict([kept_model_of(before), kept(before), deployed(before, before.revision)])
    evidence = Evidence(after, live=live, inspection=INSPECTING)
    changes = plan_changes(evidence, Known(PENDING, SETTINGS, Ledger(), {}, 1000.0))
    assert changes.template == pod_template(before, SETTINGS)
    gone = [change.key for change in changes.steps if change.act is Act.DELETE]
    assert gone == [("ControllerRevision", kept_model_name(before))]
    assert done(changes)[-1] == "create Job"


def test_what_is_kept_and_was_deleted_by_hand_is_inspected_anew_and_rolls_nothing() -> None:
    owner = service()
    live = dict([kept(owner), deployed(owner, owner.revision)])
    evidence = Evidence(owner, live=live, inspection=INSPECTING)
    changes = plan_changes(evidence, Known(PENDING, SETTINGS, Ledger(), {}, 1000.0))
    assert not changes.withheld
    assert changes.template == pod_template(owner, SETTINGS)
    assert done(changes)[-1] == "create Job"


EVENTS: dict[str, Any] = {"kvCache": {"events": {"port": 5600}}, "networkPolicy": {"allowFrom": [{"podSelector": {}}]}}


def opened(changes: Changes) -> list[int]:
    """The ports that the NetworkPolicy lets users reach."""
    (made,) = [change.manifest for change in changes.steps if change.manifest and change.key[0] == "NetworkPolicy"]
    return [port["port"] for port in made["spec"]["ingress"][0]["ports"]]


def test_an_edit_that_is_withheld_leaves_the_ports_of_the_pods_that_serve_open() -> None:
    before, after = service(**EVENTS), service(networkPolicy=EVENTS["networkPolicy"], maxModelLen=2048)
    live = dict([kept(before), deployed(after, before.revision)])
    old = [pod(revision=before.revision)]
    assert opened(plan(after, live, TOO_LARGE, old_pods=old)) == [8000, 5600]


def test_a_rollout_has_the_ports_of_both_kinds_of_pods_open_until_the_old_ones_are_gone() -> None:
    before = service(**EVENTS)
    after = service(**{**EVENTS, "kvCache": {"events": {"port": 5700}}})
    live = dict([kept(before), kept(after, 2), deployed(after, after.revision)])
    assert opened(plan(after, live, old_pods=[pod(revision=before.revision)])) == [8000, 5700, 5600]
    assert opened(plan(after, live)) == [8000, 5700]


def test_a_forged_template_of_old_pods_opens_nothing_and_breaks_nothing() -> None:
    before, after = service(**EVENTS), service(networkPolicy=EVENTS["networkPolicy"])
    for ports in (7, [7], [{"name": 7}], [{"name": "kv-events", "containerPort": "x"}], [{"name": "ssh"}]):
        key, snapshot = kept(before)
        template = snapshot.template
        template["spec"]["containers"][0]["ports"] = ports
        forged = replace(snapshot, packed_template=pack(Rendered(template)).template)
        live = {key: forged, **dict([kept(after, 2), deployed(after, after.revision)])}
        assert opened(plan(after, live, old_pods=[pod(revision=before.revision)])) == [8000]
