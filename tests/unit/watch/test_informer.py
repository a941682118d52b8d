"""That kopf keeps nothing of an object, and wakes nobody for nothing: a fleet has ten objects for each service."""

import asyncio
import inspect
import re
from typing import Any

import pytest
from kopf._cogs.aiokits.aiotoggles import ToggleSet
from kopf._core.reactor import orchestration

from vllm_operator.watch.informer import Gate, NoMemories, wait_by_gate


def test_nothing_is_kept_of_an_object() -> None:
    async def seen() -> NoMemories:
        memories = NoMemories()
        for number in range(3):
            body: Any = {"metadata": {"uid": str(number)}}
            first = await memories.recall(body, noticed_by_listing=True)
            assert first.noticed_by_listing
            assert await memories.recall(body) is not first
            await memories.forget(body)
        return memories

    assert list(asyncio.run(seen()).iter_all_memories()) == []


def looks(kind: type[ToggleSet], count: int) -> int:
    """How often so many objects, of which each is indexed and waits for the others, look whether all are."""
    looked = 0

    def all_on(values: Any) -> bool:
        nonlocal looked
        looked += 1
        return all(values)

    async def main() -> None:
        gate = kind(all_on)
        toggles = [await gate.make_toggle() for _ in range(count)]
        through = 0

        async def one(number: int, toggle: Any) -> None:
            nonlocal through
            for _ in range(3 * number):
                await asyncio.sleep(0)
            assert not through, "nobody goes on before all are indexed"
            await gate.drop_toggle(toggle)
            await gate.wait_for(True)
            through += 1

        await asyncio.wait_for(asyncio.gather(*(one(*each) for each in enumerate(toggles))), 10)
        assert gate.is_on()
        assert through == count

    asyncio.run(main())
    return looked


def test_who_waits_for_all_to_be_indexed_looks_twice_and_not_whenever_one_more_is() -> None:
    assert looks(Gate, 100) < 300 < looks(ToggleSet, 100)


def test_kopf_waits_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestration, "aiotoggles", orchestration.aiotoggles)  # type: ignore[attr-defined]
    assert re.findall(r"aiotoggles\.(\w+)\(", inspect.getsource(orchestration)) == ["ToggleSet"]
    wait_by_gate()

    made: list[Any] = []

    def ensemble(**parts: Any) -> None:
        made.append(parts["operator_indexed"])
        raise RuntimeError

    async def orchestrate(orchestrator: Any) -> None:
        await orchestrator(processor=None, settings=None, identity=None, insights=None, operator_paused=ToggleSet(any))

    monkeypatch.setattr(orchestration, "Ensemble", ensemble)
    with pytest.raises(RuntimeError):
        asyncio.run(orchestrate(orchestration.orchestrator))
    assert isinstance(made[0], Gate)
