"""Why a pod has no node, from the scheduler's own sentence. Pure.

The sentence is "0/5 nodes are available: 2 Insufficient nvidia.com/gpu, 3 node(s) had untolerated taint(s).
preemption: 0/5 nodes are available: ...". Its words are those of pkg/scheduler in Kubernetes.
"""

import re
from collections.abc import Mapping

from ..api.reasons import Finding, Reason
from ..assess.supply import Supply
from ..diagnosis import gpus
from ..snapshots.pod import PodSnapshot
from ..snapshots.pod_event import last
from .redaction import redact, shorten

_NODES = re.compile(r"0/(\d+) nodes are available")
_CAUSE = re.compile(
    r"(\d+) ((?:Insufficient|Too many pods|node\(s\)|cannot allocate all claims)[^,]*?)"
    r"(?=, \d|, no new claims|, still not schedulable|\. |\.?$)"
)
# Preemption does not help where a node would be too small, or wrong, even if it were empty.
_HOPELESS_NODES = re.compile(r"(\d+) Preemption is not helpful for scheduling")
_CLAIM = re.compile(r'persistentvolumeclaim "(?P<name>[^"]+)" (?P<trouble>not found|is being deleted|bound to)')

# Reasons of Kueue's Events about a Workload that is not admitted (pkg/scheduler/scheduler.go).
OF_QUEUE = ("Pending", "SecondPassFailed")
_CLAIMS = "cannot allocate all claims"
_TAINTS, _SELECTOR = "untolerated taint", "didn't match Pod's node affinity/selector"
_ELSEWHERE = ("PersistentVolume's node affinity", "volume node affinity conflict", "no available volume zone")
# Of pods that are there already. A group with a domain of its own is told in its own words.
_APART, _TOGETHER = ("pod anti-affinity rules", "existing pods anti-affinity rules"), "match pod affinity rules"
_OF_DOMAINS = (
    *((words, "{count} in a domain of {topology} that another group has") for words in _APART),
    (_TOGETHER, "{count} without the label {topology}, or in another domain of it"),
)
_WORDS = (
    (_TAINTS, "{count} with taints that it does not tolerate"),
    (_SELECTOR, "{count} without the labels that it asks for{selector}"),
    ("were unschedulable", "{count} closed for scheduling"),
    ("didn't find available persistent volumes", "{count} without a volume for its claim"),
    *((words, "{count} beside pods that it must not be near") for words in _APART),
    (_TOGETHER, "{count} away from pods that it must be near"),
    (_CLAIMS, "{count} without free devices that its claim asks for"),
    *((words, "{count} out of its volume's reach") for words in _ELSEWHERE),
)


def no_node(pod: PodSnapshot, supply: Supply | None) -> Finding:
    """The reason and the counts of nodes; the scheduler's sentence as it is where it says something else."""
    text = pod.message
    if is_held(pod):
        return _held(pod)
    if trouble := _claim(pod):
        return trouble
    main = text.split(" preemption:")[0]
    nodes = _NODES.search(text)
    causes: dict[str, int] = {}
    for count, words in _CAUSE.findall(main):
        causes[words] = causes.get(words, 0) + int(count)
    if not nodes or not causes:
        return Reason.UNSCHEDULABLE, f"no node for pod {pod.name}: {shorten(text) or 'the scheduler gives no cause'}"
    counts = "; ".join(_told(pod, words, count) for words, count in causes.items())
    reason, fix = _verdict(pod, causes, _too_small(text, int(nodes[1]), causes), supply)
    return reason, f"no node for pod {pod.name} among {nodes[1]}: {shorten(counts)}; {fix}"


def is_held(pod: PodSnapshot) -> bool:
    """Whether a scheduling gate keeps the scheduler from looking at the pod."""
    return pod.reason == "SchedulingGated" and not pod.scheduled


def _held(pod: PodSnapshot) -> Finding:
    """In the words of Kueue, whose Events are about a Workload of its own."""
    if event := last(pod.events, *OF_QUEUE):
        whole = f"group {pod.group} of pod {pod.name} waits in its queue, to be let go as a whole"
        waits = whole if pod.asked.queued_as else f"pod {pod.name} waits in its queue"
        return Reason.QUEUED, f"{waits}: {shorten(redact(event.message))}"
    return (
        Reason.UNSCHEDULABLE,
        f"pod {pod.name} is held back by a scheduling gate: its owner (a queue) must lift it",
    )


