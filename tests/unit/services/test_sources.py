"""Models that are neither on the hub nor on a claim, through the loop: what is read of them, and what is said."""

from typing import Any

import pytest

from support.world import NAMESPACE, World
from vllm_operator.api.resource import Key
from vllm_operator.cluster import path
from vllm_operator.manifests.image_volume import IMAGE_VOLUMES
from vllm_operator.services.first_status import FIRST_STATUS_SECONDS


def settled(world: World, **spec: Any) -> Key:
    key = world.service(**spec)
    world.reconcile(key)
    world.clock.now += FIRST_STATUS_SECONDS
    world.reconcile(key)
    return key


@pytest.mark.parametrize("uri", ["s3://bucket/llama", "gs://bucket/llama"])
def test_a_bucket_is_read_by_vllm_only(uri: str) -> None:
    world = World()
    settled(world, model={"uri": uri})
    assert world.children("Job") == []
    assert world.children("Deployment") == ["llama"]
    assert world.reason("Fits") == "NotInspected"
    assert f"{uri} is in a bucket, which only vLLM reads" in world.message("Fits")


def test_an_image_is_mounted_where_kubernetes_can() -> None:
    world = World()
    world.served = frozenset({IMAGE_VOLUMES})
    key = world.service(model={"uri": "oci://registry.example.com/llama:1"})
    world.reconcile(key)
    world.inspected()
    world.reconcile(key)
    pod = world.api.objects[path("Deployment", NAMESPACE, "llama")]["spec"]["template"]["spec"]
    assert [one["image"] for one in pod["volumes"] if "image" in one] == [
        {"reference": "registry.example.com/llama:1", "pullPolicy": "Always"}
    ]


def test_an_older_kubernetes_is_told_in_words() -> None:
    world = World()
    settled(world, model={"uri": "oci://registry.example.com/llama:1"})
    assert (world.children("Deployment"), world.children("Job")) == ([], [])
    assert world.reason() == world.reason("Stalled") == "ImageVolumesMissing"
    assert "from version 1.35 on" in world.message("Ready")
