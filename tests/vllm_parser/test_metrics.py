"""The metrics of vLLM that alerts, dashboards and documents name: the pinned version still has them."""

import re

from cluster.host import REPOSITORY
from monitoring.panels import ASKED
from support.real_vllm.source import packages, words_of

FILES = REPOSITORY / "charts" / "vllm-operator" / "files"


def test_vllm_has_what_alerts_dashboards_and_documents_name() -> None:
    places = [FILES / "rules.yaml", *(FILES / "dashboards").glob("*.json"), *(REPOSITORY / "docs").glob("*.md")]
    named = {name for place in places for name in re.findall(r"\bvllm:\w+", place.read_text())}
    assert len(named) > 15
    has = set(re.findall(r"\bvllm:\w+", words_of("vllm/v1/metrics/loggers.py")))
    # prometheus_client adds these.
    bare = {name if name in has else re.sub("_(total|bucket|sum|count)$", "", name) for name in named}
    assert bare - has == set()


def test_what_clients_ask_is_counted_and_nothing_else() -> None:
    servers = packages() / "vllm" / "entrypoints"
    passed_over = re.fullmatch(r'handler!~"(.*)"', ASKED)
    assert passed_over
    counting = (servers / "serve" / "instrumentator" / "metrics.py").read_text()
    excluded = re.search(r"excluded_handlers=\[(.*?)\]", counting, re.S)
    assert excluded
    of_probes = set(re.findall(r'"(/\w+)"', excluded[1]))
    assert len(of_probes) > 4
    assert all(re.fullmatch(passed_over[1], one) for one in of_probes)
    routes = {
        path
        for file in servers.rglob("api_router.py")
        for path in re.findall(r'router\.post\(\s*"(/[^"]*)"', file.read_text())
    }
    asked = {"/v1/chat/completions", "/score", "/v2/rerank", "/classify", "/pooling", "/inference/v1/generate"}
    assert routes >= asked | {"/invocations", "/v2/embed", "/tokenize"}
    assert {one for one in routes if re.fullmatch(passed_over[1], one)} <= of_probes