def _claim(pod: PodSnapshot) -> Finding | None:
    if match := _CLAIM.search(pod.message):
        if match["trouble"] == "not found":
            return (
                Reason.CLAIM_MISSING,
                f"PersistentVolumeClaim {match['name']} does not exist: create it, or check the pvc:// URIs",
            )
        return Reason.CLAIM_MISSING, f"PersistentVolumeClaim {match['name']} or its volume is gone or going: replace it"
    if "unbound immediate PersistentVolumeClaims" in pod.message:
        return (
            Reason.VOLUME_NOT_BOUND,
            f"pod {pod.name} waits for a volume, and its claims are not bound ({_claims(pod)}): check their storage "
            "class with kubectl describe pvc",
        )
    return None


def _claims(pod: PodSnapshot) -> str:
    kind = "PersistentVolumeClaim "
    return ", ".join(what.removeprefix(kind) for _, what in pod.asked.mounts if what.startswith(kind))


def _told(pod: PodSnapshot, words: str, count: int) -> str:
    if words.startswith("Insufficient "):
        resource = words.removeprefix("Insufficient ")
        wanted = f" than the {pod.asked.count} that it needs" if resource == pod.asked.resource else " than it needs"
        return f"{count} with less free {resource}{wanted}"
    selector = f" ({pod.asked.selector})" if pod.asked.selector else ""
    known = (*_OF_DOMAINS, *_WORDS) if pod.asked.topology else _WORDS
    meaning = next((meaning for part, meaning in known if part in words), "")
    return (
        meaning.format(count=count, selector=selector, topology=pod.asked.topology) if meaning else f"{count} {words}"
    )


def _too_small(text: str, nodes: int, causes: Mapping[str, int]) -> int:
    """Nodes that lack a resource even when empty; 0 where the sentence does not tell (nodes with several causes)."""
    match = _HOPELESS_NODES.search(text)
    if not match or sum(causes.values()) != nodes:
        return 0
    wrong = sum(count for words, count in causes.items() if words.startswith("node(s)"))
    lacking = sum(count for words, count in causes.items() if words.startswith("Insufficient "))
    return min(lacking, max(0, int(match[1]) - wrong))


def _verdict(pod: PodSnapshot, causes: Mapping[str, int], too_small: int, supply: Supply | None) -> Finding:
    asked = pod.asked
    if asked.topology and (found := _of_domains(asked.topology, causes)):
        return found
    lacking = causes.get(f"Insufficient {asked.resource}", 0)
    if not lacking:
        return _elsewhere(pod, causes, supply)
    if lacking == too_small:
        most = gpus.largest(asked.resource, supply) if supply else ""
        return (
            Reason.GPU_NODES_TOO_SMALL,
            f"no such node has {asked.count} {asked.resource} even when empty{most}: lower tensorParallelSize, or add "
            "larger nodes",
        )
    if supply:
        return gpus.shortage(asked.resource, asked.count, supply)
    return (
        Reason.INSUFFICIENT_GPUS,
        f"all {asked.count} must be free on one node: wait until others end, scale a service down, or add nodes",
    )


def _of_domains(topology: str, causes: Mapping[str, int]) -> Finding | None:
    """Where a group finds no domain. Nodes that others use lack GPUs as well, which is not what keeps it away."""
    if any(part in words for words in causes for part in _APART):
        return (
            Reason.NO_DOMAIN_FREE,
            f"each group has the nodes of one value of {topology} to itself: lower replicas, add nodes with another "
            "value, or leave pod.exclusiveTopology out",
        )
    if any(_TOGETHER in words for words in causes):
        return (
            Reason.NO_MATCHING_NODE,
            f"label the nodes with {topology} by their domain, or name another label in pod.exclusiveTopology",
        )
    return None


def _elsewhere(pod: PodSnapshot, causes: Mapping[str, int], supply: Supply | None) -> Finding:
    """Where no node lacks GPUs: which nodes the pod may not be on, and why."""
    if _CLAIMS in causes:
        return (
            Reason.INSUFFICIENT_GPUS,
            "all devices of a pod must be free on one node: wait until others end, scale a service down, add nodes, or "
            "check accelerator.deviceSelector",
        )
    tainted = any(_TAINTS in words for words in causes)
    if any(part in words for words in causes for part in _ELSEWHERE):
        return (
            Reason.VOLUME_ELSEWHERE,
            f"the volume of {_claims(pod)} is only for nodes elsewhere: use a ReadWriteMany volume, or free a node in "
            "its zone",
        )
    only_taints = tainted and supply is not None and bool(supply.taints) and not supply.nodes
    if any(_SELECTOR in words for words in causes) and not only_taints:
        there = gpus.products(supply) if supply else ""
        return (
            Reason.NO_MATCHING_NODE,
            f"check accelerator.product and pod.nodeSelector against the nodes' labels{there}",
        )
    if tainted:
        there = gpus.taints(supply) if supply else ""
        return Reason.UNTOLERATED_TAINTS, f"add the nodes' taints{there} to pod.tolerations, or leave those nodes out"
    return Reason.UNSCHEDULABLE, "lower what resources asks for, or add nodes"
