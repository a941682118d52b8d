"""The ends of logs that vLLM 0.32 and its libraries really wrote, as the kubelet keeps them."""

_VLLM = "/opt/vllm/lib/python3.11/site-packages/vllm"

CONTRADICTION = f"""\
                   ^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "{_VLLM}/engine/arg_utils.py", line 1955, in create_model_config
    return ModelConfig(
           ^^^^^^^^^^^^
  File "/opt/vllm/lib/python3.11/site-packages/pydantic/_internal/_dataclasses.py", line 121, in __init__
    s.__pydantic_validator__.validate_python(ArgsKwargs(args, kwargs), self_instance=s)
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, Quantization method specified in the model config (awq) does not match the quantization method \
specified in the `quantization` argument (gptq). [type=value_error, input_value=ArgsKwargs((), {{'model': \
...nderer_num_workers': 1}}), input_type=ArgsKwargs]
    For further information visit https://errors.pydantic.dev/2.14/v/value_error
"""
WRAPPER = f"""\
Traceback (most recent call last):
  File "{_VLLM}/v1/engine/utils.py", line 1431, in wait_for_engine_startup
    raise RuntimeError(
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{}}
/usr/lib/python3.11/multiprocessing/resource_tracker.py:254: UserWarning: resource_tracker: There appear to be 1 \
leaked shared_memory objects to clean up at shutdown
  warnings.warn('resource_tracker: There appear to be %d '
"""
NO_CACHE = f"""\
(EngineCore pid=123) ERROR 11-24 12:00:00 [core.py:1510] EngineCore failed to start.
(EngineCore pid=123) ERROR 11-24 12:00:00 [core.py:1510] Traceback (most recent call last):
(EngineCore pid=123) ERROR 11-24 12:00:00 [core.py:1510]   File "{_VLLM}/v1/engine/core.py", line 1482, in run
(EngineCore pid=123) ERROR 11-24 12:00:00 [core.py:1510]     raise ValueError(
(EngineCore pid=123) ERROR 11-24 12:00:00 [core.py:1510] ValueError: No available memory for the cache blocks. Try \
increasing `gpu_memory_utilization` when initializing the engine
Process EngineCore:
{WRAPPER}"""
CACHE_TOO_SMALL = """\
ValueError: To serve at least one request with the model's max seq len (2048), (1.5 GiB KV cache is needed, which is \
larger than the available KV cache memory (0.9 GiB). Based on the available memory, the estimated maximum model length \
is 1152. Try increasing `gpu_memory_utilization` (which also controls CPU memory on the CPU backend) or decreasing \
`max_model_len` when initializing the engine.
"""
BAD_VALUE = (
    "usage: vllm serve [model_tag] [options]\nvllm serve: error: argument --block-size: invalid int value: 'abc'\n"
)
NO_OPERATOR = """\
RuntimeError: _C::static_scaled_fp8_quant() expected at most 0 argument(s) but received 4 argument(s). Declaration: \
_C::static_scaled_fp8_quant() -> ()
Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace for root cause.
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}
"""
NO_TOKENIZER = """\
ValueError: Couldn't instantiate the backend tokenizer from one of:\x20
(1) a `tokenizers` library serialization file,\x20
(2) a slow tokenizer instance to convert or\x20
(3) an equivalent slow tokenizer class to instantiate and convert.\x20
You need to have sentencepiece or tiktoken installed to convert a slow tokenizer to a fast one.
"""
NO_ADAPTER = """\
vllm.exceptions.LoRAAdapterNotFoundError: Loading lora a failed: No adapter found for /models/adapters/none
Traceback (most recent call last):
FileNotFoundError: [Errno 2] No such file or directory: '/models/adapters/none/adapter_config.json'
    RuntimeError: Worker failed with error 'Loading lora a failed: No adapter found for /models/adapters/none', please \
check the stack trace above for the root cause
ValueError: Loading lora a failed: No adapter found for <path>
"""
TOO_LONG = """\
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, User-specified max_model_len (999999) is greater than the derived max_model_len \
(max_position_embeddings=4096.0 or model_max_length=None in model's config.json). To allow overriding this maximum, \
set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1. [type=value_error, input_value=ArgsKwargs(()), input_type=ArgsKwargs]
"""
NO_HUB = """\
OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached files.
Check your internet connection or see how to run the library in offline mode at 'https://huggingface.co/docs'.
"""
TORCH_OOM = """\
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 896.00 MiB. GPU 0 has a total capacity of 79.10 GiB of \
which 512.00 MiB is free. Including non-PyTorch memory, this process has 78.50 GiB memory in use.
"""
IN_USE = """\
ValueError: Free memory on device cuda:0 (10.2/79.1 GiB) on startup is less than desired GPU memory utilization (0.92, \
72.8 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.
"""
# The same by vLLM 0.11.2.
CACHE_TOO_SMALL_OLDEST = """\
ValueError: To serve at least one request with the models's max seq len (2048), (1.50 GiB KV cache is needed, which is \
larger than the available KV cache memory (0.90 GiB). Based on the available memory, the estimated maximum model \
length is 1152. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine.
"""
IN_USE_OLDEST = """\
ValueError: Free memory on device (10.5/79.2 GiB) on startup is less than desired GPU memory utilization (0.9, \
71.28 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.
"""
# Where the weights are held by another process.
IN_USE_BESIDE_WEIGHTS = """\
ValueError: Free memory on device cuda:0 (10.2/79.1 GiB) on startup is less than the engine's budget after excluding \
external process's weights (0.92, 52.8 GiB). Decrease GPU memory utilization or reduce GPU memory used by other \
processes.
"""
NO_KERNEL = f"""\
(EngineCore pid=18) ERROR 11-26 00:56:33 [core.py:1512]   File "{_VLLM}/_custom_ops.py", line 4453, in cpu_gemm_wna16
(EngineCore pid=18) ERROR 11-26 00:56:33 [core.py:1512]     torch.ops._C.cpu_gemm_wna16(
(EngineCore pid=18) ERROR 11-26 00:56:33 [core.py:1512] AttributeError: '_OpNamespace' '_C' object has no attribute \
'cpu_gemm_wna16'
(APIServer pid=1) ERROR 11-26 00:56:33 [async_llm.py:906] vllm.v1.engine.exceptions.EngineDeadError: EngineCore \
encountered an issue. See stack trace (above) for the root cause.
INFO:     Finished server process [1]
"""
GATED = """\
huggingface_hub.errors.GatedRepoError: 403 Client Error. (Request ID: Root=1-67;abc)

Cannot access gated repo for url https://huggingface.co/meta-llama/Llama-3.1-8B/resolve/main/config.json.
Access to model meta-llama/Llama-3.1-8B is restricted.

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
OSError: You are trying to access a gated repo.
Make sure to have access to it at https://huggingface.co/meta-llama/Llama-3.1-8B.
"""
# The kernel ended a worker while the engine loaded; the same while it served; and of a signal.
KILLED_LOADING = f"""\
(APIServer pid=1) INFO 11-29 11:39:12 [api_utils.py:286] non-default args: {{'model': '/models/tiny', 'port': 8000}}
(EngineCore pid=52) INFO 11-29 11:39:22 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='x'
(EngineCore pid=52) INFO 11-29 11:39:28 [multiproc_executor.py:486] [shutdown] Executor: all workers exited gracefully
(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510] EngineCore failed to start.
(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510] Traceback (most recent call last):
(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510]   File "{_VLLM}/v1/executor/multiproc_executor.py", line 817
(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510]     raise e from None
(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510] Exception: WorkerProc initialization failed due to an \
exception in a background process. See stack trace for root cause.
(Worker pid=61) ERROR 11-29 11:39:28 [multiproc_executor.py:953] WorkerProc failed to start.
(Worker pid=61) ERROR 11-29 11:39:28 [multiproc_executor.py:953] Traceback (most recent call last):
(Worker pid=61) ERROR 11-29 11:39:28 [multiproc_executor.py:953]     n = write(self._handle, buf)
(Worker pid=61) ERROR 11-29 11:39:28 [multiproc_executor.py:953] BrokenPipeError: [Errno 32] Broken pipe
{WRAPPER}"""
# What Triton and torch's launcher of its kernels are documented to say where a GPU has too little shared memory; none
# was measured.
_TOO_MUCH = (
    "out of resource: triton_red_fused_0 Required: 131072 Hardware limit:101376 Reducing block sizes or `num_stages`"
)
TRITON_ENDS = f"""\
(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510] Traceback (most recent call last):
(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510]   File "{_VLLM}/triton/compiler/compiler.py", line 483, in _init
(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510]     raise OutOfResources(self.metadata.shared, max_shared, "s")
(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510] triton.runtime.errors.OutOfResources: out of resource: shared \
memory, Required: 131072, Hardware limit: 101376. Reducing block sizes or `num_stages` may help.
{WRAPPER}"""
INDUCTOR_ENDS = f"""\
(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510] Traceback (most recent call last):
(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510]   File "triton_heuristics.py", line 883, in _make_launchers
(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510] torch._inductor.exc.InductorError: RuntimeError: No valid \
triton configs. OutOfMemoryError: {_TOO_MUCH} may help.
{WRAPPER}"""
# The same of kernels that were tried, as torch logs it, and as something else might.
TRIED = f"""\
[rank0]:E1129 11:39:20.123000 52 torch/_inductor/select_algorithm.py:5066] [0/0] Runtime error during autotuning:\x20
[rank0]:E1129 11:39:20.123000 52 torch/_inductor/select_algorithm.py:5066] [0/0] No valid triton configs. \
OutOfMemoryError: {_TOO_MUCH} may help..\x20
[rank0]:E1129 11:39:20.123000 52 torch/_inductor/select_algorithm.py:5066] [0/0] Ignoring this choice.
E1129 11:39:21.456000 52 torch/_inductor/select_algorithm.py:4611] Exception CUDA out of memory. Tried to allocate \
2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.00 GiB is free. for benchmark choice x
E1129 11:39:21.456000 52 torch/_inductor/select_algorithm.py:4611] Traceback (most recent call last):
E1129 11:39:21.456000 52 torch/_inductor/select_algorithm.py:4611]   File "select_algorithm.py", line 4500, in wrapper
E1129 11:39:21.456000 52 torch/_inductor/select_algorithm.py:4611] RuntimeError: No valid triton configs. \
OutOfMemoryError: {_TOO_MUCH} may help.
(EngineCore pid=52) WARNING 11-29 11:39:22 [autotuner.py:9] left out: torch.OutOfMemoryError: {_TOO_MUCH} may help.
"""
# An engine that ended before it was up, with what it left: 2 KiB of the log hold the API server's traceback alone.
ENGINE_ENDED = f"""\
(APIServer pid=1) INFO 11-29 11:39:12 [api_utils.py:286] non-default args: {{{{'model': '/models/tiny', 'port': 8000}}}}
(EngineCore pid=52) INFO 11-29 11:39:22 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='x'
Traceback (most recent call last):
  File "{_VLLM}/v1/engine/utils.py", line 1431, in wait_for_engine_startup
    raise RuntimeError(
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{codes}}
"""
# Put together: a worker that heard of another's end while the engine loaded, and what engine and API server say then.
HEARD = f"""\
(APIServer pid=1) INFO 11-29 11:39:12 [api_utils.py:286] non-default args: {{{{'model': '/models/tiny', 'port': 8000}}}}
(Worker pid=61) ERROR 11-29 11:39:28 [multiproc_executor.py:953] WorkerProc failed to start.
(Worker pid=61) ERROR 11-29 11:39:28 [multiproc_executor.py:953] Traceback (most recent call last):
(Worker pid=61) ERROR 11-29 11:39:28 [multiproc_executor.py:953]   File "{_VLLM}/v1/executor/multiproc_executor.py"
(Worker pid=61) ERROR 11-29 11:39:28 [multiproc_executor.py:953] RuntimeError: {{heard}}
(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510] Traceback (most recent call last):
(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510]   File "{_VLLM}/v1/executor/multiproc_executor.py", line 817
(EngineCore pid=52) ERROR 11-29 11:39:28 [core.py:1510] Exception: WorkerProc initialization failed due to an \
exception in a background process. See stack trace for root cause.
Traceback (most recent call last):
  File "{_VLLM}/v1/engine/utils.py", line 1431, in wait_for_engine_startup
    raise RuntimeError(
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{{{}}}}
"""
WORKER_DIED = """\
(EngineCore pid=52) ERROR 11-29 11:38:58 [multiproc_executor.py:315] Worker proc VllmWorker-0 died unexpectedly \
(exit code: {code}), shutting down executor.
(EngineCore pid=52) ERROR 11-29 11:38:58 [core.py:1512] RuntimeError: cancelled
(APIServer pid=1) ERROR 11-29 11:38:58 [async_llm.py:906] vllm.v1.engine.exceptions.EngineDeadError: EngineCore \
encountered an issue. See stack trace (above) for the root cause.
"""
