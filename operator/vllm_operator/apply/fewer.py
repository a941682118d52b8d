"""What is done for a service whose spec is refused, here or by the API server: what runs becomes less where the spec
asks for that. Pure.

Nothing else of such a spec is acted on. No pod is made for it: only replicas of what is deployed go.
"""

from collections.abc import Iterator
from dataclasses import replace

from ..manifests.kinds import AUTOSCALERS, WORKLOADS
from ..manifests.names import RAY_KIND
from ..snapshots.child import workload_of
from ..status.evidence import Evidence
from .changes import Changes, plan_changes
from .decision import Act, Change
from .renderings import Known

_NONE = Changes(None, None, "", downloads=False, held="", steps=())


def plan_fewer(evidence: Evidence, known: Known) -> Changes:
    """The changes that take pods away, with the kept template of what is deployed; none where the spec asks for none.

    The number of pods that an autoscaler decides is left to that.
    """
    wanted, deployed = evidence.service.wanted_replicas, evidence.deployment
    if wanted is None or deployed is None or _is_to_be_shown(evidence, known):
        return _NONE
    if deployed.kind == RAY_KIND:
        return replace(_NONE, steps=() if wanted else tuple(_end_on_ray(evidence)))
    changes = plan_changes(evidence, known)
    steps = tuple(one for one in changes.steps if _lessens(one, wanted, deployed.wanted))
    held = changes.held if wanted < deployed.wanted else ""
    return replace(changes, rendered=None, withheld="", downloads=False, held=held, steps=steps)


def _is_to_be_shown(evidence: Evidence, known: Known) -> bool:
    """Whether the watch has yet to show what our last apply made of the workload: how many there are, it says then."""
    return known.ledger.lags(workload_of(evidence.live, evidence.service.name, evidence.service.uid))


def _lessens(change: Change, wanted: int, deployed: int) -> bool:
    """Whether a change takes pods away, or an autoscaler that would make them again."""
    kind = change.key[0]
    if change.act is Act.DELETE:
        return kind in AUTOSCALERS or (kind in WORKLOADS and wanted == 0)
    return kind in WORKLOADS and wanted < deployed


def _end_on_ray(evidence: Evidence) -> Iterator[Change]:
    """Of a RayService another number of replicas is another cluster, whose pods would be made: it goes, or stays."""
    for key, child in evidence.live.items():
        if child.kind == RAY_KIND and child.owner_uid == evidence.service.uid:
            yield Change(Act.DELETE, key, "the spec asks for no pods")
