"""Whether a pod template that was kept may be applied today, whoever has written it. Pure; clauses for people.

Whoever may write ControllerRevisions in a namespace can put a template of his own in the place of a kept one. What is
applied has the shape that the operator gives its pods, of this version or an earlier one, and asks for what the
platform team allows today, or for what the Deployment has in any case; and it brings into its pods what the spec leads
to. It says nothing of most numbers in it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..api.accelerator import Rdma
from ..api.environment import EnvVar, refusal
from ..api.flags.allowed import LOG_LEVEL_VARIABLE
from ..api.groups import MOST_NODES
from ..api.limits import text_of
from ..api.model import ParserPlugins
from ..api.pod import PodSettings
from ..api.scheduling import Affinity
from ..api.spec import InferenceServiceSpec
from ..api.storage import IMAGE
from ..manifests.devices import request_in
from ..manifests.names import CONTAINER, PORT_NAME
from ..manifests.privileges import Contents, Digests, Privileges, contents, digests, is_within, privileges
from ..manifests.security import FOR_RDMA, container_security, pod_security
from ..settings import PodSecurity, Settings
from ..vllm.argv import PORT
from ..vllm.environment import NONE_VISIBLE, OWN_NAMES, VISIBLE
from ..vllm.paths import MIDDLEWARE_PATH
from ..vllm.ranks import nodes_of
from .command_line import odd_arguments
from .policy import refused

# What the operator's templates have, of this version and of all earlier ones: manifests/pod.py.
_OF_POD = frozenset(
    {
        "affinity",
        "automountServiceAccountToken",
        "containers",
        "enableServiceLinks",
        "imagePullSecrets",
        "nodeSelector",
        "priorityClassName",
        "resourceClaims",
        "runtimeClassName",
        "schedulerName",
        "securityContext",
        "serviceAccountName",
        "terminationGracePeriodSeconds",
        "tolerations",
        "topologySpreadConstraints",
        "volumes",
    }
)
_OF_CONTAINER = frozenset(
    {
        "args",
        "command",
        "env",
        "image",
        "imagePullPolicy",
        "lifecycle",
        "livenessProbe",
        "name",
        "ports",
        "readinessProbe",
        "resources",
        "securityContext",
        "startupProbe",
        "terminationMessagePolicy",
        "volumeMounts",
    }
)
_KINDS_OF_VOLUMES = frozenset({"configMap", "downwardAPI", "emptyDir", "image", "persistentVolumeClaim", "projected"})
_ODD = "it is no pod template of ours"
_SHOWN = 120
_BROUGHT = {
    "claims": "claims",
    "configuration": "Secrets or ConfigMaps",
    "paths": "volumes at paths",
    "variables": "variables",
    "words": "arguments",
    "gpus": "GPUs",
    "middleware": "a program for the server",
}
# Variables that the operator always gives the same value, and what another one does.
_FIXED = {
    "PYTHONPATH": (MIDDLEWARE_PATH.rpartition("/")[0], "its PYTHONPATH leads elsewhere"),
    VISIBLE: (NONE_VISIBLE, "its container sees GPUs that no device plugin gives it"),
}


class Today(NamedTuple):
    """What a kept template is held against."""

    spec: InferenceServiceSpec
    """Of the service, with what was resolved."""
    settings: Settings
    rendered: Callable[[], Mapping[str, Any]] | None = None
    """The template as it would be rendered now. None where it may differ, and is not looked at."""
    running: Collection[Digests] = ()
    """Of each workload and each pod of the same rendering, its digests. What asks for no more than one of them adds
    nothing: others may have added to that, as `kubectl rollout restart` and the webhooks of policies do."""


def bars(template: Mapping[str, Any], today: Today) -> str:
    """Why a kept template must not be applied, as a clause; empty where it may."""
    try:
        if told := next(_shapes(template), ""):
            return told
        asked = digests(template)
        if any(is_within(asked, has) for has in today.running):
            return ""
        if told := _not_allowed(privileges(template), today.spec, today.settings):
            return told
        return _brings_more(contents(template), contents(today.rendered())) if today.rendered else ""
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        return _ODD


def _shapes(template: Mapping[str, Any]) -> Iterator[str]:
    """What is not as in any template that the operator has ever rendered."""
    spec = template["spec"]
    yield from _others("spec", spec, _OF_POD)
    if _plain(spec["securityContext"]) not in _securities(spec["securityContext"].get("fsGroup")):
        yield "its pods have another securityContext"
    if spec["automountServiceAccountToken"] is not False:
        yield "its pods have a token of the API server"
    if len(spec.get("resourceClaims", ())) != (request_in(template) is not None):
        yield "its pods claim other devices than it says"
    for claim in spec.get("resourceClaims", ()):
        yield from _others("claim", claim, frozenset({"name", "resourceClaimTemplateName"}))
    yield from _shapes_of_container(spec["containers"])
    for volume in spec["volumes"]:
        yield from _shapes_of_volume(volume)


def _plain(security: Mapping[str, Any]) -> dict[str, Any]:
    """A securityContext without what privileges.py looks at."""
    return {key: value for key, value in security.items() if key != "supplementalGroups"}


def _securities(fs_group: int | None) -> list[dict[str, Any]]:
    """What the operator gives pods, whatever its settings are."""
    return [pod_security(fs_group, PodSecurity(run_as_user=user)) for user in ("fixed", "fromNamespace")]


def _shapes_of_container(containers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    (container,) = containers
    yield from _others("container", container, _OF_CONTAINER)
    if (container["name"], container["command"]) != (CONTAINER, ["vllm", "serve"]):
        yield "its container runs something else than vLLM's server"
    if container["securityContext"] not in (container_security(), container_security(FOR_RDMA)):
        yield "its container has another securityContext"
    first, *others = container["ports"]
    events = all(set(port) == set(first) and port["name"].startswith("kv-") for port in others)
    if first != {"name": PORT_NAME, "containerPort": PORT, "protocol": "TCP"} or not events:
        yield "its container has other ports"
    hook = container["lifecycle"]["preStop"]["exec"]["command"]
    if list(container["lifecycle"]) != ["preStop"] or hook[:3] != ["python3", "-I", MIDDLEWARE_PATH]:
        yield "its container runs something else before it stops"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if set(container[probe]["httpGet"]) != {"path", "port"}:
            yield f"its {probe} asks something else than vLLM"
    yield from odd_arguments(container["args"])
    if nodes_of(container["args"]) > MOST_NODES:
        yield "its replicas have more pods than one may have"
    for variable in container["env"]:
        value, told = _FIXED.get(variable["name"], (None, ""))
        if told and variable.get("value") != value:
            yield told


def _shapes_of_volume(volume: Mapping[str, Any]) -> Iterator[str]:
    name, kinds = volume["name"], set(volume) - {"name"}
    if len(kinds) != 1 or not kinds <= _KINDS_OF_VOLUMES:
        yield f"its volume {name} is of a kind that the operator mounts none of"
    for source in volume.get("projected", {}).get("sources", ()):
        if not set(source) <= {"secret", "configMap"}:
            yield f"its volume {name} holds something else than keys of Secrets and ConfigMaps"


def _others(what: str, found: Mapping[str, Any], known: frozenset[str]) -> Iterator[str]:
    if others := sorted(set(found) - known):
        yield f"its {what} has {', '.join(others)}, which the operator sets nowhere"


def _not_allowed(asked: Privileges, spec: InferenceServiceSpec, settings: Settings) -> str:
    """What is not allowed today, in the words for a spec that asked for it."""
    for name in asked.environment:
        if name not in OWN_NAMES and (told := refusal(name)):
            return told
    pod = PodSettings.model_validate({}).model_copy(
        update={
            "labels": dict.fromkeys(asked.labels, ""),
            "annotations": dict.fromkeys(asked.annotations, ""),
            "priority_class_name": asked.priority_class,
            "runtime_class_name": asked.runtime_class,
            "service_account_name": asked.service_account,
            "exclusive_topology": asked.topology,
            "affinity": _affinity(asked.neighbours),
        }
    )
    device = spec.accelerator.resource
    if others := set(asked.groups) - set(settings.pod_security.device_groups.get(device, ())):
        listed = ", ".join(str(one) for one in sorted(others))
        return f"its pods are in groups ({listed}) that the operator's setting podSecurity.deviceGroups does not have"
    if len(asked.devices) > 1 or (asked.capabilities and not asked.devices):
        return "its container has devices, or may lock memory, as none with a device for RDMA has"
    rdma = Rdma(resource=asked.devices[0]) if asked.devices else None
    model = spec.model.model_copy(update={"trust_remote_code": asked.remote_code})
    for held in asked.model_images:
        named = model.model_copy(update={"uri": f"{IMAGE}{held}"})
        if finding := refused(spec.model_copy(update={"model": named}), settings):
            return finding[1]
    image = None if _is_of_default(asked.image, settings) else asked.image
    accelerator = spec.accelerator.model_copy(update={"rdma": rdma})
    own: dict[str, object] = {"image": image, "model": model, "pod": pod, "accelerator": accelerator}
    own["parser_plugins"] = ParserPlugins() if asked.parser_plugins else None
    own["extra_args"] = [*asked.request_logs]
    own["env"] = [EnvVar.model_construct(name=LOG_LEVEL_VARIABLE, value=level) for level in asked.log_levels]
    finding = refused(spec.model_copy(update=own), settings)
    return finding[1] if finding else ""


def _affinity(neighbours: Sequence[str]) -> Affinity:
    """An affinity that names pods of other namespaces in the same fields."""
    term = {"topologyKey": "kubernetes.io/hostname", "namespaceSelector": {}}
    fields = {one.partition(" ")[0] for one in neighbours}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    return Affinity.model_validate(dict.fromkeys(fields, required))


def _brings_more(kept: Contents, own: Contents) -> str:
    """What the pods would have that the spec does not lead to."""
    for name, words in _BROUGHT.items():
        if more := sorted(set(getattr(kept, name)) - set(getattr(own, name))):
            names = (one.partition("=")[0] for one in more)  # a value may be a secret
            return f"its pods have {words} ({text_of(', '.join(names), _SHOWN)}) that the spec does not lead to"
    return ""


def _is_of_default(image: str, settings: Settings) -> bool:
    """Whether it is a default image, of this version of the operator or of another one."""
    return _repository(image) in {_repository(own) for own in settings.images.of_vllm}


def _repository(image: str) -> str:
    folder, slash, name = image.partition("@")[0].rpartition("/")
    return f"{folder}{slash}{name.partition(':')[0]}"
