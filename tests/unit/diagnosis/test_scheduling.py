"""Why a pod has no node, from the scheduler's message."""

import re
from dataclasses import replace

import pytest

from support.pod_status import found, unscheduled
from vllm_operator.api.reasons import Reason
from vllm_operator.assess.supply import NodeGpus, Supply
from vllm_operator.diagnosis import asks_for_gpus, workload
from vllm_operator.snapshots.pod_event import PodEvent

NOT_HELPFUL = (
    "preemption: 0/5 nodes are available: {} Preemption is not helpful for scheduling, {} No preemption victims"
)


@pytest.mark.parametrize(
    ("message", "reason", "told"),
    [
        (
            "0/5 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient nvidia.com/gpu, 2 node(s) "
            f"didn't match Pod's node affinity/selector. no new claims to deallocate, {NOT_HELPFUL.format(3, 2)}",
            Reason.INSUFFICIENT_GPUS,
            "among 5: 1 with taints that it does not tolerate; 2 with less free nvidia.com/gpu than the 4 that it "
            "needs; 2 without the labels that it asks for (nvidia.com/gpu.product=H100)",
        ),
        (
            "0/5 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
            f"4 Insufficient nvidia.com/gpu. {NOT_HELPFUL.format(5, 0)}",
            Reason.GPU_NODES_TOO_SMALL,
            "even when empty: lower tensorParallelSize",
        ),
        (
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes",
            Reason.NO_MATCHING_NODE,
            "check accelerator.product",
        ),
        ("0/3 nodes are available: 3 node(s) had untolerated taint(s).", Reason.UNTOLERATED_TAINTS, "pod.tolerations"),
        (
            "0/3 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity, 2 node(s) had "
            "untolerated taint(s).",
            Reason.VOLUME_ELSEWHERE,
            "1 out of its volume's reach",
        ),
        (
            "0/3 nodes are available: 3 Insufficient memory.",
            Reason.UNSCHEDULABLE,
            "3 with less free memory than it needs",
        ),
        (
            '0/3 nodes are available: persistentvolumeclaim "weights" not found. preemption: 0/3 nodes are available',
            Reason.CLAIM_MISSING,
            "PersistentVolumeClaim weights does not exist",
        ),
        (
            "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/3",
            Reason.VOLUME_NOT_BOUND,
            "(weights)",
        ),
        ("no nodes available to schedule pods", Reason.UNSCHEDULABLE, "no nodes available to schedule pods"),
    ],
)
def test_a_pod_without_a_node_is_told_with_counts(message: str, reason: Reason, told: str) -> None:
    got, text = found(unscheduled(message))
    assert (got, told in text) == (reason, True), text


def test_devices_that_are_claimed_by_others_are_waited_for() -> None:
    text = "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 cannot allocate all claims. still not"
    reason, message = found(unscheduled(text))
    assert reason is Reason.INSUFFICIENT_GPUS
    assert "2 without free devices that its claim asks for" in message


def test_nodes_are_looked_at_for_what_is_asked_of_them_by_name() -> None:
    """What is claimed (DRA) is in no node's resources, of which nothing then tells."""
    waiting = unscheduled("0/3 nodes are available: 3 cannot allocate all claims.")
    claims = replace(waiting, asked=replace(waiting.asked, resource="", count=8))
    assert asks_for_gpus(None, [waiting])
    assert not asks_for_gpus(None, [claims])


def test_what_a_queue_says_of_a_pod_is_told() -> None:
    words = "insufficient unused quota for cpu in flavor default, 300m more needed"
    held = unscheduled("Scheduling is blocked due to non-empty scheduling gates", "SchedulingGated")
    reason, message = found(replace(held, events=(PodEvent("Pending", words, "2026-11-28T00:00:00Z"),)))
    assert reason is Reason.QUEUED
    assert message == f"pod {held.name} waits in its queue: {words}"


def test_claimed_devices_are_looked_at_after_volumes() -> None:
    message = "0/5 nodes are available: 2 cannot allocate all claims, 3 node(s) had volume node affinity conflict."
    reason, text = found(unscheduled(message))
    assert (reason, "all devices of a pod must be free on one node" in text) == (Reason.INSUFFICIENT_GPUS, True), text


