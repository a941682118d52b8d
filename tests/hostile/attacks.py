"""What a hostile tenant writes: one InferenceService each, and what must become of it.

Only what can be tried on a control plane without a kubelet. What logs, Events, metrics and a terminal may hold, and
what cannot be reached through an InferenceService, is tried in tests/unit (readers, redaction, middleware), tests/fuzz
and tests/control_plane (test_policies, test_lease, test_names_taken).
"""

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any

Spec = dict[str, Any]
SECRET = "correct-horse-Battery9"  # what must be seen nowhere
LLAMA: Spec = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": 4096,
    "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "vocab_size": 128256, "max_position_embeddings": 131072,
}  # fmt: skip


@dataclass(frozen=True)
class Attack:
    """A spec, and words that the tenant must be told: by the API server, or in the condition of this type."""

    spec: Spec
    told: str
    condition: str = "SpecValid"
    name: str = "attack"


def report(config: Any, *, text: str = "", **other: Any) -> str:
    """What a forged inspect Job leaves."""
    plain = text or json.dumps({"config": config, "quantization": None})
    packed = base64.b85encode(zlib.compress(plain.encode(), 9)).decode()
    return json.dumps({"commit": None, "weightsBytes": None, "chatTemplate": None, "model": packed, **other})


def ignoring(*patterns: str) -> Spec:
    """A quantized model whose configuration leaves out what these match."""
    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 128}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    quantization = {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": groups}
    return {**LLAMA, "quantization_config": {**quantization, "ignore": list(patterns)}}


def counting(*names: str) -> Spec:
    """A model whose short patterns are millions of steps: each repeats things a thousand times."""
    ignored, *targets = ([f"re:(?:language)?{'(?:[!-~]?){1000}' * 40}~{name}"] for name in names)
    weights = {"num_bits": 8, "type": "float", "strategy": "tensor"}
    groups = {f"group_{index}": {"targets": one, "weights": weights} for index, one in enumerate(targets)}
    quantization = {"quant_method": "compressed-tensors", "ignore": ignored, "config_groups": groups}
    return {**LLAMA, "num_hidden_layers": 320, "quantization_config": quantization}


_EMPTY_LISTS = "[" + "[]," * 900_000 + "[]]"
# Reports by model, and the reason of Fits that each must get.
MODELS: dict[str, tuple[str, str]] = {
    "names-by-the-billion": (report({"x": {"$folded": [["x", 2_000_000_000, []]]}}), "ModelFilesTooLarge"),
    "empty-lists": (
        report(None, text=f'{{"config": {{"x": {_EMPTY_LISTS}}}, "quantization": null}}'),
        "ModelFilesTooLarge",
    ),
    "depth": (report(None, text='{"config": ' + "[" * 100_000), "ModelFilesTooLarge"),
    "endless-pattern": (report(ignoring("re:(([a-z0-9._])+)+!")), "Fits"),
    "counting-pattern": (report(counting(*"abcdefghijklmnop")), "QuantizationNotPlanned"),
    "pattern-of-python": (report(ignoring(r"re:^(?!.*mlp).*(a|a)+\1")), "QuantizationNotPlanned"),
    "layers": (report({**LLAMA, "num_hidden_layers": 1_000_000_000}), "ModelNotPlanned"),
    "no-heads": (report({**LLAMA, "num_attention_heads": 0}), "ModelNotPlanned"),
    "words-for-numbers": (report({**LLAMA, "hidden_size": "4096"}), "ModelNotPlanned"),
    "architecture-of-a-number": (report({**LLAMA, "architectures": 3}), "ModelNotPlanned"),
    "infinite": (report(None, text='{"config": {"hidden_size": 1e999}, "quantization": null}'), "ModelNotPlanned"),
    "weights": (report(LLAMA, weightsBytes=10**100), "ModelFilesTooLarge"),
    "commit": (report(LLAMA, commit="c" * 300), "ModelUnreadable"),
    "no-report": ("{", "ModelUnreadable"),
}
REPORTS = {f"--hub=evil/{name}": text for name, (text, _) in MODELS.items()}


def model(name: str) -> Spec:
    """A service of one of those models on a GPU."""
    h100 = {"resource": "nvidia.com/gpu", "product": "NVIDIA-H100-80GB-HBM3"}
    return {"model": {"uri": f"hf://evil/{name}"}, "accelerator": h100, "replicas": 0}


def env(name: str, value: str = "x") -> Spec:
    """A service that sets a variable."""
    return {"env": [{"name": name, "value": value}]}


def from_secret(name: str) -> Spec:
    """A service with a variable whose value a Secret holds."""
    return {"env": [{"name": name, "valueFrom": {"secretKeyRef": {"name": "payroll", "key": "password"}}}]}


def trigger(kind: str, **metadata: str) -> Spec:
    """A service that KEDA scales."""
    return {"autoscaling": {"provider": "KEDA", "maxReplicas": 2, "triggers": [{"type": kind, "metadata": metadata}]}}


def pod(**fields: Any) -> Spec:
    """A service with something of its pods."""
    return {"pod": fields}


def on_nodes(**term: Any) -> Spec:
    """A service whose pods choose nodes by a field."""
    required = {"nodeSelectorTerms": [{"matchFields": [term]}]}
    return pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}})


