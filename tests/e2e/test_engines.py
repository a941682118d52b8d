"""A pod with two engines of the real vLLM, and keys that change under it."""

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from support.end_to_end import call
from support.kube import Kube, Object
from support.serving import tiny

NAME, LABEL = "engines", "app.kubernetes.io/instance=engines"
# Two engines of one machine would want a NUMA node each.
UNBOUND = {"name": "VLLM_CPU_OMP_THREADS_BIND", "value": "nobind"}


def secret(**keys: str) -> Object:
    """The Secret with the keys of two tenants."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "engine-keys"}, "stringData": keys}


def pod_of(kube: Kube) -> Object:
    """The service's pod."""
    (pod,) = kube.list("pods", LABEL)
    return pod


def root(kube: Kube) -> str:
    """The address of the pod itself: its Service leads nowhere while it is not ready."""
    return f"http://{pod_of(kube)['status']['podIP']}:8000"


def complete(url: str, key: str, **body: Any) -> int:
    """The status of one completion."""
    return call(f"{url}/v1/completions", {"model": NAME, "prompt": "Once", "ignore_eos": True, **body}, key, 180)[0]


def at_once(url: str, count: int, **body: Any) -> tuple[list[threading.Thread], list[int]]:
    """So many completions at the same time: their threads, and the statuses that come."""
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(complete(url, "sk-a", **body)), daemon=True)
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    return threads, statuses


def by_engine(url: str, metric: str) -> dict[str, float]:
    """A metric's value for each engine."""
    found = re.findall(rf'^{metric}{{.*engine="(\d)".*}} (\S+)$', call(f"{url}/metrics")[1], re.MULTILINE)
    return {engine: float(value) for engine, value in found}


@pytest.fixture(scope="module")
def two(kube: Kube) -> Iterator[str]:
    """The address of a pod with two engines, which takes either of two keys."""
    refs = [{"name": "engine-keys", "key": "a"}, {"name": "engine-keys", "key": "b"}]
    resources = {"requests": {"cpu": "500m", "memory": "3Gi"}, "limits": {"memory": "6Gi"}}
    kube.apply(
        secret(a="sk-a"),
        tiny(NAME, dataParallelSize=2, apiKeySecretRefs=refs, env=[UNBOUND], resources=resources),
    )
    kube.ready(NAME, 600)
    yield root(kube)
    kube.run("delete", "vis", NAME)


def test_both_engines_serve_behind_one_api_process(kube: Kube, two: str) -> None:
    threads, statuses = at_once(two, 6, max_tokens=20)
    for thread in threads:
        thread.join(120)
    assert statuses == [200] * 6
    assert all(tokens > 0 for tokens in by_engine(two, "vllm:generation_tokens_total").values())
    assert by_engine(two, "vllm:generation_tokens_total").keys() == {"0", "1"}

    def told() -> Any:
        return (kube.get("vis", NAME) or {})["status"].get("engine", {}).get("kvCacheTokens")

    one = re.search(r'kv_cache_size_tokens="(\d+)"', call(f"{two}/metrics")[1])
    assert one
    assert kube.wait("the status tells of both caches", 60, told) == 2 * int(one[1])


def test_a_key_that_is_added_counts_and_one_that_is_taken_away_does_not_without_a_restart(kube: Kube, two: str) -> None:
    assert [complete(two, key, max_tokens=1) for key in ("sk-a", "sk-b", "")] == [200, 401, 401]
    before = pod_of(kube)["metadata"]["uid"]
    kube.apply(secret(a="sk-a", b="sk-b"))
    kube.wait("the new key counts", 150, lambda: complete(two, "sk-b", max_tokens=1) == 200)
    assert complete(two, "sk-a", max_tokens=1) == 200
    kube.run("patch", "secret", "engine-keys", "--type=json", '-p=[{"op": "remove", "path": "/data/b"}]')
    kube.wait("it counts no more", 150, lambda: complete(two, "sk-b", max_tokens=1) == 401)
    assert complete(two, "sk-a", max_tokens=1) == 200
    after = pod_of(kube)
    assert (after["metadata"]["uid"], after["status"]["containerStatuses"][0]["restartCount"]) == (before, 0)
