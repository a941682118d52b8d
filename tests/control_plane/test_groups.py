"""Replicas over several nodes, with LeaderWorkerSet's own controller and webhooks: made, lost, rolled, replaced."""

from collections.abc import Iterator
from typing import Any

import pytest

from control_plane.metrics_api import serving_metrics
from support import groups
from support.expansion import started
from support.kube import Kube, Object, conditions
from support.model_reports import LLAMA_70B
from support.operator_process import OperatorProcess
from support.services import LABEL, children, reason, service

pytestmark = pytest.mark.control_plane

OVER_TWO: dict[str, Any] = {"nodesPerReplica": 2, "tensorParallelSize": 2}
SECONDS = 60
INDEX, GROUP = "leaderworkerset.sigs.k8s.io/worker-index", "leaderworkerset.sigs.k8s.io/group-index"


@pytest.fixture(scope="module")
def installed(operator: OperatorProcess) -> Iterator[None]:
    """LeaderWorkerSet is installed, for the namespaces that say so."""
    with (
        operator.beside(groups.install_api, groups.remove_api) as kube,
        groups.controller(operator.control_plane, kube),
    ):
        yield


@pytest.fixture
def lws(kube: Kube, installed: None) -> None:
    """LeaderWorkerSet acts on the test's namespace."""
    groups.select(kube)


