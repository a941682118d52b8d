"""What stands beside a workload: labels, Services, autoscalers, budgets, monitors; other objects stay as they are."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ....api import QUEUE_LABEL
from ....manifests.names import RANK_LABEL, TOPOLOGY_ANNOTATION
from ...metadata import namespace_fault, note_fault
from ..documents import Document, Sources, may_be_same
from ..draft import Draft
from ..part import Part
from ..report import ASKED, IN_RESOURCES, MAKES_BUDGET, MAKES_MONITOR, MAKES_SAME, SELECT_PODS, Origin, Went
from .scaling import end_autoscaler, take_autoscaler

_TOOLS = (
    "helm.sh/", "app.kubernetes.io/", "kustomize.toolkit", "argocd.argoproj.io/", "kubectl.kubernetes.io/",
    "deployment.kubernetes.io/", "meta.helm.sh/", "fluxcd.io", "reloader.stakater.com/", "vllm-operator.dev/",
    "serving.kserve.io/", "kubeai.org/", "kaito.sh/",
)  # fmt: skip
_GROUPS = "leaderworkerset.sigs.k8s.io/"
_SUBGROUPS = f"{_GROUPS}subgroup-exclusive-topology"
_NAMES = ("app", "name", "component", "pod-template-hash", "k8s-app", "version", "tier")
_SCRAPED = ("prometheus.io/", "prometheus.istio.io/")
_OWN_KINDS = {
    "PodDisruptionBudget": MAKES_BUDGET,
    "ServiceMonitor": MAKES_MONITOR,
    "PodMonitor": MAKES_MONITOR,
    "PodMonitoring": SELECT_PODS,
    "VerticalPodAutoscaler": IN_RESOURCES,
}
_AUTOSCALERS = ("HorizontalPodAutoscaler", "ScaledObject")
_ROUTES = ("Ingress", "HTTPRoute", "VirtualService", "IngressRoute", "Route", "GRPCRoute", "InferencePool")


def take_metadata(draft: Draft, metadata: Part) -> None:
    """Name, namespace, labels and annotations of what was taken over."""
    name = metadata.at("name")
    same = name.text == draft.name
    draft.say(name.origin("name"), Went.FIELD, "metadata.name" if same else f"metadata.name: {draft.name}")
    if namespace := metadata.at("namespace"):
        found = namespace_fault(namespace.text)
        draft.say(namespace.origin("namespace"), Went.LEFT if found else Went.FIELD, found or "metadata.namespace")
    for kind in ("labels", "annotations"):
        for key, part in metadata.at(kind).items():
            _take_note(draft, kind, key, part)
    for key, part in metadata.items():
        if key not in ("name", "namespace", "labels", "annotations"):
            draft.say(part.origin(), Went.OPERATOR, "the API server's own")


def own_name(document: Document) -> tuple[str, Origin]:
    """The name that clients use, of kinds that serve a model by their own name."""
    return document.name, document.root.at("metadata", "name").origin(ASKED)


def _take_note(draft: Draft, kind: str, key: str, part: Part) -> None:
    """One label or annotation of what was taken over."""
    origin = part.origin(f"{kind[:-1]} {key}")
    if key.startswith(_TOOLS):
        draft.say(origin, Went.OPERATOR, "belongs to the tool that applied it")
    elif key == TOPOLOGY_ANNOTATION and draft.get("nodesPerReplica"):
        draft.put_if_allowed("pod.exclusiveTopology", part.text, origin)
    elif key.startswith(_GROUPS):
        draft.say(origin, Went.LEFT, _of_groups(key))
    elif key == QUEUE_LABEL:
        _put_label(draft, key, part.text, origin)
    elif found := draft.secret(part.text) or note_fault(kind, key, part.text):
        draft.say(origin, Went.LEFT, found)
    else:
        draft.metadata.setdefault(kind, {})[key] = part.text
        draft.say(origin, Went.FIELD, f"metadata.{kind}")


def _of_groups(key: str) -> str:
    if key == TOPOLOGY_ANNOTATION:
        return "a replica is one pod: use pod.affinity"
    if key == _SUBGROUPS:
        return "a group has no subgroups: see pod.exclusiveTopology, which is of all of it"
    return "a service says nothing of how groups are made"


def take_pod_metadata(draft: Draft, metadata: Part, document: Document) -> None:
    """Labels and annotations of a pod template."""
    if metadata.place == document.root.at("metadata").place:
        return
    selected = dict(document.root.at("spec", "selector", "matchLabels").items())
    # Services select the leader of a group by its role.
    put_on_pods(draft, metadata, {**selected, "role": ""} if document.kind == "LeaderWorkerSet" else selected)
    for key in ("name", "namespace", "creationTimestamp"):
        if metadata.at(key):
            draft.say(metadata.at(key).origin(), Went.OPERATOR, "the operator names pods")


def put_on_pods(draft: Draft, holder: Part, selected: Mapping[str, Any]) -> None:
    """Labels that select pods are the operator's; other labels, and annotations, are put on its pods."""
    for key, part in holder.at("labels").items():
        origin = part.origin(f"pod label {key}")
        if key in selected or key in _NAMES or key.startswith(_TOOLS):
            draft.say(origin, Went.OPERATOR, "pods have the operator's labels: app.kubernetes.io/instance, and others")
        else:
            _put_label(draft, key, part.text, origin)
    for key, part in holder.at("annotations").items():
        origin = part.origin(f"pod annotation {key}")
        if key.startswith(_SCRAPED):
            draft.say(origin, Went.OPERATOR, "a ServiceMonitor, or port 8000 and /metrics, take its place")
        elif key.startswith((*_TOOLS, "checksum/")):
            draft.say(origin, Went.OPERATOR, "belongs to the tool that applied it")
        else:
            draft.put_if_allowed("pod.annotations", {**(draft.get("pod.annotations") or {}), key: part.text}, origin)


