"""Flags that are neither a field nor allowed in extraArgs: whose they are, or why they are refused, and the way out.

One sentence for a group of flags, as it follows the flag's name. Which flags there are says vllm.json, which fields
carry some says the spec, what extraArgs may pass says allowed.py; a test wants each flag in exactly one of these.
"""

from ..vocabulary import VLLM_VERSION

VERSION = VLLM_VERSION.rpartition(".")[0]
"""Of vLLM, as users call it: 0.32."""

_ONE_NODE = "is about Ray, which no engine runs on here: leave it out, and use nodesPerReplica for several nodes"
_PARTS = "is for engines that do one part of a request each: a pod does all of it here, so leave it out"
_ASLEEP = (
    "is out of scope: models do not sleep on a GPU that they share; suspend frees a service's GPUs, and autoscaling "
    "with minReplicas 0 does so by itself"
)
_TLS = (
    "is not for pods, which speak plain HTTP inside the cluster: end TLS at a gateway or Ingress, or let a service "
    "mesh encrypt what goes to the pods"
)
_CODE = "loads code by its name: leave it out, or ask the platform team for an image that does it without the flag"
_TRUSTED = (
    "lets every request change what the server renders or decodes: leave it out, and set it for all requests here"
)
_TENSORS = "lets requests hand tensors to the engine, and a wrong one ends it for everybody: leave it out"
_TRAINING = "is for reinforcement learning and research, and takes memory that no plan counts: leave it out"
_MEMORY = "changes how much GPU memory is taken, which no plan counts: leave it out"
_PLAIN_FLAGS = (
    "takes JSON that may name code or files: each of its settings that is safe has a flag or field of its own"
)
_NO_SERVER = "starts another server than the HTTP one that probes, draining and metrics rely on: leave it out"
_RANKS = "is about data parallel engines in several pods or processes: leave it out and use dataParallelSize"
_WEIGHTS = "decides how vLLM reads weights, and some ways run code from files: leave it out"
_CONNECTOR = (
    "is out of scope, as prefill and decode in pods of their own need a router that knows both: use llm-d or KServe's "
    "LLMInferenceService for that; for KV cache in host memory use kvCache.cpuOffload, for events kvCache.events"
)
_OFFLOAD = "moves weights to host memory, which no plan counts: leave it out and use weightsCpuOffloadPerGPU"
_FILES = "is about files of scales in the pod: leave it out, scales are worked out as the model runs"
_PROFILER = "is for profiling, writes files and slows vLLM down: leave it out, and profile outside the cluster"

OWNED: dict[str, tuple[str, ...]] = {
    "is the operator's, which the Service, the probes and the NetworkPolicy rely on: leave it out": ("host", "port"),
    "is the operator's, for its own middleware; another one is code in the server: leave it out, and put a proxy "
    "before the Service": ("middleware",),
    "is the operator's, so that probes and scrapes do not fill the log: leave it out": (
        "disable-access-log-for-endpoints",
    ),
    "is the operator's, which keeps downloads where spec.cache says: leave it out": ("download-dir",),
    "is the operator's, which writes the command line itself: write each flag of the file into the spec, as a field "
    "or into extraArgs": ("config",),
    "is the operator's, as the metrics are read for status, alerts and autoscaling: leave it out": (
        "disable-log-stats",
    ),
    "is the operator's, which tells the ranks of a replica on several nodes of each other: use nodesPerReplica": (
        "headless", "master-addr", "master-port", "node-rank",
    ),
    "is Kubernetes' own, which gives the pod its GPUs: use accelerator and tensorParallelSize": ("device-ids",),
    "only prints what flags there are: leave it out": ("help",),
}  # fmt: skip

# Fields that stand for flags which they do not pass: --spec-tokens is one key of --speculative-config.
MEANT_BY_FIELD = {
    "cudagraph-capture-sizes": "tuning.compilation.cudagraphCaptureSizes",
    "spec-method": "speculative.method",
    "spec-model": "speculative.model",
    "spec-tokens": "speculative.numSpeculativeTokens",
}

