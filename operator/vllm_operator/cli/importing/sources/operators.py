"""Kinds of other operators that pass vLLM's flags on: KubeAI's Model, and production-stack's VLLMRuntime."""

import re

from ..documents import Document, ImportInputError, Sources
from ..draft import Draft
from ..environment import take_env_from, take_variables, variables_of
from ..launch.command import Word
from ..launch.variables import Variable
from ..part import Part
from ..pods.image import take_image
from ..pods.resources import take_devices
from ..pods.rollout import take_strategy
from ..report import Went
from ..secrets import take_credential
from ..server import Server
from ..values import number, size
from . import objects
from .fields import said, take_claim, take_keys
from .kserve import take_uri
from .scaling import Scaler, autoscale, hpa, keep_number, tell_rest
from .serving import take_words


def begun(document: Document, sources: Sources, draft: Draft, container: Part) -> tuple[Server, Part]:
    """A server with the variables of a container, and the spec of its object."""
    server = Server(draft, sources, variables_of(container, sources))
    objects.take_metadata(draft, document.root.at("metadata"))
    return server, document.root.at("spec")


def take_model(document: Document, sources: Sources, draft: Draft) -> bool:
    """KubeAI's Model."""
    env = document.root.at("spec", "env")
    server, spec = begun(document, sources, draft, document.root.at("spec" if isinstance(env.value, list) else "none"))
    engine = spec.at("engine").text
    if engine and engine.lower() != "vllm":
        raise ImportInputError(f"{document.label} is served by {engine}, not by vLLM: choose a model that vLLM serves")
    for variable, part in env.items():
        server.variables.add(Variable(variable, part.origin(f"env {variable}"), part.text))
    take_uri(server, spec.at("url"))
    draft.asked = objects.own_name(document)
    if image := spec.at("image"):
        take_image(server, image)
    words = [Word(part.text, part.place) for part in spec.at("args").each()]
    take_words(server, words)
    take_variables(server)
    take_env_from(server, spec)
    _adapters(server, spec.at("adapters"))
    _profile(server, spec.at("resourceProfile"))
    _scale(server, spec)
    if name := spec.at("priorityClassName"):
        draft.put_if_allowed("pod.priorityClassName", name.text, name.origin())
    said(
        server,
        spec,
        {"engine": "vLLM", "features": "vLLM's routes follow from the model", "owner": "says whose the model is"},
    )
    left = {
        "files": "pods have no files of their own but chatTemplate: put them into the image, or beside the weights",
        "cacheProfile": "set cache, with a claim",
        "loadBalancing": "requests are spread by the Service: route to it by prefix with an InferencePool",
    }
    said(server, spec, left, Went.LEFT)
    return True


def _adapters(server: Server, adapters: Part) -> None:
    found = [{"name": one.at("name").text, "uri": one.at("url").text} for one in adapters.each()]
    if found:
        server.draft.put("lora.adapters", found, adapters.origin("adapters"))


def _profile(server: Server, profile: Part) -> None:
    """nvidia-gpu-l4:2 is two of a kind of GPU that the chart of KubeAI describes."""
    if not profile:
        return
    name, _, count = profile.text.partition(":")
    origin = profile.origin()
    if name.startswith("cpu"):
        server.draft.put("accelerator.resource", "cpu", origin)
        return
    if any(word in name for word in ("tpu", "gaudi", "neuron")):
        raise ImportInputError(
            f"the profile {profile.text} is of devices that are not served: GPUs of NVIDIA and AMD, and CPUs, are"
        )
    server.draft.say(
        origin,
        Went.LEFT,
        f"what {name} stands for is in KubeAI's settings: say it with accelerator.product, resources and "
        "pod.nodeSelector",
    )
    resource = "amd.com/gpu" if name.startswith("amd") else "nvidia.com/gpu"
    take_devices(server, resource, int(count) if count.isdecimal() else 1, profile)


def _scale(server: Server, spec: Part) -> None:
    draft = server.draft
    least, most, target = spec.at("minReplicas"), spec.at("maxReplicas"), spec.at("targetRequests")
    fixed, delay, off = spec.at("replicas"), spec.at("scaleDownDelaySeconds"), spec.at("autoscalingDisabled")
    scaled = bool(most) and most.text != least.text and most.text not in ("0", "1") and off.value is not True
    if scaled:
        autoscale(draft, Scaler(least, most, (), spec.at("none"), bounds=(0, None)))
        for part, path in ((target, "targets.runningRequests"), (delay, "scaleDown.stabilizationSeconds")):
            if part and draft.get("autoscaling"):
                draft.put(f"autoscaling.{path}", part.value, part.origin())
        said(server, spec, {"replicas": "the autoscaler decides"})
    elif fixed and (off.value is True or not (least or most)):
        draft.put("replicas", number(fixed.text), fixed.origin())
        said(server, spec, dict.fromkeys(("minReplicas", "maxReplicas"), "the number of pods is fixed"))
    elif least or most:
        keep_number(draft, least, most, otherwise=0)
        said(server, spec, {"replicas": "minReplicas and maxReplicas say it"})
    if off:
        draft.say(off.origin(), Went.OPERATOR, "without autoscaling the number of pods is fixed")
    if not scaled:
        # With other bounds than these, KubeAI would follow them.
        same = off.value is True or (least.text == most.text and least.text != "0")
        for part in (target, delay):
            if part:
                draft.say(part.origin(), Went.OPERATOR if same else Went.LEFT, "the number of pods is fixed")


