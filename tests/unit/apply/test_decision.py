"""What one child needs, and why: every rule, and the sentence that a person reads of it."""

from typing import Any

import pytest

from support.snapshots import deployment, service
from vllm_operator.api.resource import InferenceService
from vllm_operator.apply.decision import Act, Change, Sharing, Sight, decide, digest
from vllm_operator.apply.ledger import WATCH_LAG_SECONDS, Applied, Ledger
from vllm_operator.manifests import Manifest
from vllm_operator.manifests.kinds import CHILD_KINDS, ChildKind, Proof
from vllm_operator.snapshots.child import Child
from vllm_operator.snapshots.owned import content

OWNER = service()
NOW = 1000.0
SERVICE: Manifest = {"kind": "Service", "metadata": {"name": "llama"}, "spec": {"ports": []}}
CLAIM: Manifest = {"kind": "PersistentVolumeClaim", "metadata": {"name": "llama-cache"}, "spec": {}}
SHARED: Manifest = {"kind": "Deployment", "metadata": {"name": "llama"}, "spec": {"template": {}}}
GROUPS: Manifest = {**SHARED, "kind": "LeaderWorkerSet"}


def child(manifest: Manifest, **values: Any) -> Child:
    """As the watch shows it, just as we applied it."""
    known = {"owner_uid": OWNER.uid, "resource_version": 7, "owned_fields": "ours", **values}
    return Child(manifest["kind"], manifest["metadata"]["name"], **known)


def applied(manifest: Manifest, **values: Any) -> Applied:
    """As our last apply left it."""
    values = {name: hash(value) if isinstance(value, str) else value for name, value in values.items()}
    known = {"content": 0, "owned_fields": hash("ours"), "resource_version": 7, "at": NOW - 1, "seen": True, **values}
    return Applied(hash(digest(manifest)), **known)


def needs(
    manifest: Manifest, shown: Child | None, last: Applied | None, owner: InferenceService = OWNER, **sight: Any
) -> Change:
    return decide(owner, manifest, Sight(shown, last, NOW, **sight), 3)


@pytest.mark.parametrize(
    ("shown", "last", "act", "why"),
    [
        (None, None, Act.CREATE, "is not there"),
        (child(SERVICE), None, Act.APPLY, "is there, and is not known to be as it should"),
        (child(SERVICE, owned_content=content(SERVICE)), None, Act.KEEP, "as it was applied"),
        (child(SERVICE, owned_content="other"), None, Act.APPLY, "is there, and is not known to be as it should"),
        (child(SERVICE), applied(SERVICE), Act.KEEP, "as it was applied"),
        (child(SERVICE, owned_fields="less"), applied(SERVICE), Act.APPLY, "somebody has edited it"),
        (child(SERVICE, owned_fields="less", resource_version=6), applied(SERVICE), Act.KEEP, "as it was applied"),
        (child(SERVICE, owned_content="a"), applied(SERVICE, content="a"), Act.KEEP, "as it was applied"),
        (child(SERVICE, owned_content="b"), applied(SERVICE, content="a"), Act.APPLY, "somebody has edited it"),
        (child(SERVICE, owned_content="b"), applied(SERVICE, content="a", seen=False), Act.KEEP, "as it was applied"),
        (child(SERVICE), applied({**SERVICE, "spec": {}}), Act.APPLY, "its manifest has changed"),
        (None, applied(SERVICE), Act.CREATE, "is gone"),
        (None, applied(SERVICE, seen=False), Act.KEEP, "as it was applied"),
        (None, applied(SERVICE, seen=False, at=NOW - WATCH_LAG_SECONDS), Act.APPLY, "is gone"),
        (child(SERVICE, owner_uid=None), None, Act.REFUSE, "delete it, and the operator makes it again"),
        (
            child(SERVICE, owner_uid=None, uid="a", owned_fields="less"),
            applied(SERVICE, object="a"),
            Act.APPLY,
            "edited",
        ),
        (
            child(SERVICE, owner_uid=None, uid="b", owned_fields="less"),
            applied(SERVICE, object="a"),
            Act.REFUSE,
            "no own",
        ),
        (child(SERVICE, owner_uid=None, owned_fields="less"), applied(SERVICE), Act.REFUSE, "has no owner any more"),
        (
            child(SERVICE, owner_uid="other", uid="a"),
            applied({}, object="a"),
            Act.WAIT,
            "belongs to a deleted service",
        ),
        (child(SERVICE, owner_uid="other"), None, Act.WAIT, "belongs to a deleted service of this name"),
    ],
)
def test_a_child_is_applied_for_a_reason_and_kept_without_one(
    shown: Child | None, last: Applied | None, act: Act, why: str
) -> None:
    change = needs(SERVICE, shown, last)
    assert change.act == act
    assert why in change.why
    assert str(change).startswith(f"{act} Service llama: ")


