"""How vLLM may load weights: every load format of vLLM 0.32, which of them a service may ask for, and their options.

One table, which the field, extraArgs, the refusals and docs/weights.md are made of; a test holds it against vLLM's own
list. A format is refused if it runs code that is not vLLM's, or wants what a pod does not have. Loads nothing.

Source: vllm/model_executor/model_loader/__init__.py, its loaders, and vllm/config/load.py.
"""

from typing import Annotated, NamedTuple

from .base import ApiModel, Bytes, Limits, optional, rule
from .storage import BUCKETS


class LoadFormat(NamedTuple):
    """What there is to know of one load format."""

    says: str
    """What it does."""
    instead: str = ""
    """Why it is refused, and what to do; empty where a service may ask for it."""


LOAD_FORMATS: dict[str, LoadFormat] = {
    "auto": LoadFormat("vLLM's default: Mistral's consolidated files, else as hf; a bucket is streamed"),
    "hf": LoadFormat("safetensors, and PyTorch's .bin where there are none (tensors only: no code in them is run)"),
    "safetensors": LoadFormat("safetensors, and nothing else"),
    "fastsafetensors": LoadFormat("safetensors, copied to the GPU in large pieces, by GPUDirect where there is that"),
    "instanttensor": LoadFormat("safetensors, by direct I/O, with reading and copying at once; CUDA only"),
    "runai_streamer": LoadFormat("safetensors, streamed by many threads from a volume or a bucket"),
    "runai_streamer_sharded": LoadFormat("files that were saved for each rank, streamed as by runai_streamer"),
    "sharded_state": LoadFormat("files that were saved for each rank (one tensorParallelSize), each read by its rank"),
    "npcache": LoadFormat("PyTorch's .bin (tensors only), with a copy as numpy files that it writes beside them"),
    "dummy": LoadFormat("random weights, to measure speed: its answers mean nothing"),
    "mistral": LoadFormat(
        "Mistral's consolidated files",
        "use model.format: mistral, which sets the format of config and tokenizer as well",
    ),
    "pt": LoadFormat("PyTorch's .pt files", "it unpickles files: convert the model to safetensors and leave it out"),
    "tensorizer": LoadFormat(
        "CoreWeave's serialized models",
        "its files and options name addresses and classes to load: use safetensors with fastsafetensors or "
        "runai_streamer, which are as fast",
    ),
    "ipc_cache": LoadFormat(
        "weights that a daemon on the node keeps on its GPUs",
        "it needs a daemon of vLLM beside the pod, which holds the GPUs: use fastsafetensors or runai_streamer",
    ),
    "modelexpress": LoadFormat(
        "weights from other engines, by ModelExpress",
        "it needs a package that vLLM's image does not have, and a server: use fastsafetensors or runai_streamer",
    ),
}
ALLOWED = tuple(name for name, row in LOAD_FORMATS.items() if not row.instead)
REFUSED = {name: row.instead for name, row in LOAD_FORMATS.items() if row.instead}
# What reads a bucket; vLLM chooses the first where nothing is said.
STREAMERS = ("runai_streamer", "runai_streamer_sharded")
# What reads files that were saved for each rank: from a folder or s3://, not from the hub (sharded_state_loader.py).
SHARDED = ("sharded_state", "runai_streamer_sharded")
# With these variables vLLM takes the folder in its cache for the model (engine/arg_utils.py).
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
# The values of theirs that count, in any case (huggingface_hub/constants.py).
_TRUE = ("1", "ON", "YES", "TRUE")
# Of vLLM's default loader, those that take a number of threads.
THREADED = ("auto", "hf", "safetensors")

LoadFormatName = Annotated[str, Limits(max_length=32)]
LOAD_FORMAT_RULES = [
    rule(
        f"!(self in {list(REFUSED)!r})",
        "this load format is not served",
        message_expression=f"'load format ' + self + ' is not served: ' + {REFUSED!r}[self]",
    ),
    rule(
        f"self in {[*ALLOWED, *REFUSED]!r}",
        f"must be one of {', '.join(ALLOWED)}; leave it out to have vLLM choose",
    ),
]


def is_offline(name: str, value: str | None) -> bool:
    """Whether a variable keeps huggingface_hub from asking the hub. `value`: None where it stands elsewhere."""
    return name in OFFLINE and (value is None or value.upper() in _TRUE)


class LoaderOptions(ApiModel):
    """How the load format reads. Names no files."""

    concurrency: int | None = optional(
        "Threads that read at once, or connections to a bucket; of runai_streamer.", 16, ge=1, le=1024
    )
    memory_limit: Bytes | None = optional(
        "Host memory that weights pass through, for each rank; of runai_streamer (vLLM's default: 40 GB).", "8Gi"
    )
    distributed: bool | None = optional(
        "Whether the ranks share the reading, and pass weights on to each other; of runai_streamer.", True
    )
    num_threads: int | None = optional(
        "Files that are read at once; of auto, hf and safetensors, without --safetensors-load-strategy.",
        8,
        ge=1,
        le=256,
    )


