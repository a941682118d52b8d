"""KServe's kinds: LLMInferenceService, and InferenceService with a runtime that is vLLM."""

import re

from ..documents import Document, ImportInputError, Sources
from ..draft import Draft
from ..environment import take_env_from, take_variables, variables_of
from ..launch.command import Word
from ..launch.shell import commands_of
from ..part import Part
from ..pods.image import is_vllm, take_image
from ..pods.pod import take_container, take_pod
from ..pods.resources import take_resources
from ..pods.rollout import take_strategy
from ..report import Origin, Went
from ..server import NotTakenError, Server
from ..values import size, typed
from ..volumes import finish, locate, mounts_of
from . import objects
from .fields import said, take_keys
from .scaling import Scaler, autoscale, hpa, keep_number
from .serving import WORKERS, launch_of, take_nodes, take_words, tell_script

_ROUTER = {
    "router": "requests reach the Service; route to it with a gateway of your own, and choose endpoints by prefix "
    "with an "
    "InferencePool that selects app.kubernetes.io/instance",
    "tracing": "use extraArgs with --otlp-traces-endpoint",
    "storageInitializer": "see cache",
    "rolloutStrategy": "see rollout",
    "baseRefs": "what these configurations add is not in the source: import what KServe made of them, from the cluster",
}
_PARALLELISM = {
    "tensor": "tensor-parallel-size",
    "pipeline": "pipeline-parallel-size",
    "expert": "enable-expert-parallel",
    "data": "data-parallel-size",
    "dataLocal": "data-parallel-size-local",
}
# hf://organisation/name:commit, as KServe's storage initializer reads it.
_PINNED = re.compile(r"(hf://[^:]+):([^:]+)")
_WORKER_SIZES = {"tensorParallelSize": "tensor-parallel-size", "pipelineParallelSize": "pipeline-parallel-size"}
# Of KServe's own server, which passes the others on to vLLM.
_OWN_FLAGS = {
    "--model_name": "served-model-name",
    "--model-name": "served-model-name",
    "--model_id": "model",
    "--model-id": "model",
    "--model_revision": "revision",
    "--model-revision": "revision",
    "--tokenizer_revision": "tokenizer-revision",
    "--max_length": "max-model-len",
    "--max-length": "max-model-len",
    "--model_dir": "",
    "--model-dir": "",
    "--backend": "",
    "--task": "",
    "--return_probabilities": "",
    "--return_raw_logits": "",
    "--return_token_type_ids": "",
    "--return_logits": "",
    "--disable_lower_case": "",
    "--disable_special_tokens": "",
    "--enable_docs_url": "",
    "--http_port": "",
}
# What KServe's server calls a task that vLLM does.
_TASKS = {"text_generation": "", "text_embedding": "embed", "embed": "embed", "score": "score"}


def take_llm(document: Document, sources: Sources, draft: Draft) -> bool:
    """Take an LLMInferenceService over. Raises ImportInputError for engines on several nodes, or separate prefill."""
    spec = document.root.at("spec")
    if spec.at("prefill"):
        raise ImportInputError(
            f"{document.label} splits prefill and decode over different pods, which is not served: a pod does all of a "
            "request; leave spec.prefill out"
        )
    if spec.at("parallelism", "data").text not in ("", "1", spec.at("parallelism", "dataLocal").text):
        raise ImportInputError(
            f"{document.label} has engines on several nodes that share requests out, which is not served: use replicas "
            "in place of parallelism.data, each with the GPUs of its own experts"
        )
    pod = spec.at("template")
    container = _main(pod)
    variables = variables_of(container, sources)
    server = Server(draft, sources, variables, mounts_of(pod, container, variables))
    take_uri(server, spec.at("model", "uri"))
    if name := spec.at("model", "name"):
        draft.put("model.servedModelNames", [name.text], name.origin("model.name"))
    if not container.at("command"):
        draft.asked = objects.own_name(document)
    _lora(server, spec.at("model", "lora"))
    take_keys(server, spec.at("parallelism"), _PARALLELISM)
    if spec.at("worker"):
        server.nodes = spec.at("parallelism", "pipeline")
        take_nodes(server)
        said(server, spec, {"worker": WORKERS})
    more = [
        Word(word, variable.origin.place)
        for key in ("VLLM_ADDITIONAL_ARGS", "VLLM_EXTRA_ARGS")
        if (variable := server.variables.by_name.pop(key, None))
        for command in commands_of(variable.value or "", server.variables)
        for word in command
    ]
    _server(server, pod, container, more)
    _workload(server, spec)
    for part in (spec, spec.at("workload")):
        _offloading(server, part.at("kvCacheOffloading"))
        said(server, part, _ROUTER, Went.LEFT)
    objects.take_metadata(draft, document.root.at("metadata"))
    return True


