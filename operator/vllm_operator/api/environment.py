"""Environment variables of vLLM's container, and which of them a service may not set."""

from typing import Annotated, Literal

from .base import ApiModel, Form, KeyName, Limits, ObjectName, optional, required, rule, with_rules

# What changes which code runs, what leaves the platform team's settings (hub, proxy, CA), and what a field of the spec
# or the operator sets. Paths are among it because a path can lead into a claim, where anybody may have put a library.
FORBIDDEN_PREFIXES = (
    "LD_", "PYTHON", "GLIBC_", "BASH_", "PIP_", "UV_", "NVIDIA_", "GIT_", "OTEL_PYTHON_", "VLLM_LORA_RESOLVER_",
)  # fmt: skip
FORBIDDEN_SUFFIXES = (
    "PATH", "_DIR", "_DIRS", "_FOLDER", "_HOME", "_ROOT", "_PLUGIN", "_PLUGINS", "_PRELOAD", "_LIB", "_LIBRARY",
    "CONF_FILE", "CONFIG_FILE",
)  # fmt: skip
FORBIDDEN_NAMES = (
    "HOME", "USER", "IFS", "ENV", "SHELL", "TMPDIR", "MALLOC_CONF", "OPENSSL_CONF", "OPENSSL_MODULES",
    "VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "VLLM_ALLOW_INSECURE_SERIALIZATION",
    "VLLM_USE_MODELSCOPE", "VLLM_API_KEY", "VLLM_HOST_IP", "VLLM_PORT", "VLLM_KEEP_ALIVE_ON_ENGINE_DEATH",
    "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK",
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "HF_HUB_CACHE", "HF_MODULES_CACHE", "TRANSFORMERS_CACHE",
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
    "NCCL_NET", "CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS",
)  # fmt: skip
_WHY = (
    "is not allowed in env: it can load code, or it is set by the operator or the platform team; "
    "use the field of the spec if there is one"
)


class ObjectFieldRef(ApiModel):
    """A field of the pod itself."""

    field_path: Literal[
        "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "status.podIP", "status.hostIP"
    ] = required("The field.", "status.podIP")


class OptionalKeyRef(ApiModel):
    """A key of a Secret or ConfigMap, possibly missing."""

    name: ObjectName = required("Name of the object, in the namespace of the service.", "settings")
    key: KeyName = required("Key within it.", "endpoint")
    optional: bool | None = optional("Whether the pod may start without it.", True)


class EnvVarSource(ApiModel):
    """Where the value of a variable comes from: exactly one source."""

    model_config = with_rules(
        rule(
            "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].filter(x, x).size() == 1",
            "valueFrom needs exactly one of secretKeyRef, configMapKeyRef or fieldRef",
        )
    )

    secret_key_ref: OptionalKeyRef | None = optional("A key of a Secret.", {"name": "s3", "key": "id"})
    config_map_key_ref: OptionalKeyRef | None = optional("A key of a ConfigMap.", {"name": "settings", "key": "level"})
    field_ref: ObjectFieldRef | None = optional("A field of the pod.", {"fieldPath": "status.podIP"})


class EnvVar(ApiModel):
    """An environment variable of vLLM's container."""

    model_config = with_rules(
        rule("has(self.value) != has(self.valueFrom)", "an env entry needs either value or valueFrom, and not both"),
        rule(
            f"!(self.name in {list(FORBIDDEN_NAMES)!r})"
            f" && !{list(FORBIDDEN_PREFIXES)!r}.exists(p, self.name.startsWith(p))"
            f" && !{list(FORBIDDEN_SUFFIXES)!r}.exists(s, self.name.endsWith(s))",
            f"this variable {_WHY}",
            message_expression=f"self.name + ' {_WHY}'",
        ),
    )

    name: Annotated[
        str,
        Limits(max_length=128),
        Form(r"[A-Za-z_][A-Za-z0-9_]*", "must be letters, digits and _, and not begin with a digit"),
    ] = required("Name of the variable.", "VLLM_LOGGING_LEVEL")
    value: Annotated[str, Limits(max_length=4096)] | None = optional("Its value, as a string.", "DEBUG")
    value_from: EnvVarSource | None = optional(
        "Where its value comes from.", {"secretKeyRef": {"name": "s3", "key": "id"}}
    )
