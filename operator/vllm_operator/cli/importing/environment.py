"""From a container's variables to the fields of the spec, by what `env` may set and what stands in for the rest."""

import base64
import binascii
from contextlib import suppress
from typing import Any

from ...api.environment import CREDENTIALS, INSTEAD, refusal
from ...api.loading import is_offline
from ...api.vocabulary import VLLM_VERSION
from .bucket import take_bucket
from .documents import Sources
from .launch.variables import MODELSCOPE, Variable, Variables, is_secret
from .part import Part
from .report import Went
from .secrets import HIDDEN, announce, take_credential
from .server import Server
from .values import in_bytes
from .volumes import take_cache

_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "HF_API_TOKEN")
_CACHE_FOLDERS = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE")
_FIELDS_OF_POD = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "status.podIP", "status.hostIP",
)  # fmt: skip
# What the operator, the device plugin or the image sets.
_OWNED = (
    "HOME", "USER", "TMPDIR", "HOST", "PORT", "VLLM_HOST_IP", "VLLM_PORT", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK",
    "PYTHONNOUSERSITE", "VLLM_CACHE_ROOT", "XDG_CACHE_HOME", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR",
    "FLASHINFER_WORKSPACE_BASE", "CUDA_CACHE_PATH", "VLLM_ASSETS_CACHE", "VLLM_CONFIG_ROOT", "LOGNAME",
    "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES", "VLLM_KEEP_ALIVE_ON_ENGINE_DEATH", "PYTHONUNBUFFERED",
)  # fmt: skip


def variables_of(container: Part, sources: Sources) -> Variables:
    """The variables of a container: those of envFrom whose keys can be read, then its own."""
    variables = Variables()
    for source in container.at("envFrom").each():
        for variable in _from_whole(source, sources):
            variables.add(variable)
    for item in container.at("env").each():
        variables.add(variable_of(item, sources))
    for name, one in list(variables.by_name.items()):
        if one.value is not None and "$(" in one.value:
            variables.add(Variable(name, one.origin, variables.kubernetes(one.value)))
    return variables


def variable_of(item: Part, sources: Sources) -> Variable:
    """A variable as Kubernetes has it; one from a ConfigMap of the sources has its value."""
    name = item.at("name").text
    origin = item.origin(f"env {name}")
    source = next((key for key, _ in item.at("valueFrom").items()), "")
    if not source:
        return Variable(name, origin, item.at("value").text)
    ref = {key: part.value for key, part in item.at("valueFrom", source).items()}
    value = None
    if source == "configMapKeyRef":
        value = _config(sources, str(ref.get("name")), str(ref.get("key")))
    return Variable(name, origin, value, source, ref)


def _config(sources: Sources, name: str, key: str) -> str | None:
    found = sources.find("ConfigMap", name)
    part = found.root.at("data", key) if found else None
    return part.text if part else None


def _from_whole(source: Part, sources: Sources) -> list[Variable]:
    prefix = source.at("prefix").text
    for kind, key, source_kind in (
        ("ConfigMap", "configMapRef", "configMapKeyRef"),
        ("Secret", "secretRef", "secretKeyRef"),
    ):
        name = source.at(key, "name").text
        found = sources.find(kind, name) if name else None
        if found is None:
            continue
        names = [*dict(found.root.at("data").items()), *dict(found.root.at("stringData").items())]
        return [
            Variable(
                f"{prefix}{one}",
                source.origin(f"envFrom {name}: {prefix}{one}"),
                found.root.at("data", one).text if kind == "ConfigMap" else None,
                source_kind,
                {"name": name, "key": one},
            )
            for one in names
        ]
    return []


def take_env_from(server: Server, container: Part) -> None:
    """Say what became of whole ConfigMaps and Secrets."""
    for source in container.at("envFrom").each():
        name = source.at("secretRef", "name").text or source.at("configMapRef", "name").text
        if any(one.ref.get("name") == name for one in server.variables.by_name.values()):
            server.draft.say(source.origin(f"envFrom {name}"), Went.FIELD, "its keys are variables of their own, above")
        else:
            server.draft.say(
                source.origin(f"envFrom {name}"),
                Went.LEFT,
                f"its keys cannot be read here: add {name} to the source (or import from the cluster), or write each "
                "variable that vLLM needs into env, with valueFrom",
            )


def take_variables(server: Server) -> None:
    """Take every variable over, or say why not. Credentials come last: whether they are needed depends on the rest."""
    later = []
    taken = take_bucket(server)
    for variable in list(server.variables.by_name.values()):
        if variable.name in taken:
            continue
        if variable.name in (*_TOKENS, "VLLM_API_KEY"):
            later.append(variable)
        else:
            _take(server, variable)
    for variable in later:
        flag = "api-key" if variable.name == "VLLM_API_KEY" else "hf-token"
        if variable.value == "":
            server.draft.say(variable.origin, Went.OPERATOR, "is empty")
        else:
            take_credential(server, flag, variable, variable.origin)


