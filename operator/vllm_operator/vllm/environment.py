"""The environment of vLLM's container, and what of the cluster's configuration it is made of."""

from pathlib import PurePosixPath
from typing import Any

from ..api import InferenceServiceSpec
from ..api.storage import STORE_KEYS, STORE_VARIABLES, ObjectStore
from ..settings import Settings
from .paths import CA_PATH, CACHE_DIR, HOME_DIR, MIDDLEWARE_PATH, plugins
from .ranks import HOST_IP, rank_environment

_OWNED = {
    # Libraries read settings there, and Python code: it is never on a claim, which others may write. What was
    # below it and takes long to make stays on the claim.
    "HOME": HOME_DIR,
    "FLASHINFER_WORKSPACE_BASE": f"{CACHE_DIR}/home",
    "CUDA_CACHE_PATH": f"{CACHE_DIR}/home/.nv/ComputeCache",
    # The user has no name in upstream's image; torch and getpass look here before they give up.
    "USER": "vllm",
    "HF_HOME": f"{CACHE_DIR}/huggingface",
    "VLLM_CACHE_ROOT": f"{CACHE_DIR}/vllm",
    "VLLM_CONFIG_ROOT": f"{CACHE_DIR}/vllm-config",
    "TRITON_CACHE_DIR": f"{CACHE_DIR}/triton",
    "TORCHINDUCTOR_CACHE_DIR": f"{CACHE_DIR}/torchinductor",
    "XDG_CACHE_HOME": f"{CACHE_DIR}/xdg",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONNOUSERSITE": "1",
    "PYTHONPATH": str(PurePosixPath(MIDDLEWARE_PATH).parent),
}
_HUB = ("HF_ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE",
        "HF_TOKEN")  # fmt: skip
# A pod's own, which the topic of KV cache events may have in it.
POD_VARIABLES = {"POD_IP": "status.podIP", "POD_NAME": "metadata.name"}
# Replicas, and a router beside them, call blocks with the same tokens the same only where this is the same; the same
# value whatever vLLM's version and algorithm.
_HASH_SEED = {"name": "PYTHONHASHSEED", "value": "0"}
VISIBLE, NONE_VISIBLE = "NVIDIA_VISIBLE_DEVICES", "void"
_OF_DEVICE_PLUGIN = "nvidia.com/"
# The operator's own: it sets no others, and has set no others.
OWN_NAMES = frozenset(
    {
        *_OWNED,
        *_HUB,
        *STORE_VARIABLES,
        *POD_VARIABLES,
        "VLLM_API_KEY",
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS",
        HOST_IP,
        VISIBLE,
    }
)


def configuration(spec: InferenceServiceSpec) -> dict[tuple[str, str], set[str]]:
    """Keys of the Secrets and ConfigMaps that a pod reads once, when it starts, by kind and name."""
    found: dict[tuple[str, str], set[str]] = {}
    variables = [variable.value_from for variable in spec.env or [] if variable.value_from]
    refs: list[tuple[str, Any]] = [("Secret", spec.model.token_secret_ref), ("Secret", spec.api_key_secret_ref)]
    refs += [("Secret", source.secret_key_ref) for source in variables]
    refs += [("ConfigMap", source.config_map_key_ref) for source in variables]
    refs += [("ConfigMap", spec.chat_template.config_map_key_ref if spec.chat_template else None)]
    refs += [("ConfigMap", ref) for ref in plugins(spec).values()]
    for kind, ref in refs:
        if ref:
            found.setdefault((kind, ref.name), set()).add(ref.key)
    store = spec.model.object_store
    if store and store.credentials_secret_name:
        found.setdefault(("Secret", store.credentials_secret_name), set()).update(STORE_KEYS[:2])
    return found


def _secret(name: str, ref: Any) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": ref.name, "key": ref.key}}}


def hub_environment(spec: InferenceServiceSpec, settings: Settings) -> list[dict[str, Any]]:
    """How a pod reaches the model hub: the operator's settings, and the user's token."""
    hub = {"HF_ENDPOINT": settings.hub_endpoint} if settings.hub_endpoint else {}
    values = {**hub, **outside(settings)}
    variables: list[dict[str, Any]] = [{"name": key, "value": value} for key, value in values.items()]
    return [*variables, *([_secret("HF_TOKEN", spec.model.token_secret_ref)] if spec.model.token_secret_ref else [])]


