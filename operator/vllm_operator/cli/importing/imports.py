"""From sources to services: asks each kind of source, collects what stands beside, and finds what has no row. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...manifests.names import RANK_LABEL, SET_LABEL
from ...settings import Settings
from ..metadata import namespace_fault
from .documents import Document, ImportInputError, Sources
from .draft import Draft
from .environment import secret_values
from .report import LEAST_SECRET, Origin, Report, Went, dotted
from .sources import app_template, chart, command_line, compose, kserve, objects, operators, presets, stack, workloads
from .sources.objects import Taken
from .values import UnfitError

Take = Callable[[Document, Sources, Draft], bool]
# What takes an object of a kind over; it says no where the object runs no vLLM.
TAKERS: dict[str, Take] = {
    **dict.fromkeys(workloads.KINDS, workloads.take),
    "LLMInferenceService": kserve.take_llm,
    "InferenceService": kserve.take_inference_service,
    "Model": operators.take_model,
    "VLLMRuntime": operators.take_runtime,
    "Workspace": presets.take_workspace,
    "NIMService": presets.take_nim,
}


def servers_of(document: Document, sources: Sources) -> list[tuple[str, Take]]:
    """What may be a server in a document, by name, with what takes it over."""
    if document.command:
        return [("", command_line.take)]
    if document.kind in ("", "HelmRelease") and (found := app_template.servers(document, sources)):
        return [(name, app_template.take) for name in found]
    if not document.kind:
        return _in_values(document, sources)
    if document.kind in _OTHER_KINDS:
        return []
    return [(document.name or "vllm", TAKERS.get(document.kind, workloads.take))]


def _in_values(document: Document, sources: Sources) -> list[tuple[str, Take]]:
    """Of a file that is no manifest: values of a chart, or docker compose."""
    if document.root.at("servingEngineSpec"):
        return [(name, stack.take) for name in stack.models(document)]
    if isinstance(document.root.at("services").value, dict):
        return [(name, compose.take) for name in compose.services(document, sources)]
    return [("vllm", chart.take)] if chart.is_chart(document) else []


_SEVERAL = (
    "runs vLLM by Ray: take its command over with -- vllm serve, with --nnodes where one engine is on several nodes"
)
# Kinds that have to do with vLLM and are no server that can be taken over, with why.
_OTHER_KINDS = {
    "HelmRelease": "is made into objects by Flux: import one of them from the cluster (deployment/NAME), or the output "
    "of helm template",
    "Application": "is made into objects by Argo CD: import one of them from the cluster (deployment/NAME)",
    "Template": "is filled in by OpenShift: import the output of oc process",
    "Kustomization": "only names other files: import the output of kubectl kustomize",
    "LLMInferenceServiceConfig": "is a part of LLMInferenceServices: import one that uses it, from the cluster",
    "ServingRuntime": "is a template for InferenceServices: import one that uses it",
    "ClusterServingRuntime": "is a template for InferenceServices: import one that uses it",
    "ModelAdapter": "loads an adapter into pods of others: name it in lora.adapters of the service",
    **dict.fromkeys(("RayCluster", "RayService", "RayJob", "RayClusterFleet", "RayClusterReplicaSet"), _SEVERAL),
    "DynamoGraphDeployment": "is a graph of NVIDIA Dynamo's own parts, not vLLM's server alone: take over each vLLM "
    "worker with -- vllm serve",
    "StormService": "splits a server into roles, such as prefill and decode, which is not served: a pod does all of a "
    "request",
    "RoleSet": "splits a server into roles, such as prefill and decode, which is not served: a pod does all of a "
    "request",
    "ModelServing": "splits a server into roles of several pods, which is not served: a pod does all of a request",
    "ModelBooster": "is made into ModelServings by Kthena: take its model over with -- vllm serve",
    "NIMCache": "only downloads weights: import the NIMService",
    "ConfigMap": "is no server: import what runs it, with it",
}


@dataclass
class Imported:
    """What sources came to."""

    report: Report
    drafts: list[Draft] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Why a server of the sources is no service, one sentence each."""

    @property
    def documents(self) -> list[dict[str, Any]]:
        """What is to be applied: claims before the services that use them."""
        found: list[dict[str, Any]] = []
        for draft in self.drafts:
            found += [other for other in draft.others if other not in found]
            found.append(draft.manifest())
        hidden: list[dict[str, Any]] = self.report.hidden(found)
        return hidden


