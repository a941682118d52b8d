"""A cache of values that may be small or large."""

from vllm_operator.inspection.cache import SizedCache


def test_what_was_used_last_is_kept_as_far_as_it_fits() -> None:
    made: list[str] = []

    def value(key: str, size: int) -> str:
        def make() -> tuple[str, int]:
            made.append(key)
            return key, size

        return cache.get(key, make)

    cache = SizedCache[str](100)
    value("a", 40), value("b", 40), value("a", 40)
    value("c", 40)  # b goes
    assert cache.held == 80
    value("a", 40), value("c", 40), value("b", 40)
    assert made == ["a", "b", "c", "b"]
    value("huge", 101)
    assert cache.held == 80
    for number in range(1000):
        value(f"small {number}", 1)
    assert cache.held == 100


def test_of_what_changes_only_the_last_state_is_kept() -> None:
    cache = SizedCache[int](100)
    made = iter(range(10))
    found = [cache.get("a", lambda: (next(made), 10), state) for state in ("x", "x", "y", "z", "x")]
    assert found == [0, 0, 1, 2, 3]
    assert cache.held == 10
