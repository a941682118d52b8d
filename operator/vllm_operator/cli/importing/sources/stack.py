"""values.yaml of production-stack's chart: one service for each model of servingEngineSpec.modelSpec."""

from typing import Any

from ..documents import Document, Sources
from ..draft import Draft
from ..environment import take_env_from, take_variables, variables_of
from ..launch.command import Word
from ..launch.variables import Variable
from ..part import Part
from ..pods.image import take_image
from ..pods.pod import take_startup
from ..pods.resources import take_devices, take_resources
from ..pods.rollout import take_strategy
from ..report import MAKES_BUDGET, Went
from ..secrets import take_credential
from ..server import Server
from ..values import UnfitError, number, size
from ..volumes import finish, mounts_of
from . import objects
from .fields import said, take_claim, take_keys
from .operators import lmcache, take_words_of
from .scaling import autoscale, scaled_object, tell_rest
from .serving import take_words

_FLAGS = {
    "enablePrefixCaching": "enable-prefix-caching",
    "enableChunkedPrefill": "enable-chunked-prefill",
    "maxModelLen": "max-model-len",
    "dtype": "dtype",
    "tensorParallelSize": "tensor-parallel-size",
    "maxNumSeqs": "max-num-seqs",
    "maxLoras": "max-loras",
    "gpuMemoryUtilization": "gpu-memory-utilization",
    "runner": "runner",
    "pipelineParallelSize": "pipeline-parallel-size",
    "toolCallParser": "tool-call-parser",
    "convert": "convert",
}
_MODEL = {
    "pdb": MAKES_BUDGET,
    "extraVolumes": "each mount has its row",
    "extraVolumeMounts": "each mount has its row",
    "name": "metadata.name",
    "enabled": "only models that are enabled are taken over",
    "repository": "is part of image",
    "tag": "is part of image",
    "annotations": "belong to the chart's Deployment",
    "labels": "belong to the chart's Deployment",
    "imagePullPolicy": "IfNotPresent",
    "shmSize": "the operator sizes /dev/shm",
    "pvcLabels": "see cache",
    "pvcAnnotations": "see cache",
    "pvcMatchLabels": "see cache.existingClaim, which names a claim",
    "storageClass": "is part of cache.claim",
    "pvcAccessMode": "is part of cache.claim",
    "tolerationsPolicy": "both lists are taken",
    "serviceAnnotations": "see the Service, which has none",
    "requestGPUType": "accelerator.resource",
    "lifecycle": "pods drain before they end",
    "serviceName": "metadata.name",
}
_MODEL_LEFT = {
    "chatTemplateConfigMap": "name the ConfigMap and its key in chatTemplate.configMapKeyRef",
    "initContainer": "pods run vLLM alone: do its work in the image, or in a Job that fills a claim",
    "raySpec": "ranks on several nodes need no Ray: set nodesPerReplica to the number of pods of a replica",
    "requestGPUMem": "shares of a GPU are not planned: ask for whole GPUs",
    "limitGPUMem": "shares of a GPU are not planned",
    "requestGPUMemPercentage": "shares of a GPU are not planned",
    "limitGPUMemPercentage": "shares of a GPU are not planned",
    "requestGPUCores": "shares of a GPU are not planned",
    "limitGPUCores": "shares of a GPU are not planned",
    "enableLoRA": "name the adapters in lora.adapters",
    "chatTemplate": "put it into a ConfigMap, and name it in chatTemplate",
    "nodeName": "use pod.nodeSelector with kubernetes.io/hostname",
    "sidecar": "pods run vLLM alone",
    "enableTool": "needs toolCallParser, the name of the parser",
}
_SPEC = {
    "enableEngine": "apply the services or not",
    "labels": "the operator's own labels",
    "containerPort": "8000",
    "servicePort": "clients use the Service, port 8000",
    "configs": "see env",
    "startupProbe": "the operator's own",
    "livenessProbe": "the operator's own",
    "readinessProbe": "the operator's own",
    "imagePullPolicy": "IfNotPresent",
    "securityContext": "pods run as Kubernetes' restricted standard wants",
    "containerSecurityContext": "pods run as Kubernetes' restricted standard wants",
    "extraPorts": "pods have port 8000",
    "serviceMonitor": "the operator makes one",
    "maxUnavailablePodDisruptionBudget": "the operator makes one",
    "podDisruptionBudget": "the operator makes one",
    "nodeSelectorTerms": "the model has its own",
    "dnsPolicy": "ClusterFirst, as for all pods",
}
_TOP = {
    "routerSpec": "the router is production-stack's own: requests reach the Service, or an InferencePool with a "
    "gateway",
    "cacheserverSpec": "a cache server is LMCache's, which pods do not have",
    "loraController": "name adapters in lora.adapters",
    "sharedPvcStorage": "name a claim in cache.existingClaim",
    "loraAdapters": "name adapters in lora.adapters",
}


