"""The flags in a file for --config, and in KAITO's ConfigMap, are those that vLLM would be told."""

import json
from typing import Any

import pytest

from support.imports import of_text, said_of
from vllm_operator.cli.importing.imports import Imported
from vllm_operator.cli.importing.report import Went


def config_map(flags: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "config"},
        "data": {"vllm.yaml": "{" + flags + "}", "inference_config.yaml": "vllm: {" + flags + "}"},
    }


def deployment(flags: str) -> Imported:
    """A Deployment whose flags are in a ConfigMap."""
    container = {
        "name": "vllm",
        "image": "vllm/vllm-openai:latest",
        "args": ["org/m", "--config", "/config/vllm.yaml"],
        "volumeMounts": [{"name": "config", "mountPath": "/config"}],
    }
    pod = {"containers": [container], "volumes": [{"name": "config", "configMap": {"name": "config"}}]}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "m"},
        "spec": {"template": {"spec": pod}},
    }
    return of_text(f"{json.dumps(config_map(flags))}\n---\n{json.dumps(body)}")


def workspace(flags: str) -> Imported:
    """A Workspace of KAITO's whose flags are in a ConfigMap."""
    body = {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": "m"},
        "resource": {"labelSelector": {"matchLabels": {"apps": "m"}}},
        "inference": {"preset": {"name": "phi-4"}, "config": "config"},
    }
    return of_text(f"{json.dumps(config_map(flags))}\n---\n{json.dumps(body)}")


@pytest.mark.parametrize("source", [deployment, workspace])
@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        ("enable-prefix-caching: false", {"kvCache": {"prefixCaching": False}}),
        ("enable_prefix_caching: false", {"kvCache": {"prefixCaching": False}}),
        ("enable-chunked-prefill: false", {"extraArgs": ["--no-enable-chunked-prefill"]}),
        ("async-scheduling: false", {"extraArgs": ["--no-async-scheduling"]}),
        ("served-model-name: [], allowed-media-domains: []", {}),
        ("headless: false", {}),
    ],
)
def test_a_switch_that_is_off_is_turned_off(source: Any, flags: str, fields: dict[str, Any]) -> None:
    spec = source(flags).documents[-1]["spec"]
    assert {key: one for key, one in spec.items() if key not in ("model", "pod")} == fields


@pytest.mark.parametrize(
    ("flags", "what", "went"),
    [
        ("trust-remote-code: false", "--trust-remote-code false", Went.DEFAULT),
        ("no-such-flag: false", "--no-such-flag false", Went.LEFT),
        ("max-model-len: false", "--max-model-len false", Went.LEFT),
    ],
)
def test_what_is_off_without_a_form_for_it_has_its_row(flags: str, what: str, went: Went) -> None:
    assert [one for one, _ in said_of(deployment(flags), what)] == [went]
