"""Kinds of other operators that name a model by a word of their own: KAITO's Workspace, and NVIDIA's NIMService."""

from ..documents import Document, ImportInputError, Sources, documents_of
from ..draft import Draft
from ..environment import take_variables
from ..launch.command import Word
from ..launch.grammar import config_words
from ..launch.variables import Variable
from ..part import Part
from ..pods.pod import PROBES, take_container, take_pod
from ..pods.resources import take_resources
from ..report import ASKED, EACH_FLAG, Origin, Went
from ..secrets import take_credential
from ..server import Server
from ..values import UnfitError, number, typed
from . import objects
from .fields import flag_words, said, take_claim, take_keys
from .kserve import take_uri
from .operators import begun
from .scaling import autoscale, hpa, tell_rest
from .serving import take_nodes, take_words

# Presets of KAITO that are models on the hub.
_PRESETS = {
    "llama-3.1-8b-instruct": "meta-llama/Llama-3.1-8B-Instruct",
    "llama-3.3-70b-instruct": "meta-llama/Llama-3.3-70B-Instruct",
    "deepseek-r1-0528": "deepseek-ai/DeepSeek-R1-0528",
    "deepseek-v3-0324": "deepseek-ai/DeepSeek-V3-0324",
    "falcon-7b": "tiiuae/falcon-7b",
    "falcon-7b-instruct": "tiiuae/falcon-7b-instruct",
    "falcon-40b": "tiiuae/falcon-40b",
    "falcon-40b-instruct": "tiiuae/falcon-40b-instruct",
    "mistral-7b": "mistralai/Mistral-7B-v0.3",
    "mistral-7b-instruct": "mistralai/Mistral-7B-Instruct-v0.3",
    "ministral-3-3b-instruct": "mistralai/Ministral-3-3B-Instruct-2512",
    "ministral-3-8b-instruct": "mistralai/Ministral-3-8B-Instruct-2512",
    "ministral-3-14b-instruct": "mistralai/Ministral-3-14B-Instruct-2512",
    "mistral-large-3-675b-instruct": "mistralai/Mistral-Large-3-675B-Instruct-2512",
    "phi-2": "microsoft/phi-2",
    "phi-3-mini-4k-instruct": "microsoft/Phi-3-mini-4k-instruct",
    "phi-3-mini-128k-instruct": "microsoft/Phi-3-mini-128k-instruct",
    "phi-3-medium-4k-instruct": "microsoft/Phi-3-medium-4k-instruct",
    "phi-3-medium-128k-instruct": "microsoft/Phi-3-medium-128k-instruct",
    "phi-3.5-mini-instruct": "microsoft/Phi-3.5-mini-instruct",
    "phi-4-mini-instruct": "microsoft/Phi-4-mini-instruct",
    "phi-4": "microsoft/phi-4",
    "qwen2.5-coder-7b-instruct": "Qwen/Qwen2.5-Coder-7B-Instruct",
    "qwen2.5-coder-32b-instruct": "Qwen/Qwen2.5-Coder-32B-Instruct",
    "deepseek-r1-distill-qwen-14b": "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B",
    "deepseek-r1-distill-llama-8b": "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
    "gemma-3-4b-instruct": "google/gemma-3-4b-it",
    "gemma-3-27b-instruct": "google/gemma-3-27b-it",
    "gpt-oss-20b": "openai/gpt-oss-20b",
    "gpt-oss-120b": "openai/gpt-oss-120b",
}


# GPUs of Azure's machines (pkg/sku/azure_sku_handler.go in github.com/kaito-project/kaito).
_GPUS = {
    **dict.fromkeys(("Standard_NC4as_T4_v3", "Standard_NC8as_T4_v3", "Standard_NC16as_T4_v3"), 1),
    **dict.fromkeys(("Standard_NV36ads_A10_v5", "Standard_NC24ads_A100_v4", "Standard_NC40ads_H100_v5"), 1),
    **dict.fromkeys(("Standard_NCC40ads_H100_v5",), 1),
    **dict.fromkeys(("Standard_NV72ads_A10_v5", "Standard_NC48ads_A100_v4", "Standard_NC80adis_H100_v5"), 2),
    **dict.fromkeys(("Standard_NC64as_T4_v3", "Standard_NC96ads_A100_v4"), 4),
    **dict.fromkeys(("Standard_ND96asr_A100_v4", "Standard_ND96amsr_A100_v4"), 8),
    **dict.fromkeys(("Standard_ND96isr_H100_v5", "Standard_ND96isr_H200_v5"), 8),
}


