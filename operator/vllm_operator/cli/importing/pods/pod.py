"""What a PodSpec and its container say beside command line, variables, volumes and resources: fields, or whose."""

from collections.abc import Callable

from ..part import Part
from ..report import Went
from ..server import Server
from .image import is_vllm
from .rollout import USUAL_GRACE_SECONDS, take_grace

DEFAULT_STARTUP_SECONDS = 1800
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_RESTRICTED = (
    "pods run as Kubernetes' restricted standard wants: not as root, nothing added, the root file system read only"
)
_CONTAINER = {
    "name": "the operator names it",
    "imagePullPolicy": "IfNotPresent",
    "lifecycle": "pods drain before they end: rollout.drainTimeoutSeconds",
    "terminationMessagePath": "the operator sets it",
    "terminationMessagePolicy": "the operator sets it",
    "tty": "vLLM needs none",
    "stdin": "vLLM needs none",
    "stdinOnce": "vLLM needs none",
    "workingDir": "vLLM needs none: paths are whole",
    "restartPolicy": "the operator sets it",
    "resizePolicy": "the operator sets it",
}
_POD = {
    "restartPolicy": "the operator sets it",
    "enableServiceLinks": "the operator turns them off",
    "automountServiceAccountToken": "the token is never mounted",
    "hostIPC": "pods have a /dev/shm of the size that vLLM needs",
    "dnsPolicy": "ClusterFirst, as for all pods",
    "hostname": "the operator names pods",
    "subdomain": "the operator names pods",
    "preemptionPolicy": "follows from the PriorityClass",
    "priority": "follows from the PriorityClass",
    "os": "Linux",
    "serviceAccount": "serviceAccountName counts",
    "activeDeadlineSeconds": "a service has no end",
}
_POD_LEFT = {
    "hostNetwork": "pods are never on the node's network: clients use the Service",
    "hostPID": "pods never see the node's processes",
    "shareProcessNamespace": "pods have one container",
    "dnsConfig": "pods have the cluster's DNS: put names into CoreDNS, or ask the platform team",
    "hostAliases": "pods have no hosts file of their own: put names into CoreDNS",
    "nodeName": "pods are placed by the scheduler: use pod.nodeSelector with kubernetes.io/hostname",
    "resourceClaims": "name the claim's DeviceClass in accelerator.deviceClass",
    "schedulingGates": "gates are the queue's to set: use pod.labels, as Kueue does",
    "readinessGates": "readiness is vLLM's own",
    "ephemeralContainers": "are for debugging a running pod: kubectl debug",
    "hostUsers": "pods have the cluster's default for user namespaces",
    "overhead": "follows from the RuntimeClass",
}
# Field of a PodSpec, field of ours, and whether the service serves without it as well.
_TAKEN = (
    ("nodeSelector", "pod.nodeSelector", False),
    ("tolerations", "pod.tolerations", False),
    ("affinity", "pod.affinity", False),
    ("priorityClassName", "pod.priorityClassName", True),
    ("runtimeClassName", "pod.runtimeClassName", True),
    ("schedulerName", "pod.schedulerName", True),
    ("imagePullSecrets", "pod.imagePullSecrets", False),
    ("serviceAccountName", "pod.serviceAccountName", True),
)


def take_container(server: Server, container: Part) -> None:
    """Ports, probes, security and the rest of vLLM's container."""
    for key, part in container.items():
        if key in _CONTAINER:
            server.draft.say(part.origin(key), Went.OPERATOR, _CONTAINER[key])
        elif key in _BY_KEY:
            _BY_KEY[key](server, part)
    take_startup(server, container)


def _ports(server: Server, ports: Part) -> None:
    for number, port in enumerate(ports.each()):
        count = port.at("containerPort").text
        origin = port.origin(f"port {count}")
        if number == 0 or count in ("8000", "8080"):
            server.draft.say(origin, Went.OPERATOR, "pods and their Service serve on port 8000")
        else:
            server.draft.say(origin, Went.LEFT, "pods have one port: 8000, for requests and metrics")


def _security(server: Server, context: Part) -> None:
    for key, part in context.items():
        if key == "capabilities":
            for kind, names in part.items():
                _capabilities(server, kind, names)
        elif key == "privileged" and part.value is True:
            server.draft.say(part.origin("privileged"), Went.LEFT, f"{_RESTRICTED}; vLLM needs no more")
        else:
            server.draft.say(part.origin(f"securityContext {key}"), Went.OPERATOR, _RESTRICTED)


def _capabilities(server: Server, kind: str, names: Part) -> None:
    text = ", ".join(name.text for name in names.each())
    origin = names.origin(f"capabilities {kind} {text}")
    if kind == "drop":
        server.draft.say(origin, Went.OPERATOR, "all are dropped")
    elif text == "IPC_LOCK" and server.draft.get("accelerator.rdma"):
        server.draft.say(origin, Went.FIELD, "follows from accelerator.rdma")
    elif text in ("IPC_LOCK", "SYS_NICE", "CAP_SYS_NICE"):
        server.draft.say(origin, Went.LEFT, f"{_RESTRICTED}; on one node vLLM runs without {text}")
    else:
        server.draft.say(origin, Went.LEFT, _RESTRICTED)


def _probe(name: str) -> Callable[[Server, Part], None]:
    def said(server: Server, probe: Part) -> None:
        server.draft.say(
            probe.origin(name), Went.OPERATOR, "the operator's own: start, readiness with draining, and hangs"
        )

    return said


