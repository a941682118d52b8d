"""How vLLM may load weights: every load format of vLLM 0.32, which of them a service may ask for, and their options.

One table, which the field, extraArgs, the refusals and docs/weights.md are made of; a test holds it against vLLM's own
list. A format is refused if it runs code that is not vLLM's, or wants what a pod does not have. Loads nothing.

Source: vllm/model_executor/model_loader/__init__.py, its loaders, and vllm/config/load.py.
"""

from typing import Annotated, NamedTuple

from .base import ApiModel, Bytes, Limits, optional, rule


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
# Of vLLM's default loader, those that take a number of threads.
_THREADED = ("auto", "hf", "safetensors")

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
        "!has(self.loaderOptions) || !has(self.loaderOptions.numThreads)"
        f" || !has(self.loadFormat) || self.loadFormat in {list(_THREADED)!r}",
        f"loaderOptions.numThreads is of the load formats {', '.join(_THREADED)}: remove it",
    ),
    rule(
        "!has(self.format) || self.format != 'mistral' || !has(self.loadFormat)",
        "model.format: mistral sets the load format as well: remove model.loadFormat",
    ),
    rule(
        "!(self.uri.startsWith('s3://') || self.uri.startsWith('gs://'))"
        f" || !has(self.loadFormat) || self.loadFormat in {['auto', *STREAMERS]!r}",
        f"only {' and '.join(STREAMERS)} read a bucket: set model.loadFormat to one of them, or leave it out",
    ),
    rule(
        "!self.uri.startsWith('pvc://') || !has(self.loadFormat) || self.loadFormat != 'npcache'",
        "npcache writes beside the weights, and claims are mounted read-only: use hf, or safetensors",
    ),
)


def _passes(*flags: str) -> str:
    """Whether extraArgs has one of the flags."""
    return "self.extraArgs.exists(a, " + " || ".join(f"a.startsWith('{flag}=')" for flag in flags) + ")"


_STREAMED = ("concurrency", "memoryLimit", "distributed")
STREAMER_RULE = rule(
    f"!has(self.model.loaderOptions) || !({' || '.join(f'has(self.model.loaderOptions.{name})' for name in _STREAMED)})"
    " || self.model.uri.startsWith('s3://') || self.model.uri.startsWith('gs://')"
    " || (has(self.model.loadFormat) && self.model.loadFormat == 'runai_streamer')"
    " || (has(self.extraArgs) && '--load-format=runai_streamer' in self.extraArgs)",
    "loaderOptions.concurrency, memoryLimit and distributed are of runai_streamer: set model.loadFormat to it",
)
SHARED_FLAGS_RULE = rule(
    f"!has(self.extraArgs) || ((!has(self.model.loadFormat) || !{_passes('--load-format')})"
    f" && (!has(self.model.format) || !{_passes('--load-format', '--config-format', '--tokenizer-mode')}))",
    "model.format and model.loadFormat stand for --load-format, --config-format and --tokenizer-mode: leave these out "
    "of extraArgs",
)
