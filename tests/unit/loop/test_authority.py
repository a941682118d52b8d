"""Another certificate authority is a reason to start again only where the API server does not answer."""

import asyncio
from pathlib import Path

import pytest

from vllm_operator.loop import authority


@pytest.mark.parametrize(
    ("before", "after", "silence", "again"),
    [
        (b"old", b"new", 61.0, True),
        (b"old", b"old and new", 61.0, True),
        (b"old", b"new", 59.0, False),  # it answers
        (b"old", b"old", 3600.0, False),  # it is away
        (None, None, 3600.0, False),  # outside of a cluster
        (b"old", b"", 3600.0, False),  # there is nothing to trust
    ],
)
def test_the_operator_starts_again(
    before: bytes | None,
    after: bytes | None,
    silence: float,
    *,
    again: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(authority, "LOOK_SECONDS", 0.005)
    file, stop = tmp_path / "ca.crt", asyncio.Event()
    if before is not None:
        file.write_bytes(before)

    async def play() -> None:
        async with authority.followed(lambda: silence, stop.set, file):
            await asyncio.sleep(0.02)
            assert not stop.is_set()
            if after is not None:
                file.write_bytes(after)
            await asyncio.sleep(0.05)

    asyncio.run(play())
    assert stop.is_set() is again
