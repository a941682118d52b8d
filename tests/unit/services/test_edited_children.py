"""What somebody changes of a child by hand is put right, and only then is anything written."""

import pytest

from support.child_kinds import example
from support.world import CONFIG, NAMESPACE, World
from unit.services.choices import settle
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.manifests.kinds import BY_KIND, CHILD_KINDS, ChildKind, Proof
from vllm_operator.manifests.names import INSTANCE_LABEL, MANAGED_BY_LABEL
from vllm_operator.services.view import DELETED
from vllm_operator.settings import Images

OWNED = [row for row in CHILD_KINDS if row.proof is Proof.OWNER]


def settled(row: ChildKind, **more: object) -> tuple[World, Key, list[str]]:
    """A service with children of a kind, all as they should be; and their URL paths."""
    world = World()
    world.settings = world.settings.model_copy(update={"images": Images(operator="operator:1", ray="ray:1")})
    world.served = frozenset(one.kind for one in CHILD_KINDS if one.optional)
    world.begin()
    key = world.service(**{**example(row).spec, **more})
    if row.kind == "Job":
        world.reconcile(key)
    else:
        settle(world, key, CONFIG)
    assert writes(world, key) == []
    found = [path(row.kind, NAMESPACE, name) for name in world.children(row.kind)]
    assert found
    return world, key, found


def writes(world: World, key: Key) -> list[str]:
    """What is written of the children at the next look."""
    world.watch()
    world.reconcile(key)
    return [write for write in world.writes() if "/status" not in write and "events" not in write]


@pytest.mark.parametrize("row", OWNED, ids=lambda row: row.kind)
def test_a_child_without_its_owner_gets_it_back(row: ChildKind) -> None:
    world, key, found = settled(row)
    for url in found:
        owners = world.api.objects[url]["metadata"]["ownerReferences"]
        world.api.disown(url)
        writes(world, key)
        assert world.api.objects[url]["metadata"]["ownerReferences"] == owners
        assert "Stalled" not in str(world.status())
        writes(world, key)  # of a kept model: it was about to be inspected anew
        assert writes(world, key) == []


def test_what_is_kept_of_a_model_is_repaired_and_never_told_anew() -> None:
    world, key, found = settled(BY_KIND["ControllerRevision"])
    model = next(url for url in found if "-model-" in url)
    before = world.api.objects[model]["metadata"]["labels"], world.api.objects[model]["data"]
    for anew in (False, True):
        world.api.objects[model]["metadata"]["labels"] = {**before[0], "app.kubernetes.io/name": "x"}
        world.api.edit(model)
        if anew:
            world.begin()
        assert f"patch {model.split(NAMESPACE + '/')[1]}" in writes(world, key)
        assert (world.api.objects[model]["metadata"]["labels"], world.api.objects[model]["data"]) == before


def test_of_another_operator_it_is_not_taken_for_ours_and_a_suspension_is_acted_on_all_the_same() -> None:
    world, key, found = settled(BY_KIND["Service"])
    world.api.disown(found[0])
    world.begin()
    writes(world, key)
    assert world.reason() == "NameTaken"
    world.service(suspend=True)
    assert writes(world, key) == ["patch deployments/llama"]
    assert world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["replicas"] == 0
    assert "ownerReferences" not in world.api.objects[found[0]]["metadata"]


@pytest.mark.parametrize("row", [row for row in CHILD_KINDS if row.kind != "Job"], ids=lambda row: row.kind)
@pytest.mark.parametrize("label", ["app.kubernetes.io/name", INSTANCE_LABEL, MANAGED_BY_LABEL])
def test_a_label_is_put_right_also_one_that_is_written_in_our_name_or_hides_whose_it_is(
    row: ChildKind, label: str
) -> None:
    world, key, found = settled(row)
    # One that is hidden is as one that was deleted: an order to inspect the model anew.
    for url in [one for one in found if label != INSTANCE_LABEL or "-model-" not in one]:
        before = world.api.objects[url]["metadata"]["labels"]
        world.api.objects[url]["metadata"]["labels"] = {**before, label: "x"}
        assert f"patch {url.split(NAMESPACE + '/')[1]}" in writes(world, key)
        assert world.api.objects[url]["metadata"]["labels"] == before
        assert writes(world, key) == []


@pytest.mark.parametrize("row", OWNED, ids=lambda row: row.kind)
def test_one_that_is_deleted_again_before_it_was_looked_at_is_made_again_at_once(row: ChildKind) -> None:
    world, key, found = settled(row)
    url = found[-1]
    name = url.rpartition("/")[2]
    world.api.objects.pop(url)
    world.watch()
    world.reconcile(key, watched=False)
    if url not in world.api.objects:  # what is kept of a model: it is inspected anew
        return
    world.api.objects.pop(url)
    world.watch()
    world.reconcile(key)
    assert url not in world.api.objects, "it may be on its way"
    world.indices[DELETED] = {(key, row.kind, name): (10**6,)}
    world.reconcile(key)
    assert url in world.api.objects