def _main(pod: Part) -> Part:
    containers = list(pod.at("containers").each())
    return next(
        (one for one in containers if one.at("name").text == "main"), containers[0] if containers else pod.at("none")
    )


def take_uri(server: Server, uri: Part) -> None:
    """The model of a kind that names it by a URI. Raises ImportInputError where it has no place here."""
    if not uri.text:
        raise ImportInputError("the source names no model: give the whole of it, or what came of it in the cluster")
    pinned = _PINNED.fullmatch(uri.text)
    text, revision = pinned.groups() if pinned else (uri.text, "")
    try:
        server.draft.put("model.uri", locate(server, text), uri.origin())
    except NotTakenError as error:
        raise ImportInputError(f"the model: {error}") from error
    if revision:
        server.draft.put("model.revision", revision, uri.origin())


def _lora(server: Server, lora: Part) -> None:
    adapters = [{"name": one.at("name").text, "uri": one.at("uri").text} for one in lora.at("adapters").each()]
    if adapters:
        server.draft.put("lora.adapters", adapters, lora.at("adapters").origin())
    if rank := lora.at("maxRank"):
        server.draft.put("lora.maxRank", typed({"type": "integer"}, rank.text), rank.origin())
    take_keys(server, lora, {"maxAdapters": "max-loras", "maxCpuAdapters": "max-cpu-loras"})


def _server(server: Server, pod: Part, container: Part, more: list[Word]) -> None:
    """A container whose command KServe writes, with what the user added."""
    if image := container.at("image"):
        take_image(server, image)
    result = launch_of(server, container)
    words = list(result.words or [])
    if result.words is None and not container.at("command"):
        words = [Word(part.text, part.place) for part in container.at("args").each()]
        result.beside.clear()
    take_words(server, [*words, *more])
    tell_script(server, result)
    take_variables(server)
    take_env_from(server, container)
    take_resources(server, container.at("resources"))
    take_container(server, container)
    take_pod(server, pod, container)
    finish(server, pod)


def _offloading(server: Server, part: Part) -> None:
    """The memory of the host that takes blocks of the KV cache; what goes further than that is left out."""
    for key, value in part.items():
        if key == "cpu":
            server.draft.put("kvCache.cpuOffload", size(value.text), value.origin())
        else:
            server.draft.say(
                value.origin(), Went.LEFT, "blocks of the KV cache go to the memory of the host, no further"
            )


def _workload(server: Server, spec: Part) -> None:
    if replicas := spec.at("replicas"):
        server.draft.put("replicas", typed({"type": "integer"}, replicas.text), replicas.origin("replicas"))
    if scaling := spec.at("scaling"):
        autoscale(server.draft, hpa(scaling))
    objects.put_on_pods(server.draft, spec, {})


def take_inference_service(document: Document, sources: Sources, draft: Draft) -> bool:
    """Take KServe's InferenceService over, where vLLM serves it."""
    predictor = document.root.at("spec", "predictor")
    model = predictor.at("model")
    own = next((one for one in predictor.at("containers").each() if is_vllm(one.at("image").text)), None)
    name = model.at("modelFormat", "name").text.lower()
    if own is None and name not in ("huggingface", "vllm"):
        return False
    container = own or model
    variables = variables_of(container, sources)
    server = Server(draft, sources, variables, mounts_of(predictor, container, variables))
    if workers := predictor.at("workerSpec"):
        take_keys(server, workers, _WORKER_SIZES)
        server.nodes = workers.at("pipelineParallelSize")
        take_nodes(server)
        said(server, workers, dict.fromkeys(("containers", "tolerations", "nodeSelector", "volumes"), WORKERS))
    if uri := container.at("storageUri"):
        take_uri(server, uri)
    if own is None or "huggingfaceserver" in own.at("image").text:
        draft.asked = objects.own_name(document)
        _runtime(server, predictor, container)
    else:
        _server(server, predictor, own, [])
    _replicas(server, predictor, document.root.at("metadata", "annotations", "serving.kserve.io/autoscalerClass").text)
    objects.take_metadata(draft, document.root.at("metadata"))
    return True