_RUNTIME_MODEL = {
    "maxModelLen": "max-model-len", "dtype": "dtype", "maxNumSeqs": "max-num-seqs",
    "toolCallParser": "tool-call-parser",
}  # fmt: skip
_RUNTIME_VLLM = {
    "enableChunkedPrefill": "enable-chunked-prefill", "enablePrefixCaching": "enable-prefix-caching",
    "tensorParallelSize": "tensor-parallel-size", "gpuMemoryUtilization": "gpu-memory-utilization",
    "maxLoras": "max-loras",
}  # fmt: skip


def take_runtime(document: Document, sources: Sources, draft: Draft) -> bool:
    """production-stack's VLLMRuntime."""
    server, spec = begun(document, sources, draft, document.root.at("spec", "vllmConfig"))
    model, config, deployment = spec.at("model"), spec.at("vllmConfig"), spec.at("deploymentConfig")
    take_words(server, [Word(model.at("modelURL").text, model.at("modelURL").place)])
    take_keys(server, model, _RUNTIME_MODEL)
    take_keys(server, config, _RUNTIME_VLLM)
    take_words_of(server, config.at("extraArgs"))
    take_variables(server)
    _runtime_token(server, model.at("hfTokenSecret"))
    _runtime_pods(server, deployment)
    _runtime_storage(server, spec.at("storageConfig"))
    scaling = spec.at("autoscalingConfig")
    if scaling.at("enabled").value is True:
        autoscale(draft, hpa(scaling))
        tell_rest(draft, scaling)
    else:
        said(server, spec, {"autoscalingConfig": "is off"})
    said(server, model, {"enableTool": "follows from toolCallParser", "chatTemplate": "see chatTemplate"})
    said(server, model, {"enableLoRA": "name the adapters in lora.adapters"}, Went.LEFT)
    said(server, config, {"v1": "vLLM has one engine, the one that was V1", "port": "8000", "v0": "is gone from vLLM"})
    lmcache(server, spec.at("lmCacheConfig"))
    return True


def take_words_of(server: Server, arguments: Part) -> None:
    """Further flags of vLLM that a source keeps as a list, or as one string."""
    words = [Word(word, part.place) for part in arguments.each() for word in _split(part.text)]
    if words:
        take_words(server, words)


def _split(text: str) -> list[str]:
    return text.split(" ", 1) if re.match(r"--?[A-Za-z][\w-]* [^{]", text) else [text]


def lmcache(server: Server, part: Part) -> None:
    """LMCache in production-stack's form."""
    if part and part.at("enabled").value is True:
        server.draft.say(
            part.origin(),
            Went.LEFT,
            "LMCache is not in the operator's image, and a connector of its own: for KV cache in host memory set "
            "kvCache.cpuOffload",
        )
    elif part:
        server.draft.say(part.origin(), Went.OPERATOR, "is off")


def _runtime_token(server: Server, token: Part) -> None:
    name = token.at("hfTokenSecretName") or token.at("name")
    if name and name.text:
        key = (token.at("hfTokenKeyName") or token.at("key")).text or "token"
        ref = {"name": name.text, "key": key}
        take_credential(
            server, "hf-token", Variable("HF_TOKEN", token.origin(), None, "secretKeyRef", ref), token.origin()
        )


def _runtime_pods(server: Server, deployment: Part) -> None:
    draft = server.draft
    if replicas := deployment.at("replicas"):
        draft.put("replicas", number(replicas.text or "1"), replicas.origin())
    _runtime_resources(server, deployment.at("resources"))
    image = deployment.at("image")
    if name := image.at("name"):
        registry = image.at("registry").text
        take_image(server, Part(f"{registry}/{name.text}".lstrip("/").removeprefix("docker.io/"), name.place))
        said(server, image, {"registry": "is part of image", "pullPolicy": "IfNotPresent"})
    if secret := image.at("pullSecretName"):
        draft.put("pod.imagePullSecrets", [{"name": secret.text}], secret.origin())
    _runtime_placing(draft, deployment)
    for key in ("deploymentStrategy", "deployStrategy"):
        take_strategy(draft, deployment.at(key))
    said(server, deployment, {"shmSize": "the operator sizes it"})
    if sidecar := deployment.at("sidecarConfig"):
        on = sidecar.at("enabled").value is True
        text = "pods run vLLM alone: run it as a Deployment of its own" if on else "is off"
        draft.say(sidecar.origin(), Went.LEFT if on else Went.OPERATOR, text)


def _runtime_resources(server: Server, resources: Part) -> None:
    for name in ("cpu", "memory"):
        if amount := resources.at(name):
            value = size(amount.text) if name == "memory" else amount.text
            server.draft.put(f"resources.requests.{name}", value, amount.origin())
    if gpus := resources.at("gpu"):
        take_devices(server, resources.at("gpuType").text or "nvidia.com/gpu", number(gpus.text or "1"), gpus)
    said(server, resources, {"gpuType": "accelerator.resource"})


def _runtime_placing(draft: Draft, deployment: Part) -> None:
    if tolerations := deployment.at("toleration"):
        draft.put("pod.tolerations", tolerations.value, tolerations.origin())
    if terms := deployment.at("nodeSelectorTerms"):
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms.value}}
        draft.put("pod.affinity", {"nodeAffinity": required}, terms.origin())
    if runtime := deployment.at("runtimeClass"):
        draft.put_if_allowed("pod.runtimeClassName", runtime.text, runtime.origin())
    objects.put_all(draft, deployment.at("podAnnotations"), "pod.annotations")


def _runtime_storage(server: Server, storage: Part) -> None:
    if not storage:
        return
    if storage.at("enabled").value is False or not storage.at("size"):
        server.draft.say(storage.origin(), Went.OPERATOR, "is off")
        return
    keys = {"size": "storage", "storageClassName": "storageClassName", "accessMode": "accessMode"}
    take_claim(server, storage, keys)
    said(server, storage, {"enabled": "cache says it"})
