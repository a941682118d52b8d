"""Where the operator's source names reasons and types of conditions, as its syntax tells: its modules are not run.

Each check returns sentences for whoever has forgotten one of several edits: what is wrong, where, and what to do.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cluster.host import REPOSITORY
from vllm_operator.api.conditions import ConditionType
from vllm_operator.api.reasons import FORMER, Reason
from vllm_operator.diagnosis.symptom import Symptom

ROOT = REPOSITORY / "operator" / "vllm_operator"
REGISTRY = "operator/vllm_operator/api/reasons.py"
_REGISTRIES = ("api/reasons.py", "api/conditions.py")
# Modules by their path below the operator's package, as source.
Sources = Mapping[str, str]

_FITS, _PODS = frozenset({ConditionType.FITS}), frozenset({ConditionType.WORKLOAD_AVAILABLE})
_SCALING, _SPEC = frozenset({ConditionType.SCALING_ACTIVE}), frozenset({ConditionType.SPEC_VALID})
_ADMITTED = frozenset({ConditionType.ADMITTED})
_RUNNING, _FAILED = frozenset({ConditionType.RUNNING}), frozenset({ConditionType.FAILED})
# To which conditions the reasons go that a folder, a module or a function of it names: the most exact entry counts.
# status/ says it itself, in the calls that name a type and a reason; what it only compares with, nothing gives.
GIVES: Mapping[str, frozenset[ConditionType]] = {
    "apply/": _PODS,
    "assess/": _FITS,
    "assess/admission.py": _ADMITTED,
    "assess/classes.py": _ADMITTED,
    "assess/download.py": _PODS,
    "assess/limits.py": _ADMITTED,
    "assess/resolution.py": _ADMITTED,
    "assess/policy.py": _SPEC,
    "assess/served.py": _SPEC,
    "assess/terms.py": frozenset({ConditionType.OUTDATED}),
    "assess/fits.py:": _FITS | _PODS,  # that the inspection is still at it is why there are no pods
    "batches/engine.py": _SPEC,
    "batches/gather.py": _SPEC,
    "batches/reconcile.py:BatchReconciler": _PODS,
    "batches/status.py:_no_pods": _RUNNING,
    "batches/steps.py": _FAILED,
    "classes/": _SPEC,
    "cli/batch_run/command.py": _FAILED,
    "cli/render.py": _FITS,
    "diagnosis/": _PODS,
    "diagnosis/autoscaling.py": _SCALING,
    "diagnosis/gpus.py": _PODS | _SCALING,
    "diagnosis/refusals.py:_mounts_no_images": _FITS | _PODS,
    "diagnosis/refusals.py:_of_pods": _PODS | _SCALING,
    "diagnosis/refusals.py:_of_quota": _PODS | _SCALING,
    "diagnosis/refusals.py:inspected_image": _FITS,
    "diagnosis/scheduling.py": _PODS | _SCALING,
    "inspection/": _FITS,
    "inspection/fetch.py": _PODS,
    "inspection/progress.py": _PODS,
    "planner/": _FITS,
    "readers/": _FITS,
    "services/": _SPEC,
    "status/conditions.py:_configuration_changed": frozenset({ConditionType.OUTDATED}),
    "status/conditions.py:_unhardened": frozenset({ConditionType.OUTDATED}),
    "status/conditions.py:workload_available": _PODS,
    "status/conditions.py:operator_failed": _SPEC | _PODS | _SCALING | frozenset({ConditionType.CHAT_AVAILABLE}),
}
_SAYS_ITSELF = ("status/", "api/status.py", "api/serving_class.py", "api/batch.py", "batches/status.py")
# Words of others that are also ours: where they stand, and whose they are.
FOREIGN: Mapping[tuple[str, str], str] = {
    ("api/crd.py", "Failed"): "a column of kubectl get",
    ("cli/batch_run/fetching.py", "Failed"): "a pod's phase",
    ("cli/fleet/rows.py", "Failed"): "a pod's phase",
    ("diagnosis/autoscaling.py", "Ready"): "a ScaledObject's condition",
    ("diagnosis/autoscaling.py", "ScalingActive"): "a HorizontalPodAutoscaler's condition",
    ("diagnosis/refusals.py", "Failed"): "the kubelet's reason of an Event",
    ("diagnosis/unstarted.py", "Failed"): "the kubelet's reason",
    ("manifests/__init__.py", "Scaling"): "the name of a class",
    ("services/kind.py", "Failed"): "a pod's phase",
    ("snapshots/batch.py", "Complete"): "a Job's condition",
    ("snapshots/batch.py", "Failed"): "a Job's condition, and a pod's phase",
    ("snapshots/download_pod.py", "Failed"): "a pod's phase",
    ("snapshots/inspection_pod.py", "Failed"): "a pod's phase",
    ("snapshots/pod.py", "Failed"): "a pod's phase",
    ("snapshots/pod.py", "Ready"): "a pod's condition",
    ("snapshots/pod.py", "Unschedulable"): "the scheduler's reason",
    ("snapshots/workload.py", "Available"): "a LeaderWorkerSet's condition",
    ("snapshots/workload.py", "Progressing"): "a Deployment's condition",
    ("snapshots/workload.py", "Ready"): "a RayService's condition",
}


class Mention(NamedTuple):
    """One place that names a reason, as Reason.X or by the planner's name for it."""

    module: str
    function: str
    """The function or class of the module that it is in; empty where it is in none."""
    line: int
    name: str
    """The member's, whether there is such a member or not."""

    def __str__(self) -> str:
        return f"{self.module}:{self.line} names Reason.{self.name}"


