"""How pods are replaced and end is taken over where `rollout` has it, and else told."""

import json
from typing import Any

import pytest

from support.imports import deployment, of_text, said_of
from vllm_operator.cli.importing.draft import Draft
from vllm_operator.cli.importing.part import Part
from vllm_operator.cli.importing.pods.rollout import take_grace
from vllm_operator.cli.importing.report import Report, Went
from vllm_operator.settings import Settings


@pytest.mark.parametrize(
    ("limits", "rollout"),
    [
        ({"maxSurge": 2, "maxUnavailable": 1}, {"maxSurge": 2, "maxUnavailable": 1}),
        ({"maxSurge": 1, "maxUnavailable": 0}, {"maxSurge": 1, "maxUnavailable": 0}),
        ({"maxSurge": "50%", "maxUnavailable": 0}, {"maxSurge": 3, "maxUnavailable": 0}),
        ({"maxSurge": "100%"}, {"maxSurge": 5}),
        ({"maxSurge": "0%", "maxUnavailable": "50%"}, {"maxUnavailable": 2}),
        ({"maxSurge": 0, "maxUnavailable": 3}, {"maxUnavailable": 3}),
        ({"maxUnavailable": 0}, {"maxSurge": 2, "maxUnavailable": 0}),
        ({"maxSurge": "25%", "maxUnavailable": "25%"}, None),
        ({"maxSurge": 0}, None),
        ({}, None),
    ],
)
def test_the_steps_of_five_replicas(limits: dict[str, Any], rollout: dict[str, int] | None) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": limits}
    found = of_text(json.dumps(deployment(replicas=5, strategy=strategy)))
    assert found.documents[-1]["spec"].get("rollout") == rollout
    assert not found.report.lost


def test_a_partition_is_told() -> None:
    strategy = {"rollingUpdate": {"partition": 2}}
    found = of_text(json.dumps({**deployment(replicas=5, updateStrategy=strategy), "kind": "StatefulSet"}))
    assert [went for went, _ in said_of(found, "rollingUpdate.partition")] == [Went.LEFT]


@pytest.mark.parametrize(
    ("text", "usual", "seconds", "went"),
    [
        ("300", 30, 300, Went.FIELD),
        ("30", 30, None, Went.OPERATOR),
        ("0", 30, None, Went.LEFT),
        ("1m30s", 10, 90, Went.FIELD),
        ("2h", 10, 7200, Went.FIELD),
        ("10s", 10, None, Went.OPERATOR),
        ("soon", 10, None, Went.LEFT),
        ("500ms", 10, None, Went.LEFT),
    ],
)
def test_the_time_to_end_is_the_time_to_drain(text: str, usual: int, seconds: int | None, went: Went) -> None:
    draft = Draft("m", "", Report(), Settings())
    take_grace(draft, Part(text, (0, "grace")), usual)
    assert draft.get("rollout.drainTimeoutSeconds") == seconds
    assert [row.went for row in draft.report.rows] == [went]


def test_pods_and_containers_of_docker_say_how_long_they_drain() -> None:
    grace, strategy = {"terminationGracePeriodSeconds": 600}, {"rollingUpdate": {"maxSurge": 1}}
    pods = of_text(json.dumps(deployment(grace, strategy=strategy)))
    assert pods.documents[-1]["spec"]["rollout"] == {"drainTimeoutSeconds": 600, "maxSurge": 1}
    service = {"image": "vllm/vllm-openai", "command": ["--model", "org/m"], "stop_grace_period": "5m"}
    docker = of_text(json.dumps({"services": {"m": service}}))
    assert docker.documents[-1]["spec"]["rollout"] == {"drainTimeoutSeconds": 300}


@pytest.mark.parametrize(
    ("spec", "what", "went"),
    [
        ({"paused": True}, "paused", Went.LEFT),
        ({"paused": False}, "paused", Went.OPERATOR),
        ({"parallelism": 3}, "parallelism", Went.LEFT),
        ({"parallelism": 1}, "parallelism", Went.OPERATOR),
    ],
)
def test_what_a_workload_says_beside_is_told(spec: dict[str, Any], what: str, went: Went) -> None:
    assert [one for one, _ in said_of(of_text(json.dumps(deployment(**spec))), what)] == [went]
