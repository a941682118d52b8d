"""Where the facts about a model are read from: the hub, or a folder of a mounted claim. Reads no weights."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from ..api import limits
from ..api.limits import OverLimitError
from ..api.reasons import Reason
from .hub_errors import hub_trouble
from .images import pixels_of
from .mistral import PARAMS, config_of
from .report import Facts, InspectionError
from .sentences import length_of
from .weights import INDEXES, loaded

# Of each question to the hub; longer where the user has huggingface_hub wait longer.
TIMEOUT_SECONDS = max(20, constants.HF_HUB_ETAG_TIMEOUT)
# https://huggingface.co/docs/safetensors/index#format: the length of the header, 8 bytes, little-endian.
_LENGTH_BYTES = 8
_TOKENIZER_CONFIG = "tokenizer_config.json"
_HEADERS_AT_ONCE = 8


def read_folder(folder: Path) -> Facts:
    """Facts from a folder. Raises InspectionError."""
    if not folder.is_dir():
        message = f"there is no folder {folder.name} in the volume: check the path in model.uri, or model.imagePath"
        raise InspectionError(Reason.MODEL_NOT_FOUND, message)
    config = _file(folder / "config.json")
    if config is None and (params := _file(folder / PARAMS)):
        config = config_of(params)
    if config is None:
        # Which files there are is not told: the claim may be another application's.
        raise InspectionError(Reason.NO_CONFIG, "the folder has no config.json: name the folder of the model")
    files = _names(folder)
    weights = loaded(files, lambda name: _parsed(folder / name))
    size = sum(_data_bytes(folder / name) for name in weights) if weights else None
    template = _has_chat_template(files, lambda: _file(folder / _TOKENIZER_CONFIG))
    read = _reading(lambda name: _file(folder / name))
    noted = length_of(files, read), pixels_of(files, read)
    return Facts(config, _file(folder / "hf_quant_config.json"), size, None, template, *noted)


def _names(folder: Path) -> list[str]:
    """The names in a folder, as many as a model has at most."""
    return [path.name for path in islice(folder.iterdir(), limits.FILES)]


def _has_chat_template(names: Sequence[str], tokenizer_config: Callable[[], dict[str, Any] | None]) -> bool | None:
    """Whether the files hold a chat template, as transformers looks for one; None without a tokenizer of its format."""
    if any(name.startswith(("chat_template.", "additional_chat_templates/")) for name in names):
        return True
    # Mistral's own format needs none.
    if "tekken.json" in names or _TOKENIZER_CONFIG not in names:
        return None
    try:
        return bool((tokenizer_config() or {}).get("chat_template"))
    except InspectionError:  # what vLLM makes of it, it will say
        return None


def _reading(read: Callable[[str], dict[str, Any] | None]) -> Callable[[str], dict[str, Any] | None]:
    """Reads what is noted beside config.json. vLLM passes over a file that is empty, a folder or a broken link."""

    def content(name: str) -> dict[str, Any] | None:
        try:
            return read(name)
        except InspectionError:  # what vLLM makes of it, it will say
            return None

    return content


def _file(path: Path) -> dict[str, Any] | None:
    try:
        return _parsed(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InspectionError(Reason.UNREADABLE, f"{path.name} cannot be read: {error}") from error


def _parsed(path: Path) -> dict[str, Any]:
    """The JSON object in a file, as far as it is no larger than a model's is. Raises InspectionError and OSError."""
    name = path.name
    most, values = limits.CONFIG_BYTES, limits.CONFIG_VALUES
    if name == _TOKENIZER_CONFIG:
        most = limits.TOKENIZER_CONFIG_BYTES
    elif name in INDEXES:
        most, values = limits.INDEX_BYTES, limits.INDEX_VALUES
    with path.open("rb") as file:
        text = file.read(most + 1)
    try:
        content = limits.parsed(text.decode(), name, most, values)
    except OverLimitError as error:
        raise InspectionError(Reason.OVER_LIMIT, f"{error}, and no model's is") from error
    except ValueError as error:
        raise InspectionError(Reason.UNREADABLE, f"{name} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise InspectionError(Reason.UNREADABLE, f"{name} is no JSON object")
    return content


def _data_bytes(path: Path) -> int:
    """Bytes of the tensors in a safetensors file, as its header says: of a file that is cut off, too."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            # One more than allowed is enough to be told.
            return data_bytes(file.read(min(length, limits.HEADER_BYTES + 1)).decode())
    except OverLimitError as error:
        raise InspectionError(Reason.OVER_LIMIT, f"{path.name} is no model's file: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        text = f"{path.name} has no safetensors header ({error}): copy it again"
        raise InspectionError(Reason.UNREADABLE, text) from error


def data_bytes(header: str) -> int:
    """Bytes of all tensors of a safetensors header, by where the last one ends.

    Raises OverLimitError for a header that no model has, and ValueError, KeyError, TypeError or IndexError for none.
    """
    tensors = limits.parsed(header, "the header", limits.HEADER_BYTES, limits.HEADER_VALUES)
    if not isinstance(tensors, dict):
        raise TypeError("it is no JSON object")
    ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
    if any(limits.whole(end, limits.WEIGHTS_BYTES) is None for end in ends):
        raise OverLimitError(f"a tensor does not end between 0 and {limits.WEIGHTS_BYTES:,} bytes")
    return int(max(ends))


def read_hub(repository: str, revision: str | None, token: str | None) -> Facts:
    """Facts from the hub, at the endpoint that HF_ENDPOINT names. Raises InspectionError."""
    with hub_trouble(repository, revision, token):
        return _read_hub(repository, revision, token)


def _read_hub(repository: str, revision: str | None, token: str | None) -> Facts:
    api = HfApi(token=token or False)  # False: not that of this machine's user
    info = api.model_info(repository, revision=revision, timeout=TIMEOUT_SECONDS)
    commit, names = info.sha, [file.rfilename for file in (info.siblings or ())[: limits.FILES]]
    if "config.json" not in names and PARAMS in names:
        config = config_of(hub_file(repository, PARAMS, commit, token))
    else:
        config = hub_file(repository, "config.json", commit, token)
    try:
        quantization = hub_file(repository, "hf_quant_config.json", commit, token)
    except EntryNotFoundError:
        quantization = None
    template = _has_chat_template(names, lambda: hub_file(repository, _TOKENIZER_CONFIG, commit, token))
    read = _reading(lambda name: hub_file(repository, name, commit, token))
    noted = length_of(names, read), pixels_of(names, read)
    files = loaded(names, lambda name: hub_file(repository, name, commit, token))
    if not files:
        return Facts(config, quantization, None, commit, template, *noted)

    def data_size(name: str) -> int:
        header = api.parse_safetensors_file_metadata(repository, name, revision=commit, timeout=TIMEOUT_SECONDS)
        return sum(tensor.data_offsets[1] - tensor.data_offsets[0] for tensor in header.tensors.values())

    with ThreadPoolExecutor(_HEADERS_AT_ONCE) as pool:
        size = sum(pool.map(data_size, files))
    if limits.whole(size, limits.WEIGHTS_BYTES) is None:
        raise InspectionError(Reason.OVER_LIMIT, f"the weights have no bytes from 0 to {limits.WEIGHTS_BYTES:,}")
    return Facts(config, quantization, size, commit, template, *noted)


def hub_file(repository: str, name: str, commit: str | None, token: str | None) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        path = hf_hub_download(
            repository, name, revision=commit, token=token or False, local_dir=folder, etag_timeout=TIMEOUT_SECONDS
        )
        return _parsed(Path(path))