def test_a_gated_pod_waits_for_its_queue() -> None:
    reason, message = found(unscheduled("Scheduling is blocked due to non-empty scheduling gates", "SchedulingGated"))
    assert (reason, "scheduling gate" in message) == (Reason.UNSCHEDULABLE, True)


def test_a_group_waits_in_its_queue_as_a_whole() -> None:
    words = "couldn't assign flavors to pod set leader: insufficient unused quota for nvidia.com/gpu, 8 more needed"
    held = unscheduled("Scheduling is blocked due to non-empty scheduling gates", "SchedulingGated")
    of_group = replace(held, group="1", asked=replace(held.asked, queued_as="leaderworkerset-llama-g-1-5f0c2"))
    reason, message = found(replace(of_group, events=(PodEvent("Pending", words, "2026-11-28T00:00:00Z"),)))
    assert reason is Reason.QUEUED
    assert message == f"group 1 of pod {held.name} waits in its queue, to be let go as a whole: {words}"


@pytest.mark.parametrize(
    ("message", "reason", "told"),
    [
        (
            "0/4 nodes are available: 2 Insufficient nvidia.com/gpu, 2 node(s) didn't match pod anti-affinity rules.",
            Reason.NO_DOMAIN_FREE,
            "2 in a domain of rack that another group has; each group has the nodes of one value of rack to itself: "
            "lower replicas",
        ),
        (
            "0/4 nodes are available: 4 node(s) didn't satisfy existing pods anti-affinity rules.",
            Reason.NO_DOMAIN_FREE,
            "4 in a domain of rack that another group has",
        ),
        (
            "0/4 nodes are available: 4 node(s) didn't match pod affinity rules.",
            Reason.NO_MATCHING_NODE,
            "4 without the label rack, or in another domain of it; label the nodes with rack by their domain",
        ),
    ],
)
def test_a_group_without_a_domain_is_told(message: str, reason: Reason, told: str) -> None:
    pod = unscheduled(message)
    got, text = found(replace(pod, asked=replace(pod.asked, topology="rack")))
    assert (got, told in text) == (reason, True), text


def test_nodes_that_are_too_small_are_not_said_to_be_closed() -> None:
    message = "0/3 nodes are available: 3 node(s) were unschedulable."
    large, small = NodeGpus("gpu-1", 8, 8), NodeGpus("gpu-2", 2, 2)
    finding = workload(None, [unscheduled(message)], supply(large, small))
    assert finding
    assert "the nodes that suit it (gpu-1) are closed" in finding[1]


def test_pods_that_others_keep_away_are_told_in_plain_words() -> None:
    _, text = found(unscheduled("0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."))
    assert "2 beside pods that it must not be near" in text


def supply(*nodes: NodeGpus, taints: tuple[str, ...] = ()) -> Supply:
    """What there is of GPUs on nodes that suit; H100 on some."""
    return Supply(nodes=nodes, holders=(), elsewhere=0, taints=taints, products=(("H100", 1),), in_namespace=())


FREE, FULL, SMALL = NodeGpus("gpu-1", 8, 8), NodeGpus("gpu-1", 8, 0), NodeGpus("gpu-1", 2, 2)
NONE, BY_CPU = supply(), "3 Insufficient nvidia.com/gpu"
TAINTED = supply(taints=("team=b:NoSchedule",))
NOT_READY = "node(s) had untolerated taint {node.kubernetes.io/not-ready: }"
NO_PLACE = "bring them back"
CONTROL = "node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }"


