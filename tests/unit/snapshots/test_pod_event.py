"""What is kept of an Event about a pod."""

from vllm_operator.snapshots.pod_event import PodEvent, snapshots


def test_of_equal_events_the_last_counts() -> None:
    core = {"reason": "Killing", "message": "a", "lastTimestamp": "2026-11-24T12:00:00Z", "eventTime": None}
    again = {
        "reason": "Failed",
        "message": "b",
        "lastTimestamp": None,
        "eventTime": "2026-11-24T11:00:00.123456Z",
        "series": {"lastObservedTime": "2026-11-24T12:30:00.123456Z"},
    }
    assert snapshots([again, core, {"reason": "x"}]) == (
        PodEvent("x", "", ""),
        PodEvent("Killing", "a", "2026-11-24T12:00:00Z"),
        PodEvent("Failed", "b", "2026-11-24T12:30:00Z"),
    )