def models(document: Document) -> list[str]:
    """The names of the models that are enabled."""
    specs = document.root.at("servingEngineSpec", "modelSpec").each()
    return [
        one.at("name").text or "vllm" for one in specs if one.at("enabled").value is not False and one.at("modelURL")
    ]


def take(document: Document, sources: Sources, draft: Draft) -> bool:
    """Take the model over that the draft is named after."""
    spec = document.root.at("servingEngineSpec")
    part = next(one for one in spec.at("modelSpec").each() if (one.at("name").text or "vllm") == draft.source_name)
    variables = variables_of(part, sources)
    mounts = mounts_of(_renamed(part, "extraVolumes", "volumes"), _mounts(part), variables)
    server = Server(draft, sources, variables, mounts)
    if part.at("repository"):
        tag = part.at("tag").text or "latest"
        take_image(server, Part(f"{part.at('repository').text}:{tag}", part.at("repository").place))
    take_words(server, [Word(part.at("modelURL").text, part.at("modelURL").place)])
    if part.at("modelRevision"):
        take_keys(server, part, {"modelRevision": "revision"})
    config = part.at("vllmConfig")
    take_keys(server, config, _FLAGS)
    take_words_of(server, config.at("extraArgs"))
    take_words_of(server, part.at("extraArgs"))
    take_keys(server, part, {"toolCallParser": "tool-call-parser"})
    said(
        server,
        config,
        {"v0": "vLLM has one engine, the one that was V1", "v1": "vLLM has one engine, the one that was V1"},
    )
    take_variables(server)
    take_env_from(server, part)
    _credential(server, "hf-token", part.at("hf_token"))
    _credential(server, "api-key", spec.at("vllmApiKey"))
    _pods(server, spec, part)
    take_strategy(draft, spec.at("strategy"))
    take_startup(server, spec)
    _storage(server, part)
    _keda(server, part.at("keda"))
    lmcache(server, part.at("lmcacheConfig"))
    said(server, part, _MODEL)
    said(server, part, _MODEL_LEFT, Went.LEFT)
    finish(server, _renamed(part, "extraVolumes", "volumes"))
    _around(server, document, spec)
    return True


def _renamed(part: Part, key: str, name: str) -> Part:
    """A mapping in which a key is found under another name as well."""
    if not part.at(key):
        return Part({}, part.place)
    return Part({name: part.at(key).value}, part.place)


def _mounts(part: Part) -> Part:
    return _renamed(part, "extraVolumeMounts", "volumeMounts")


def _credential(server: Server, flag: str, part: Part) -> None:
    if not part or part.value in ("", {}):
        return
    name, key = part.at("secretName").text, part.at("secretKey").text
    if isinstance(part.value, dict) and not name:
        server.draft.say(part.origin(), Went.OPERATOR, "is empty")
        return
    variable = Variable(
        "", part.origin(), part.text if not name else None, "secretKeyRef" if name else "", {"name": name, "key": key}
    )
    take_credential(server, flag, variable, part.origin())


