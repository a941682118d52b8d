"""What PromQL expressions name, and whether they parse."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from cluster.host import REPOSITORY
from cluster.tools import tool
from support.chart import Said, run
from vllm_operator import metrics
from vllm_operator.kinds import KINDS

# As the operator does when it starts.
for collector in (metrics.watches, *(collector for kind in KINDS for collector in kind.collectors)):
    REGISTRY.register(collector)
# A page of vLLM 0.32's /metrics; of samples with the same labels, only the first.
VLLM_PAGE = REPOSITORY / "tests" / "monitoring" / "vllm-metrics.txt"
# What Prometheus itself adds to each target.
OF_PROMETHEUS = frozenset({"up"})
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}
_NOT_NAMES = re.compile(
    r"""
      "(?:[^"\\]|\\.)*"                                                    # strings
    | \{[^}]*\}                                                            # matchers, once the strings are gone
    | \[[^\]]*\]                                                           # ranges
    | \b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)      # labels
    """,
    re.VERBOSE,
)
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "group_left", "group_right", "inf", "nan"})


def names(expression: str) -> set[str]:
    """The metrics that an expression names."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", expression)
    bare = _NOT_NAMES.sub(" ", bare)
    found = re.findall(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?!\s*\()(?![\w:])", bare)
    return {name for name in found if name.lower() not in _WORDS}


def _samples(families: Iterable[Metric]) -> set[str]:
    return {family.name + suffix for family in families for suffix in _SUFFIXES.get(family.type, ("",))}


def known() -> set[str]:
    """All metrics that vLLM and the operator have."""
    return (
        _samples(text_string_to_metric_families(VLLM_PAGE.read_text())) | _samples(REGISTRY.collect()) | OF_PROMETHEUS
    )


def parse(expressions: Mapping[str, str], scratch: Path) -> Said:
    """Has promtool parse expressions, by a name for each that its complaints will show."""
    rules = [{"record": f"query:{name}", "expr": expression} for name, expression in expressions.items()]
    file = scratch / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    return run(tool("promtool"), "check", "rules", "--lint=none", file)