def sources() -> Sources:
    """The operator's modules as they are."""
    return {str(path.relative_to(ROOT)): path.read_text() for path in sorted(ROOT.rglob("*.py"))}


def mentions(modules: Sources) -> Iterator[Mention]:
    """All places outside the registries that name a reason."""
    for module, outer, node in _nodes(modules):
        match node:
            case ast.Attribute(value=ast.Name(id="Reason" | "Rule"), attr=name) if name.isupper():
                yield Mention(module, getattr(outer, "name", ""), node.lineno, name)


def _nodes(modules: Sources) -> Iterator[tuple[str, ast.stmt, ast.AST]]:
    """What may tell in every module but the registries: attributes, calls and constants, with their outer statement."""
    for module, source in modules.items():
        for outer, node in _telling(source) if module not in _REGISTRIES else ():
            yield module, outer, node


@cache
def _telling(source: str) -> list[tuple[ast.stmt, ast.AST]]:
    kinds = ast.Attribute | ast.Call | ast.Constant
    return [(outer, node) for outer in ast.parse(source).body for node in ast.walk(outer) if isinstance(node, kinds)]


def without_row(modules: Sources) -> list[str]:
    """Reasons that are named and that the registry does not have."""
    unknown = [found for found in mentions(modules) if found.name not in Reason.__members__]
    return [f"{found}, which there is not: add its row to {REGISTRY}" for found in unknown]


def unused(modules: Sources) -> list[str]:
    """Rows of the registry that nothing gives."""
    used = {found.name for found in mentions(modules)}
    rows = [name for name in Reason.__members__ if name not in used]
    return [f"nothing names Reason.{name}: give it somewhere, or remove its row from {REGISTRY}" for name in rows]


def unused_types(modules: Sources) -> list[str]:
    """Types of conditions that nothing makes."""
    types = {name for _, _, node in _nodes(modules) for name in _type_of(node)}
    rows = [kind.name for kind in ConditionType if kind.name not in types]
    return [f"nothing names ConditionType.{name}: make it in status/, or remove its row" for name in rows]


def _type_of(node: ast.AST) -> list[str]:
    match node:
        case ast.Attribute(value=ast.Name(id="ConditionType"), attr=name):
            return [name]
    return []


