"""The ServiceMonitor of a service."""

from support.snapshots import service
from vllm_operator.manifests import Parts, desired


def labels(**given: str) -> dict[str, str]:
    parts = Parts(service(), monitor_labels=given)
    found = next(one for one in desired(parts, frozenset({"ServiceMonitor"})) if one["kind"] == "ServiceMonitor")
    return dict(found["metadata"]["labels"])


def test_a_prometheus_that_selects_by_label_finds_it() -> None:
    assert labels(release="prometheus") == {**labels(), "release": "prometheus"}


def test_no_setting_takes_a_label_of_ours_away() -> None:
    assert labels(**dict.fromkeys(labels(), "somebody")) == labels()
