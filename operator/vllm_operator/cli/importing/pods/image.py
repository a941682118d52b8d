"""Which image runs vLLM, and what becomes of it: the operator's own choice, or the field `image`. Pulls nothing."""

import re

from ....api.flags.versions import too_old
from ....api.vocabulary import OLDEST_VLLM_VERSION, VLLM_VERSION
from ..documents import ImportInputError
from ..part import Part
from ..report import Went
from ..server import Server

_STOCK = re.compile(r"(?:docker\.io/|index\.docker\.io/)?vllm/vllm-openai(?:[:@].*)?")
_VLLM = re.compile(r"vllm|nvcr\.io/nim/|huggingfaceserver", re.IGNORECASE)
_NOT_VLLM = re.compile(
    r"router|gateway|vllm-?(?:proxy|exporter|bench|client|webui|ui)\b|sidecar|routing", re.IGNORECASE
)
_VERSION = re.compile(r"[:@]v?(\d+)\.(\d+)(?:\.(\d+))?")
_DEVICES = {
    "rocm": "amd.com/gpu", "cpu": "cpu",
}  # fmt: skip
_OTHER = {
    "tpu": "TPUs",
    "neuron": "Neuron devices",
    "hpu": "Gaudi",
    "gaudi": "Gaudi",
    "xpu": "Intel GPUs",
    "ascend": "Ascend NPUs",
}


def is_vllm(image: str) -> bool:
    """Whether an image is one of vLLM's server, by its name."""
    return bool(_VLLM.search(image)) and not _NOT_VLLM.search(image)


def starts_server(image: str) -> bool:
    """Whether an image starts vLLM's server by itself, so that arguments alone are its flags."""
    return is_vllm(image) and not image.startswith("nvcr.io/nvidia/")


def take_image(server: Server, image: Part) -> None:
    """Take the image over, or leave it to the operator. Raises ImportInputError for devices that are not served."""
    text, draft = image.text, server.draft
    name = text.rsplit("/", 1)[-1]
    tag = name.partition(":")[2]
    if "omni" in name:
        raise ImportInputError(f"{text} is vLLM-Omni, another server with other flags: it is not taken over")
    for word, devices in _OTHER.items():
        if re.search(rf"(?:^|[-_:/]){word}(?:$|[-_:.0-9])", text):
            raise ImportInputError(f"{text} is made for {devices}: only GPUs of NVIDIA and AMD, and CPUs, are served")
    for word, resource in _DEVICES.items():
        if word in name and not draft.get("accelerator.resource"):
            draft.put("accelerator.resource", resource, image.origin("image"))
    version = _VERSION.search(text)
    known = (int(version[1]), int(version[2])) if version and _STOCK.fullmatch(text) else None
    origin = image.origin(f"image {text}")
    if "$" in text or "{{" in text:
        draft.say(origin, Went.LEFT, f"is not written out: the operator's own image (vLLM {VLLM_VERSION}) is used")
    elif too_old(text):
        draft.say(
            origin,
            Went.GONE,
            f"the operator serves vLLM {OLDEST_VLLM_VERSION} to {VLLM_VERSION}: its own image takes the place",
        )
    elif _STOCK.fullmatch(text) and (known is None or f"v{VLLM_VERSION}" in text) and "@" not in text:
        draft.say(
            origin,
            Went.OPERATOR if known or tag in ("", "latest") else Went.GONE,
            f"the operator's image has vLLM {VLLM_VERSION}",
        )
    elif re.fullmatch(r"(?:docker\.io/)?(?:vllm/vllm-openai-cpu|.*/vllm-cpu-release-repo)(?::.*)?", text):
        draft.say(origin, Went.OPERATOR, f"the operator's image for CPUs has vLLM {VLLM_VERSION}")
    else:
        draft.put("image", text.removeprefix("docker.io/"), origin)
