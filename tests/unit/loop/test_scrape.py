"""The metrics port: whoever connects and says nothing keeps neither a thread nor Prometheus away."""

import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from vllm_operator import metrics
from vllm_operator.loop import answering, scrape

(METRIC,) = (one.name for one in metrics.queue_depth.describe())


@pytest.fixture
def server() -> Iterator[answering.Server]:
    before = threading.active_count()
    server = scrape.serve(0)
    yield server
    server.shutdown()
    server.server_close()
    until(lambda: threading.active_count() <= before)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def silent(server: answering.Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.server_port), timeout=10)


def scraped(server: answering.Server, host: str = "127.0.0.1") -> str:
    with urllib.request.urlopen(f"http://{host}:{server.server_port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def test_silent_connections_end(server: answering.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering._Handler, "timeout", 0.2)
    threads = threading.active_count()
    opened = [silent(server) for _ in range(5)]
    until(lambda: threading.active_count() == threads + 5)
    assert [one.recv(1) for one in opened] == [b""] * 5
    until(lambda: threading.active_count() == threads)
    for one in opened:
        one.close()


def test_many_silent_connections_keep_few_threads_and_prometheus_gets_in(server: answering.Server) -> None:
    threads = threading.active_count()
    opened = [silent(server) for _ in range(200)]
    assert METRIC in scraped(server)
    until(lambda: threading.active_count() <= threads + answering.MOST_CONNECTIONS)
    assert opened[0].recv(1) == b"", "the oldest makes room"
    for one in opened:
        one.close()


def test_one_that_sends_half_a_request_is_answered_when_the_rest_comes(server: answering.Server) -> None:
    one = silent(server)
    one.sendall(b"GET /metrics HTTP/1.1\r\n")
    assert METRIC in scraped(server)
    one.sendall(b"Host: x\r\n\r\n")
    assert one.recv(12).startswith(b"HTTP/1.0 200")
    one.close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_prometheus_gets_in_by_ipv6_as_well(server: answering.Server) -> None:
    assert METRIC in scraped(server, "[::1]")


def test_the_port_is_served_where_there_is_no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering.Server, "address_family", socket.AF_INET)
    server = scrape.serve(0)
    assert METRIC in scraped(server)
    server.shutdown()
    server.server_close()


def test_no_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "getfqdn")
    server = scrape.serve(0)
    server.shutdown()
    server.server_close()
