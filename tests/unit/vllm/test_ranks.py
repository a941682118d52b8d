"""What the ranks of a replica are told of each other."""

from support.snapshots import spec
from vllm_operator.settings import Settings
from vllm_operator.vllm.argv import argv, devices_of, ranks, ranks_of_replica
from vllm_operator.vllm.environment import environment
from vllm_operator.vllm.ranks import nodes_of

OVER_TWO = spec(nodesPerReplica=2, tensorParallelSize=4, pipelineParallelSize=2, extraArgs=["--seed=1"])


def test_ranks_find_each_other_by_what_leader_worker_set_tells_each_pod() -> None:
    arguments = argv(OVER_TWO, "llama")
    assert "--nnodes=2" in arguments
    # Last, as the last of equal flags counts.
    assert arguments[-5:] == [
        "--seed=1",
        "--distributed-executor-backend=mp",
        "--node-rank=$(LWS_WORKER_INDEX)",
        "--master-addr=$(LWS_LEADER_ADDRESS)",
        "--master-port=29501",
    ]


def test_a_rank_says_where_it_listens() -> None:
    (own,) = [one for one in environment(OVER_TWO, Settings()) if one["name"] == "VLLM_HOST_IP"]
    assert own["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    assert not [one for one in environment(spec(), Settings()) if one["name"] == "VLLM_HOST_IP"]


def test_each_pod_has_its_share() -> None:
    assert (ranks_of_replica(OVER_TWO), ranks(OVER_TWO), devices_of(OVER_TWO)) == (8, 4, 4)


def test_one_pod_is_told_nothing_of_others() -> None:
    assert argv(spec(tensorParallelSize=4), "llama") == [
        one for one in argv(spec(tensorParallelSize=4, nodesPerReplica=1), "llama") if one != "--nnodes=1"
    ]


def test_how_many_pods_a_command_line_is_for() -> None:
    assert nodes_of(argv(OVER_TWO, "llama")) == 2
    assert [nodes_of(odd) for odd in ([], ["--nnodes=x"], ["--nnodes=99999"], ["--nnodes="])] == [1, 1, 1, 1]
