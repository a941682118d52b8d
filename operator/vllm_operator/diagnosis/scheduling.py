"""Why a pod has no node, from the scheduler's own sentence. Pure.

The sentence is "0/5 nodes are available: 2 Insufficient nvidia.com/gpu, 3 node(s) had untolerated taint(s).
preemption: 0/5 nodes are available: ...". Its words are those of pkg/scheduler in Kubernetes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..api.reasons import Finding, Reason
from ..assess.supply import Supply
from ..diagnosis import gpus
from ..snapshots.pod import PodSnapshot
from ..snapshots.pod_event import last
from .redaction import redact, shorten

_NODES = re.compile(r"0/(\d+) nodes are available")
_CAUSE = re.compile(
    r"(\d+) ((?:Insufficient|Too many pods|node\(s\)|node has|cannot allocate all claims)[^,]*?)"
    r"(?=, \d|, no new claims|, still not schedulable|\. |\.?$)"
)
# Preemption does not help where a node would be too small, or wrong, even if it were empty.
_HOPELESS_NODES = re.compile(r"(\d+) Preemption is not helpful for scheduling")
_CLAIM = re.compile(r'persistentvolumeclaim "(?P<name>[^"]+)" (?P<trouble>not found|is being deleted|bound to)')

# Reasons of Kueue's Events about a Workload that is not admitted (pkg/scheduler/scheduler.go).
OF_QUEUE = ("Pending", "SecondPassFailed")
_CLAIMS = "cannot allocate all claims"
_TAINTS, _SELECTOR, _CLOSED = "untolerated taint", "didn't match Pod's node affinity/selector", "were unschedulable"
# Taints that a node has while it is not ready, started or drained: nothing to tolerate.
_PASSING_TAINTS = ("taint {node.kubernetes.io/", "taint {node.cloudprovider.kubernetes.io/")
_OF_RESOURCES = ("Insufficient ", "Too many pods")
_NO_VOLUME = "didn't find available persistent volumes"
# All versions say it so at the end; before Kubernetes 1.36 it begins with "node has pod using".
_IN_USE = "ReadWriteOncePod access mode"
_ELSEWHERE = ("PersistentVolume's node affinity", "volume node affinity conflict", "no available volume zone")
# Of pods that are there already. A group with a domain of its own is told in its own words.
_APART, _TOGETHER = ("pod anti-affinity rules", "existing pods anti-affinity rules"), "match pod affinity rules"
_SPREAD, _MOST_VOLUMES = "match pod topology spread constraints", "exceed max volume count"
# What is looked at after a node's resources, and what to do: a node that is refused for it has the GPUs.
_LATER = (
    *((words, "check podAntiAffinity in pod.affinity, and that of the pods there") for words in _APART),
    (_TOGETHER, "check podAffinity in pod.affinity"),
    (_SPREAD, "check pod.topologySpreadConstraints"),
    (_MOST_VOLUMES, "move pods with volumes off those nodes"),
)
_OF_DOMAINS = (
    *((words, "{count} in a domain of {topology} that another group has") for words in _APART),
    (_TOGETHER, "{count} without the label {topology}, or in another domain of it"),
)
_WORDS = (
    (_TAINTS, "{count} with taints that it does not tolerate"),
    (_SELECTOR, "{count} without the labels that it asks for{selector}"),
    (_CLOSED, "{count} closed for scheduling"),
    (_NO_VOLUME, "{count} without a volume for its claim"),
    *((words, "{count} beside pods that it must not be near") for words in _APART),
    (_TOGETHER, "{count} away from pods that it must be near"),
    (_SPREAD, "{count} against its topology spread constraints"),
    (_MOST_VOLUMES, "{count} with as many volumes as they take"),
    (_IN_USE, "{count} kept from it by a volume that another pod uses"),
    (_CLAIMS, "{count} without free devices that its claim asks for"),
    *((words, "{count} out of its volume's reach") for words in _ELSEWHERE),
)


_CROWDED: Finding = (Reason.UNSCHEDULABLE, "lower what resources asks for, or add nodes")


@dataclass(frozen=True)
class _Sentence:
    """What the scheduler says of all nodes. It tries its filters in turn, and tells of a node where the first failed.

    So a node that lacks something has the labels and no taints, and one out of a volume's reach, or near the wrong
    pods, has all that is asked but claimed devices, which are looked at last
    (pkg/scheduler/apis/config/v1/default_plugins.go).
    """

    text: str
    nodes: int
    causes: Mapping[str, int]
    resource: str
    """Of the GPUs that are asked for."""

    def says(self, *parts: str) -> bool:
        """Whether a cause has one of these words."""
        return any(part in words for words in self.causes for part in parts)

    @property
    def lacking(self) -> int:
        """Nodes that lack GPUs."""
        return self.causes.get(f"Insufficient {self.resource}", 0)

    @property
    def lacks_other(self) -> bool:
        """Whether a node has the GPUs, and lacks something else: memory, CPU, room for a pod."""
        others = any(
            words.startswith(_OF_RESOURCES) and words != f"Insufficient {self.resource}" for words in self.causes
        )
        return others and self.lacking < self.nodes - self._wrong

    @property
    def is_of_nodes(self) -> bool:
        """Whether all nodes are closed, tainted or without the labels, or lack GPUs: nothing else keeps it away."""
        parts = (_CLOSED, _TAINTS, _SELECTOR)
        away = sum(count for words, count in self.causes.items() if any(part in words for part in parts))
        return away + self.lacking == self.nodes

    @property
    def all_too_small(self) -> bool:
        """Whether all nodes that lack GPUs do so even when empty; not where nodes have several causes."""
        match = _HOPELESS_NODES.search(self.text)
        if not match or sum(self.causes.values()) != self.nodes:
            return False
        return 0 < self.lacking <= int(match[1]) - self._wrong

    @property
    def _wrong(self) -> int:
        """Nodes of which resources are not the matter."""
        return sum(count for words, count in self.causes.items() if words.startswith(("node", _CLAIMS)))


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
    reason, fix = _verdict(pod, _Sentence(text, int(nodes[1]), causes, pod.asked.resource), supply)
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


def _verdict(pod: PodSnapshot, said: _Sentence, supply: Supply | None) -> Finding:
    asked = pod.asked
    if asked.topology and (found := _of_domains(asked.topology, said)):
        return found
    if not said.says(_CLAIMS) and (found := _of_volumes(pod, said) or _of_later(said)):
        return found
    if not said.lacking or said.lacks_other:
        return _elsewhere(pod, said, supply)
    if supply:
        return _of_supply(pod, said, supply)
    if said.all_too_small:
        return _too_small(pod, "")
    return (
        Reason.INSUFFICIENT_GPUS,
        f"all {asked.count} must be free on one node: wait until others end, scale a service down, or add nodes",
    )


def _of_supply(pod: PodSnapshot, said: _Sentence, supply: Supply) -> Finding:
    """Why no node has the GPUs, where it is known which have some: nodes without any lack them, too."""
    asked = pod.asked
    if not supply.nodes and (supply.taints or said.says(_SELECTOR)):
        return _elsewhere(pod, said, supply)
    if max((node.total for node in supply.nodes), default=0) < asked.count:
        return _too_small(pod, gpus.largest(asked.resource, supply))
    # What seems to be free others' pods may hold: then the sentence has nodes that would do if they were empty.
    if said.all_too_small and said.says(_CLOSED, _TAINTS, _SELECTOR):
        return _elsewhere(pod, said, supply)
    return gpus.shortage(asked.resource, asked.count, supply)


def _too_small(pod: PodSnapshot, most: str) -> Finding:
    return (
        Reason.GPU_NODES_TOO_SMALL,
        f"no such node has {pod.asked.count} {pod.asked.resource} even when empty{most}: lower tensorParallelSize, or "
        "add larger nodes",
    )


def _of_domains(topology: str, said: _Sentence) -> Finding | None:
    """Where a group finds no domain. Nodes that others use lack GPUs as well, which is not what keeps it away."""
    if said.says(*_APART):
        return (
            Reason.NO_DOMAIN_FREE,
            f"each group has the nodes of one value of {topology} to itself: lower replicas, add nodes with another "
            "value, or leave pod.exclusiveTopology out",
        )
    if said.says(_TOGETHER):
        return (
            Reason.NO_MATCHING_NODE,
            f"label the nodes with {topology} by their domain, or name another label in pod.exclusiveTopology",
        )
    return None


def _of_later(said: _Sentence) -> Finding | None:
    """Where nodes have the GPUs, and pods or volumes that are there keep it away."""
    fixes = dict.fromkeys(fix for words, fix in _LATER if said.says(words))
    return (Reason.UNSCHEDULABLE, f"{', '.join(fixes)}, or add nodes") if fixes else None


def _of_volumes(pod: PodSnapshot, said: _Sentence) -> Finding | None:
    """Where nodes have all that is asked but the volume."""
    if said.says(_IN_USE):
        return (
            Reason.VOLUME_IN_USE,
            f"a volume of {_claims(pod)} is for one pod at a time (ReadWriteOncePod), and another has it: use a "
            "ReadWriteMany claim; it waits until the other pod has ended",
        )
    if said.says(*_ELSEWHERE):
        return (
            Reason.VOLUME_ELSEWHERE,
            f"the volume of {_claims(pod)} is only for nodes elsewhere: use a ReadWriteMany volume, or free a node in "
            "its zone",
        )
    if said.says(_NO_VOLUME):
        return (
            Reason.VOLUME_NOT_BOUND,
            f"nodes that have the rest have no volume for {_claims(pod)}: check its storage class and volumes with "
            "kubectl describe pvc",
        )
    return None


def _elsewhere(pod: PodSnapshot, said: _Sentence, supply: Supply | None) -> Finding:
    """Where GPUs are not what is lacking: which nodes the pod may not be on, and why."""
    if said.says(_CLAIMS):
        return (
            Reason.INSUFFICIENT_GPUS,
            "all devices of a pod must be free on one node: wait until others end, scale a service down, add nodes, or "
            "check accelerator.deviceSelector",
        )
    there_are = supply is not None and bool(supply.nodes)
    if said.lacks_other or (there_are and not said.is_of_nodes):
        return _CROWDED
    # Of nodes that suit, only taints that pass are not in the supply.
    suitable = there_are and said.says(_CLOSED, _TAINTS)
    tainted = supply is not None and bool(supply.taints) and not supply.nodes and said.says(_TAINTS)
    if said.says(_SELECTOR) and not suitable and not tainted:
        there = gpus.products(supply) if supply else ""
        return (
            Reason.NO_MATCHING_NODE,
            f"check accelerator.product and pod.nodeSelector against the nodes' labels{there}",
        )
    if suitable or (not tainted and said.says(_CLOSED, *_PASSING_TAINTS)):
        there = gpus.names(supply, pod.asked.count) if supply else ""
        return (
            Reason.UNSCHEDULABLE,
            f"the nodes that suit it{there} are closed for scheduling (kubectl cordon) or not ready: see kubectl get "
            "nodes, bring them back, or add nodes",
        )
    if said.says(_TAINTS):
        there = gpus.taints(supply) if supply else ""
        return Reason.UNTOLERATED_TAINTS, f"add the nodes' taints{there} to pod.tolerations, or leave those nodes out"
    return _CROWDED