REFUSED: dict[str, tuple[str, ...]] = {
    _ONE_NODE: ("ray-workers-use-nsight",),
    "takes GPUs beside those that the spec counts: leave it out and use tensorParallelSize": (
        "prefill-context-parallel-size",
    ),
    "takes more of /dev/shm than the pod has: leave it out": ("enable-shm-tensor-arena",),
    "passes free settings to plug-ins of other hardware: leave it out": ("additional-config",),
    _RANKS: (
        "data-parallel-address", "data-parallel-backend", "data-parallel-external-lb", "data-parallel-hybrid-lb",
        "data-parallel-multi-port-external-lb", "data-parallel-rank", "data-parallel-rpc-port",
        "data-parallel-size-local", "data-parallel-start-rank", "data-parallel-supervisor-port",
        "disable-nccl-for-dp-synchronization", "dp-supervisor-probe-failure-threshold",
        "dp-supervisor-probe-interval-s", "dp-supervisor-probe-timeout-s",
        "dp-sync-interval", "elastic-ep-max-dp-size", "enable-elastic-ep",
        "enable-fault-tolerance", "fault-tolerance-config",
    ),
    "is 1 here: requests in flight, draining and an engine that hangs are known to one API process only; leave it out, "
    "and use replicas for more": (
        "api-server-count",
    ),
    _PARTS: (
        "ec-manager-config", "ec-transfer-config", "enable-scale-out", "mm-encoder-only", "tokens-only",
    ),
    _CONNECTOR: ("kv-transfer-config",),
    _OFFLOAD: (
        "cpu-offload-params", "offload-backend", "offload-group-size", "offload-num-in-group",
        "offload-params", "offload-prefetch-step",
    ),
    _ASLEEP: (
        "enable-nccl-comm-suspend", "enable-sleep-mode", "sleep-mode-offload-cudagraph",
        "sleep-preserve-parameter-names",
    ),
    _TLS: (
        "enable-ssl-refresh", "ssl-ca-certs", "ssl-cert-reqs", "ssl-certfile", "ssl-ciphers", "ssl-keyfile",
    ),
    "loads code by its name: build an image whose Python packages register the model (entry point "
    "vllm.general_plugins), and ask the platform team to allow it": ("model-class-overrides",),
    "loads code by its name: build an image whose Python packages have it (entry point vllm.logits_processors), and "
    "ask the platform team to allow it": ("logits-processors",),
    _CODE: ("io-processor-plugin", "scheduler-cls", "worker-cls", "worker-extension-cls"),
    _NO_SERVER: ("grpc", "grpc-port", "uds"),
    _TRUSTED: ("trust-request-chat-template", "trust-request-mm-kwargs"),
    _TENSORS: ("enable-mm-embeds", "enable-prompt-embeds"),
    "starts tools or sends requests to other servers: leave it out, and let clients call tools": ("tool-server",),
    "lets requests read files of the pod: leave it out, and send media as data: or from allowedMediaDomains": (
        "allowed-local-media-path",
    ),
    "passes free arguments to classes that read files: leave it out, and put them into the checkpoint's "
    "preprocessor_config.json": ("media-io-kwargs", "mm-processor-kwargs"),
    "takes another config.json than the one that was planned: leave it out, and put it beside the weights": (
        "hf-config-path",
    ),
    "takes code of another version than the weights: leave it out and use model.revision, which pins both": (
        "code-revision",
    ),
    "needs a structure that no field has: leave it out, and serve a checkpoint that is quantized already": (
        "quantization-config",
    ),
    "keeps quantizations that vLLM is about to drop: leave it out, and use an AWQ, GPTQ or fp8 checkpoint": (
        "allow-deprecated-quantization",
    ),
    "takes the tokenizer away that the OpenAI API needs: leave it out": ("skip-tokenizer-init",),
    "asks the kernel for what pods may not do: leave it out; the kubelet's topology manager keeps a pod on one NUMA "
    "node": (
        "numa-bind", "numa-bind-cpus", "numa-bind-nodes",
    ),
    "names adapters by their paths: leave it out and use lora.adapters": ("default-mm-loras",),
    _TRAINING: (
        "aux-output-config", "enable-return-routed-experts", "enable-trace-replay", "return-sampling-mask",
        "weight-transfer-config",
    ),
    _MEMORY: (
        "dcp-q-replicate", "enable-cumem-allocator", "enable-mixed-moe-lora-format", "enable-moe-shared-loras",
        "enable-tower-connector-lora", "engram-config", "eplb-config",
        "kv-cache-dtype-skip-layers", "lora-target-modules", "mm-ipc-gpu-memory-gb", "replayssm-buffer-len",
        "specialize-active-lora", "swa-bounded-replay", "use-replayssm",
    ),
    "decides how text diffusion models decode, which no plan knows: leave it out": ("diffusion-config",),
    "marks the text that is generated, with a key that would stand in the pod: leave it out": ("watermark-config",),
    _PLAIN_FLAGS: ("ir-op-priority", "kernel-config"),
    "may name a file: leave it out, and set VLLM_LOGGING_LEVEL in env": ("log-config-file", "logging-config"),
    _FILES: (
        "mm-encoder-fp8-scale-path", "mm-encoder-fp8-scale-save-margin", "mm-encoder-fp8-scale-save-path",
    ),
    _PROFILER: ("enable-layerwise-nvtx-tracing", "profiler-config"),
    _WEIGHTS: (
        "ignore-patterns", "pt-load-map-location",
    ),
}  # fmt: skip

