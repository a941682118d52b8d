"""What an autoscaler of a source scaled by becomes a target, in whatever form of a quantity it stands."""

import pytest

from vllm_operator.cli.importing.draft import Draft
from vllm_operator.cli.importing.part import Part
from vllm_operator.cli.importing.report import Report
from vllm_operator.cli.importing.sources.scaling import autoscale
from vllm_operator.settings import Settings


@pytest.mark.parametrize(
    ("query", "threshold", "targets"),
    [
        *[("num_requests_waiting", text, {"waitingRequests": 5}) for text in ("5", "5000m", "5.2", "0.5e1")],
        ("num_requests_running", "1k", {"runningRequests": 1000}),
        *[("cache_usage", text, {"kvCacheUtilizationPercent": 80}) for text in ("0.8", "800m", "80")],
        *[("num_requests_waiting", text, None) for text in ("many", "nan", "inf", "")],
    ],
)
def test_a_threshold_is_a_quantity(query: str, threshold: str, targets: dict[str, int] | None) -> None:
    draft = Draft("llama", "default", Report(), Settings())
    trigger = Part({"query": f"sum(vllm:{query})", "threshold": threshold}, ("triggers", 0))
    autoscale(draft, ("1", "4"), [(trigger, trigger)], trigger.origin("scaling"), keda=True)
    assert draft.spec["autoscaling"].get("targets") == targets