@pytest.mark.parametrize(
    ("causes", "hopeless", "there", "reason", "told"),
    [
        # Nodes without GPUs lack them in each of these; what counts is what keeps the pod off nodes with GPUs.
        (f"2 node(s) were unschedulable, {BY_CPU}", 5, supply(FREE), Reason.UNSCHEDULABLE, f"(gpu-1).*{NO_PLACE}"),
        # Without a word of preemption nobody knows whether others hold what seems to be free.
        (f"2 node(s) were unschedulable, {BY_CPU}", None, supply(FREE), Reason.INSUFFICIENT_GPUS, "hold the rest"),
        (f"2 Insufficient nvidia.com/gpu, 3 {CONTROL}", None, supply(FREE), Reason.INSUFFICIENT_GPUS, "hold the rest"),
        (f"2 node(s) were unschedulable, {BY_CPU}", 5, supply(SMALL), Reason.GPU_NODES_TOO_SMALL, "gpu-1, has 2"),
        (f"1 {NOT_READY}, {BY_CPU}", 4, supply(FREE), Reason.UNSCHEDULABLE, NO_PLACE),
        (f"1 node(s) had untolerated taint(s), {BY_CPU}", 4, supply(FREE), Reason.UNSCHEDULABLE, NO_PLACE),
        (f"1 {NOT_READY}, 1 {CONTROL}", 2, supply(FREE), Reason.UNSCHEDULABLE, NO_PLACE),
        (f"2 node(s) had untolerated taint(s), {BY_CPU}", 5, TAINTED, Reason.UNTOLERATED_TAINTS, "team=b:NoSchedule"),
        (f"2 node(s) had untolerated taint(s), {BY_CPU}", 2, TAINTED, Reason.UNTOLERATED_TAINTS, "team=b:NoSchedule"),
        (f"1 {CONTROL}, {BY_CPU}", 4, NONE, Reason.GPU_NODES_TOO_SMALL, "even when empty: lower"),
        (f"1 {CONTROL}, {BY_CPU}", 3, supply(FULL), Reason.INSUFFICIENT_GPUS, "0 of 8 nvidia.com/gpu are free"),
        (f"1 {CONTROL}, {BY_CPU}", 3, supply(FREE), Reason.INSUFFICIENT_GPUS, "that are no InferenceService's hold"),
        (f"2 node(s) didn't match Pod's node affinity/selector, {BY_CPU}", 5, NONE, Reason.NO_MATCHING_NODE, "H100"),
        # What else keeps it off the nodes that suit is not that other nodes are tainted.
        (f"2 node(s) didn't match pod anti-affinity rules, 3 {CONTROL}", 3, supply(FREE), Reason.UNSCHEDULABLE,
         "2 beside pods that it must not be near.*or add nodes"),
        ("4 Insufficient nvidia.com/gpu", 4, supply(SMALL), Reason.GPU_NODES_TOO_SMALL, "gpu-1, has 2"),
    ],
)  # fmt: skip
def test_nodes_without_gpus_do_not_hide_what_keeps_a_pod_off_the_others(
    causes: str, hopeless: int | None, there: Supply, reason: Reason, told: str
) -> None:
    nodes = sum(int(cause.split()[0]) for cause in causes.split(", "))
    preemption = f" preemption: 0/{nodes} nodes are available: {hopeless} Preemption is not helpful for scheduling."
    message = f"0/{nodes} nodes are available: {causes}.{'' if hopeless is None else preemption}"
    finding = workload(None, [unscheduled(message)], there)
    assert finding
    assert finding[0] == reason, finding
    assert re.search(told, finding[1]), finding


