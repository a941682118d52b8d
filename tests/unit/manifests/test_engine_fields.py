"""What fields of the engine change of pods beside a flag: ports, variables, devices, memory."""

from typing import Any

import pytest

from support.expansion import expanded
from support.snapshots import service
from vllm_operator.manifests import pod_template
from vllm_operator.manifests.network import network_policy
from vllm_operator.settings import Settings

EVENTS = {"port": 5600, "topic": "kv@$(POD_IP):8000@llama"}
PORT = {"port": 8000, "protocol": "TCP"}


def container(**fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = pod_template(service(**fields), Settings())["spec"]["containers"][0]
    return found


def variables(found: dict[str, Any]) -> dict[str, Any]:
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in found["env"]}


def test_events_have_a_port_the_pods_address_and_one_hash_seed() -> None:
    found = container(kvCache={"events": EVENTS})
    assert [(port["name"], port["containerPort"]) for port in found["ports"]] == [("http", 8000), ("kv-events", 5600)]
    own = variables(found)
    assert own["POD_IP"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    assert own["PYTHONHASHSEED"] == "0"
    assert "POD_NAME" not in own
    words = [expanded(word, {"POD_IP": "192.0.2.7"}) for word in found["args"]]
    assert any('"topic": "kv@192.0.2.7:8000@llama"' in word for word in words)


def test_a_hash_seed_of_the_users_own_stands() -> None:
    seed = [{"name": "PYTHONHASHSEED", "value": "42"}]
    names = [variable["name"] for variable in container(kvCache={"events": {}}, env=seed)["env"]]
    assert names.count("PYTHONHASHSEED") == 1
    assert variables(container(kvCache={"events": {}}, env=seed))["PYTHONHASHSEED"] == "42"
    assert "PYTHONHASHSEED" not in variables(container())


def test_whoever_may_reach_the_service_may_reach_the_events_of_each_engine() -> None:
    allowed: dict[str, Any] = {"allowFrom": [{"podSelector": {}}]}
    one = network_policy(service(kvCache={"events": {**EVENTS, "replayPort": 6600}}, networkPolicy=allowed))
    two = network_policy(service(kvCache={"events": EVENTS}, networkPolicy=allowed, dataParallelSize=2))
    assert one
    assert two
    further = [{"port": 5600, "protocol": "TCP"}, {"port": 6600, "protocol": "TCP"}]
    assert one["spec"]["ingress"][0]["ports"] == [PORT, *further]
    assert two["spec"]["ingress"][0]["ports"] == [PORT, {"port": 5600, "protocol": "TCP", "endPort": 5601}]
    ports = container(kvCache={"events": EVENTS}, dataParallelSize=2)["ports"]
    assert [(port["name"], port["containerPort"]) for port in ports[1:]] == [("kv-events", 5600), ("kv-events-1", 5601)]


def test_a_pod_has_a_device_for_each_rank_of_each_engine_and_one_api_process() -> None:
    found = container(tensorParallelSize=2, dataParallelSize=4, expertParallel=True)
    assert found["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert {"--data-parallel-size=4", "--api-server-count=1"} <= {*found["args"]}
    assert not [word for word in container(dataParallelSize=1)["args"] if "api-server-count" in word]


@pytest.mark.parametrize(
    ("fields", "gibibytes"),
    [
        ({}, 12 + 1),
        ({"weightsCpuOffloadPerGPU": "10Gi"}, 12 + 1 + 15),
        ({"weightsCpuOffloadPerGPU": "10Gi", "tensorParallelSize": 2}, 16 + 4 + 30),
        ({"kvCache": {"cpuOffload": "8Gi"}, "tensorParallelSize": 2}, 16 + 4 + 8),
        ({"kvCache": {"cpuOffload": "8Gi"}, "dataParallelSize": 2}, 16 + 4 + 16),
    ],
)
def test_memory_that_gpus_keep_in_the_host_is_added(fields: dict[str, Any], gibibytes: int) -> None:
    assert container(**fields)["resources"]["requests"]["memory"] == f"{gibibytes}Gi"
    limited = {**fields, "resources": {"limits": {"memory": "100Gi"}}}
    more = gibibytes - (8 + 4 * fields.get("tensorParallelSize", 1) * fields.get("dataParallelSize", 1))
    assert container(**limited)["resources"]["limits"]["memory"] == f"{100 + more}Gi"
