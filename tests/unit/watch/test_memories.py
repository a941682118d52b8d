"""That kopf keeps nothing of an object: a fleet has ten objects for each service."""

import asyncio
from typing import Any

from vllm_operator.watch.memories import NoMemories


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
