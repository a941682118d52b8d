"""The metrics of vLLM that alerts, dashboards and documents name: the pinned version still has them."""

import re

from cluster.host import REPOSITORY
from support.real_vllm.source import words_of

FILES = REPOSITORY / "charts" / "vllm-operator" / "files"


def test_vllm_has_what_alerts_dashboards_and_documents_name() -> None:
    places = [FILES / "rules.yaml", *(FILES / "dashboards").glob("*.json"), *(REPOSITORY / "docs").glob("*.md")]
    named = {name for place in places for name in re.findall(r"\bvllm:\w+", place.read_text())}
    assert len(named) > 15
    has = set(re.findall(r"\bvllm:\w+", words_of("vllm/v1/metrics/loggers.py")))
    # prometheus_client adds these.
    bare = {name if name in has else re.sub("_(total|bucket|sum|count)$", "", name) for name in named}
    assert bare - has == set()
