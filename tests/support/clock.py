"""Clocks for tests: nobody waits."""


class Clock:
    """Shows what it is set to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