def take_workspace(document: Document, sources: Sources, draft: Draft) -> bool:
    """KAITO's Workspace; its parts stand beside the metadata, and not in a spec."""
    inference, resource = document.root.at("inference"), document.root.at("resource")
    if not inference:
        return False
    server, _ = begun(document, sources, draft, inference)
    preset = inference.at("preset", "name")
    if not preset:
        raise ImportInputError(
            f"{document.label} has a pod template instead of a preset: import the Deployment that KAITO made of it"
        )
    model = preset.text if "/" in preset.text else _PRESETS.get(preset.text.lower())
    if model is None:
        raise ImportInputError(
            f"{document.label}: the preset {preset.text} is not known: name its model on the hub with -- vllm serve"
        )
    draft.put("model.uri", f"hf://{model}", preset.origin("preset"))
    draft.asked = _workspace_name(document, preset)
    options = inference.at("preset", "presetOptions")
    if secret := options.at("modelAccessSecret"):
        ref = {"name": secret.text, "key": "HF_TOKEN"}
        take_credential(
            server, "hf-token", Variable("HF_TOKEN", secret.origin(), None, "secretKeyRef", ref), secret.origin()
        )
    said(server, inference.at("preset"), {"accessMode": "a token says it: model.tokenSecretRef"})
    said(server, options, {"image": "the operator's image serves the model"})
    _workspace_config(server, inference.at("config"))
    if adapters := inference.at("adapters"):
        draft.say(
            adapters.origin(),
            Went.LEFT,
            "adapters of images: put them on the hub or a claim, and name them in lora.adapters",
        )
    _workspace_resource(server, resource)
    return True


def _workspace_name(document: Document, preset: Part) -> tuple[str, Origin]:
    """The name that KAITO serves a preset by: its InferenceSet's, or else the preset's, without the organisation.

    Source: buildVLLMInferenceCommand in pkg/model/interface.go and NewGenerator in presets/workspace/generator/
    generator.go, in github.com/kaito-project/kaito.
    """
    of_set = document.root.at("metadata", "labels", "inferenceset.kaito.sh/created-by")
    return of_set.text or preset.text.rpartition("/")[2].lower(), (of_set or preset).origin(ASKED)


def _workspace_config(server: Server, config: Part) -> None:
    if not config:
        return
    found = server.sources.find("ConfigMap", config.text)
    text = found.root.at("data", "inference_config.yaml") if found else Part(None, config.place)
    if not found or not text:
        server.draft.say(
            config.origin("config"), Went.LEFT, f"ConfigMap {config.text} is not in the source: add it, for its flags"
        )
        return
    content = documents_of(config.text, text.text)
    flags = content[0].get("vllm") if content and isinstance(content[0], dict) else None
    server.draft.say(config.origin("config"), Went.FIELD, "each flag in it was taken over")
    take_words(server, config_words(flags, text.place))
    server.draft.say(found.root.origin(found.label), Went.OPERATOR, EACH_FLAG)


def _workspace_resource(server: Server, resource: Part) -> None:
    draft = server.draft
    if labels := resource.at("labelSelector", "matchLabels"):
        value = {key: part.text for key, part in labels.items()}
        draft.put(
            "pod.nodeSelector",
            value,
            labels.origin("labelSelector"),
            "KAITO put these labels on nodes: give them to yours",
        )
    if kind := resource.at("instanceType"):
        selector = {**(draft.get("pod.nodeSelector") or {}), "node.kubernetes.io/instance-type": kind.text}
        draft.put(
            "pod.nodeSelector", selector, kind.origin(), "KAITO makes such nodes; here an autoscaler of nodes has to"
        )
        _workspace_ranks(draft, kind)
    if (count := resource.at("count")) and count.text not in ("", "1"):
        draft.say(
            count.origin(),
            Went.LEFT,
            "KAITO chooses the sizes: set nodesPerReplica, and tensorParallelSize times pipelineParallelSize GPUs",
        )
    elif count:
        draft.say(count.origin(), Went.OPERATOR, "a pod is on one node")
    said(server, resource, {"preferredNodes": "use pod.affinity", "partition": "see accelerator"}, Went.LEFT)


def _workspace_ranks(draft: Draft, kind: Part) -> None:
    """KAITO splits a model over all GPUs of its node."""
    if draft.get("tensorParallelSize"):
        return
    count = _GPUS.get(kind.text)
    if count is None:
        text = "how many GPUs it has is not known here: set tensorParallelSize, for KAITO uses all of them"
        draft.say(kind.origin("GPUs of instanceType"), Went.LEFT, text)
    elif count > 1:
        draft.put("tensorParallelSize", count, kind.origin("GPUs of instanceType"), "KAITO uses all GPUs of a node")