LOADER_RULES = (
    rule(
        "!has(self.format) || self.format != 'mistral' || !has(self.loadFormat)",
        "model.format: mistral sets the load format as well: remove model.loadFormat",
    ),
)


def _passes(*flags: str) -> str:
    """Whether extraArgs has one of the flags."""
    return "self.extraArgs.exists(a, " + " || ".join(f"a.startsWith('{flag}=')" for flag in flags) + ")"


# Those below are of the whole spec, as the load format is said by a field, by the format of the model, or by extraArgs.
_FIELD = "(has(self.model.loadFormat) ? self.model.loadFormat : has(self.model.format) ? self.model.format : 'auto')"
_S3, _GS = (f"self.model.uri.startsWith('{scheme}')" for scheme in BUCKETS)


def _one_of(*formats: str) -> str:
    """Whether the load format is one of these, with auto among them."""
    flags = [f"--load-format={name}" for name in formats]
    passed = f"self.extraArgs.all(a, !a.startsWith('--load-format=') || a in {flags!r})"
    return f"({_FIELD} in {[*formats]!r} && (!has(self.extraArgs) || {passed}))"


def _none_of(*formats: str) -> str:
    """Whether the load format is none of these, without auto among them."""
    flags = [f"--load-format={name}" for name in formats]
    passed = f"self.extraArgs.exists(a, a in {flags!r})"
    return f"(!({_FIELD} in {[*formats]!r}) && (!has(self.extraArgs) || !{passed}))"


def _has_option(*names: str) -> str:
    options = " || ".join(f"has(self.model.loaderOptions.{name})" for name in names)
    return f"(has(self.model.loaderOptions) && ({options}))"


BUCKET_RULE = rule(
    f"(!{_S3} || {_one_of('auto', *STREAMERS)}) && (!{_GS} || {_one_of('auto', 'runai_streamer')})",
    f"only {' and '.join(STREAMERS)} read a bucket, and of gs:// the first alone: set model.loadFormat to it, or leave "
    "out whatever says another one: model.loadFormat, model.format, or --load-format in extraArgs",
)
SHARDED_RULE = rule(
    f"!self.model.uri.startsWith('hf://') || {_none_of(*SHARDED)}"
    f" || (has(self.env) && self.env.exists(e, e.name in {list(OFFLINE)!r}"
    f" && (!has(e.value) || e.value.upperAscii() in {list(_TRUE)!r})))",
    f"{' and '.join(SHARDED)} download nothing: put the files on a claim (pvc://), into an image (oci://) or a bucket",
)
NPCACHE_RULE = rule(
    f"!(self.model.uri.startsWith('pvc://') || self.model.uri.startsWith('oci://')) || {_none_of('npcache')}",
    "npcache writes beside the weights, and claims and images are mounted read-only: use hf, or safetensors",
)
THREADS_RULE = rule(
    f"!{_has_option('numThreads')} || (!{_S3} && !{_GS} && {_one_of(*THREADED, 'mistral')})",
    f"loaderOptions.numThreads is of the load formats {', '.join(THREADED)}: remove it; of a bucket use concurrency",
)
STRATEGY_RULE = rule(
    f"!{_has_option('numThreads')} || !has(self.extraArgs)"
    " || self.extraArgs.all(a, !a.startsWith('--safetensors-load-strategy=') || a.endsWith('=lazy'))",
    "loaderOptions.numThreads reads files as --safetensors-load-strategy=lazy does: leave out one of the two",
)
STREAMER_RULE = rule(
    f"!{_has_option('concurrency', 'memoryLimit', 'distributed')} || !{_none_of('runai_streamer')}"
    f" || (({_S3} || {_GS}) && {_one_of('auto')})",
    "loaderOptions.concurrency, memoryLimit and distributed are of runai_streamer: set model.loadFormat to it",
)
SHARED_FLAGS_RULE = rule(
    f"!has(self.extraArgs) || ((!has(self.model.loadFormat) || !{_passes('--load-format')})"
    f" && (!has(self.model.format) || !{_passes('--load-format', '--config-format', '--tokenizer-mode')}))",
    "model.format and model.loadFormat stand for --load-format, --config-format and --tokenizer-mode: leave these out "
    "of extraArgs",
)
FORMAT_RULES = (
    BUCKET_RULE, SHARDED_RULE, NPCACHE_RULE, THREADS_RULE, STRATEGY_RULE, STREAMER_RULE, SHARED_FLAGS_RULE
)  # fmt: skip