def _device(server: Server, part: Part) -> None:
    server.draft.say(
        part.origin("volumeDevices"), Went.LEFT, "pods have no block devices: use a file system and pvc://"
    )


_BY_KEY: dict[str, Callable[[Server, Part], None]] = {
    "ports": _ports,
    "securityContext": _security,
    "volumeDevices": _device,
    **{name: _probe(name) for name in PROBES},
}


def take_startup(server: Server, container: Part) -> None:
    """How long a pod might take to start, by the probes that would have restarted it."""
    probe, liveness = container.at("startupProbe"), container.at("livenessProbe")
    budget = _budget(probe)
    if not probe.value:
        budget = _budget(liveness)
        if budget <= DEFAULT_STARTUP_SECONDS:
            return
    if budget and budget != DEFAULT_STARTUP_SECONDS:
        seconds = min(max(60, budget), 86400)
        origin = (probe if probe.value else liveness).origin("startupProbe" if probe.value else "livenessProbe")
        server.draft.put("startupTimeoutSeconds", seconds, origin, "and the operator's own probes")


def _budget(probe: Part) -> int:
    if not probe.value:
        return 0
    numbers = [_int(probe.at(key), default) for key, default in (("periodSeconds", 10), ("failureThreshold", 3))]
    return _int(probe.at("initialDelaySeconds"), 0) + numbers[0] * numbers[1]


def _int(part: Part, default: int) -> int:
    return int(part.text) if part.text.isdecimal() else default


def take_pod(server: Server, pod: Part, container: Part) -> None:
    """Scheduling, security and the other containers of a pod. Volumes are in `volumes`."""
    for key, path, spared in _TAKEN:
        part = pod.at(key)
        if part and part.value not in ({}, [], ""):
            _taken(server, part, path, spared=spared)
    take_grace(server.draft, pod.at("terminationGracePeriodSeconds"), USUAL_GRACE_SECONDS)
    for key, part in pod.items():
        if key in _POD:
            server.draft.say(part.origin(key), Went.OPERATOR, _POD[key])
        elif key in _POD_LEFT and part.value not in (False, None, [], {}):
            server.draft.say(part.origin(key), Went.LEFT, _POD_LEFT[key])
        elif key in _POD_LEFT:
            server.draft.say(part.origin(key), Went.OPERATOR, "as pods have it")
    _pod_security(server, pod.at("securityContext"))
    _spread(server, pod.at("topologySpreadConstraints"))
    for kind in ("initContainers", "containers"):
        for other in pod.at(kind).each():
            if other.place != container.place:
                _other_container(server, kind, other)


def _taken(server: Server, part: Part, path: str, *, spared: bool) -> None:
    key = path.rsplit(".", 1)[-1]
    value = part.value
    if key == "schedulerName" and value == "default-scheduler":
        server.draft.say(part.origin(key), Went.OPERATOR, "the default")
        return
    if key == "serviceAccountName" and value == "default":
        server.draft.say(part.origin(key), Went.OPERATOR, "the default")
        return
    if key == "imagePullSecrets":
        value = [{"name": one.at("name").text or one.text} for one in part.each()]
    if key == "nodeSelector":
        value = {name: one.text for name, one in part.items()}
    if spared:
        server.draft.put_if_allowed(path, value, part.origin(key))
    else:
        server.draft.put(path, value, part.origin(key))


def _pod_security(server: Server, context: Part) -> None:
    for key, part in context.items():
        if key == "fsGroup" and part.text.isdecimal() and int(part.text) > 0:
            server.draft.put("pod.fsGroup", int(part.text), part.origin("fsGroup"))
        elif key in ("supplementalGroups", "sysctls") and part.value:
            server.draft.say(part.origin(key), Went.LEFT, f"pods have no {key}: use pod.fsGroup for files of a group")
        else:
            server.draft.say(part.origin(f"securityContext {key}"), Went.OPERATOR, _RESTRICTED)


def _spread(server: Server, constraints: Part) -> None:
    kept = [dict(one.items()) for one in constraints.each()]
    found = [{key: part.value for key, part in one.items() if key != "labelSelector"} for one in kept]
    if found:
        server.draft.put(
            "pod.topologySpreadConstraints", found, constraints.origin(), "counted over the service's own pods"
        )


def _other_container(server: Server, kind: str, other: Part) -> None:
    name, image = other.at("name").text, other.at("image").text
    origin = other.origin(f"{'init container' if kind == 'initContainers' else 'container'} {name}")
    if kind == "initContainers" and _downloads(other):
        server.draft.say(origin, Went.OPERATOR, "vLLM, or the operator, downloads what model.uri names")
    elif kind == "initContainers":
        server.draft.say(
            origin, Went.LEFT, "pods run vLLM alone: do its work in the image, or in a Job that fills a claim"
        )
    elif is_vllm(image):
        server.draft.say(origin, Went.LEFT, "a second server in one pod: make a service of its own of it")
    else:
        server.draft.say(
            origin,
            Went.LEFT,
            f"pods run vLLM alone: run {image or name} as a Deployment of its own, before the Service or beside it",
        )


def _downloads(container: Part) -> bool:
    text = " ".join(part.text for key in ("command", "args") for part in container.at(key).each())
    return any(word in text for word in ("huggingface-cli", "hf download", "snapshot_download", "hf_hub_download"))
