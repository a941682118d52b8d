"""Devices beside the number of ranks: claims, slices and network devices, and what of a kept template may stand."""

from dataclasses import replace
from typing import Any

import pytest

from support.snapshots import service
from vllm_operator.assess.kept import Today, bars
from vllm_operator.manifests import pod_template
from vllm_operator.manifests.devices import REQUEST_ANNOTATION, claim_template
from vllm_operator.settings import Settings

RDMA = Settings.model_validate({"allowedRdmaResources": ["rdma/*"]})


def template(settings: Settings = RDMA, **accelerator: Any) -> dict[str, Any]:
    """The pod template of a service with two ranks."""
    size = {} if "count" in accelerator else {"tensorParallelSize": 2}
    return pod_template(service(accelerator=accelerator, **size), settings)


def container(found: dict[str, Any]) -> dict[str, Any]:
    """vLLM's."""
    (only,) = found["spec"]["containers"]
    return dict(only)


def test_a_claim_is_made_of_what_the_template_says() -> None:
    owner = service(tensorParallelSize=2, accelerator={"deviceClass": "gpu.example.com", "deviceSelector": "true"})
    found = pod_template(owner, RDMA)
    made = claim_template(owner, found)
    assert made
    (claim,) = found["spec"]["resourceClaims"]
    assert claim == {"name": "gpus", "resourceClaimTemplateName": made["metadata"]["name"]}
    assert container(found)["resources"]["claims"] == [{"name": "gpus"}]
    assert "nvidia.com/gpu" not in container(found)["resources"]["limits"]
    (request,) = made["spec"]["spec"]["devices"]["requests"]
    assert request["exactly"]["count"] == 2
    assert request["exactly"]["selectors"] == [{"cel": {"expression": "true"}}]
    later = replace(owner, spec=service(accelerator={"deviceClass": "other"}).spec)
    assert claim_template(later, found) == made, "the pods of a kept template find theirs, whatever the spec says now"


def test_another_request_has_another_name() -> None:
    requests: list[dict[str, Any]] = [{}, {"deviceClass": "b"}, {"deviceSelector": "true"}]
    found = [template(**{"deviceClass": "a", **one})["spec"]["resourceClaims"][0] for one in requests]
    names = {one["resourceClaimTemplateName"] for one in found}
    assert len(names) == 3
    assert claim_template(service(), pod_template(service(), RDMA)) is None


@pytest.mark.parametrize(
    ("accelerator", "devices"),
    [
        ({"count": 6}, {"nvidia.com/gpu": "6"}),
        ({"resource": "nvidia.com/mig-1g.10gb", "count": 1}, {"nvidia.com/mig-1g.10gb": "1"}),
        ({"rdma": {"resource": "rdma/hca", "count": 8}}, {"nvidia.com/gpu": "2", "rdma/hca": "8"}),
    ],
)
def test_devices_are_asked_for_by_number(accelerator: dict[str, Any], devices: dict[str, str]) -> None:
    found = container(template(**accelerator))["resources"]
    assert {name: number for name, number in found["limits"].items() if "/" in name} == devices
    assert {name: number for name, number in found["requests"].items() if "/" in name} == devices


def test_only_pods_with_a_network_device_may_lock_memory() -> None:
    assert container(template())["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    found = template(rdma={"resource": "rdma/hca"})
    assert container(found)["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["IPC_LOCK"]}
    assert bars(found, Today(service().spec, RDMA)) == ""
    assert "accelerator.rdma.resource rdma/hca is not allowed" in bars(found, Today(service().spec, Settings()))
    for place in ("limits", "requests"):
        del found["spec"]["containers"][0]["resources"][place]["rdma/hca"]
    assert "may lock memory" in bars(found, Today(service().spec, RDMA))
    found["spec"]["containers"][0]["securityContext"]["capabilities"]["add"] = ["SYS_ADMIN"]
    assert bars(found, Today(service().spec, RDMA)) == "its container has another securityContext"


def test_a_kept_template_claims_what_it_says() -> None:
    found = template(deviceClass="a")
    assert bars(found, Today(service().spec, RDMA)) == ""
    claims = found["spec"].pop("resourceClaims")
    assert bars(found, Today(service().spec, RDMA)) == "its pods claim other devices than it says"
    found["spec"]["resourceClaims"] = [{**claims[0], "resourceClaimName": "of-somebody-else"}]
    assert "resourceClaimName" in bars(found, Today(service().spec, RDMA))
    found["metadata"]["annotations"][REQUEST_ANNOTATION] = '{"adminAccess": true}'
    assert bars(found, Today(service().spec, RDMA)) == "it is no pod template of ours"