# Models of NIM images that are on the hub under another name.
_NIMS = {
    "meta/llama-3.1-8b-instruct": "meta-llama/Llama-3.1-8B-Instruct",
    "meta/llama3-8b-instruct": "meta-llama/Meta-Llama-3-8B-Instruct",
    "meta/llama-3.1-70b-instruct": "meta-llama/Llama-3.1-70B-Instruct",
    "meta/llama3-70b-instruct": "meta-llama/Meta-Llama-3-70B-Instruct",
    "meta/llama-3.1-405b-instruct": "meta-llama/Llama-3.1-405B-Instruct",
    "meta/llama-3.2-1b-instruct": "meta-llama/Llama-3.2-1B-Instruct",
    "meta/llama-3.2-3b-instruct": "meta-llama/Llama-3.2-3B-Instruct",
    "meta/llama-3.3-70b-instruct": "meta-llama/Llama-3.3-70B-Instruct",
    "mistralai/mistral-7b-instruct-v0.3": "mistralai/Mistral-7B-Instruct-v0.3",
    "mistralai/mixtral-8x7b-instruct-v01": "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "deepseek-ai/deepseek-r1": "deepseek-ai/DeepSeek-R1",
    "openai/gpt-oss-20b": "openai/gpt-oss-20b",
    "openai/gpt-oss-120b": "openai/gpt-oss-120b",
    "nvidia/llama-3.3-nemotron-super-49b-v1": "nvidia/Llama-3_3-Nemotron-Super-49B-v1",
    "nvidia/llama-3.1-nemotron-nano-8b-v1": "nvidia/Llama-3.1-Nemotron-Nano-8B-v1",
    "deepseek-ai/deepseek-r1-distill-llama-8b": "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
}
_NIM_VARIABLES = {
    "NIM_MAX_MODEL_LEN": "max-model-len",
    "NIM_TENSOR_PARALLEL_SIZE": "tensor-parallel-size",
    "NIM_SERVED_MODEL_NAME": "served-model-name",
    "NIM_KVCACHE_PERCENT": "gpu-memory-utilization",
    "NIM_MAX_NUM_SEQS": "max-num-seqs",
    "NIM_PIPELINE_PARALLEL_SIZE": "pipeline-parallel-size",
}
_NIM_SWITCHES = {"NIM_ENABLE_KV_CACHE_REUSE": "enable-prefix-caching"}


def take_nim(document: Document, sources: Sources, draft: Draft) -> bool:
    """NVIDIA's NIMService, where its model is on the hub as well. Raises ImportInputError for others."""
    server, spec = begun(document, sources, draft, document.root.at("spec"))
    image = spec.at("image")
    take_uri(server, Part(_nim_uri(server, document, image), image.at("repository").place))
    texts = {
        "tag": "the operator's image serves the model",
        "pullPolicy": "IfNotPresent",
        "pullSecrets": "are for NVIDIA's registry",
    }
    said(server, image, texts)
    own = {"authSecret": "is for NVIDIA's registry; gated models of the hub take model.tokenSecretRef"}
    said(server, spec, own, Went.LEFT)
    for variable, flag in _NIM_VARIABLES.items():
        if known := server.variables.by_name.pop(variable, None):
            words = [Word(f"--{flag}", known.origin.place), Word(known.value or "", known.origin.place)]
            take_words(server, words)
    for variable, flag in _NIM_SWITCHES.items():
        if known := server.variables.by_name.pop(variable, None):
            _nim_switch(server, known, flag)
    _nim_name(server, image)
    _nim_nodes(server, spec.at("multiNode"))
    take_variables(server)
    take_resources(server, spec.at("resources"))
    take_container(server, _with_probes(spec))
    take_pod(server, spec, spec.at("none"))
    _nim_rest(server, spec)
    return True


def _with_probes(spec: Part) -> Part:
    """A NIMService's spec with Kubernetes' probes: NVIDIA's stand below `probe`, beside `enabled` (true if missing).

    Source: api/apps/v1alpha1/common_types.go in github.com/NVIDIA/k8s-nim-operator, type Probe.
    """
    probes = {
        key: {} if spec.at(key, "enabled").value is False else spec.at(key, "probe").value or {}
        for key in PROBES
        if spec.at(key)
    }
    return Part({**spec.value, **probes}, spec.place) if probes else spec


