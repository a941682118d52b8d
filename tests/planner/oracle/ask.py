"""Runs in vLLM's own environment: builds a model with vLLM's classes on torch's meta device, as a rank of a pretended
group, and tells what they allocate. No GPU, no weights; imports take about 10 s, a model 1 to 20 s.

Each line of stdin is a job: {"config", "hf_quant_config"?, "params"?, "lm_head"?, "tensor", "pipeline"?, "stage"?,
"cacheBytes", "arguments"?, "shapes"?}; each line of the answer is a row (see `answer`), or {"error": ...}; where the
arguments have adapters, the row has their bytes and no KV cache, and of a pipeline's stage it has no cache either.
Every job runs in a process of its own.
"""

import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import adapters  # type: ignore[import-not-found]  # beside this script
import patches  # type: ignore[import-not-found]
import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore
from vllm.config import set_current_vllm_config
from vllm.distributed import parallel_state
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.platforms import current_platform
from vllm.usage.usage_lib import UsageContext
from vllm.utils.torch_utils import set_default_torch_dtype
from vllm.v1.core import kv_cache_utils
from vllm.v1.worker.gpu.attn_utils import get_kv_cache_spec

LONGEST_SECONDS = 240
Job = dict[str, Any]


def settings(job: Job, folder: str) -> Any:
    """vLLM's configuration of an engine for the job."""
    arguments = {
        "model": folder, "tensor_parallel_size": job["tensor"], "pipeline_parallel_size": job.get("pipeline", 1),
        "skip_tokenizer_init": True, "enforce_eager": True,
        "dtype": job.get("dtype", "auto"), "distributed_executor_backend": "mp", "load_format": "dummy",
    }  # fmt: skip
    return AsyncEngineArgs(**arguments, **job.get("arguments", {})).create_engine_config(
        usage_context=UsageContext.OPENAI_API_SERVER
    )


def built(config: Any, stage: int) -> torch.nn.Module:
    """The model of a pipeline stage's first rank, without storage."""
    parallel = config.parallel_config
    tensor, pipeline = parallel.tensor_parallel_size, parallel.pipeline_parallel_size
    place = {"rank": stage * tensor, "world_size": tensor * pipeline}
    dist.init_process_group("fake", store=FakeStore(), **place)
    patches.kernels()
    with set_current_vllm_config(config):
        parallel_state.init_distributed_environment(
            **place, distributed_init_method="env://", local_rank=0, backend="fake"
        )
        parallel_state.ensure_model_parallel_initialized(tensor, pipeline)
        with set_default_torch_dtype(config.model_config.dtype), torch.device("meta"):
            return initialize_model(vllm_config=config)


def cache(config: Any, size: int) -> Job:
    """The layout of the KV cache: bytes of a block, what a sequence of the full length takes of it, and the tokens that
    `size` bytes hold."""
    with set_current_vllm_config(config):
        config.cache_config.kv_cache_layout = "LBNHC"
        current_platform.update_block_size_for_backend(config)
        specs = get_kv_cache_spec(config)
    config.scheduler_config.async_scheduling = True
    try:
        made = kv_cache_utils.get_kv_cache_configs(config, [specs], [size])
    except NotImplementedError:
        config.cache_config.kv_cache_layout = "BLHNC"
        made = kv_cache_utils.get_kv_cache_configs(config, [specs], [size])
    scheduler = kv_cache_utils.generate_scheduler_kv_cache_config(made)
    tokens, concurrency = kv_cache_utils.get_kv_cache_capacity(config, scheduler)
    groups = Counter(
        (len(group.layer_names), type(group.kv_cache_spec).__name__, group.kv_cache_spec.block_size,
         group.kv_cache_spec.page_size_bytes)
        for group in scheduler.kv_cache_groups
    )  # fmt: skip
    return {
        "kv_tokens": tokens, "conc": round(concurrency, 4), "num_blocks": scheduler.num_blocks,
        "groups": [[*group, count] for group, count in groups.items()], "inflight": config.max_in_flight_tokens,
    }  # fmt: skip


def size_of(tensor: torch.Tensor) -> int:
    """Bytes."""
    return int(tensor.numel() * tensor.element_size())


def answer(job: Job) -> Job:
    """What vLLM allocates for one job."""
    with TemporaryDirectory() as folder:
        for name in ("config", "hf_quant_config", "params"):
            if job.get(name):
                Path(folder, f"{name}.json").write_text(json.dumps(job[name]))
        config = settings(job, folder)
        if job.get("lm_head"):
            patches.head()
            config.model_config.maybe_untie_word_embeddings()
        model = built(config, job.get("stage", 0))
    parameters = dict(model.named_parameters())
    row: Job = {
        "param_bytes": sum(map(size_of, parameters.values())),
        "buffers": sum(map(size_of, model.buffers())),
        "max_model_len": config.model_config.max_model_len,
        "dtype": str(config.model_config.dtype).removeprefix("torch."),
        "quantization": config.model_config.quantization,
        "kv_dtype": config.cache_config.cache_dtype,
        "cls": type(model).__name__,
        "runner": config.model_config.runner_type,
    }
    if job.get("shapes"):
        row["shapes"] = {
            name: [list(value.shape), str(value.dtype).removeprefix("torch.")] for name, value in parameters.items()
        }
    if job.get("pipeline", 1) > 1:
        return row
    if config.lora_config:
        row["adapters"] = adapters.set_aside(config, model)
        return row
    try:
        row.update(cache(config, job["cacheBytes"]))
    except Exception as error:  # vLLM raises what it likes
        row["kv_error"] = f"{type(error).__name__}: {error}"[:300]
    return row


def apart(job: Job) -> Job:
    """The answer, from a process of its own: vLLM keeps state."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        signal.alarm(LONGEST_SECONDS)
        try:
            row = answer(job)
        except BaseException as error:
            row = {"error": f"{type(error).__name__}: {error}"[:600]}
        with os.fdopen(writer, "w") as end:
            end.write(json.dumps(row))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as start:
        text = start.read()
    _, status = os.waitpid(child, 0)
    found: Job = json.loads(text) if text else {"error": f"ended with {status}"}
    return found


def main() -> None:
    """Answer until stdin ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    torch.set_num_threads(1)
    patches.apply()
    for line in sys.stdin:
        start, job = time.time(), json.loads(line)
        row = {**{key: value for key, value in job.items() if key == "name"}, "tp": job["tensor"], **apart(job)}
        row["seconds"] = round(time.time() - start, 1)
        print(json.dumps(row), file=answers, flush=True)


if __name__ == "__main__":
    main()