def _runtime(server: Server, predictor: Part, model: Part) -> None:
    words: list[Word] = []
    parts = list(model.at("args").each())
    while parts:
        part = parts.pop(0)
        head, equals, value = part.text.partition("=")
        instead = _OWN_FLAGS.get(head)
        if head in ("--task", "--backend"):
            given = part.origin(part.text)
            if not equals and parts:
                after = parts.pop(0)
                given, value = Origin(part.place, f"{part.text} {after.text}", (after.place,)), after.text
            words += _by_vllm(server, given, head, value)
            continue
        if instead == "":
            server.draft.say(part.origin(part.text), Went.OPERATOR, "is KServe's own: vLLM is the only engine here")
            if not equals:
                words.append(Word("", part.place))
            continue
        words.append(Word(part.text if instead is None else f"--{instead}{equals}{value}", part.place))
    _drop_values(server, words)
    take_words(server, words)
    take_variables(server)
    take_env_from(server, model)
    take_resources(server, model.at("resources"))
    take_container(server, model)
    take_pod(server, predictor, model)
    finish(server, predictor)
    texts = {
        "modelFormat": "vLLM serves it",
        "runtime": "the operator's image is the runtime",
        "protocolVersion": "OpenAI's, on /v1",
        "runtimeVersion": "the operator's image has vLLM",
        "storage": "see model.uri",
        "image": "the operator's image serves the model",
        "storageUri": "is part of model.uri",
    }
    said(server, model, texts)


def _by_vllm(server: Server, given: Origin, flag: str, value: str) -> list[Word]:
    """What vLLM is told for a task or an engine of KServe's server. Raises ImportInputError where vLLM has no part."""
    if (flag == "--backend" and value == "huggingface") or (flag == "--task" and value not in _TASKS):
        raise ImportInputError(f"{given.what} is served by KServe's own code, not by vLLM: it is not taken over")
    if task := _TASKS.get(value):
        return [Word("--task", given.place), Word(task, given.also[0] if given.also else given.place)]
    server.draft.say(given, Went.OPERATOR, "is KServe's own: vLLM is the only engine here")
    return []


def _drop_values(server: Server, words: list[Word]) -> None:
    """Words that stood after a flag of KServe's own."""
    for at in range(len(words) - 1, -1, -1):
        if words[at].text:
            continue
        if at + 1 < len(words) and not words[at + 1].text.startswith("-"):
            server.draft.say(Part(words[at + 1].text, words[at + 1].place).origin(), Went.OPERATOR, "is KServe's own")
            del words[at + 1]
        del words[at]


def _replicas(server: Server, predictor: Part, scaler: str) -> None:
    least, most = predictor.at("minReplicas"), predictor.at("maxReplicas")
    if most and most.text != least.text and most.text not in ("0", "1"):
        own = predictor.at("autoScaling")
        metrics = list(own.at("metrics").each())
        autoscale(server.draft, Scaler(least, most, metrics, own.at("behavior"), keda=scaler == "keda"))
    else:
        keep_number(server.draft, least, most)
        said(server, predictor, {"autoScaling": "the number of pods is fixed"})
    _concurrency(server, predictor)
    take_strategy(server.draft, predictor.at("deploymentStrategy"))
    said(server, predictor, {"timeout": "see your gateway: requests have no time limit of their own"})


def _concurrency(server: Server, predictor: Part) -> None:
    """Requests that a pod should have, or may have, at once."""
    draft, target, metric = server.draft, predictor.at("scaleTarget"), predictor.at("scaleMetric")
    if metric.text == "concurrency" and target and draft.get("autoscaling"):
        draft.put("autoscaling.targets.runningRequests", target.value, target.origin())
        draft.say(metric.origin(), Went.FIELD, "autoscaling.targets.runningRequests")
    said(server, predictor, {"scaleTarget": "see autoscaling.targets", "scaleMetric": "see autoscaling.targets"})
    if most := predictor.at("containerConcurrency"):
        lost = Went.OPERATOR if most.text == "0" else Went.LEFT
        draft.say(most.origin(), lost, "maxNumSeqs and maxQueuedRequests say how many requests a pod takes")
