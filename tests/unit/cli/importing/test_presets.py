"""What NVIDIA's and KAITO's kinds say in shapes of their own."""

import json
from typing import Any

import pytest

from support.imports import of_text

NIM = """
apiVersion: apps.nvidia.com/v1alpha1
kind: NIMService
metadata: {name: llama}
spec:
  image: {repository: nvcr.io/nim/meta/llama-3.1-8b-instruct, tag: "1.8"}
"""
LONG = {"initialDelaySeconds": 30, "periodSeconds": 10, "failureThreshold": 357}


@pytest.mark.parametrize(
    ("probes", "seconds"),
    [
        ({"startupProbe": {"enabled": True, "probe": LONG}}, 3600),
        ({"startupProbe": {"probe": LONG}}, 3600),
        ({"startupProbe": {"enabled": False, "probe": LONG}}, None),
        ({"startupProbe": {"enabled": True}}, None),
        ({"startupProbe": {}}, None),
        ({"livenessProbe": {"enabled": True, "probe": LONG}}, 3600),
        ({"livenessProbe": {"enabled": False, "probe": LONG}}, None),
        ({"startupProbe": {"enabled": False}, "livenessProbe": {"enabled": True, "probe": LONG}}, 3600),
    ],
)
def test_a_probe_of_nvidias_stands_below_its_switch(probes: dict[str, Any], seconds: int | None) -> None:
    fields = "".join(f"  {name}: {json.dumps(probe)}\n" for name, probe in probes.items())
    assert of_text(NIM + fields).documents[-1]["spec"].get("startupTimeoutSeconds") == seconds