def put_all(draft: Draft, notes: Part, path: str) -> None:
    """Labels or annotations that a source has for pods, at a path of the spec."""
    for key, part in notes.items():
        draft.put_if_allowed(path, {**(draft.get(path) or {}), key: part.text}, part.origin())


def _put_label(draft: Draft, key: str, value: str, origin: Origin) -> None:
    draft.put_if_allowed("pod.labels", {**(draft.get("pod.labels") or {}), key: value}, origin)


class Taken(NamedTuple):
    """A server that was taken over."""

    document: Document
    draft: Draft
    labels: dict[str, Any]
    """Of its pods."""


def take_beside(sources: Sources, taken: list[Taken]) -> None:
    """Say what becomes of every other document."""
    _name_services(sources, taken)
    report = taken[0].draft.report
    numbers = {one.document.number for one in taken}
    told = {row.origin.place for row in report.rows}
    for document in sources.documents:
        if document.number in numbers or (document.number,) in told:
            continue
        draft = _of(document, taken)
        if draft is not None:
            _own(document, draft)
        else:
            text = "is not the operator's: leave it applied" if document.kind else "runs no vLLM that is known here"
            report.add(document.root.origin(document.label), Went.STAYS, text)


def _name_services(sources: Sources, taken: list[Taken]) -> None:
    for document in sources.of_kind("Service"):
        selector = document.root.at("spec", "selector").value
        for one in taken:
            selects = isinstance(selector, dict) and selector and selector.items() <= one.labels.items()
            if selects and _reaches(document, one.draft):
                one.draft.service_names.add(document.name)
                labels = document.root.at("metadata", "labels")
                one.draft.service_labels |= {key: part.text for key, part in labels.items()}


def _of(document: Document, taken: list[Taken]) -> Draft | None:
    """The draft that an object is about."""
    return next((one.draft for one in taken if _about(document, one)), None)


def _reaches(document: Document, draft: Draft) -> bool:
    """Whether an object is about the namespace of a draft: its own, or those that a monitor selects."""
    chosen = document.root.at("spec", "namespaceSelector")
    names = [part.text for part in chosen.at("matchNames").each()] or [document.namespace]
    return chosen.at("any").value is True or any(may_be_same(name, draft.namespace) for name in names)


def _about(document: Document, one: Taken) -> bool:
    if document.kind in _ROUTES:
        return _names(document.root.value, one.draft, document.namespace)
    if not _reaches(document, one.draft):
        return False
    if target := document.root.at("spec", "scaleTargetRef"):
        return target.at("name").text == one.draft.source_name
    if document.kind not in ("Service", "NetworkPolicy", *_OWN_KINDS):
        return False
    selector = document.root.at("spec", "selector") or document.root.at("spec", "podSelector")
    wanted = (selector.at("matchLabels") or selector).value
    labels = one.labels if document.kind in ("Service", "NetworkPolicy") else {**one.labels, **one.draft.service_labels}
    if document.root.at("spec", "targetRef", "name").text == one.draft.source_name:
        return True
    return isinstance(wanted, dict) and bool(wanted) and wanted.items() <= labels.items()


def _names(value: Any, draft: Draft, namespace: str) -> bool:
    """Whether a Service of the draft is named; a reference may say that it is in another namespace."""
    if isinstance(value, dict):
        namespace = str(value.get("namespace") or namespace)
        return any(_names(item, draft, namespace) for item in value.values())
    if isinstance(value, list):
        return any(_names(item, draft, namespace) for item in value)
    return value in draft.service_names and may_be_same(namespace, draft.namespace)


def _own(document: Document, draft: Draft) -> None:
    origin = document.root.origin(document.label)
    if document.kind in _AUTOSCALERS:
        take_autoscaler(draft, document)
    elif document.root.at("spec", "scaleTargetRef"):
        end_autoscaler(draft, document)
    elif document.kind == "Service":
        _service(document, draft)
    elif document.kind in _OWN_KINDS:
        draft.say(origin, Went.OPERATOR, _OWN_KINDS[document.kind])
    elif document.kind in _ROUTES:
        draft.say(origin, Went.LEFT, f"stays, and has to lead to the Service {draft.name}, port 8000")
    else:
        draft.say(origin, Went.LEFT, "say who may reach the port in networkPolicy.allowFrom")


def _service(document: Document, draft: Draft) -> None:
    spec = document.root.at("spec")
    kind = spec.at("type").text or "ClusterIP"
    ports = [part.at("port").text for part in spec.at("ports").each()]
    origin = document.root.origin(document.label)
    if (document.name, kind, ports) == (draft.name, "ClusterIP", ["8000"]):
        draft.say(origin, Went.OPERATOR, MAKES_SAME)
    elif kind == "ClusterIP":
        draft.say(
            origin,
            Went.LEFT,
            f"clients use the operator's Service {draft.name}, port 8000; or keep this one, with the selector "
            f"{_selector(draft)} and targetPort 8000",
        )
    else:
        draft.say(
            origin,
            Went.LEFT,
            f"the operator's Service is inside the cluster: keep this one ({kind}), with the selector "
            f"{_selector(draft)} and targetPort 8000, or put a gateway before it",
        )


def _selector(draft: Draft) -> str:
    """Labels of the pods that answer, for people."""
    leaders = f", {RANK_LABEL}: '0'" if draft.get("nodesPerReplica") else ""
    return f"app.kubernetes.io/instance: {draft.name}{leaders}"