def _pods(server: Server, spec: Part, part: Part) -> None:
    draft = server.draft
    if replicas := part.at("replicaCount"):
        draft.put("replicas", number(replicas.text or "1"), replicas.origin())
    _resources(server, part)
    for secret in part.at("imagePullSecret"), spec.at("imagePullSecret"):
        if secret and secret.text and not draft.get("pod.imagePullSecrets"):
            draft.put("pod.imagePullSecrets", [{"name": secret.text}], secret.origin())
    for holder in (part, spec):
        _names(draft, holder)
    tolerations: list[Any] = []
    for holder in (spec, part):
        if (given := holder.at("tolerations")) and given.value:
            tolerations += given.value if isinstance(given.value, list) else [given.value]
            draft.put("pod.tolerations", list(tolerations), given.origin())
    _affinity(server, part, spec)
    for kind, path in (("podLabels", "pod.labels"), ("podAnnotations", "pod.annotations")):
        objects.put_all(draft, part.at(kind), path)


def _names(draft: Draft, holder: Part) -> None:
    for key in ("serviceAccountName", "priorityClassName", "runtimeClassName", "schedulerName"):
        value = holder.at(key)
        if value and value.text and not draft.get(f"pod.{key}"):
            draft.put_if_allowed(f"pod.{key}", value.text, value.origin())
        elif value:
            draft.say(value.origin(), Went.OPERATOR, "is empty, or set for the model")


def _affinity(server: Server, part: Part, spec: Part) -> None:
    terms = part.at("nodeSelectorTerms") if part.at("nodeSelectorTerms").value else spec.at("nodeSelectorTerms")
    if (affinity := part.at("affinity")) and affinity.value:
        server.draft.put("pod.affinity", affinity.value, affinity.origin())
    elif terms and terms.value:
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms.value}}
        server.draft.put("pod.affinity", {"nodeAffinity": required}, terms.origin())
    for holder in (spec, part):
        if (selector := holder.at("nodeSelector")) and selector.value:
            value = {**(server.draft.get("pod.nodeSelector") or {}), **selector.value}
            server.draft.put("pod.nodeSelector", value, selector.origin())


def _resources(server: Server, part: Part) -> None:
    if part.at("resources").value:
        take_resources(server, part.at("resources"))
    for key, path in (
        ("requestCPU", "requests.cpu"),
        ("requestMemory", "requests.memory"),
        ("limitCPU", "limits.cpu"),
        ("limitMemory", "limits.memory"),
    ):
        amount = part.at(key)
        if not amount or not amount.text:
            continue
        try:
            value = size(amount.text) if "memory" in path else amount.text
            server.draft.put(f"resources.{path}", value, amount.origin())
        except UnfitError as error:
            server.draft.say(amount.origin(), Went.LEFT, str(error))
    gpus = part.at("requestGPU")
    if gpus and gpus.text not in ("", "0"):
        kind = part.at("requestGPUType").text or "nvidia.com/gpu"
        take_devices(server, kind, int(gpus.text) if gpus.text.isdecimal() else 1, gpus)
    elif gpus:
        server.draft.put("accelerator.resource", "cpu", gpus.origin())


def _storage(server: Server, part: Part) -> None:
    if (own := part.at("pvcExistingClaimName")) and own.text:
        server.draft.put("cache.existingClaim", own.text, own.origin(), "downloaded once more")
    elif (amount := part.at("pvcStorage")) and amount.text:
        keys = {"pvcStorage": "storage", "storageClass": "storageClassName", "pvcAccessMode": "accessMode"}
        take_claim(server, part, keys)


def _keda(server: Server, keda: Part) -> None:
    if keda and keda.at("enabled").value is True:
        autoscale(server.draft, scaled_object(keda))
        tell_rest(server.draft, keda)
    elif keda:
        server.draft.say(keda.origin(), Went.OPERATOR, "is off")


def _around(server: Server, document: Document, spec: Part) -> None:
    said(server, spec, _SPEC)
    for other in spec.at("modelSpec").each():
        if other.at("enabled").value is False:
            server.draft.say(other.origin(f"model {other.at('name').text}"), Went.OPERATOR, "is off")
    said(server, spec, {"sidecar": "pods run vLLM alone", "extraEnv": "see env"}, Went.LEFT)
    said(server, document.root, _TOP, Went.LEFT)
