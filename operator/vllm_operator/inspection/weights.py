"""Which safetensors files of a repository vLLM loads: many carry the same weights twice. Opens no file.

Source: vllm/model_executor/model_loader/default_loader.py and weight_utils.py, vLLM 0.32, with --load-format=auto.
"""

from collections.abc import Callable, Iterable
from fnmatch import filter as matching
from typing import Any

from ..api.reasons import Reason
from .report import InspectionError

INDEX, MISTRAL_INDEX = "model.safetensors.index.json", "consolidated.safetensors.index.json"
INDEXES = (INDEX, MISTRAL_INDEX)
# Mistral's own format comes first where there is one.
_MISTRAL = "consolidated*.safetensors"
_NAMED = 3
"""Files that a message names."""


def loaded(names: Iterable[str], index_of: Callable[[str], dict[str, Any]]) -> list[str]:
    """Those of the files that vLLM would load, by name: of the top folder, and of the index where there is one.

    `index_of` reads an index. Raises InspectionError for one that is none, or that names files which are not there.
    """
    there = set(names)
    top = sorted(name for name in there if name.endswith(".safetensors") and "/" not in name)
    mistral = matching(top, _MISTRAL)
    files, index = (mistral, MISTRAL_INDEX) if mistral else (top, INDEX)
    if not files or index not in there:
        return files
    by_tensor = index_of(index).get("weight_map")
    listed = set(map(str, by_tensor.values())) if isinstance(by_tensor, dict) else set()
    if not listed:
        raise InspectionError(Reason.UNREADABLE, f"{index} has no weight_map: copy it again")
    if lacking := sorted(listed.difference(files)):
        text = ", ".join(lacking[:_NAMED]) + (" and others" if len(lacking) > _NAMED else "")
        message = f"{index} names files that are not there, and vLLM would not start: {text}: copy the model again"
        raise InspectionError(Reason.UNREADABLE, message)
    return [name for name in files if name in listed]


_WEIGHTS = (
    ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".ggml", ".onnx", ".onnx_data", ".h5", ".msgpack", ".ot",
    ".tflite", ".npz", ".pkl", ".nemo", ".mlmodel", ".llamafile", ".tar", ".zip", ".gz", ".mp4", ".mov", ".wav",
)  # fmt: skip
_ORIGINAL = "original/"


def fetched(names: Iterable[str], index_of: Callable[[str], dict[str, Any]], load_format: str | None) -> list[str]:
    """Files that a pod of vLLM would download for a load format (None: vLLM's default): weights, and all small ones.

    `index_of` reads an index. Source: `download_weights_from_hf` of weight_utils.py, vLLM 0.32. What it does not name,
    vLLM fetches itself, so a file too few costs time and nothing else.
    """
    there = sorted(set(names))
    small = [name for name in there if not name.lower().endswith(_WEIGHTS) and not name.startswith(_ORIGINAL)]
    return [*small, *_weights(there, index_of, load_format)]


def _weights(there: list[str], index_of: Callable[[str], dict[str, Any]], load_format: str | None) -> list[str]:
    kept = [name for name in there if not name.startswith(_ORIGINAL)]
    mistral = matching(kept, _MISTRAL) if load_format in (None, "auto", "mistral") else []
    if mistral:
        return mistral
    if found := matching(kept, "*.safetensors"):
        if INDEX not in there:
            return found
        by_tensor = index_of(INDEX).get("weight_map")
        listed = set(map(str, by_tensor.values())) if isinstance(by_tensor, dict) else set()
        return [name for name in found if name in listed] or found
    return matching(kept, "*.bin") or matching(kept, "*.pt")
