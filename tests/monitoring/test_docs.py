"""The documents name only metrics and alerts that exist, and their links lead somewhere."""

import re

import pytest

from cluster.host import REPOSITORY
from support.promql import known

DOCS = REPOSITORY / "docs"
NAMES = ["autoscaling.md", "runbook.md", "slo.md"]


@pytest.mark.parametrize("name", NAMES)
def test_metrics_exist(name: str) -> None:
    # A histogram is named without the suffix of its series.
    exist = known() | {re.sub("_(bucket|sum|count)$", "", one) for one in known()}
    named = set(re.findall(r"\b(?:vllm:|vllm_operator_|http_)\w+", (DOCS / name).read_text()))
    assert named
    assert named - exist == set()


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    for file, anchor in re.findall(r"\]\(([\w./]*)(?:#(\w+))?\)", (DOCS / name).read_text()):
        target = DOCS / (file or name)
        assert target.exists(), file
        if anchor:
            headings = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", target.read_text(), re.M)}
            assert anchor in headings, anchor
