"""Where vLLM's container has its files, and what vLLM is told for a URI. Mounts nothing itself."""

from ..api import InferenceServiceSpec

MODELS_DIR = "/models"
CACHE_DIR = "/cache"
HOME_DIR = "/home/vllm"
TEMPLATE_PATH = "/etc/vllm/chat-template/template.jinja"
CA_PATH = "/etc/vllm/ca/ca.crt"
MIDDLEWARE_PATH = "/etc/vllm/operator/vllm_operator_middleware.py"
RUNNER_PATH = "/etc/vllm/operator/vllm_operator_batch_runner.py"
# Where the claims of a batch are mounted, or its ConfigMap.
INPUT_DIR, OUTPUT_DIR = "/batch/input", "/batch/output"


def location(uri: str) -> str:
    """What vLLM is told for a URI: the repository of hf://, or the path at which a claim is mounted."""
    scheme, rest = uri.split("://", 1)
    return rest if scheme == "hf" else f"{MODELS_DIR}/{rest}"


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