@pytest.mark.parametrize("there", [None, supply(FREE), supply(FULL), TAINTED])
@pytest.mark.parametrize(
    ("causes", "reason", "told"),
    [
        (f"2 node(s) had volume node affinity conflict, {BY_CPU}", Reason.VOLUME_ELSEWHERE, "of weights is only"),
        (f"2 node(s) didn't match PersistentVolume's node affinity, {BY_CPU}", Reason.VOLUME_ELSEWHERE, "of weights"),
        ("2 node(s) had no available volume zone, 3 Insufficient memory", Reason.VOLUME_ELSEWHERE, "of weights is"),
        (f"1 {CONTROL}, 2 node(s) didn't find available persistent volumes to bind", Reason.VOLUME_NOT_BOUND, "for w"),
        (f"1 Insufficient memory, {BY_CPU}", Reason.UNSCHEDULABLE, "1 with less free memory.*lower what resources"),
        (f"1 Too many pods, {BY_CPU}", Reason.UNSCHEDULABLE, "1 Too many pods.*lower what resources"),
        ("2 Insufficient memory, 3 node(s) didn't match Pod's node affinity/selector", Reason.UNSCHEDULABLE, "lower"),
        (f"1 {CONTROL}, 2 Insufficient memory", Reason.UNSCHEDULABLE, "2 with less free memory.*lower what resources"),
        (f"1 {CONTROL}, 2 Insufficient cpu", Reason.UNSCHEDULABLE, "2 with less free cpu.*lower what resources"),
    ],
)  # fmt: skip
def test_a_node_that_lacks_one_thing_has_what_is_looked_at_before(
    causes: str, reason: Reason, told: str, there: Supply | None
) -> None:
    nodes = sum(int(cause.split()[0]) for cause in causes.split(", "))
    finding = workload(None, [unscheduled(f"0/{nodes} nodes are available: {causes}.")], there)
    assert finding
    assert finding[0] == reason, finding
    assert re.search(told, finding[1]), finding


# As Kubernetes 1.35 and 1.36 say it.
IN_USE = [
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
]


@pytest.mark.parametrize("there", [None, supply(FREE), supply(FULL), TAINTED])
@pytest.mark.parametrize("beside", ["", ", 3 Insufficient nvidia.com/gpu", f", 3 {CONTROL}", ", 3 Insufficient cpu"])
@pytest.mark.parametrize(
    ("cause", "reason", "told"),
    [
        ("node(s) didn't match pod anti-affinity rules", Reason.UNSCHEDULABLE, "podAntiAffinity in pod.affinity"),
        ("node(s) didn't satisfy existing pods anti-affinity rules", Reason.UNSCHEDULABLE, "that of the pods there"),
        ("node(s) didn't match pod affinity rules", Reason.UNSCHEDULABLE, "check podAffinity in pod.affinity"),
        (
            "node(s) didn't match pod topology spread constraints",
            Reason.UNSCHEDULABLE,
            "2 against its topology spread constraints.*check pod.topologySpreadConstraints",
        ),
        (
            "node(s) didn't match pod topology spread constraints (missing required label)",
            Reason.UNSCHEDULABLE,
            "check pod.topologySpreadConstraints, or add nodes",
        ),
        ("node(s) exceed max volume count", Reason.UNSCHEDULABLE, "move pods with volumes off those nodes"),
        *(
            (words, Reason.VOLUME_IN_USE, "2 kept from it by a volume.*a volume of weights is for one pod at a time")
            for words in IN_USE
        ),
    ],
)
def test_a_node_that_others_keep_it_off_has_the_gpus(
    cause: str, reason: Reason, told: str, beside: str, there: Supply | None
) -> None:
    """The scheduler looks at what is there after what a node has: nobody holds GPUs of such a node."""
    text = f"0/{5 if beside else 2} nodes are available: 2 {cause}{beside}. preemption: 0/5 nodes are available."
    finding = workload(None, [unscheduled(text)], there)
    assert finding
    assert finding[0] == reason, finding
    assert re.search(told, finding[1]), finding
    assert "lower what resources asks for" not in finding[1]
    assert "free on one node" not in finding[1]


def test_nodes_that_lack_gpus_and_memory_lack_gpus() -> None:
    both = "0/3 nodes are available: 1 Insufficient memory, 3 Insufficient nvidia.com/gpu."
    finding = workload(None, [unscheduled(both)], supply(FULL))
    assert finding
    assert finding[0] == Reason.INSUFFICIENT_GPUS


@pytest.mark.parametrize("cause", [f"2 {NOT_READY}, 1 {CONTROL}", "2 node(s) were unschedulable"])
def test_nobody_is_asked_to_tolerate_a_dead_node(cause: str) -> None:
    reason, text = found(unscheduled(f"0/3 nodes are available: {cause}."))
    assert (reason, "tolerations" in text, NO_PLACE in text) == (Reason.UNSCHEDULABLE, False, True)
