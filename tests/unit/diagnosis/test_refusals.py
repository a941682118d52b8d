"""Why the API server refuses to create the pods."""

import pytest

from vllm_operator.api.reasons import Reason
from vllm_operator.diagnosis import refusals, workload
from vllm_operator.snapshots.workload import ConditionSnapshot, DeploymentSnapshot


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('deployments.apps "llama" is forbidden: exceeded quota: q, requested: count/deployments.apps=1, used: '
         "count/deployments.apps=1, limited: count/deployments.apps=1", Reason.QUOTA_EXCEEDED),
        ('Internal error occurred: failed calling webhook "w": an error on the server', Reason.ADMISSION_FAILED),
        ('deployments.apps "llama" is forbidden: no', None),
        ('admission webhook "w" denied the request: try again', None),
    ],
)  # fmt: skip
def test_what_may_pass_of_an_object_that_is_refused(said: str, reason: Reason | None) -> None:
    finding = refusals.objects(said)
    assert (finding[0] if finding else None) == reason
    assert finding is None or finding[0].passes


_POD = 'pods "timeout-test-7b6d-" is forbidden: '


@pytest.mark.parametrize(
    "said",
    [
        "ValidatingAdmissionPolicy 'x' with binding 'y' denied request: the startup timeout must be at most 900 s",
        "ValidatingAdmissionPolicy 'try-again' with binding 'timeout' denied request: no; change it and try again",
        'violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or container "timeout" must set it)',
        'admission webhook "timeout.example.com" denied the request: the timeout is too long',
        "maximum memory usage per Container is 4Gi, but limit is 8Gi",
        'error looking up service account timeout-tests/vllm: serviceaccount "vllm" not found',
        "failed quota: timeout: must specify limits.cpu for: vllm",
    ],
)
def test_a_denial_lasts_whatever_words_and_names_it_has(said: str) -> None:
    assert not refusals.may_pass(f"Error creating: {_POD}{said}")
    assert refusals.pods(f"{_POD}{said}", None)[0] is Reason.PODS_REFUSED
    assert refusals.objects(f'deployments.apps "timeout-test" is forbidden: {said}') is None
    assert refusals.objects(f'The Deployment "timeout" is invalid: : {said}') is None


@pytest.mark.parametrize(
    "said",
    [
        'Internal error occurred: failed calling webhook "a": failed to call webhook: Post "https://x.y.svc:443/m?timeout'
        '=10s": dial tcp 10.0.0.1:443: i/o timeout',
        'failed to call webhook: Post "https://x": request canceled (Client.Timeout exceeded while awaiting it)',
        "Timeout: request did not complete within requested timeout - context deadline exceeded",
        "etcdserver: request timed out",
        'Operation cannot be fulfilled on resourcequotas "gpus": the object has been modified; please try again',
        "rpc error: timeout",
    ],
)
def test_what_does_not_answer_passes_whatever_its_name(said: str) -> None:
    assert refusals.may_pass(f'Error creating: pods "llama-7b6d-" is forbidden: {said}')
    assert refusals.pods(said, None)[0] is Reason.ADMISSION_FAILED


def test_what_kueue_lets_not_change_is_told_with_a_way_out() -> None:
    said = (
        'admission webhook "vleaderworkerset.kb.io" denied the request: spec.leaderWorkerTemplate.leaderTemplate.spec.'
        'containers[0].resources.requests: Invalid value: {"cpu":"4"}: field is immutable'
    )
    finding = refusals.of_queued_set(said)
    assert finding
    assert finding[0] is Reason.REFUSED
    assert "delete the LeaderWorkerSet, and the operator makes it anew" in finding[1]
    assert refusals.of_queued_set('admission webhook "w" denied the request: field is immutable') is None


def test_a_webhook_that_fails_is_told_apart_from_an_api_server_that_is_away() -> None:
    assert refusals.webhook('500 Internal error occurred: failed calling webhook "w": EOF')
    assert refusals.webhook("ClientConnectorError: Cannot connect to host") is None


@pytest.mark.parametrize(
    ("said", "reason", "told"),
    [
        (
            'pods "llama-1" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=4, used: '
            "requests.nvidia.com/gpu=6, limited: requests.nvidia.com/gpu=8",
            Reason.QUOTA_EXCEEDED,
            "ResourceQuota gpus is used up: a pod asks for requests.nvidia.com/gpu=4, requests.nvidia.com/gpu=6 is "
            "taken, of requests.nvidia.com/gpu=8;",
        ),
        (
            'pods "llama-1" is forbidden: error looking up service account a/robot: serviceaccount "robot" not found',
            Reason.PODS_REFUSED,
            "ServiceAccount robot does not exist",
        ),
        (
            'Internal error occurred: failed calling webhook "a": failed to call webhook: Post "https://x.y.svc:443/": '
            "context deadline exceeded",
            Reason.ADMISSION_FAILED,
            "Kubernetes cannot create the pods now, and tries again: Internal error occurred: failed calling webhook",
        ),
        (
            'pods "llama" is forbidden: failed quota: limits: must specify limits.cpu for: vllm; limits.memory for: v',
            Reason.PODS_REFUSED,
            "ResourceQuota limits wants limits.cpu, limits.memory of every pod: set it in resources",
        ),
        (
            'admission webhook "policy" denied the request: it timed out',
            Reason.PODS_REFUSED,
            "refuses to create the pods: admission",
        ),
        (
            'admission webhook "policy" denied the request: no',
            Reason.PODS_REFUSED,
            "refuses to create the pods: admission",
        ),
    ],
)
def test_pods_that_are_refused_are_told_with_the_cause(said: str, reason: Reason, told: str) -> None:
    condition = ConditionSnapshot("ReplicaFailure", "True", "FailedCreate", said)
    finding = workload(DeploymentSnapshot(1, 1, 0, 1, (condition,)), [])
    assert finding
    assert (finding[0], told in finding[1]) == (reason, True), finding[1]