# Flags that vLLM had in 0.6 to 0.31, with what replaces them, as it follows "gone from vLLM 0.32: ".
_GUIDED = "leave it out, vLLM chooses by the request; or use tuning.structuredOutputs"
_SPECULATION = "use the field speculative, which has all of vLLM's settings"
GONE: dict[str, tuple[str, ...]] = {
    "leave it out, requests are not logged unless asked for": ("disable-log-requests",),
    "leave it out, vLLM no longer has what it set": (
        "disable-async-output-proc", "enable-lora-bias", "expand-tools-even-if-tool-choice-none",
        "long-lora-scaling-factors", "lora-extra-vocab-size", "max-long-partial-prefills", "max-num-partial-prefills",
        "multi-step-stream-outputs", "num-lookahead-slots", "num-scheduler-steps", "override-attention-dtype",
        "override-neuron-config", "preemption-mode", "scheduler-delay-factor", "use-gpu-for-pooling-score",
        "use-v2-block-manager",
    ),
    "leave it out; for KV cache in host memory use kvCache.cpuOffload": ("swap-space",),
    "leave it out, scales come from the checkpoint": ("calculate-kv-scales", "quantization-param-path"),
    "leave it out, or use tuning.compilation.cudagraphCaptureSizes": (
        "cuda-graph-sizes", "max-context-len-to-capture", "max-seq-len-to-capture",
    ),
    "leave it out, accelerator decides it": ("device",),
    "leave it out, the API server has a process of its own": ("disable-frontend-multiprocessing",),
    "leave it out, or use extraArgs with --mm-processor-cache-gb": ("mm-cache-preprocessor",),
    "use extraArgs with --mm-processor-cache-gb=0": ("disable-mm-preprocessor-cache",),
    "use extraArgs with --mm-encoder-tp-mode=data": ("enable-multimodal-encoder-data-parallel",),
    "leave it out, vLLM chooses the kernel": ("enable-bf16x3-router-gemm",),
    "use extraArgs with --prefix-match-unit": ("enable-mamba-fine-grained-prefix-cache",),
    "leave it out, prompt adapters are gone: use lora.adapters": (
        "enable-prompt-adapter", "max-prompt-adapter-token", "max-prompt-adapters", "prompt-adapters",
    ),
    "leave it out, reasoningParser is enough": ("enable-reasoning",),
    "leave it out, pods have one node and vLLM needs no Ray on it": ("engine-use-ray", "worker-use-ray"),
    "leave it out, no plan counts redundant experts": ("num-redundant-experts",),
    "leave it out, --enable-eplb in extraArgs has its defaults": (
        "eplb-log-balancedness", "eplb-step-interval", "eplb-window-size",
    ),
    _GUIDED: (
        "guided-decoding-backend", "guided-decoding-disable-additional-properties",
        "guided-decoding-disable-any-whitespace", "guided-decoding-disable-fallback",
    ),
    "leave it out, requests may not name logits processors": ("logits-processor-pattern",),
    _SPECULATION: (
        "disable-logprobs-during-spec-decoding", "ngram-prompt-lookup-max", "ngram-prompt-lookup-min",
        "spec-decoding-acceptance-method", "speculative-disable-by-batch-size", "speculative-disable-mqa-scorer",
        "speculative-draft-tensor-parallel-size", "speculative-max-model-len", "speculative-model-quantization",
        "typical-acceptance-sampler-posterior-alpha", "typical-acceptance-sampler-posterior-threshold",
    ),
    "use speculative.model": ("speculative-model",),
    "use speculative.numSpeculativeTokens": ("num-speculative-tokens",),
    "use extraArgs with --pooler-config": ("override-pooler-config",),
    "leave it out, adapters come from lora.adapters": ("qlora-adapter-name-or-path",),
    "leave it out, and put rope_parameters into the checkpoint's config.json": ("rope-scaling", "rope-theta"),
    "leave it out to generate text; else use extraArgs with --runner=pooling, and --convert=embed or "
    "--convert=classify": ("task",),
    "leave it out, the tokenizer needs no pool": (
        "tokenizer-pool-extra-config", "tokenizer-pool-size", "tokenizer-pool-type",
    ),
}  # fmt: skip

# What followed them, where that was no single value; each switch had a --no- form in its last years.
GONE_SWITCHES = (
    "calculate-kv-scales", "disable-async-output-proc", "disable-frontend-multiprocessing", "disable-log-requests",
    "disable-mm-preprocessor-cache", "enable-bf16x3-router-gemm", "enable-lora-bias",
    "enable-mamba-fine-grained-prefix-cache", "enable-multimodal-encoder-data-parallel", "enable-prompt-adapter",
    "enable-reasoning", "engine-use-ray", "eplb-log-balancedness", "expand-tools-even-if-tool-choice-none",
    "guided-decoding-disable-additional-properties", "guided-decoding-disable-any-whitespace",
    "guided-decoding-disable-fallback", "mm-cache-preprocessor", "speculative-disable-mqa-scorer",
    "use-gpu-for-pooling-score", "use-v2-block-manager", "worker-use-ray",
)  # fmt: skip
GONE_WORDS = ("cuda-graph-sizes", "prompt-adapters")
GONE_JSON = ("override-neuron-config", "override-pooler-config", "rope-scaling", "tokenizer-pool-extra-config")
