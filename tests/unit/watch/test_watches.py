"""An optional API that comes to be served, and that kopf does or does not come to watch."""

import pytest

from vllm_operator.watch import watches
from vllm_operator.watch.watches import OVERLOOKED_SECONDS, Watches


@pytest.mark.parametrize("forgotten", [False, True])
def test_kopf_overlooks_an_api(monkeypatch: pytest.MonkeyPatch, *, forgotten: bool) -> None:
    now, gaps = 100.0, 0

    def gap() -> None:
        nonlocal gaps
        gaps += 1

    monkeypatch.setattr(watches, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now)}))
    found = Watches(gap, ("scaledobjects",))
    found.expect("scaledobjects")
    now += OVERLOOKED_SECONDS + 1
    if forgotten:
        found.forget("scaledobjects")
    found.expect("scaledobjects")
    assert gaps == (0 if forgotten else 1)
