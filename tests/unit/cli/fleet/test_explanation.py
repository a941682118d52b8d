"""What `kubectl vllm logs` says of a service. With a cluster: tests/control_plane."""

from typing import Any

from support.gitops import condition
from unit.cli.fleet.objects import pod, service
from vllm_operator.cli.fleet.explanation import Log, explanation, telling


def explained(log: str, *, ready: bool = False, **changes: Any) -> str:
    item = service("chat", **changes)
    return explanation(item, [pod("a1", ready=ready)], (Log("a1", previous=not ready), log))


def test_the_log_of_a_failed_container_tells_most() -> None:
    assert telling([pod("a1"), pod("a3"), pod("a2", ready=False)]) == Log("a2", previous=True)
    assert telling([pod("a1"), pod("a3"), pod("a2")]) == Log("a3", previous=False)
    assert telling([]) is None


def test_before_it_served_the_log_is_shown_without_credentials() -> None:
    text = explained("INFO 11-24 12:00:00 [a.py:1] token=hf_abcdefghijklmnop\nValueError: the head is missing\n")
    assert "not ready" not in text.splitlines()[0]
    assert "  token=***" in text
    assert "  ValueError: the head is missing" in text
    assert "ContainerFailed: vLLM in pod a1 does not start" in text
    assert "kubectl logs a1 --previous" in text


def test_once_it_has_served_nothing_is_shown_that_could_be_a_prompt() -> None:
    log = """\
(APIServer pid=1) INFO 11-24 12:00:00 [logger.py:39] Received request cmpl-1: prompt: 'my secret diagnosis'
(APIServer pid=1) INFO 11-24 12:00:01 [loggers.py:271] Engine 000: Running: 1 reqs, Waiting: 0 reqs
ValueError: cannot tokenize 'my secret diagnosis'
"""
    text = explained(log, ready=True)
    assert "secret" not in text
    assert "  exceptions: ValueError" in text
    assert "  Engine 000: Running: 1 reqs, Waiting: 0 reqs" in text
    assert "nothing but what could hold users' requests" in explained("prompt: 'my secret'", ready=True)


def test_conditions_are_said_in_words_and_each_message_once() -> None:
    message = "0 of 1 pods serve: there is no such model"
    found = [condition(kind, "False", "ModelNotFound", message) for kind in ("Ready", "WorkloadAvailable")]
    text = explained("", conditions=[*found, condition("Fits", "Unknown", "NotInspected", "it is not there")])
    assert text.startswith(f"team-a/chat, hf://org/name: not ready (ModelNotFound)\n  {message}\n")
    assert text.count(message) == 1
    assert "  enough of its pods serve: no (ModelNotFound)" in text
    assert "  the model fits the GPUs: not known (NotInspected)\n    it is not there" in text


def test_an_operator_that_does_not_run_is_named() -> None:
    assert "does the operator run?" in explained("", conditions=[], observedGeneration=-1)
    assert "the operator has not looked at the newest one" in explained("", observedGeneration=0)