def outside(settings: Settings) -> dict[str, str]:
    """How a pod reaches what is outside: proxies, and certificates to trust."""
    values = {
        "HTTP_PROXY": settings.http_proxy,
        "HTTPS_PROXY": settings.https_proxy,
        "NO_PROXY": settings.no_proxy,
        "SSL_CERT_FILE": CA_PATH if settings.ca_config_map else None,
        "REQUESTS_CA_BUNDLE": CA_PATH if settings.ca_config_map else None,
        # The one that weights streamed from S3 are read with (runai-model-streamer).
        "AWS_CA_BUNDLE": CA_PATH if settings.ca_config_map else None,
    }
    return {name: value for name, value in values.items() if value}


def store_key(secret: str, key: str) -> dict[str, Any]:
    """Where a Secret has one of the keys to a store; a session's token alone may be missing."""
    return {"name": secret, "key": key, **({"optional": True} if key == "AWS_SESSION_TOKEN" else {})}


def store_environment(store: ObjectStore | None) -> list[dict[str, Any]]:
    """How a pod reaches a bucket of S3: address and region, and keys where a Secret has them."""
    if store is None:
        return []
    values = {
        "AWS_ENDPOINT_URL": store.endpoint,
        "RUNAI_STREAMER_S3_ENDPOINT": store.endpoint,
        # Other stores than AWS's have no name of the DNS for each bucket.
        "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "0" if store.endpoint else None,
        "AWS_REGION": store.region,
        "AWS_DEFAULT_REGION": store.region,
        # Keys that are given are not looked for at the cloud.
        "AWS_EC2_METADATA_DISABLED": "true" if store.credentials_secret_name else None,
    }
    variables: list[dict[str, Any]] = [{"name": key, "value": value} for key, value in values.items() if value]
    if secret := store.credentials_secret_name:
        variables += [{"name": key, "valueFrom": {"secretKeyRef": store_key(secret, key)}} for key in STORE_KEYS]
    return variables


def media_hosts(settings: Settings) -> tuple[str, ...] | None:
    """Hosts that media may come from where the spec names none; None: any."""
    return None if "*" in settings.allowed_media_domains else settings.allowed_media_domains


def environment(spec: InferenceServiceSpec, settings: Settings) -> list[dict[str, Any]]:
    """Environment of vLLM's container, as in a PodSpec: the operator's, the hub settings, then the user's own."""
    variables: list[dict[str, Any]] = [{"name": key, "value": value} for key, value in _OWNED.items()]
    # NVIDIA's device plugin says which GPUs, with the same variable. Drivers of DRA say void as well.
    if spec.accelerator.device_class or not spec.accelerator.resource.startswith(_OF_DEVICE_PLUGIN):
        variables = without_gpus(variables)
    if spec.allowed_media_domains is not None or media_hosts(settings) is not None:
        variables.append({"name": "VLLM_MEDIA_URL_ALLOW_REDIRECTS", "value": "0"})
    variables += hub_environment(spec, settings)
    variables += store_environment(spec.model.object_store)
    if spec.api_key_secret_ref:
        variables.append(_secret("VLLM_API_KEY", spec.api_key_secret_ref))
    variables += _unless_given(spec, rank_environment(spec.nodes, settings.ip_family))
    return variables + _of_events(spec) + [variable.to_manifest() for variable in spec.env or []]


def without_gpus(variables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The environment of a container that gets no GPU from NVIDIA's device plugin.

    Images for CUDA ask for all, and NVIDIA's container runtime gives them all of the node's, in no limit's count
    (k8s-device-plugin, issue 87).
    """
    return [*(one for one in variables if one["name"] != VISIBLE), {"name": VISIBLE, "value": NONE_VISIBLE}]


def _of_events(spec: InferenceServiceSpec) -> list[dict[str, Any]]:
    events = spec.kv_cache.events if spec.kv_cache else None
    if events is None:
        return []
    named = [(name, path) for name, path in POD_VARIABLES.items() if f"$({name})" in (events.topic or "")]
    return [
        *_unless_given(spec, [_HASH_SEED]),
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in named),
    ]


def _unless_given(spec: InferenceServiceSpec, variables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the operator's that the user does not set: a name stands in `env` once."""
    given = {variable.name for variable in spec.env or []}
    return [variable for variable in variables if variable["name"] not in given]
