"""Where vLLM's container has its files, and what vLLM is told for a URI. Mounts nothing itself."""

from ..api import InferenceServiceSpec
from ..api.base import KeyRef
from ..api.model import Model
from ..api.storage import IMAGE
from ..api.templates import IMAGE_TEMPLATES

MODELS_DIR = "/models"
MODEL_IMAGE_DIR = "/model-image"
CACHE_DIR = "/cache"
HOME_DIR = "/home/vllm"
TEMPLATE_PATH = "/etc/vllm/chat-template/template.jinja"
# Where vLLM's images have its folder `examples`: docker/Dockerfile, Dockerfile.cpu and Dockerfile.rocm of 0.32.
EXAMPLES_DIR, ROCM_EXAMPLES_DIR = "/vllm-workspace/examples", "/app/vllm/examples"
PLUGINS_DIR = "/etc/vllm/plugins"
CA_PATH = "/etc/vllm/ca/ca.crt"
MIDDLEWARE_PATH = "/etc/vllm/operator/vllm_operator_middleware.py"
RUNNER_PATH = "/etc/vllm/operator/vllm_operator_batch_runner.py"
# Where the claims of a batch are mounted, its ConfigMap, or what is copied from and to its buckets; and where the
# runner asks for that.
INPUT_DIR, OUTPUT_DIR, PUSH_DIR = "/batch/input", "/batch/output", "/batch/push"


def location(uri: str) -> str:
    """What vLLM is told for a URI: the repository of hf://, a bucket as it is, or where a claim or image is mounted."""
    scheme, rest = uri.split("://", 1)
    if scheme in ("s3", "gs"):
        return uri.rstrip("/")
    if scheme == "oci":
        return MODEL_IMAGE_DIR
    return rest if scheme == "hf" else f"{MODELS_DIR}/{rest}"


def model_location(model: Model) -> str:
    """What vLLM is told for the model itself, which may be in a folder of an image."""
    path = location(model.uri)
    return f"{path}/{model.image_path}" if model.image_path else path


def model_image(model: Model) -> str | None:
    """The image that holds the model; None where it is elsewhere."""
    return model.uri.removeprefix(IMAGE) if model.uri.startswith(IMAGE) else None


def template_path(spec: InferenceServiceSpec) -> str | None:
    """Where the pod has the chat template; None where the spec names none."""
    if spec.chat_template is None or spec.chat_template.from_image is None:
        return TEMPLATE_PATH if spec.chat_template else None
    folder = ROCM_EXAMPLES_DIR if spec.accelerator.resource == "amd.com/gpu" else EXAMPLES_DIR
    return f"{folder}/{IMAGE_TEMPLATES[spec.chat_template.from_image]}"


def plugins(spec: InferenceServiceSpec) -> dict[str, KeyRef]:
    """Python files that vLLM is to load, by the flag that names them."""
    own = spec.parser_plugins
    found = {"tool-parser-plugin": own and own.tool_call, "reasoning-parser-plugin": own and own.reasoning}
    return {flag: ref for flag, ref in found.items() if ref}


def file_path(spec: InferenceServiceSpec, flag: str) -> str | None:
    """Where the pod has the file that a flag names."""
    return f"{PLUGINS_DIR}/{flag}/plugin.py" if flag in plugins(spec) else template_path(spec)


def claims(spec: InferenceServiceSpec) -> list[str]:
    """Names of the claims that the spec's pvc:// URIs refer to, each once, in a stable order."""
    uris = [spec.model.uri]
    if spec.model.tokenizer:
        uris.append(spec.model.tokenizer.uri)
    if spec.lora:
        uris += [adapter.uri for adapter in spec.lora.adapters]
    if spec.speculative and spec.speculative.model:
        uris.append(spec.speculative.model)
    return sorted({uri.removeprefix("pvc://").split("/", 1)[0] for uri in uris if uri.startswith("pvc://")})
