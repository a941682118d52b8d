"""What Kubernetes refuses before vLLM runs: the pods, their image, their configuration, their place on a node. Pure."""

import re

from ..api.reasons import Finding, Reason
from ..assess.supply import Supply
from ..snapshots.inspection_pod import InspectionPod
from ..snapshots.pod import PodSnapshot
from ..snapshots.pod_event import PodEvent
from ..snapshots.workload import DeploymentSnapshot
from .gpus import in_namespace
from .redaction import redact, shorten

_IMAGE_REASONS = (
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable",
    "ImageInspectError", "SignatureValidationFailed",
)  # fmt: skip
# The kubelet's words where a manager of its own (of devices, CPUs, memory) has less than the scheduler believes, and
# where the node has.
_NOT_GIVEN, _NOT_LEFT = "UnexpectedAdmissionError", "OutOf"
# Of containerd and CRI-O while they make a container, and of the kubelet before that: it took too long, and what the
# first try still holds keeps the next one away. The kubelet tries until it goes.
_TAKES_LONG = re.compile(
    r"context deadline exceeded|timed out waiting for the condition|failed to reserve container name"
    r"|name \S{1,300} is reserved"
)
# Of containerd, Docker and CRI-O while they unpack a layer, which may still be arriving then.
_UNPACKS = "failed to extract layer|failed to register layer|ApplyLayer"
# Words of containerd and CRI-O, and of the registries behind them; and whether another try may go better, where that is
# known.
_IMAGE_CAUSES: tuple[tuple[re.Pattern[str], str, bool | None], ...] = (
    (
        re.compile(
            r"(?i)no match for platform|exec format|no matching manifest for|"
            r"no image found in (?:manifest list|image index) for architecture"
        ),
        "it is not made for the node's CPU architecture",
        False,
    ),
    (
        re.compile(r"(?i)signature validation failed|signature was required"),
        "the node does not trust its signature: use an image that is signed as the node's policy asks",
        False,
    ),
    (
        re.compile(r"(?i)toomanyrequests|too many requests"),
        "the registry's rate limit is reached: wait, or use a mirror",
        True,
    ),
    (re.compile(r"(?i)no space left"), "the node's disk is full: free it", True),
    (
        # The first of such words only (atomic): else all that follows were searched anew for each.
        re.compile(
            rf"(?s)\A(?>.*?(?:{_UNPACKS})).*?(?:context canceled|deadline exceeded|unexpected EOF|connection reset)"
        ),
        "the pull broke off: the node tries again; if that lasts, look at its disk and its container runtime",
        True,
    ),
    # What is denied there is no registry's word.
    (
        re.compile(_UNPACKS),
        "the node cannot unpack it: kubectl describe pod shows why; look at its disk and its container runtime",
        None,
    ),
    (
        re.compile(r"(?i)unauthorized|authentication required|denied|forbidden|authorization failed|no basic auth"),
        "the registry refuses it, or has none: check the name, and pod.imagePullSecrets for a private registry",
        False,
    ),
    (
        re.compile(r"(?i)not found|manifest unknown|NotFound|name unknown"),
        "it does not exist: check name and tag",
        False,
    ),
    (
        re.compile(
            r"(?i)no such host|timeout|connection refused|dial tcp|x509|tls: |HTTPS client|no route|connection reset|"
            r"(?:: |unexpected )EOF|broken pipe|deadline exceeded|registry is unavailable"
        ),
        "the node cannot reach the registry: check its network and certificates",
        True,
    ),
    (
        re.compile(
            r"(?i)connection timed out|connection lost|stream error: |unexpected commit digest|failed size validation"
            r"|use of closed network connection|short read"
        ),
        "the download broke off: the node tries again",
        True,
    ),
    (
        re.compile(
            r"\b50[0-4] (?:Internal Server Error|Bad Gateway|Service Unavailable|Gateway)"
            r"|unexpected (?:HTTP )?status[^\n]{0,300}?: 5\d\d\b"
        ),
        "the registry, or a proxy before it, fails: the node tries again",
        True,
    ),
    (re.compile(r"pull QPS exceeded"), "the node pulls many images at once: it tries again", True),
    (re.compile(r"context canceled"), "the node broke the pull off: it tries again", True),
)
# A runtime that knows of no images as volumes takes one for a folder of the node, and that has no name.
_NO_IMAGE_VOLUMES = 'failed to mkdir ""'
# The kubelet alternates between a failed try and the pause after it (pkg/kubelet/images/image_manager.go); until
# Kubernetes 1.31 it says in the pause not why the try failed, and an Event of it does.
_BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*"(?:: \w+: )?|^Failed to pull image "[^"]*": ')
_PAUSE = re.compile(r'Back-off pulling (?P<image>image "[^"]*")')
_MISSING = re.compile(r'(?P<kind>secret|configmap) "(?P<name>[^"]+)" not found')
_NO_KEY = re.compile(r"couldn't find key (?P<key>\S+) in (?P<kind>Secret|ConfigMap) (?P<name>[^\s,]+)")
_KINDS = {"secret": ("Secret", Reason.SECRET_MISSING), "configmap": ("ConfigMap", Reason.CONFIG_MAP_MISSING)}
_QUOTA = re.compile(
    r"exceeded quota: (?P<name>\S+), requested: (?P<asked>.+), used: (?P<used>.+), limited: (?P<limit>.+)"
)
# A quota that wants a request or a limit of everything.
_UNSAID = re.compile(r"failed quota: (?P<name>[^\s:]+): must specify (?P<what>.+)")
# What passes: the API server's own words for webhooks and parts of it that do not answer, or not in time.
_PASSING = re.compile(
    r"(?i)failed calling webhook|failed to call webhook|internal error occurred|context deadline exceeded|"
    r"(?<![\w/-])timed? ?out(?![\w/-])|connection refused|connection reset|no endpoints available|service unavailable|"
    r"currently unable to handle|too many requests|etcdserver|object has been modified|try again"
)
# Names, and what else stands in quotes and has no spaces: anybody's words.
_QUOTED = re.compile(r"\"[^\"\s]*\"|'[^'\s]*'")
# What lasts, whatever else is said: an answer of a webhook, of a policy in the API server (ValidatingAdmissionPolicy,
# MutatingAdmissionPolicy), of Pod Security, or of a quota that wants more to be said.
_DENIED = re.compile(
    r"admission webhook \S+ denied the request|with binding \S+ denied request|violates PodSecurity|failed quota: "
)
# Of Kueue's webhook for LeaderWorkerSets in a queue, whose groups' quota is not counted anew.
_OF_QUEUED_SET = re.compile(r"leaderworkerset\S* denied the request: .*field is immutable", re.DOTALL)
_ACCOUNT = re.compile(r'serviceaccount "(?P<name>[^"]+)" not found')


def waiting(pod: PodSnapshot) -> Finding | None:
    """Why the kubelet does not start the container; None where it only takes its time."""
    if of_image(pod.reason):
        return image(pod, _last_try(pod) or pod.message)
    if pod.reason.startswith("CreateContainer"):
        if model_images(pod) and _NO_IMAGE_VOLUMES in pod.message:
            return _mounts_no_images(pod.node)
        if _TAKES_LONG.search(pod.message):
            return (
                Reason.SANDBOX_FAILED,
                f"node {pod.node} does not make the container of pod {pod.name} in time, and tries again: if that "
                "lasts, look at its disk and its container runtime",
            )
        missing = missing_object(pod, pod.message)
        return missing or (Reason.CONTAINER_CONFIG, f"pod {pod.name} cannot start: {_words(pod.message)}")
    return None


def image(pod: PodSnapshot, message: str) -> Finding:
    """Why an image is not there, vLLM's or that of the model, from the words of the container runtime."""
    mounted = next((image for image in model_images(pod) if _is_named(image, message)), None)
    what = f"the model's image {mounted}" if mounted else f"image {pod.image}"
    words, passes = _image(message)
    reason = Reason.IMAGE_PULL_DELAYED if passes else Reason.IMAGE_PULL_FAILED
    return reason, f"{what} cannot be pulled for pod {pod.name}: {words}"


def pauses(pod: PodSnapshot) -> bool:
    """Whether the kubelet waits before it pulls an image again, and does not say why it could not."""
    return of_image(pod.reason) and bool(_PAUSE.fullmatch(pod.message))


def failed_pull(event: PodEvent, image: str = "image ") -> bool:
    """Whether an Event tells why an image could not be pulled; `image`: how the kubelet begins to name it."""
    return event.reason == "Failed" and event.message.startswith(f"Failed to pull {image}")


def _last_try(pod: PodSnapshot) -> str:
    """What the Event says of it, where the pod's status does not; empty where none does."""
    pause = _PAUSE.fullmatch(pod.message)
    tries = [event.message for event in pod.events if pause and failed_pull(event, pause["image"])]
    return tries[-1] if tries else ""


def of_image(reason: str) -> bool:
    """Whether a container waits for its image."""
    return reason in _IMAGE_REASONS


def image_cause(message: str) -> str:
    """Why an image cannot be pulled, and what to do."""
    return _image(message)[0]


def model_images(pod: PodSnapshot) -> list[str]:
    """Images that the pod mounts."""
    return [mounted.removeprefix("image ") for _, mounted in pod.asked.mounts if mounted.startswith("image ")]


def _is_named(image: str, message: str) -> bool:
    """Whether a message is about an image, in the kubelet's spelling or in containerd's."""
    name, _, digest = image.partition("@")
    folder, slash, last = name.rpartition("/")
    spelled = f"{folder}{slash}{last.partition(':')[0]}@{digest}" if digest else name  # containerd drops the tag then
    if spelled.startswith("docker.io/") and spelled.count("/") == 1:
        spelled = spelled.replace("docker.io/", "docker.io/library/")
    return any(f'"{one}"' in message for one in (image, spelled))


def inspected_image(image: str, pod: InspectionPod) -> Finding | None:
    """Why the inspect Job has not the model's image, and never will have; None where it may yet."""
    if pod.reason.startswith("CreateContainer") and _NO_IMAGE_VOLUMES in pod.waits:
        return _mounts_no_images(pod.node)
    words, passes = _image(pod.waits)
    if pod.reason not in _IMAGE_REASONS or passes is not False or not _is_named(image, pod.waits):
        return None
    return Reason.IMAGE_PULL_FAILED, f"the model's image {image} cannot be pulled: {words}"


def _mounts_no_images(node: str) -> Finding:
    return (
        Reason.IMAGE_VOLUMES_MISSING,
        f"the container runtime of node {node} mounts no images, which oci:// needs: use nodes with containerd 2.1 or "
        "newer (kubectl get nodes -o wide), or copy the model to a claim and use pvc://",
    )


def given_up(pod: PodSnapshot) -> Finding:
    """Why a node ended the whole pod, or did not take it. It stays as a record, and another takes its place."""
    if pod.reason == _NOT_GIVEN and _is_about_gpus(pod):
        return (
            Reason.GPU_UNAVAILABLE,
            f"node {pod.node} could not give pod {pod.name} its GPUs ({_words(pod.message)}): check the device plugin "
            "and look for Xid errors there",
        )
    fix = ""
    if pod.reason.startswith(_NOT_LEFT):
        fix = ": other pods have it: another try may find more; if not, lower what resources asks for, or free the node"
    elif "ephemeral" in pod.message:
        fix = ": set cache.claim, so that downloads do not fill the node's disk"
    elif "memory" in pod.message:
        fix = ": set resources.requests.memory to what the pod takes"
    why = ", ".join(word for word in (pod.reason, _words(pod.message)) if word)
    return Reason.EVICTED, f"node {pod.node} gave pod {pod.name} up ({why}){fix}"


def _is_about_gpus(pod: PodSnapshot) -> bool:
    resource = pod.asked.resource
    return "gpu" in pod.message.lower() or bool(resource and resource in pod.message)


def of_pods(deployment: DeploymentSnapshot | None) -> str | None:
    """What the API server says as it refuses to create pods; None where it creates them."""
    for condition in deployment.conditions if deployment else ():
        if condition.type == "ReplicaFailure" and condition.status == "True":
            return condition.message
    return None


def pods(message: str, supply: Supply | None) -> Finding:
    """Why the API server refuses to create the pods, and whether that may pass. An Event has two words more."""
    message = message.removeprefix("Error creating: ")
    return _of_quota(message, supply, "a pod asks for") or _of_pods(message)


def objects(message: str) -> Finding | None:
    """Why the API server refuses an object that the operator makes, where that may pass; None: it lasts."""
    if finding := _of_quota(message, None, "it asks for"):
        return finding
    if passes(message):
        return Reason.ADMISSION_FAILED, f"{_words(message)}; the operator tries again"
    return None


def of_queued_set(message: str) -> Finding | None:
    """That Kueue lets the sizes of a LeaderWorkerSet not change; None where it is about something else."""
    if not _OF_QUEUED_SET.search(message):
        return None
    return Reason.REFUSED, (
        "Kueue lets no LeaderWorkerSet in a queue change what its pods ask for, nor its queue while it serves: delete "
        f"the LeaderWorkerSet, and the operator makes it anew, or put the spec back: {_words(message)}"
    )


def may_pass(message: str) -> bool:
    """Whether pods that are refused so may be taken later."""
    return is_of_quota(message) or passes(message)


def webhook(message: str) -> Finding | None:
    """That a webhook does not answer, or answers with an error of its own; None where it is about something else."""
    if "webhook" not in message:
        return None
    return Reason.ADMISSION_FAILED, f"a webhook fails: {_words(message)}; the operator tries again"


def is_of_quota(message: str) -> bool:
    """Whether a ResourceQuota is used up."""
    return bool(_QUOTA.search(message))


def passes(message: str) -> bool:
    """Whether the API server's words are about something that does not answer now, and about no object."""
    return bool(_PASSING.search(_QUOTED.sub("", message))) and not _DENIED.search(message)


def _of_quota(message: str, supply: Supply | None, asks: str) -> Finding | None:
    if match := _QUOTA.search(message):
        limit = match["limit"].rstrip(" .")
        holders = in_namespace(supply) if supply and "gpu" in match["asked"] else ""
        return (
            Reason.QUOTA_EXCEEDED,
            f"ResourceQuota {match['name']} is used up: {asks} {match['asked']}, {match['used']} is taken, of "
            f"{limit}{holders}; scale another service of the namespace down, or have the quota raised",
        )
    return None


def _of_pods(message: str) -> Finding:
    if match := _UNSAID.search(message):
        what = match["what"].strip().rstrip(".")
        return (
            Reason.PODS_REFUSED,
            f"ResourceQuota {match['name']} wants {_sentence(what)} of every pod: set it in resources, or have a "
            "LimitRange give it",
        )
    if passes(message):
        return (
            Reason.ADMISSION_FAILED,
            f"Kubernetes cannot create the pods now, and tries again: {_words(message)}",
        )
    if match := _ACCOUNT.search(message):
        return (
            Reason.PODS_REFUSED,
            f"ServiceAccount {match['name']} does not exist: create it, or change pod.serviceAccountName",
        )
    return Reason.PODS_REFUSED, f"Kubernetes refuses to create the pods: {_words(message)}"


def _sentence(what: str) -> str:
    """`limits.cpu for: vllm; limits.memory for: vllm` without the containers."""
    return ", ".join(dict.fromkeys(part.partition(" for: ")[0].strip() for part in re.split("[,;]", what)))


def _image(message: str) -> tuple[str, bool | None]:
    """The cause with what to do, and whether it may pass; None where nobody knows."""
    for pattern, cause, may_pass in _IMAGE_CAUSES:
        if pattern.search(message):
            return cause, may_pass
    said = _words(_BACK_OFF.sub("", message))
    # What nobody knows the cause of is no failure that lasts.
    return said or "no cause given", None if said else True


def missing_object(pod: PodSnapshot, message: str) -> Finding | None:
    """The Secret or ConfigMap that the kubelet misses, or the key in it; None where it says something else."""
    if match := _MISSING.search(message):
        kind, reason = _KINDS[match["kind"]]
        return reason, f"{kind} {match['name']} does not exist: create it; pod {pod.name} waits"
    if match := _NO_KEY.search(message):
        name = match["name"].split("/")[-1]
        reason = _KINDS[match["kind"].lower()][1]
        return reason, f"{match['kind']} {name} has no key {match['key']}: add it; pod {pod.name} waits"
    return None


def _words(message: str) -> str:
    return shorten(redact(message))