def imported(sources: Sources, settings: Settings) -> Imported:
    """The services of all sources. Raises ImportInputError where there is none."""
    report = Report()
    report.secrets |= secret_values(sources)
    result, taken = Imported(report), []
    for document in sources.documents:
        near = sources.seen_from(document.namespace)
        for name, take in servers_of(document, near):
            namespace = "" if namespace_fault(document.namespace) else document.namespace
            names = set(report.names)
            draft = Draft(name, namespace, report, settings)
            if _taken(document, near, draft, take, result):
                taken.append(Taken(document, draft, _labels(document)))
            else:
                report.names = names
    if not result.drafts:
        raise ImportInputError(result.refused[0] if result.refused else _nothing(sources))
    objects.take_beside(sources, taken)
    for document in sources.documents:
        _tell_rest(report, document)
    for name, why in sources.unread:
        report.add(Origin((-1, name), name), Went.LEFT, f"not read: it {why}")
    _tell_names(result)
    for draft in result.drafts:
        for said in draft.refusals():
            report.add(Origin((-2, draft.name, said), f"service {draft.name}"), Went.SETTINGS, said)
    return result


def _tell_names(result: Imported) -> None:
    """Rows for names that cannot be printed without a credential: an API key that is called as its service is."""
    secrets = [secret for secret in result.report.secrets if len(secret) >= LEAST_SECRET]
    for name in sorted({name for draft in result.drafts for name in (draft.name, draft.namespace)}):
        if any(secret in name for secret in secrets):
            text = "has a credential of the source in it, or a value of a Secret, and is printed: choose another value"
            result.report.add(Origin((-3, name), f"name {name}"), Went.LEFT, text)


def _taken(document: Document, sources: Sources, draft: Draft, take: Take, result: Imported) -> bool:
    before = len(result.report.rows)
    try:
        if not take(document, sources, draft):
            return False
        _complete(document, draft)
    except (ImportInputError, UnfitError) as error:
        del result.report.rows[before:]
        said = f"{document.label}: {error}" if isinstance(error, UnfitError) else str(error)
        result.refused.append(said)
        result.report.add(document.root.origin(document.label), Went.LEFT, said)
        return False
    while any((other.name, other.namespace) == (draft.name, draft.namespace) for other in result.drafts):
        draft.name += "-2"
    draft.keep_name()
    draft.go_online()
    result.drafts.append(draft)
    return True


def _complete(document: Document, draft: Draft) -> None:
    """Raises ImportInputError where no model is named."""
    if not draft.get("model.uri"):
        raise ImportInputError(
            f"{document.label}: its command line names no model, and vLLM would take its own example: add the model"
        )


def _labels(document: Document) -> dict[str, Any]:
    labels = workloads.template_of(document).at("metadata", "labels").value
    own = {SET_LABEL: document.name, RANK_LABEL: "0"} if document.kind == "LeaderWorkerSet" else {}
    return {**own, **labels} if isinstance(labels, dict) else own


def _tell_rest(report: Report, document: Document) -> None:
    for place in report.unsaid(document.number, document.body):
        path = dotted(place)
        if path in ("apiVersion", "kind", "status"):
            report.add(Origin(place, path), Went.OPERATOR, "the kind of the source")
        else:
            report.add(Origin(place, path), Went.LEFT, "is not known to this import: see `kubectl explain vis.spec`")


def _nothing(sources: Sources) -> str:
    for document in sources.documents:
        if document.kind in _OTHER_KINDS:
            return f"{document.label} {_OTHER_KINDS[document.kind]}"
    if all(not document.kind for document in sources.documents):
        return (
            f"{sources.documents[0].file} is neither a manifest nor a file that is known here: of a chart's values, "
            "give "
            "what comes out of `helm template`"
        )
    if patches := [document.label for document in sources.documents if workloads.is_patch(document)]:
        return f"{patches[0]} has no image, so it only changes another manifest: import the output of kubectl kustomize"
    kinds = list(dict.fromkeys(document.kind or document.file for document in sources.documents))
    return (
        f"no vLLM server in {', '.join(kinds[:6])}: no container there runs `vllm serve`, or vLLM's OpenAI server, "
        "as far "
        "as its image and command line say"
    )
