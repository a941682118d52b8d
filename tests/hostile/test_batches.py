"""What a hostile tenant may not write in a service, he may not write in a batch either."""

from collections.abc import Iterator

import pytest

from hostile.attacks import ATTACKS, Attack
from hostile.tenants import Honest, Tenant, Watched
from support.batch_objects import batch, claim
from support.kube import Object
from vllm_operator.api.batch import BatchEngine

pytestmark = [pytest.mark.control_plane, pytest.mark.slow]

ENGINE = {to.alias or name for name, to in BatchEngine.model_fields.items()}
# Of a service that is never run; a batch has no such number.
_NONE = "replicas"


def words(attack: Attack) -> str:
    """What he must be told: paths lead through the template."""
    return attack.told.replace("spec.", "spec.template.")


def in_a_batch(attack: Attack) -> Object:
    """The engine of a batch that tries the same."""
    return {
        "model": {"uri": "hf://org/name"},
        "accelerator": {"resource": "cpu"},
        **{key: value for key, value in attack.spec.items() if key != _NONE},
    }


# Those that are about fields of an engine, and not about the service's own name.
TRIED = {name: one for name, one in ATTACKS.items() if one.spec and {*one.spec} - {_NONE} <= ENGINE - {"lora"}}


ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role"}


def named(number: int) -> str:
    return f"attack-{number}"


def says(alice: Tenant, name: str) -> str:
    """All that a batch tells."""
    found = alice.kube.get("vib", name) or {}
    return "; ".join(
        f"{one['type']} {one['reason']}: {one['message']}" for one in found.get("status", {}).get("conditions", ())
    )


@pytest.fixture
def batches(alice: Tenant) -> Iterator[Tenant]:
    """Alice, who may make batches as well, with a claim for them; they are gone afterwards."""
    found = claim("data")
    found["metadata"]["labels"] = {"example.com/models": "yes"}
    group = {"kind": "Group", "name": "team-a", "apiGroup": "rbac.authorization.k8s.io"}
    meta = {"metadata": {"name": "batches"}, "apiVersion": "rbac.authorization.k8s.io/v1"}
    rules = [{"apiGroups": ["vllm-operator.dev"], "resources": ["inferencebatches"], "verbs": ["get", "create"]}]
    alice.kube.apply(
        found,
        {**meta, "kind": "Role", "rules": rules},
        {**meta, "kind": "RoleBinding", "subjects": [group], "roleRef": {**ROLE, "name": "batches"}},
    )
    yield alice
    alice.kube.run("delete", "vib", "--all", "--timeout=60s")


def test_what_he_writes_in_an_engine_is_told(watched: Watched, honest: Honest, batches: Tenant) -> None:
    assert len(TRIED) > 40
    refused = {
        name: batches.tries("create", batch(named(number), template=in_a_batch(attack)))
        for number, (name, attack) in enumerate(TRIED.items())
    }
    for number, (name, attack) in enumerate(TRIED.items()):
        if refused[name]:
            assert words(attack) in refused[name], name
            continue

        def told(attack: Attack = attack, number: int = number) -> bool:
            return words(attack) in says(batches, named(number))

        batches.kube.wait(f"{name} is told, and not only {says(batches, named(number))}", 30, told)
    honest.goes_on()
    watched.unharmed()


@pytest.mark.parametrize("part", ["input", "output"])
def test_a_claim_of_another_application_is_none_of_a_batch(watched: Watched, batches: Tenant, part: str) -> None:
    given = {part: {"uri": "pvc://payments/data"}}
    assert not batches.tries("create", batch(part, **given))
    batches.kube.wait("it is told", 30, lambda: "ClaimNotAllowed" in says(batches, part))
    jobs = batches.kube.list("jobs", f"vllm-operator.dev/batch={part}")
    assert jobs == []
    watched.unharmed()


def test_many_batches_do_not_delay_the_services_of_others(watched: Watched, honest: Honest, batches: Tenant) -> None:
    many = [batch(f"many-{number}", parallelism=256) for number in range(60)]
    assert not batches.tries("create", {"apiVersion": "v1", "kind": "List", "items": many})
    honest.goes_on(edits=7)
    watched.unharmed()
