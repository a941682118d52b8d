"""What the benchmark has to know of an operator: a profile. This one is ours; those of others are in peers.py.

A profile starts its operator against a control plane as a process with the rights that its users give it, because the
pods of fake nodes run nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from cluster.control_plane import ControlPlane
from support.model_reports import packed
from support.operator_process import ACCOUNT, OperatorProcess, install_rights
from support.services import service
from vllm_operator.cli.render import service_of
from vllm_operator.cluster import path
from vllm_operator.inspection.report import Facts, encode
from vllm_operator.manifests import Parts, Rendered, controller_revision, desired, kept_model, pod_template
from vllm_operator.settings import Settings

# Kubernetes' own controllers go through all pods of a namespace for each Service of it.
OF_A_NAMESPACE = 1000
Request = tuple[str, str, dict[str, Any]]
_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "torch_dtype": "bfloat16",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}
_FACTS = Facts(_CONFIG, commit="1" * 40)


@dataclass(frozen=True)
class Profile:
    """One operator. Objects are numbered from 0; their number tells their name and namespace."""

    name: str
    user: str
    """As whom it asks the API server: the audit log is read by that."""
    resource: str
    """The plural of its objects, as in the audit log."""
    collection: Callable[[str], str]
    """The URL path of its objects in a namespace; in all of them, where that is empty."""
    children: tuple[str, ...]
    """Plurals of what it makes of each object."""
    last: str
    """The plural of the child that makes the pods."""
    reports: dict[str, str]
    """What Jobs on fake nodes leave as termination message, by their second argument."""
    body: Callable[[int], dict[str, Any]]
    """An object to create."""
    change: Callable[[int], dict[str, Any]]
    """A merge patch that changes its pods, another one for each number."""
    is_ready: Callable[[dict[str, Any]], bool]
    """Whether an object's status says that it serves."""
    applies: Callable[[int, str], list[Request]] | None
    """What a bare client sends in place of the operator: all children of an object, by its number and its uid. None,
    for others: their creation is measured, and nothing else.
    """
    install: Callable[[ControlPlane], OperatorProcess]
    """Gives it its rights; the process is yet to be started."""
    settings: dict[str, Any]
    """With which it is started."""

    def url(self, number: int) -> str:
        """The URL path of an object."""
        return f"{self.collection(namespace(number))}/{named(number)}"


def named(number: int) -> str:
    """The name of an object."""
    return f"s{number}"


def namespace(number: int) -> str:
    """The namespace of an object."""
    return f"bench-{number // OF_A_NAMESPACE}"


def namespaces(count: int) -> list[str]:
    """The namespaces of so many objects."""
    return [namespace(number) for number in range(0, count, OF_A_NAMESPACE)]


def is_ready(item: dict[str, Any]) -> bool:
    """Whether an object, or a pod, has the condition Ready."""
    conditions = {one["type"]: one["status"] for one in item.get("status", {}).get("conditions", [])}
    return conditions.get("Ready") == "True"


def _install(plane: ControlPlane) -> OperatorProcess:
    return OperatorProcess(plane, install_rights(plane))


def _applies(number: int, uid: str) -> list[Request]:
    """Server-side apply of everything that the operator makes of a service, in its order."""
    owner = replace(service_of(service(named(number))), uid=uid)
    template = pod_template(owner, Settings())
    revisions = [kept_model(owner, packed(_FACTS)), controller_revision(owner, 1, Rendered(template))]
    children: list[dict[str, Any]] = [*revisions, *desired(Parts(owner, template))]
    query = "fieldManager=bench&force=true&fieldValidation=Ignore"
    where = namespace(number)
    for child in children:
        child["metadata"]["namespace"] = where
    return [("PATCH", f"{path(child['kind'], where, child['metadata']['name'])}?{query}", child) for child in children]


OURS = Profile(
    name="vllm-operator",
    user=ACCOUNT,
    resource="inferenceservices",
    collection=partial(path, "InferenceService"),
    children=("deployments", "services", "controllerrevisions"),
    last="deployments",
    reports={"--hub=org/name": encode(_FACTS)},
    body=lambda number: service(named(number)),
    change=lambda turn: {"spec": {"maxModelLen": 1024 * turn}},
    is_ready=is_ready,
    applies=_applies,
    install=_install,
    settings={"images": {"operator": "operator:bench"}},
)