def _take(server: Server, variable: Variable) -> None:
    draft, name = server.draft, variable.name
    if name in _CACHE_FOLDERS and variable.value and take_cache(server, variable.value):
        draft.say(variable.origin, Went.FIELD, "cache")
    elif handled := _SPECIAL.get(name):
        handled(server, variable)
    elif name.upper() in _OWNED or name in _CACHE_FOLDERS:
        draft.say(variable.origin, Went.OPERATOR, _owned(name))
    elif said := refusal(name):
        _refused(server, variable, said)
    else:
        _pass_on(server, variable)


def _owned(name: str) -> str:
    instead = INSTEAD.get(name.upper(), "")
    return (
        instead
        if instead and "leave it out" in instead
        else "the operator, or the image, sets it: caches are in the cache"
    )


def _refused(server: Server, variable: Variable, said: str) -> None:
    if variable.name in server.variables.used:
        server.draft.say(variable.origin, Went.FIELD, "its value stands in the command line, and was taken over there")
    elif "gone from vLLM" in said:
        server.draft.say(variable.origin, Went.GONE, said.partition(": ")[2])
    else:
        server.draft.say(variable.origin, Went.LEFT, said.removeprefix(f"{variable.name} is not for env: "))


def _pass_on(server: Server, variable: Variable) -> None:
    """A variable that env may set."""
    draft, item = server.draft, {"name": variable.name}
    value: Any = None
    if variable.source == "secretKeyRef" and variable.name not in CREDENTIALS:
        draft.say(variable.origin, Went.LEFT, refusal(variable.name, secret=True) or "")
        return
    if variable.source == "fieldRef" and variable.ref.get("fieldPath") not in _FIELDS_OF_POD:
        draft.say(variable.origin, Went.LEFT, f"env takes of the pod only {', '.join(_FIELDS_OF_POD)}")
        return
    if variable.source in ("secretKeyRef", "configMapKeyRef", "fieldRef"):
        kept = {key: one for key, one in variable.ref.items() if key in ("name", "key", "optional", "fieldPath")}
        value = {**item, "valueFrom": {variable.source: kept}}
    elif variable.source:
        draft.say(variable.origin, Went.LEFT, f"env takes no {variable.source}")
        return
    elif variable.value in (f"${{{variable.name}}}", f"${variable.name}"):
        draft.say(variable.origin, Went.LEFT, "has the value of whoever starts the container: write it into env")
        return
    elif variable.name in CREDENTIALS:
        ref = {"name": f"{draft.name}-storage", "key": variable.name}
        announce(server, ref)
        value = {**item, "valueFrom": {"secretKeyRef": ref}}
    else:
        value = {**item, "value": variable.value}
    others = [one for one in draft.get("env") or [] if one["name"] != variable.name]
    before = len(draft.report.rows)
    if draft.put("env", [*others, value], variable.origin):
        shown = variable.source if variable.value is None else variable.value
        shown = HIDDEN if is_secret(variable.name, variable.value) else shown
        draft.report.rows[before] = draft.report.rows[before]._replace(text=f"env: {shown}")
        if is_offline(variable.name, variable.value):
            draft.offline[variable.name] = variable.origin


def _attention(server: Server, variable: Variable) -> None:
    from .launch.special import ALIASES  # noqa: PLC0415

    value = (variable.value or "").upper()
    value = ALIASES["--attention-backend"].get(value, value)
    server.draft.pass_on(f"--attention-backend={value}", ("--attention-backend",), variable.origin)


def _v1(server: Server, variable: Variable) -> None:
    text = f"vLLM {VLLM_VERSION} has one engine, the one that was V1"
    server.draft.say(variable.origin, Went.GONE, text)


def _kv_space(server: Server, variable: Variable) -> None:
    if variable.value and variable.value.isdecimal():
        server.draft.put("kvCache.memoryPerGPU", in_bytes(int(variable.value) << 30), variable.origin)


def _libraries(server: Server, variable: Variable) -> None:
    folders = [folder for folder in (variable.value or "").replace("${LD_LIBRARY_PATH}", "").split(":") if folder]
    if all("nvidia" in folder or "cuda" in folder or "rocm" in folder for folder in folders):
        server.draft.say(variable.origin, Went.OPERATOR, "the image and the device plugin set it")
    else:
        server.draft.say(variable.origin, Went.LEFT, INSTEAD["LD_LIBRARY_PATH"])


def _modelscope(server: Server, variable: Variable) -> None:
    if server.variables.of_modelscope:
        server.draft.say(variable.origin, Went.LEFT, INSTEAD[MODELSCOPE])
    else:
        server.draft.say(variable.origin, Went.DEFAULT, "is off: vLLM's default")


_SPECIAL = {
    MODELSCOPE: _modelscope,
    "VLLM_ATTENTION_BACKEND": _attention,
    "VLLM_USE_V1": _v1,
    "VLLM_CPU_KVCACHE_SPACE": _kv_space,
    "LD_LIBRARY_PATH": _libraries,
}


def secret_values(sources: Sources) -> set[str]:
    """The values of all Secrets in the sources, as they are and decoded: nothing of them may be printed."""
    found = set()
    for document in sources.of_kind("Secret"):
        values = [
            *dict(document.root.at("stringData").items()).values(),
            *dict(document.root.at("data").items()).values(),
        ]
        for part in values:
            found.add(part.text)
            with suppress(binascii.Error, ValueError):
                found.add(base64.b64decode(part.text, validate=True).decode())
    return found
