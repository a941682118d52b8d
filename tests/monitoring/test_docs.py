"""The documents name only metrics and alerts that exist, and their links lead somewhere."""

import re
from pathlib import Path

import pytest

from cluster.host import REPOSITORY
from monitoring.panels import ASKED
from support.promql import known
from support.shipped_queries import ALERTS, QUERIES

PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")])
# These are about metrics.
WITH_METRICS = {"autoscaling.md", "runbook.md", "slo.md"}


def links(text: str) -> list[tuple[str, str]]:
    """The pages that a text leads to within the repository, and the headings on them."""
    return re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", text)


def anchors(text: str) -> set[str]:
    """The names by which links lead to a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_and_headings_are_read_with_their_hyphens() -> None:
    text = "# A b, `c-d`\n[x](gpu-check.md#two-words) [y](#a-b-c-d) [z](https://example.com/a#b)\n```\n# no\n```\n"
    assert links(text) == [("gpu-check.md", "two-words"), ("", "a-b-c-d")]
    assert anchors(text) == {"a-b-c-d"}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_metrics_exist(page: Path) -> None:
    # A histogram is named without the suffix of its series.
    exist = known() | {re.sub("_(bucket|sum|count)$", "", one) for one in known()}
    named = set(re.findall(r"\b(?:vllm:|vllm_operator_|http_)\w+", page.read_text()))
    assert named or page.name not in WITH_METRICS
    assert named - exist == set()


def test_the_answers_that_count_are_those_of_alerts_and_dashboards() -> None:
    """Whose handlers tests/vllm_parser/test_metrics.py holds against vLLM's own."""
    wanted = set(re.findall(r'handler\W+".*?"', (REPOSITORY / "docs" / "slo.md").read_text()))
    named = [*(rule["expr"] for rule in ALERTS.values()), *(target["expr"] for _, target in QUERIES.values())]
    assert {one for text in named for one in re.findall(r'handler\W+".*?"', text)} == wanted == {ASKED}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for file, anchor in links(page.read_text()):
        target = page.parent / file if file else page
        assert target.exists(), file
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text()), f"{file}#{anchor}"