_APPARMOR = {"container.apparmor.security.beta.kubernetes.io/vllm": "unconfined"}
_SIDECAR = {"sidecar.istio.io/proxyImage": "evil/image"}
_METADATA_SERVER = {"url": "http://169.254.169.254/latest", "valueLocation": "a"}
_INNER = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["192.168.0.0/16"]}}
_CODE = "is not a variable that env may set"
_SPECS: dict[str, tuple[Spec, str]] = {
    "a Secret in an argument": (
        {**from_secret("PW"), "extraArgs": ["--root-path=$(PW)"]},
        "PW is not a variable that env may",
    ),
    "a Secret that vLLM repeats": (from_secret("VLLM_PORT"), "VLLM_PORT is not for env"),
    "a compiler": (env("GCC_EXEC_PREFIX"), _CODE),
    "a compiler of torch": (env("PYTORCH_NVCC"), _CODE),
    "a compiler of CUDA": (env("NVCC_CCBIN"), _CODE),
    "flags of a compiler": (env("FLASHINFER_EXTRA_CFLAGS"), _CODE),
    "a proxy in another case": (env("Https_proxy"), "it is the operator's setting httpsProxy"),
    "no proxy": (env("no_proxy"), "it is the operator's setting noProxy"),
    "a hub": (env("HF_ENDPOINT"), "it is the operator's setting hubEndpoint"),
    "another hub": (env("HUGGINGFACE_CO_STAGING"), _CODE),
    "a home": (env("HOME"), "the operator sets it"),
    "answers in the log": (env("VLLM_DEBUG_LOG_API_SERVER_RESPONSE"), _CODE),
    "a path of modules": (env("PYTHONPATH"), "it decides which code runs"),
    "a library": (env("LD_PRELOAD"), "it decides which code runs"),
    "code of the model": ({"model": {"uri": "hf://evil/code", "trustRemoteCode": True}}, "RemoteCodeNotAllowed"),
    "a priority over all": (pod(priorityClassName="system-node-critical"), "PriorityClassNotAllowed"),
    "a label of another Service": (pod(labels={"app": "payments"}), "PodLabelNotAllowed"),
    "a label of ours": (pod(labels={"app.kubernetes.io/instance": "payments"}), "belong to the operator"),
    "a label without end": (pod(labels={"team": "x" * 200}), "spec.pod.labels"),
    "an annotation against AppArmor": (pod(annotations=_APPARMOR), "are not for users"),
    "a sidecar": (pod(annotations=_SIDECAR), "PodAnnotationNotAllowed"),
    "an identity of the cloud": (pod(serviceAccountName="payments"), "ServiceAccountNotAllowed"),
    "a runtime of its own": (pod(runtimeClassName="evil"), "RuntimeClassNotAllowed"),
    "a node's field": (on_nodes(key="metadata.uid", operator="In", values=["a"]), "must be metadata.name"),
    "a trigger that connects": (trigger("metrics-api", **_METADATA_SERVER), "TriggerNotAllowed"),
    "a trigger that asks Prometheus": (trigger("prometheus", query="up", threshold="1"), "TriggerNotAllowed"),
    "a claim of another application": ({"model": {"uri": "pvc://payments/data"}}, "ClaimNotAllowed"),
    "a cache of another application": ({"cache": {"existingClaim": "payments"}}, "ClaimNotAllowed"),
    "an image in a folder": ({"image": "localhost/vllm/evil/payload:1"}, "ImageNotAllowed"),
    "a media domain inside": ({"allowedMediaDomains": ["metadata.internal"]}, "MediaDomainNotAllowed"),
    "a network without its exception": (
        {"networkPolicy": {"allowFrom": [_INNER]}},
        "must be a smaller one within cidr",
    ),
    "more GPUs than a node has": ({"tensorParallelSize": 64, "pipelineParallelSize": 64}, "must be at most 64"),
    "a claim of all disks": ({"cache": {"claim": {"storage": "1" + "0" * 35}}}, "spec.cache.claim.storage"),
    "no memory": ({"resources": {"requests": {"cpu": "0", "memory": "0"}}}, "spec.resources.requests"),
    "an adapter of the service's name": ({"lora": {"adapters": [{"name": "attack", "uri": "hf://a/b"}]}}, "rename it"),
}
ATTACKS: dict[str, Attack] = {
    **{f"a model: {name}": Attack(model(name), told, "Fits") for name, (_, told) in MODELS.items()},
    **{name: Attack(spec, told) for name, (spec, told) in _SPECS.items()},
    "the name of the API server": Attack({}, "metadata.name must not be kubernetes", name="kubernetes"),
}