def ranks(kube: Kube) -> dict[str, Object]:
    """The pods of the service that are not being deleted, by name."""
    pods = kube.list("pods", f"{LABEL}=llama")
    return {pod["metadata"]["name"]: pod for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def uids(kube: Kube) -> set[str]:
    return {pod["metadata"]["uid"] for pod in ranks(kube).values()}


def served(kube: Kube) -> list[str]:
    """The pods behind the Service."""
    slices = kube.list("endpointslices", "kubernetes.io/service-name=llama")
    return [entry["targetRef"]["name"] for one in slices for entry in one["endpoints"] or ()]


def command_line(pod: Object) -> list[str]:
    """What vLLM is started with, as the kubelet would."""
    container = pod["spec"]["containers"][0]
    words, environment = started(container, {})
    assert environment["LWS_WORKER_INDEX"] == pod["metadata"]["labels"][INDEX]
    return words


def test_without_its_api_it_is_said_what_to_install(kube: Kube) -> None:
    kube.apply(service(**OVER_TWO))
    kube.wait("it says so", 20, lambda: reason(kube) == "LeaderWorkerSetsUnserved")
    assert "install LeaderWorkerSet" in conditions(kube.get("vis", "llama") or {})["Ready"]["message"]
    assert "Deployment" not in children(kube)


@pytest.mark.usefixtures("lws")
def test_a_group_serves_through_its_leader(kube: Kube) -> None:
    kube.apply(service(**OVER_TWO, replicas=2))
    found = kube.ready("llama", SECONDS)
    assert (found["status"]["replicas"], found["status"]["readyReplicas"]) == (2, 2)
    assert conditions(found)["Ready"]["message"] == "2 of 2 groups serve"
    assert set(ranks(kube)) == {"llama-g-0", "llama-g-0-1", "llama-g-1", "llama-g-1-1"}
    kube.wait("leaders alone get requests", 20, lambda: sorted(served(kube)) == ["llama-g-0", "llama-g-1"])
    leader, worker = ranks(kube)["llama-g-1"], ranks(kube)["llama-g-1-1"]
    own, others = command_line(leader), command_line(worker)
    assert {"--nnodes=2", "--node-rank=0", f"--master-addr=llama-g-1.llama-g.{kube.namespace}"} <= set(own)
    assert {"--nnodes=2", "--node-rank=1", f"--master-addr=llama-g-1.llama-g.{kube.namespace}"} <= set(others)
    assert ("--headless" in own, "--headless" in others) == (False, True)
    assert "readinessProbe" not in worker["spec"]["containers"][0]
    budget = kube.wait("the budget counts all pods", 20, lambda: _budget(kube, expected=4))
    assert (budget["desiredHealthy"], budget["disruptionsAllowed"]) == (3, 1)


def _budget(kube: Kube, expected: int) -> Object | None:
    status = (kube.get("poddisruptionbudget", "llama") or {}).get("status", {})
    settled = status.get("expectedPods") == expected == status.get("currentHealthy")
    return dict(status) if settled else None


@pytest.mark.usefixtures("lws")
def test_a_rank_that_is_lost_takes_its_group_along_and_no_other(kube: Kube) -> None:
    kube.apply(service(**OVER_TWO, replicas=2))
    kube.ready("llama", SECONDS)
    before = {name: pod["metadata"]["uid"] for name, pod in ranks(kube).items()}
    kube.run("delete", "pod", "llama-g-0-1", "--wait=false")

    def renewed() -> bool:
        now = {name: pod["metadata"]["uid"] for name, pod in ranks(kube).items()}
        return len(now) == 4 and {name for name in now if now[name] != before[name]} == {"llama-g-0", "llama-g-0-1"}

    kube.wait("its group is made anew", SECONDS, renewed)
    kube.ready("llama", SECONDS)


@pytest.mark.usefixtures("lws")
def test_a_change_rolls_all_ranks(kube: Kube) -> None:
    kube.apply(service(**OVER_TWO))
    kube.ready("llama", SECONDS)
    before = uids(kube)
    kube.apply(service(**OVER_TWO, maxModelLen=1024))
    kube.wait("all are others", SECONDS, lambda: len(uids(kube)) == 2 and not uids(kube) & before)
    kube.ready("llama", SECONDS)
    assert all("--max-model-len=1024" in command_line(pod) for pod in ranks(kube).values())


@pytest.mark.usefixtures("lws")
def test_a_single_group_rolls_where_one_more_is_allowed(kube: Kube) -> None:
    kube.apply(service(**OVER_TWO, rollout={"maxSurge": 1}))
    kube.ready("llama", SECONDS)
    before = uids(kube)
    kube.apply(service(**OVER_TWO, rollout={"maxSurge": 1}, maxModelLen=1024))
    kube.wait("all are others", SECONDS, lambda: len(uids(kube)) == 2 and not uids(kube) & before)
    kube.ready("llama", SECONDS)


@pytest.mark.usefixtures("lws")
def test_a_group_has_another_size_after_a_change_of_it(kube: Kube) -> None:
    kube.apply(service(**{**OVER_TWO, "tensorParallelSize": 6}))
    kube.ready("llama", SECONDS)
    kube.apply(service(tensorParallelSize=6, nodesPerReplica=3))
    kube.wait("it has three pods", SECONDS, lambda: set(ranks(kube)) == {"llama-g-0", "llama-g-0-1", "llama-g-0-2"})
    kube.ready("llama", SECONDS)
    assert all("--nnodes=3" in command_line(pod) for pod in ranks(kube).values())


@pytest.fixture
def inspecting(operator: OperatorProcess) -> Iterator[dict[str, Any]]:
    """An operator that knows the image of its inspect Jobs."""
    settings: dict[str, Any] = {"images": {"operator": "vllm-operator:test"}}
    operator.restart(**settings)
    yield settings
    operator.restart()


@pytest.mark.usefixtures("lws")
def test_a_replica_that_no_node_has_the_gpus_for_lies_on_as_many_as_it_takes(
    kube: Kube, operator: OperatorProcess, inspecting: dict[str, Any]
) -> None:
    large: dict[str, Any] = {
        "model": {"uri": f"hf://{LLAMA_70B}"},
        "accelerator": {"resource": "nvidia.com/gpu"},
        "tensorParallelSize": 8,
    }
    kube.apply(service(**large, pipelineParallelSize=2))
    found = kube.ready("llama", SECONDS)
    assert set(ranks(kube)) == {"llama-g-0", "llama-g-0-1"}
    chosen = {one["field"]: one for one in found["status"]["resolved"] if one["from"] == "plan"}
    assert chosen["nodesPerReplica"]["value"] == "2"
    assert chosen["nodesPerReplica"]["why"].startswith("no node has the 16 GPUs of a replica")
    assert found["status"]["gpus"] == 16
    before = uids(kube)
    operator.restart(**inspecting)
    kube.apply(service(**large, pipelineParallelSize=2, networkPolicy={"allowFrom": [{"podSelector": {}}]}))
    kube.ready("llama", SECONDS)
    assert uids(kube) == before
    kube.apply(service(**large))
    kube.wait("the group is gone", SECONDS, lambda: kube.get("leaderworkerset", "llama-g") is None)
    kube.ready("llama", SECONDS)
    assert "Deployment" in children(kube)


@pytest.mark.usefixtures("lws")
def test_the_two_forms_take_each_others_place(kube: Kube) -> None:
    kube.apply(service(tensorParallelSize=2))
    kube.ready("llama", SECONDS)
    kube.apply(service(**OVER_TWO))
    kube.wait("the Deployment is gone", SECONDS, lambda: "Deployment" not in children(kube))
    kube.wait("the group serves", SECONDS, lambda: set(ranks(kube)) == {"llama-g-0", "llama-g-0-1"})
    kube.ready("llama", SECONDS)
    kube.apply(service(tensorParallelSize=2, nodesPerReplica=1))
    kube.wait("the group is gone", SECONDS, lambda: kube.get("leaderworkerset", "llama-g") is None)
    kube.wait("the Deployment is back", SECONDS, lambda: "Deployment" in children(kube))
    kube.wait("its pods get requests", SECONDS, lambda: served(kube) and not served(kube)[0].startswith("llama-g"))
    kube.ready("llama", SECONDS)


@pytest.mark.usefixtures("lws")
def test_nothing_is_left_of_a_service_that_is_deleted(kube: Kube) -> None:
    kube.apply(service(**OVER_TWO))
    kube.ready("llama", SECONDS)
    kube.run("delete", "vis", "llama")
    kinds = "pods,services,statefulsets,leaderworkersets,networkpolicies,controllerrevisions"
    kube.wait("all is gone", SECONDS, lambda: not [one for one in kube.list(kinds) if _is_of_a_service(one)])


def _is_of_a_service(item: Object) -> bool:
    return bool(item["metadata"]["name"].startswith("llama"))


@pytest.fixture
def racks(kube: Kube, operator: OperatorProcess) -> Iterator[None]:
    """Each of the two nodes is a rack, which the platform team lets groups have to themselves."""
    nodes = sorted(node["metadata"]["name"] for node in kube.list("nodes"))
    for name in nodes:
        kube.run("label", "node", name, f"rack=of-{name}")
    operator.restart(allowedExclusiveTopologies=["rack"])
    yield
    operator.restart()
    kube.run("label", "node", *nodes, "rack-")


@pytest.mark.usefixtures("lws", "racks")
def test_each_group_has_a_rack_to_itself(kube: Kube) -> None:
    placed: dict[str, Any] = {**OVER_TWO, "pod": {"exclusiveTopology": "rack"}}
    kube.apply(service(**placed, replicas=2))
    kube.ready("llama", SECONDS)
    nodes = {name: pod["spec"]["nodeName"] for name, pod in ranks(kube).items()}
    assert nodes["llama-g-0"] == nodes["llama-g-0-1"] != nodes["llama-g-1"] == nodes["llama-g-1-1"]
    kube.apply(service(**placed, replicas=4))
    kube.wait("the others find no rack", SECONDS, lambda: reason(kube, "WorkloadAvailable") == "NoDomainFree")
    assert "each group has the nodes of one value of rack to itself" in _told(kube)
    assert set(ranks(kube)) == {*nodes, "llama-g-2", "llama-g-3"}, "they have no workers, which would take devices"


@pytest.mark.usefixtures("lws", "racks")
def test_a_rollout_that_wants_a_rack_more_is_told_how_it_ends(kube: Kube) -> None:
    placed: dict[str, Any] = {**OVER_TWO, "replicas": 2, "pod": {"exclusiveTopology": "rack"}}
    kube.apply(service(**placed, rollout={"maxSurge": 1}))
    kube.ready("llama", SECONDS)
    before = uids(kube)
    kube.apply(service(**placed, rollout={"maxSurge": 1}, maxModelLen=1024))
    kube.wait("it waits for a rack", SECONDS, lambda: reason(kube, "WorkloadAvailable") == "NoDomainFree")
    assert "rollout.maxSurge: 0 ends an old one first" in _told(kube)
    assert before < uids(kube)
    kube.apply(service(**placed, rollout={"maxSurge": 0}, maxModelLen=1024))
    kube.wait("all are others", SECONDS, lambda: len(uids(kube)) == 4 and not uids(kube) & before)
    kube.ready("llama", SECONDS)


@pytest.mark.usefixtures("lws", "racks")
def test_groups_get_racks_after_the_service_was_suspended(kube: Kube) -> None:
    # As they are, they may lie in both racks, and would keep the new ones off.
    kube.apply(service(**OVER_TWO, replicas=2))
    kube.ready("llama", SECONDS)
    placed: dict[str, Any] = {**OVER_TWO, "replicas": 2, "pod": {"exclusiveTopology": "rack"}}
    kube.apply(service(**placed, suspend=True))
    kube.wait("no pods are left", SECONDS, lambda: not kube.list("pods"))
    kube.apply(service(**placed, suspend=False))
    kube.ready("llama", SECONDS)
    nodes = {pod["metadata"]["labels"][GROUP]: pod["spec"]["nodeName"] for pod in ranks(kube).values()}
    assert len(set(nodes.values())) == 2


def _told(kube: Kube) -> str:
    return str(conditions(kube.get("vis", "llama") or {})["WorkloadAvailable"]["message"])


@pytest.mark.usefixtures("lws", "racks")
def test_a_label_that_no_node_has_is_told(kube: Kube) -> None:
    kube.apply(service(**OVER_TWO, pod={"exclusiveTopology": "row"}))
    kube.wait("it is not allowed", 20, lambda: reason(kube, "SpecValid") == "ExclusiveTopologyNotAllowed")
    kube.run("label", "node", "--all", "rack-")
    kube.apply(service(**OVER_TWO, pod={"exclusiveTopology": "rack"}))
    kube.wait("no node will do", SECONDS, lambda: reason(kube, "WorkloadAvailable") == "NoMatchingNode")
    assert "label the nodes with rack by their domain" in _told(kube)


@pytest.mark.usefixtures("lws")
def test_a_group_that_all_nodes_are_too_few_for_takes_no_gpu_where_no_more_come(
    kube: Kube, operator: OperatorProcess
) -> None:
    of_three: dict[str, Any] = {"nodesPerReplica": 3, "tensorParallelSize": 8, "pipelineParallelSize": 3}
    operator.restart(fixedNodes=True)
    added: list[str] = []
    try:
        kube.apply(service(**of_three, accelerator={"resource": "nvidia.com/gpu"}))
        kube.wait("it is refused", SECONDS, lambda: reason(kube, "Fits") == "TooFewNodes")
        said = conditions(kube.get("vis", "llama") or {})["Fits"]["message"]
        assert "the nodes have GPUs for 2 of the 3 pods of a replica, even when nothing else runs" in said
        assert not kube.list("pods")
        added += operator.control_plane.add_kwok_nodes(1)
        kube.ready("llama", SECONDS)
        assert len({pod["spec"]["nodeName"] for pod in ranks(kube).values()}) == 3
    finally:
        operator.restart()
        kube.run("delete", "node", *added) if added else None


@pytest.mark.usefixtures("lws")
def test_an_autoscaler_adds_groups_by_what_their_leaders_say(kube: Kube, operator: OperatorProcess) -> None:
    values = {"vllm:num_requests_waiting": "4"}
    scaling = {"maxReplicas": 3, "targets": {"kvCacheUtilizationPercent": 0}}
    with serving_metrics(operator.control_plane, values):
        kube.apply(service(**OVER_TWO, autoscaling=scaling))
        kube.wait("the load is followed", 90, lambda: reason(kube, "ScalingActive") == "Scaling")
        assert kube.ready("llama", SECONDS)["status"]["readyReplicas"] == 1
        values["vllm:num_requests_waiting"] = "20"
        kube.wait("the most are asked for", 90, lambda: reason(kube, "ScalingActive") == "AtMaximum")
        found = kube.ready("llama", SECONDS)
    assert (found["status"]["wantedReplicas"], found["status"]["readyReplicas"], len(ranks(kube))) == (3, 3, 6)
    kube.apply(service(**OVER_TWO, autoscaling=scaling, maxModelLen=1024))
    kube.wait(
        "it is rolled",
        SECONDS,
        lambda: all("--max-model-len=1024" in command_line(one) for one in ranks(kube).values()),
    )
    assert (kube.get("leaderworkerset", "llama-g") or {})["spec"]["replicas"] == 3


@pytest.mark.usefixtures("lws")
def test_a_suspended_service_has_no_group_and_a_resumed_one_has(kube: Kube) -> None:
    kube.apply(service(**OVER_TWO))
    kube.ready("llama", SECONDS)
    kube.merge("vis", "llama", {"spec": {"suspend": True}})
    kube.wait("no pods are left", SECONDS, lambda: not kube.list("pods"))
    kube.wait("it says so", 20, lambda: reason(kube) == "Suspended")
    kube.merge("vis", "llama", {"spec": {"suspend": False}})
    kube.ready("llama", SECONDS)