def test_a_claim_that_outlived_its_service_is_taken_over() -> None:
    assert needs(CLAIM, child(CLAIM, owner_uid=None), None).act == Act.APPLY


def test_a_deployment_whose_pods_an_autoscaler_counts_is_looked_at_before_it_is_made() -> None:
    assert needs(SHARED, None, None).act == needs(GROUPS, None, None).act == Act.LOOK
    looked = needs(SHARED, None, None, looked=True)
    assert (looked.act, looked.sharing) == (Act.APPLY, Sharing(3, exists=False, held=False))


@pytest.mark.parametrize(
    ("shown", "last", "held"),
    [
        (child(SHARED, owns_replicas=True), None, True),
        (child(SHARED), None, False),
        (child(SHARED, resource_version=6), applied({**SHARED, "spec": {}}), True),
    ],
)
def test_replicas_that_we_own_are_handed_over_before_we_give_them_up(
    shown: Child, last: Applied | None, *, held: bool
) -> None:
    change = needs(SHARED, shown, last)
    assert (change.act, change.sharing) == (Act.APPLY, Sharing(3, exists=True, held=held))


def test_a_deployment_at_zero_is_started_where_an_hpa_would_do_nothing() -> None:
    scaled = service(autoscaling={"minReplicas": 1, "maxReplicas": 4, "provider": "HPA"})
    change = needs(SHARED, child(SHARED, deployment=deployment(0)), applied(SHARED), scaled)
    assert (change.act, change.why) == (Act.APPLY, "an autoscaler does nothing at 0 pods")
    assert change.sharing == Sharing(3, exists=True, held=True)
    assert needs(SHARED, child(SHARED, deployment=deployment(2)), applied(SHARED), scaled).act == Act.KEEP


def test_the_ledger_notes_what_the_watch_has_shown_and_keeps_it_seen() -> None:
    ledger, key = Ledger(), ("Service", "llama")
    body = {**SERVICE, "metadata": {"name": "llama", "namespace": "n", "resourceVersion": "7", "uid": "u"}}
    ledger.record(key, (digest(SERVICE), content(SERVICE)), body, NOW)
    assert ledger.unseen()
    ledger.note({key: child(SERVICE, resource_version=6)})
    assert ledger.unseen(), "that is a version from before"
    ledger.note({}, lambda _: 6)
    assert ledger.unseen(), "it is the one from before that was deleted"
    ledger.note({key: child(SERVICE)})
    assert not ledger.unseen()
    ledger.note({})
    last = ledger.get(key)
    assert last
    assert not last.may_come(NOW)
    assert last.made("u")
    assert not last.made("of-another")
    ledger.forget(key)
    assert ledger.get(key) is None


def test_a_child_that_came_and_went_between_two_looks_is_made_again_at_once() -> None:
    ledger, key = Ledger(), ("Service", "llama")
    ledger.record(key, (digest(SERVICE), ""), {"metadata": {"resourceVersion": "7", "uid": "u"}}, NOW)
    ledger.note({}, {key: 8}.__getitem__)
    assert needs(SERVICE, None, ledger.get(key)).act is Act.CREATE


@pytest.mark.parametrize(
    ("version", "first", "then", "edited"),
    [
        (7, "as said", "other", True),
        (8, "as said", "other", True),
        (7, "by a webhook", "by a webhook", False),  # and it does the same to each apply of ours
        (7, "by a webhook", "other", True),
        (8, "unknown: of ours or not", "other", False),
    ],
)
def test_what_was_written_in_our_name_shows_where_what_we_applied_was_seen(
    version: int, first: str, then: str, *, edited: bool
) -> None:
    ledger, key = Ledger(), ("Service", "llama")
    body = {"metadata": {"resourceVersion": "7", "uid": "u"}}
    ledger.record(key, (digest(SERVICE), "as said"), body, NOW)
    ledger.note({key: child(SERVICE, owned_fields="", resource_version=version, owned_content=first)})
    last = ledger.get(key)
    assert last
    for content_then, is_edited in [(first, False), (then, edited)]:
        seen = child(SERVICE, owned_fields="", resource_version=9, owned_content=content_then)
        assert last.is_edited(seen) is is_edited
        ledger.note({key: seen})
        assert ledger.get(key) is last


@pytest.mark.parametrize("row", CHILD_KINDS, ids=lambda row: row.kind)
def test_without_an_owner_only_what_may_outlive_its_service_is_taken_for_ours(row: ChildKind) -> None:
    manifest = {"kind": row.kind, "metadata": {"name": "llama"}, "spec": {"replicas": 1}}
    found = needs(manifest, child(manifest, owner_uid=None), None)
    assert (found.act is Act.REFUSE) == (row.proof is Proof.OWNER)