def _nim_nodes(server: Server, group: Part) -> None:
    sizes = group.at("parallelism")
    take_keys(server, sizes, {"tensor": "tensor-parallel-size", "pipeline": "pipeline-parallel-size"})
    server.nodes = sizes.at("pipeline")
    take_nodes(server)
    said(server, group, {"backendType": "LeaderWorkerSet, where it is installed", "mpi": "ranks need no MPI"})


def _nim_uri(server: Server, document: Document, image: Part) -> str:
    repository = image.at("repository").text
    named = server.variables.by_name.pop("NIM_MODEL_NAME", None)
    text = (named.value if named else "") or ""
    known = _NIMS.get(repository.rpartition("/nim/")[2]) or _cached(server, document)
    if named and "://" in text:
        server.draft.say(named.origin, Went.FIELD, "model.uri")
        return text
    if not known:
        raise ImportInputError(
            f"{document.label}: the weights of {repository or 'its image'} are in NVIDIA's registry, and vLLM "
            "reads the hub's: find the model on the hub, and import it with -- vllm serve ORGANISATION/NAME"
        )
    return f"hf://{known}"


def _nim_switch(server: Server, variable: Variable, flag: str) -> None:
    """A variable that is 1 for a switch that is on, and 0 for one that is off."""
    try:
        on = typed({"type": "boolean"}, variable.value or "")
    except UnfitError as error:
        server.draft.say(variable.origin, Went.LEFT, str(error))
        return
    take_words(server, flag_words(Part(on, variable.origin.place), flag))


def _nim_name(server: Server, image: Part) -> None:
    """The name that an image of NVIDIA's for one model serves it by; another image takes it from the model's files."""
    if server.draft.asked or server.draft.get("model.servedModelNames"):
        return
    name, origin = image.at("repository").text.rpartition("/nim/")[2], image.at("repository").origin(ASKED)
    if name in _NIMS:
        server.draft.asked = name, origin
    else:
        server.draft.say(origin, Went.LEFT, "is not in the source: ask /v1/models, and set model.servedModelNames")


def _cached(server: Server, document: Document) -> str | None:
    """The model that the service's NIMCache downloads, where it is in the source."""
    name = document.root.at("spec", "storage", "nimCache", "name").text
    cache = server.sources.find("NIMCache", name) if name else None
    if cache is None:
        return None
    source = cache.root.at("spec", "source")
    hub = source.at("hf")
    if hub.at("modelName").text:
        return f"{hub.at('namespace').text}/{hub.at('modelName').text}"
    return _NIMS.get(source.at("ngc", "modelPuller").text.rpartition("/nim/")[2].split(":")[0].split("@")[0])


def _nim_rest(server: Server, spec: Part) -> None:
    draft = server.draft
    scale = spec.at("scale")
    if scale.at("enabled").value is True:
        autoscale(draft, hpa(scale.at("hpa")))
        tell_rest(draft, scale)
        said(server, scale, {"annotations": "belong to the autoscaler"})
        said(server, spec, {"replicas": "the autoscaler decides"})
    else:
        said(server, spec, {"scale": "is off"})
        if replicas := spec.at("replicas"):
            draft.put("replicas", number(replicas.text or "1"), replicas.origin())
    pvc = spec.at("storage", "pvc")
    if pvc.at("name").text and pvc.at("create").value is not True:
        draft.put("cache.existingClaim", pvc.at("name").text, pvc.at("name").origin(), "downloaded once more")
    elif pvc.at("size"):
        keys = {"size": "storage", "storageClass": "storageClassName", "volumeAccessMode": "accessMode"}
        take_claim(server, pvc, keys)
    elif spec.at("storage"):
        draft.say(spec.at("storage").origin(), Went.OPERATOR, "downloads are in the pod, or in a claim: see cache")
    own = {"name": "the operator names its claim", "create": "the operator makes a claim where cache.claim says so"}
    said(server, pvc, own)
    said(server, spec.at("storage"), {"sharedMemorySizeLimit": "the operator sizes /dev/shm"})
    objects.put_on_pods(draft, spec, {})
    if group := spec.at("groupID"):
        draft.put("pod.fsGroup", group.value, group.origin())
    texts = {
        "expose": "clients use the Service, port 8000; an Ingress has to lead there",
        "metrics": "the operator makes a ServiceMonitor",
        "userID": "pods run as user 1000",
        "inferencePlatform": "pods of the operator's own",
    }
    said(server, spec, texts)
    left = {
        "proxy": "it is the operator's setting httpsProxy: ask the platform team",
        "draResources": "name the claim's DeviceClass in accelerator.deviceClass",
        "sidecarContainers": "pods run vLLM alone",
    }
    said(server, spec, left, Went.LEFT)
