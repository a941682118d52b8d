"""Which Secrets and ConfigMaps have changed: pods tell it without names, and those of earlier versions with them."""

import asyncio
from functools import partial

import pytest

from support.snapshots import pod, service
from vllm_operator.readers import configuration
from vllm_operator.readers.configuration import ConfigurationReader
from vllm_operator.readers.pod_http import State
from vllm_operator.status.evidence import Evidence
from vllm_operator.turns.few import Few
from vllm_operator.vllm.environment import configuration as read_once
from vllm_operator.vllm.middleware import hidden

OWNER = service(
    model={"uri": "hf://a/b", "tokenSecretRef": {"name": "hf", "key": "token"}},
    apiKeySecretRef={"name": "key", "key": "key"},
)


def changed(monkeypatch: pytest.MonkeyPatch, *stale: str) -> object:
    """What is known after a pod has said so."""

    async def read_state(_: str) -> State:
        return State(frozenset(stale), hangs=False)

    async def look() -> object:
        told = asyncio.Event()
        reader = ConfigurationReader(lambda: 0.0, partial(Few(1).do, "team-a"), told.set)
        evidence = Evidence(OWNER, pods=[pod()])
        assert (await reader.read(evidence)).changed is None
        await told.wait()
        return (await reader.read(evidence)).changed

    monkeypatch.setattr(configuration, "read_state", read_state)
    return asyncio.run(look())


def test_what_stands_for_a_name_is_told_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert changed(monkeypatch) == ()
    assert changed(monkeypatch, hidden("uid", "Secret/hf")) == ("Secret/hf",)
    assert changed(monkeypatch, "Secret/hf", hidden("uid", "Secret/key")) == ("Secret/hf", "Secret/key")


def test_what_is_not_of_this_service_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert changed(monkeypatch, "Secret/other", hidden("another", "Secret/hf"), hidden("uid", "Secret/x"), "") == ()


def test_keys_that_pods_read_again_are_never_stale() -> None:
    several = service(apiKeySecretRefs=[{"name": "team-a", "key": "key"}, {"name": "team-b", "key": "key"}])
    assert read_once(several.spec) == {}
