"""Why the API server refuses to create the pods."""

import pytest

from vllm_operator.api.reasons import Reason
from vllm_operator.diagnosis import workload
from vllm_operator.snapshots.child import ConditionSnapshot, DeploymentSnapshot


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