def given(modules: Sources) -> Iterator[tuple[Mention, frozenset[ConditionType]]]:
    """What is named, and to which conditions it goes; to none where that is not known."""
    for found in mentions(modules):
        known = next((GIVES[scope] for scope in _scopes(found) if scope in GIVES), None)
        if known is not None or not found.module.startswith(_SAYS_ITSELF):
            yield found, known or frozenset()
    for module, outer, node in _nodes(modules):
        if isinstance(node, ast.Call) and node.args and (kinds := _type_of(node.args[0])):
            call = {module: ast.unparse(node)}
            for found in mentions(call):
                named = Mention(module, getattr(outer, "name", ""), node.lineno, found.name)
                yield named, frozenset({ConditionType[kinds[0]]})


def undeclared(modules: Sources) -> list[str]:
    """Reasons that go to a condition that their row does not have, and rows that have one to which they never go."""
    wrong, seen = [], dict[str, set[ConditionType]]()
    for found, kinds in given(modules):
        if not kinds:
            wrong.append(f"{found}: say for which condition, in tests/support/reasons.py, GIVES")
        elif found.name in Reason.__members__:
            seen.setdefault(found.name, set()).update(kinds)
            lacking = sorted(kinds - Reason[found.name].types)
            wrong += [f"{found} for {kind}: add the type to its row in {REGISTRY}" for kind in lacking]
    wrong += [
        f"Reason.{reason.name} may stand in {kind}, and nothing gives it there: correct {REGISTRY}"
        for reason in Reason
        for kind in sorted(reason.types - seen.get(reason.name, set()))
    ]
    scopes = {scope for found in mentions(modules) for scope in _scopes(found)}
    return wrong + [f"{scope} gives no reasons: remove it from GIVES" for scope in sorted(GIVES.keys() - scopes)]


def _scopes(found: Mention) -> tuple[str, str, str]:
    """Function, module and folder of a mention, as GIVES has them."""
    return f"{found.module}:{found.function}", found.module, f"{found.module.split('/', maxsplit=1)[0]}/"


def bare(modules: Sources) -> list[str]:
    """Reasons and types that are written as text."""
    ours = {*Reason, *ConditionType, *FORMER}
    texts = [
        (module, node.lineno, node.value)
        for module, _, node in _nodes(modules)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in ours
    ]
    wrong = [
        f'{module}:{line} has "{text}": write Reason.X or ConditionType.X, or name whose word it is in '
        "tests/support/reasons.py, FOREIGN"
        for module, line, text in texts
        if (module, text) not in FOREIGN
    ]
    gone = FOREIGN.keys() - {(module, text) for module, _, text in texts}
    return wrong + [f'{module} no longer has "{text}": remove it from FOREIGN' for module, text in sorted(gone)]


def undecided(symptoms: Sequence[Symptom]) -> list[str]:
    """Symptoms of which it is not said whether they pass."""
    reasons = sorted({symptom.reason for symptom in symptoms if symptom.reason.passes is None})
    return [f"pods fail with {reason}: say in its row in {REGISTRY} whether it PASSES or LASTS" for reason in reasons]


def sample(symptom: Symptom) -> str:
    """A log that holds the symptom's text."""
    values = dict.fromkeys(symptom.pattern.groupindex, "7")
    said = symptom.says.replace("{}", "and so on").format(**values)
    return f"INFO before\n{symptom.within}\nValueError: {said} after"


def hidden(symptoms: Sequence[Symptom]) -> list[str]:
    """Symptoms that are never found, as an earlier one is found in their text."""
    wrong = []
    for symptom in symptoms:
        first = next((one for one in symptoms if one.search(sample(symptom))), None)
        if first is not symptom:
            by = f"hidden by the earlier {first.says!r}" if first else "not found in its own text"
            wrong.append(f"the symptom {symptom.says!r} is {by}: move it up in diagnosis/catalogue.py or its table")
    return wrong


def _named_in(*modules: str) -> frozenset[Reason]:
    return frozenset(Reason[found.name] for found in mentions({name: Path(ROOT, name).read_text() for name in modules}))


RULES = _named_in(
    "planner/backends.py", "planner/methods.py", "planner/refusals.py", "planner/splits.py", "planner/unserved.py"
)
"""What the planner knows vLLM to refuse before it loads a weight."""
