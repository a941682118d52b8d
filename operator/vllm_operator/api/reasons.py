"""The reasons that conditions and Events carry: each with where it may stand, whether it passes, and what it means.

The one place for them: `Stalled`, what a failed inspection means for Ready, and docs/reasons.md follow.
A new reason is a row here and a place that gives it; tests/unit/api says what else is missing. When a reason is given
is decided elsewhere. Imports nothing heavy, as the inspect Job does not.
"""

from enum import unique

from .conditions import ConditionType
from .row import FINE, LASTS, PASSES, STOPS_VLLM, Row, of

# fmt: off
_SPEC, _FIT, _ADMITTED, _PODS, _CHAT = map(of, (
    ConditionType.SPEC_VALID, ConditionType.FITS, ConditionType.ADMITTED, ConditionType.WORKLOAD_AVAILABLE,
    ConditionType.CHAT_AVAILABLE))
_MONITORING, _SCALING, _OUTDATED, _INCOMPLETE, _RECONCILING = map(of, (
    ConditionType.MONITORING_AVAILABLE, ConditionType.SCALING_ACTIVE, ConditionType.OUTDATED, ConditionType.INCOMPLETE,
    ConditionType.RECONCILING))
_INPUT, _RUNNING, _COMPLETE, _FAILED = map(of, (
    ConditionType.INPUT_VALID, ConditionType.RUNNING, ConditionType.COMPLETE, ConditionType.FAILED))
# fmt: on


@unique
class Reason(Row):
    """One word for why a condition is as it is. They are API: scripts and alerts match on them."""

    # fmt: off
    VALID = ("Valid", _SPEC, FINE, "the operator can act on the spec")
    INVALID = ("Invalid", _SPEC, LASTS,
        "the spec breaks a rule that the API server did not check: correct the field that the message names")
    IMAGE_NOT_ALLOWED = ("ImageNotAllowed", _SPEC, LASTS,
        "the operator's settings do not allow spec.image: leave it out, or ask the platform team")
    IMAGE_TOO_OLD = ("ImageTooOld", _SPEC, LASTS,
        "the image's vLLM is older than the operator supports, or than a field or flag needs: use a newer image")
    REMOTE_CODE_NOT_ALLOWED = ("RemoteCodeNotAllowed", _SPEC, LASTS,
        "the setting allowTrustRemoteCode is off: use a model that needs no code of its own, or ask the platform team")
    PARSER_PLUGINS_NOT_ALLOWED = ("ParserPluginsNotAllowed", _SPEC, LASTS,
        "the setting allowParserPlugins is off: leave parserPlugins out, or use an image that has the parser")
    REQUEST_LOGS_NOT_ALLOWED = ("RequestLogsNotAllowed", _SPEC, LASTS,
        "the setting allowRequestLogs is off: leave out what writes requests into the log, in extraArgs or env")
    HUB_ORGANISATION_NOT_ALLOWED = ("HubOrganisationNotAllowed", _SPEC, LASTS,
        "the setting allowedHubOrganisations does not have the model's organisation: use a model of another one")
    MODEL_IMAGE_NOT_ALLOWED = ("ModelImageNotAllowed", _SPEC, LASTS,
        "the setting allowedModelImages does not have the image of model.uri: use one of another registry")
    IMAGE_VOLUMES_MISSING = ("ImageVolumesMissing", _SPEC | _FIT | _PODS, LASTS,
        "model.uri is an image (oci://), mounted by Kubernetes 1.35 and containerd 2.1 or newer: use pvc:// or hf://",
        STOPS_VLLM)
    CLAIM_NOT_ALLOWED = ("ClaimNotAllowed", _SPEC, PASSES,
        "a claim has not the labels that the setting allowedClaims asks for: use another, or have it labelled")
    PRIORITY_CLASS_NOT_ALLOWED = ("PriorityClassNotAllowed", _SPEC, LASTS,
        "the setting allowedPriorityClasses does not have pod.priorityClassName: leave it out, or use another")
    SERVICE_ACCOUNT_NOT_ALLOWED = ("ServiceAccountNotAllowed", _SPEC, LASTS,
        "the setting allowedServiceAccounts does not have pod.serviceAccountName: leave it out")
    RUNTIME_CLASS_NOT_ALLOWED = ("RuntimeClassNotAllowed", _SPEC, LASTS,
        "the setting allowedRuntimeClasses does not have pod.runtimeClassName: leave it out")
    POD_LABEL_NOT_ALLOWED = ("PodLabelNotAllowed", _SPEC, LASTS,
        "the setting allowedPodLabels does not have a key of pod.labels: leave it out")
    POD_ANNOTATION_NOT_ALLOWED = ("PodAnnotationNotAllowed", _SPEC, LASTS,
        "the setting allowedPodAnnotations does not have a key of pod.annotations: leave it out")
    RDMA_NOT_ALLOWED = ("RdmaNotAllowed", _SPEC, LASTS,
        "the setting allowedRdmaResources does not have the resource of accelerator.rdma: leave it out")
    EXCLUSIVE_TOPOLOGY_NOT_ALLOWED = ("ExclusiveTopologyNotAllowed", _SPEC, LASTS,
        "the setting allowedExclusiveTopologies does not have the label of pod.exclusiveTopology: leave it out")
    CROSS_NAMESPACE_AFFINITY_NOT_ALLOWED = ("CrossNamespaceAffinityNotAllowed", _SPEC, LASTS,
        "the setting allowCrossNamespaceAffinity is off: leave namespaces and namespaceSelector out of pod.affinity")
    TRIGGER_NOT_ALLOWED = ("TriggerNotAllowed", _SPEC, LASTS,
        "the setting allowedTriggers does not have the type of a trigger: use autoscaling.targets")
    MEDIA_DOMAIN_NOT_ALLOWED = ("MediaDomainNotAllowed", _SPEC, LASTS,
        "the setting allowedMediaDomains does not have a host of allowedMediaDomains: leave it out")

    DEVICE_CLAIMS_UNSERVED = ("DeviceClaimsUnserved", _SPEC, LASTS,
        "accelerator.deviceClass needs the API resource.k8s.io/v1, which the cluster does not serve: remove it")
    LEADER_WORKER_SETS_UNSERVED = ("LeaderWorkerSetsUnserved", _SPEC, LASTS,
        "nodesPerReplica needs LeaderWorkerSet, which the cluster does not serve: install it, or leave the field out")
    RAY_SERVICES_UNSERVED = ("RayServicesUnserved", _SPEC, LASTS,
        "runtime RayServe needs KubeRay, which the cluster does not serve: install it, or leave runtime out")
    RAY_IMAGE_MISSING = ("RayImageMissing", _SPEC, LASTS,
        "runtime RayServe needs an image with Ray: name it in image, or in the ServingClass")
    NODES_UNREADABLE = ("NodesUnreadable", _SPEC, LASTS,
        "tensorParallelSize is auto, and the operator may not read nodes: set a number")

    # The ServingClass.
    CLASS_NOT_FOUND = ("ClassNotFound", _ADMITTED, LASTS,
        "there is no ServingClass of that name: correct servingClassName, or ask the platform team")
    CLASS_NOT_ALLOWED = ("ClassNotAllowed", _ADMITTED, LASTS,
        "the ServingClass is not for this namespace: name another one, or ask the platform team")
    CLASS_LIMIT_EXCEEDED = ("ClassLimitExceeded", _ADMITTED, LASTS,
        "the service asks for more than its ServingClass allows: change the field that the message names")
    EARLIER_PODS_ENDING = ("EarlierPodsEnding", _ADMITTED, PASSES,
        "its ServingClass leaves no GPUs for new pods while earlier ones finish their requests: see the message")
    CLASS_CONTRADICTED = ("ClassContradicted", _ADMITTED, LASTS,
        "the spec and its ServingClass say things that cannot both hold: see the message")
    CLASS_BEYOND_SETTINGS = ("ClassBeyondSettings", _ADMITTED, LASTS,
        "the ServingClass gives what the operator's settings do not allow: name another one, or ask the platform team")
    CLASS_UNREADABLE = ("ClassUnreadable", _ADMITTED, LASTS,
        "the operator cannot read the ServingClass: give it the right that the message names, or correct the class")

    # The memory plan.
    INSPECTING = ("Inspecting", _FIT | _PODS, PASSES,
        "a Job reads what the model is made of; the first pods wait for it for two minutes at most")
    FITS = ("Fits", _FIT, FINE, "weights, overhead and the KV cache of one full sequence fit")
    WITHIN_MARGIN = ("WithinMargin", _FIT, LASTS, "too close to say: the need is within the plan's margin of error")
    WEIGHTS_TOO_LARGE = ("WeightsTooLarge", _FIT, LASTS,
        "weights and overhead alone do not fit: use more or larger GPUs, or a quantized model")
    CONTEXT_TOO_LONG = ("ContextTooLong", _FIT, LASTS,
        "the KV cache that is left is too small for one sequence of full length: lower maxModelLen")
    SHARE_TOO_LARGE = ("GpuMemoryUtilizationTooLarge", _FIT, LASTS,
        "vLLM would find less memory free than its share: lower kvCache.gpuMemoryUtilizationPercent")
    SLICES = ("GpuIsShared", _FIT, LASTS,
        "a slice of a GPU is not a whole one: slices serve no model together, and more of them than one GPU has none")
    UNKNOWN_ARCHITECTURE = ("ArchitectureNotPlanned", _FIT, LASTS,
        "the planner does not know the model's architecture, so it cannot say")
    UNKNOWN_QUANTIZATION = ("QuantizationNotPlanned", _FIT, LASTS,
        "the planner does not know how this quantization stores weights, so it cannot say")
    UNKNOWN_KV_DTYPE = ("KVCacheTypeNotPlanned", _FIT, LASTS,
        "the planner does not know how large a KV cache of this type is, so it cannot say")
    UNKNOWN_PIPELINE = ("PipelineNotPlanned", _FIT, LASTS, "more pipeline stages than layers: the planner cannot say")
    UNKNOWN_SETTING = ("SettingNotPlanned", _FIT, LASTS,
        "a flag in extraArgs, a variable or a field takes other memory than the planner can count: see the message")
    MODEL_NOT_PLANNED = ("ModelNotPlanned", _FIT, LASTS, "the planner cannot read config.json, so it cannot say")
    GPU_UNKNOWN = ("GpuUnknown", _FIT, LASTS, "nothing tells the GPU or its memory: set accelerator.product or memory")
    NOTHING_FITS = ("NothingFits", _FIT, LASTS,
        "tensorParallelSize is auto, and no GPUs that the pods may have fit: add larger nodes, or see the message")
    TEMPLATE_NOT_ALLOWED = ("TemplateNotAllowed", _PODS, LASTS,
        "the pod template that is kept is none of the operator's, or asks for what is not allowed: see the message")
    WITHHELD = ("Withheld", _PODS | _SCALING | _RUNNING, LASTS,
        "no pods are made, as the model does not fit (see Fits, or planPolicy) or the ServingClass is against it")

    # What vLLM would refuse before it loads a weight, as the plan knows.
    ATTENTION_HEADS = ("AttentionHeadsNotDivisible", _FIT, LASTS,
        "the attention heads cannot be split over so many GPUs: set a tensorParallelSize that the message names")
    KV_HEADS = ("KVHeadsNotDivisible", _FIT, LASTS,
        "the heads of keys and values can be neither split nor repeated: set a tensorParallelSize as the message says")
    INTERMEDIATE = ("IntermediateSizeNotDivisible", _FIT, LASTS,
        "a layer's width cannot be split over so many GPUs: set a tensorParallelSize that the message names")
    EXPERT_WIDTH = ("ExpertSizeNotDivisible", _FIT, LASTS,
        "the experts' width cannot be split over so many GPUs: lower tensorParallelSize, or set expertParallel")
    VOCABULARY = ("VocabularyNotDivisible", _FIT, LASTS,
        "the vocabulary cannot be split over so many GPUs: set a tensorParallelSize that the message names")
    STATE_HEADS = ("LinearAttentionHeadsNotDivisible", _FIT, LASTS,
        "the heads of linear attention cannot be split so: set a tensorParallelSize that the message names")
    QUANTIZATION_GROUP = ("QuantizationGroupSplit", _FIT, LASTS,
        "a split would cut through a group of quantized weights: lower tensorParallelSize")
    FP8_BLOCK = ("Fp8BlockSplit", _FIT, LASTS, "a split would cut a block of fp8 weights: lower tensorParallelSize")
    NO_EXPERTS = ("NoExperts", _FIT, LASTS, "expertParallel is set for a model without experts: remove it")
    PIPELINE = ("PipelineParallelNotSupported", _FIT, LASTS,
        "the model cannot be split into pipeline stages: remove pipelineParallelSize")
    QUANTIZATION_GONE = ("QuantizationGone", _FIT, LASTS, "vLLM no longer has the quantization: use another checkpoint")
    QUANTIZATION_UNKNOWN = ("QuantizationUnknown", _FIT, LASTS,
        "vLLM does not know this quantization: use another checkpoint, or correct quantization")
    QUANTIZATION_KERNEL = ("QuantizationNotServed", _FIT, LASTS, "vLLM has no kernels for it: use another checkpoint")
    QUANTIZATION_DEPRECATED = ("QuantizationDeprecated", _FIT, LASTS, "vLLM refuses it as deprecated: use another")
    QUANTIZATION_MISMATCH = ("QuantizationMismatch", _FIT, LASTS, "quantization contradicts the checkpoint: remove it")
    QUANTIZATION_GPU = ("QuantizationNotOnThisGPU", _FIT, LASTS,
        "the GPU cannot run this quantization: use a newer GPU, or another checkpoint")
    QUANTIZATION_DTYPE = ("QuantizationNeedsOtherDtype", _FIT, LASTS,
        "the quantization does not go with this type of activations: set dtype as the message says")
    BFLOAT16_GPU = ("BFloat16NotOnThisGPU", _FIT, LASTS, "the GPU has no bfloat16: set dtype to float16")
    FLOAT16_MODEL = ("Float16NotForThisModel", _FIT, LASTS, "the model is unstable in float16: set dtype to bfloat16")
    KV_DTYPE_GPU = ("KVCacheTypeNotOnThisGPU", _FIT, LASTS,
        "the GPU cannot have a KV cache of this type: change or remove kvCache.dtype, or use a newer GPU")
    KV_DTYPE_MODEL = ("KVCacheTypeNotForThisModel", _FIT, LASTS,
        "vLLM has no attention for the model with a KV cache of this type: change or remove kvCache.dtype")
    ATTENTION = ("AttentionNotOnThisGPU", _FIT, LASTS, "vLLM has no attention for the model on the GPU: use another")
    ADAPTERS = ("LoraNotSupported", _FIT, LASTS, "vLLM has no LoRA for the model: remove lora, or use another model")
    SETTING = ("SettingNotForThisModel", _FIT, LASTS, "a flag or a variable does not go with the model: leave it out")
    LENGTH = ("MaxModelLenTooLong", _FIT, LASTS, "maxModelLen is more than the model was made for: lower it")
    BATCH = ("BatchTooSmall", _FIT, LASTS,
        "a batch has too few tokens for maxNumSeqs: raise maxNumBatchedTokens, or lower maxNumSeqs")
    GPU_TOO_OLD = ("GPUTooOld", _FIT, LASTS,
        "the shipped vLLM has no kernels for GPUs of before compute capability 7.5: use a newer GPU")
    ARCHITECTURE = ("ArchitectureNotServed", _FIT, LASTS,
        "the shipped vLLM has no such architecture: set an image whose vLLM has it, or use another model")
    ACTIVATION_ORDER = ("ActivationOrderNotServed", _FIT, LASTS,
        "vLLM does not serve checkpoints whose groups are ordered by activation: use one without, or with static order")
    GPUS_PER_NODE = ("TooManyGPUs", _FIT, LASTS,
        "no node has as many GPUs as one replica needs: lower tensorParallelSize or pipelineParallelSize")
    TOO_FEW_NODES = ("TooFewNodes", _FIT, LASTS, "the nodes have too few GPUs for a replica: add nodes, or use fewer")

    # The model and where it comes from, as the inspect Job or vLLM finds it.
    MODEL_NOT_FOUND = ("ModelNotFound", _FIT | _PODS, LASTS,
        "there is no such model, or not for this token: check model.uri and model.tokenSecretRef", STOPS_VLLM)
    REVISION_NOT_FOUND = ("RevisionNotFound", _FIT | _PODS, LASTS,
        "the model has no such revision: check model.revision, or model.tokenizer.revision", STOPS_VLLM)
    MODEL_GATED = ("ModelGated", _FIT | _PODS, LASTS,
        "the model is gated: accept its terms on the hub, and set model.tokenSecretRef", STOPS_VLLM)
    HUB_TOKEN_REFUSED = ("HubTokenRefused", _FIT | _PODS, LASTS,
        "the hub refuses the token of model.tokenSecretRef: put a valid one into the Secret", STOPS_VLLM)
    HUB_RATE_LIMITED = ("HubRateLimited", _FIT | _PODS, PASSES,
        "the hub's rate limit is reached: it is tried again; a token has a higher limit, a kept cache needs none")
    HUB_UNREACHABLE = ("HubUnreachable", _FIT | _PODS, PASSES,
        "the hub cannot be reached: check egress and proxy, or serve from pvc://")
    NO_CONFIG = ("NoModelConfig", _FIT, LASTS,
        "there is no config.json: model.uri is to name a model in the format of transformers", STOPS_VLLM)
    UNREADABLE = ("ModelUnreadable", _FIT, LASTS,
        "the inspect Job could not make sense of the model's files, so the plan cannot say")
    OVER_LIMIT = ("ModelFilesTooLarge", _FIT, LASTS,
        "the model's config.json, or another of its files, is larger or deeper than any model's: the plan cannot say")
    NOT_INSPECTED = ("NotInspected", _FIT, PASSES,
        "there was no inspection, or it took too long, so the plan cannot say: see the inspect Job's pod")
    ADAPTER_NOT_FOUND = ("AdapterNotFound", _PODS, LASTS, "there is no such LoRA adapter: check uri in lora.adapters")
    MODEL_UNSUPPORTED = ("ModelUnsupported", _PODS, LASTS,
        "vLLM does not know the model's architecture, or it is code of its own: use a newer image, or trustRemoteCode")
    TOKENIZER_MISSING = ("TokenizerMissing", _PODS, LASTS,
        "the model has no tokenizer that can be loaded: set model.tokenizer.uri")
    TOKENIZER_MISMATCH = ("TokenizerMismatch", _PODS, LASTS,
        "the tokenizer makes tokens that the model does not have: set model.tokenizer to the one that it was made with")
    CHAT_TEMPLATE_MISSING = ("ChatTemplateMissing", _CHAT, LASTS,
        "the model's files have no chat template: set chatTemplate, or model.tokenizer.uri")
    CHAT_TEMPLATE_INVALID = ("ChatTemplateInvalid", _PODS, LASTS,
        "the chat template cannot be read: check chatTemplate.configMapKeyRef")
    NO_SPACE_LEFT = ("NoSpaceLeft", _PODS, LASTS,
        "a volume that vLLM writes to, or its shared memory, is full: raise cache.claim.storage, or see the message")
    CACHE_NOT_WRITABLE = ("CacheNotWritable", _PODS, LASTS,
        "vLLM may not write its cache: set pod.fsGroup to the group of the volume")

    DOWNLOADING = ("Downloading", _PODS, PASSES,
        "a Job without a GPU fetches the model into the cache; pods are made when it is there, or if no Job can start")
    DOWNLOAD_FAILED = ("DownloadFailed", _PODS, PASSES,
        "the download Job failed, and is made again after 10 minutes: see the message, and the Job's log")

    # Pods in general.
    AVAILABLE = ("Available", _PODS, FINE, "enough pods of the current spec serve")
    STARTING = ("Starting", _PODS | _RUNNING, PASSES, "pods are being made, or load the model")
    ROLLING_OUT = ("RollingOut", _PODS, PASSES, "pods are being replaced by those of the current spec")
    SCALED_TO_ZERO = ("ScaledToZero", _PODS | _SCALING, FINE, "no pods, as the spec or the autoscaler asks for none")
    SUSPENDED = ("Suspended", _PODS | _RUNNING, FINE, "no pods, as spec.suspend asks: suspend: false starts them again")
    NAME_TAKEN = ("NameTaken", _PODS, LASTS,
        "an object of somebody else has the name of one that the service needs: delete it, or rename the service")
    REFUSED = ("Refused", _PODS, LASTS, "the API server refuses an object that the service needs: see the message")
    PROGRESSING = ("Progressing", _RECONCILING, PASSES, "not all pods are of the current spec and serve yet")

    # Before a container starts.
    IMAGE_PULL_FAILED = ("ImagePullFailed", _FIT | _PODS, LASTS,
        "the node cannot pull vLLM's image or the model's: check name and tag, and pod.imagePullSecrets", STOPS_VLLM)
    IMAGE_PULL_DELAYED = ("ImagePullDelayed", _PODS, PASSES,
        "an image is not pulled yet, for its registry, the network or the node's disk: the node tries again")
    SECRET_MISSING = ("SecretMissing", _PODS, LASTS, "a Secret of the pod, or a key in it, does not exist: create it")
    API_KEY_EMPTY = ("ApiKeyEmpty", _PODS, LASTS,
        "apiKeySecretRef or apiKeySecretRefs give no key, or none that clients can send: put one line into the Secret")
    CONFIG_MAP_MISSING = ("ConfigMapMissing", _PODS, LASTS,
        "a ConfigMap that the pod uses, or a key in it, does not exist: create it")
    CONTAINER_CONFIG = ("ContainerConfigError", _PODS, LASTS,
        "the container cannot be made, or its image has no vLLM: see the message")
    VOLUME_NOT_MOUNTED = ("VolumeNotMounted", _PODS, PASSES,
        "the node does not mount a volume: see the message, and the storage class's driver")
    VOLUME_IN_USE = ("VolumeInUse", _PODS | _SCALING, PASSES,
        "another node or pod holds the volume: use ReadWriteMany, or wait until it lets it go")
    SANDBOX_FAILED = ("PodSandboxFailed", _PODS, PASSES,
        "the node cannot set the pod up: see the message, most often its network or runtime class")
    PODS_REFUSED = ("PodsRefused", _PODS | _SCALING, LASTS, "Kubernetes refuses to create the pods: see the message")
    ADMISSION_FAILED = ("AdmissionFailed", _PODS | _SCALING, PASSES,
        "a webhook, or the API server, fails as an object is made: Kubernetes or the operator tries again")
    QUOTA_EXCEEDED = ("QuotaExceeded", _PODS | _SCALING, PASSES,
        "the namespace's ResourceQuota is used up: scale another service down, or have it raised")
    EVICTED = ("Evicted", _PODS, PASSES, "the node gave the pod up: see the message for what it ran out of")
    NODE_LOST = ("NodeLost", _PODS, PASSES, "nothing is heard of a pod's node: see kubectl get nodes")
    SIDECAR_FAILED = ("SidecarFailed", _PODS, PASSES, "a container beside vLLM's fails: see the message, and its log")

    # No volume, or no node.
    CLAIM_MISSING = ("ClaimMissing", _FIT | _PODS | _SCALING, LASTS,
        "a PersistentVolumeClaim does not exist, or is going: create it, or check the pvc:// URIs", STOPS_VLLM)
    VOLUME_NOT_BOUND = ("VolumeNotBound", _FIT | _PODS | _SCALING, PASSES,
        "a claim is not bound yet: check its storage class with kubectl describe pvc", STOPS_VLLM)
    VOLUME_ELSEWHERE = ("VolumeElsewhere", _PODS | _SCALING, PASSES,
        "the volume is only for nodes elsewhere: use ReadWriteMany, or free a node in its zone")
    INSUFFICIENT_GPUS = ("InsufficientGpus", _PODS | _SCALING, PASSES,
        "no node has enough GPUs free: wait, scale a service down, or add nodes")
    GPUS_FRAGMENTED = ("GpusFragmented", _PODS | _SCALING, PASSES,
        "enough GPUs are free, but not on one node: scale a service down, or lower tensorParallelSize")
    GPU_NODES_TOO_SMALL = ("GpuNodesTooSmall", _PODS | _SCALING, PASSES,
        "no node has as many GPUs even when empty: lower tensorParallelSize, or add larger nodes")
    NO_MATCHING_NODE = ("NoMatchingNode", _PODS | _SCALING, PASSES,
        "no node has the labels that the pod asks for: check accelerator.product and pod.nodeSelector")
    UNTOLERATED_TAINTS = ("UntoleratedTaints", _PODS | _SCALING, PASSES,
        "all fitting nodes have taints: add them to pod.tolerations")
    NO_DOMAIN_FREE = ("NoDomainFree", _PODS | _SCALING, PASSES,
        "no domain of pod.exclusiveTopology is free of other groups: lower replicas, or add nodes with another value")
    QUEUED = ("HeldByQueue", _PODS | _SCALING | _RUNNING, PASSES,
        "a queue holds the pods back, and lets them go when it is their turn: see its words in the message")
    UNSCHEDULABLE = ("Unschedulable", _PODS | _SCALING, PASSES, "no node takes the pod: see the scheduler's words")

    # Memory and GPUs.
    MODEL_TOO_LARGE = ("ModelTooLarge", _PODS, LASTS,
        "the weights did not fit the GPU: raise tensorParallelSize, or use a quantized model")
    KV_CACHE_TOO_SMALL = ("KvCacheTooSmall", _PODS, LASTS,
        "what is left for the KV cache is too small: lower maxModelLen, or give vLLM more memory")
    OUT_OF_GPU_MEMORY = ("OutOfGpuMemory", _PODS, LASTS,
        "GPU memory ran out: lower kvCache.gpuMemoryUtilizationPercent or maxNumSeqs, or use more GPUs")
    GPU_MEMORY_IN_USE = ("GpuMemoryInUse", _PODS, LASTS, "another process holds the GPU or its memory: end it")
    GPU_UNAVAILABLE = ("GpuUnavailable", _PODS, LASTS,
        "the pod sees no GPU, or too few: check the node's device plugin and driver, and pod.runtimeClassName")
    GPU_UNSUITABLE = ("GpuUnsuitable", _PODS, LASTS,
        "the GPU is too old or small for the image, the type or the quantization: use another GPU, or another image")
    GPU_ERROR = ("GpuError", _PODS, PASSES,
        "a GPU failed, or GPUs could not exchange data: if it happens again, look for Xid errors and drain the node")
    RANK_UNREACHABLE = ("RankUnreachable", _PODS, PASSES,
        "a rank does not reach the others: see what they say, then NetworkPolicies and the network between nodes")
    KERNEL_MISSING = ("KernelMissing", _PODS, LASTS,
        "vLLM's build for this processor lacks a kernel: use another checkpoint, or other nodes")
    DRIVER_UNSUITABLE = ("DriverUnsuitable", _PODS, LASTS,
        "the node's NVIDIA driver does not suit the image's CUDA: update it, or use an older image")
    OUT_OF_MEMORY = ("OutOfMemory", _PODS, LASTS,
        "host memory ran out: raise resources.limits.memory, or set resources.requests.memory")

    # The container's life.
    INVALID_ARGUMENTS = ("InvalidArguments", _PODS, LASTS, "vLLM refuses its arguments: correct what the message names")
    STARTUP_TIMEOUT = ("StartupTimeout", _PODS, LASTS,
        "vLLM was not ready in time: raise startupTimeoutSeconds, or keep downloads with cache.claim")
    NOT_ANSWERING = ("NotAnswering", _PODS, PASSES,
        "vLLM served and no longer answers its probes: it gets no requests, and is restarted if that lasts")
    LIVENESS_FAILED = ("LivenessFailed", _PODS, PASSES,
        "Kubernetes killed vLLM, as it no longer answered: it is started again; its log shows more")
    ENGINE_DIED = ("EngineDied", _PODS, PASSES, "vLLM's engine died: it is started again; its log shows more")
    ENGINE_HUNG = ("EngineHung", _PODS, PASSES,
        "vLLM's engine made no step while requests waited: it is started again; look for errors of the GPU")
    CONTAINER_FAILED = ("ContainerFailed", _PODS, LASTS,
        "vLLM ended for a cause that is not known: see its last words in the message, and its log")
    RAY_APPLICATION_FAILED = ("RayApplicationFailed", _PODS, LASTS,
        "the model did not start in Ray Serve, for a cause that is not known: see the message, and Serve's log")

    # What gates nothing.
    CONFIGURATION_CHANGED = ("ConfigurationChanged", _OUTDATED, LASTS,
        "a Secret or ConfigMap changed after the pods had started: set rollout.restartedAt to roll them")
    CLASS_CHANGED = ("ClassChanged", _OUTDATED, LASTS,
        "the ServingClass, or which one is the default, changed: set rollout.restartedAt to take it as it is now")
    DEFAULT_CHANGED = ("OperatorDefaultChanged", _OUTDATED, LASTS,
        "a default of the operator changed: set rollout.restartedAt to take it as it is now")
    TEMPLATE_OUTDATED = ("TemplateOutdated", _OUTDATED, LASTS,
        "the pods lack a security fix of the operator: set rollout.restartedAt to roll them")
    PART_UNREADABLE = ("PartUnreadable", _INCOMPLETE, PASSES,
        "a part of what is known of the service is odd or too large, and is not looked at: see the message")
    VALUE_LEFT_OUT = ("ValueLeftOut", _INCOMPLETE, LASTS,
        "a value that others gave is none that a status may have, and is left out: see the message")
    OPERATOR_FAILED = ("OperatorFailed", _SPEC | _PODS | _SCALING | _CHAT, PASSES,
        "the operator fails at this object, and tries again: its log has the traceback, for a report of the fault")
    SERVICE_MONITOR_APPLIED = ("ServiceMonitorApplied", _MONITORING, FINE, "a ServiceMonitor selects the Service")
    API_MISSING = ("ServiceMonitorApiMissing", _MONITORING, LASTS,
        "the cluster has no ServiceMonitor API: install the Prometheus Operator, or scrape the Service yourself")
    MONITOR_REFUSED = ("ServiceMonitorRefused", _MONITORING, LASTS, "the API server refuses it: see the message")

    # The autoscaler.
    SCALING = ("Scaling", _SCALING, FINE, "the number of pods follows the load, within its bounds")
    AUTOSCALER_STARTING = ("AutoscalerStarting", _SCALING, PASSES, "the autoscaler has not looked at the metrics yet")
    AUTOSCALER_FAILED = ("AutoscalerFailed", _SCALING, LASTS, "the autoscaler cannot scale: see its words")
    AUTOSCALER_REFUSED = ("AutoscalerRefused", _SCALING, LASTS, "the API server refuses it: see the message")
    AUTOSCALER_PAUSED = ("AutoscalerPaused", _SCALING, LASTS, "an annotation on a ScaledObject pauses KEDA: remove it")
    KEDA_API_MISSING = ("KedaApiMissing", _SCALING, LASTS,
        "the cluster has no ScaledObject API: install KEDA, or set autoscaling.provider to HPA")
    METRICS_API_MISSING = ("MetricsApiMissing", _SCALING, LASTS,
        "the metrics API does not answer: install prometheus-adapter with the chart's rules, or check KEDA's server")
    NO_METRIC_YET = ("NoMetricYet", _SCALING, PASSES,
        "there is no metric of the pods: so it is while they load; else check that Prometheus scrapes them")
    TRIGGER_FAILED = ("TriggerFailed", _SCALING, LASTS,
        "KEDA gets no answer for a trigger: check prometheusUrl of the operator, and autoscaling.triggers")
    TARGET_UNREACHABLE = ("TargetUnreachable", _SCALING, LASTS,
        "vLLM's own limits keep a target from ever being passed: lower the target")
    AT_MAXIMUM = ("AtMaximum", _SCALING, PASSES,
        "the load asks for more than autoscaling.maxReplicas: raise it, or let requests wait")

    # Batches.
    SERVICE_NOT_FOUND = ("ServiceNotFound", _SPEC, LASTS,
        "there is no InferenceService of the name in serviceRef: correct it, or use template")
    CLAIM_NOT_SHARED = ("ClaimNotShared", _SPEC, LASTS,
        "a claim is for one node, and the pods may lie on several: use a ReadWriteMany claim, or set parallelism to 1")
    CHECKING_INPUT = ("CheckingInput", _INPUT | _RUNNING, PASSES,
        "a Job without a GPU reads the input: invalid lines, duplicates and totals")
    INPUT_CHECKED = ("InputChecked", _INPUT, FINE, "the input was read, and there are requests to answer")
    INPUT_INVALID = ("InputInvalid", _INPUT | _FAILED, LASTS,
        "the input has lines that are no requests: correct them, or set onInvalid to Skip in a new batch")
    INPUT_UNREADABLE = ("InputUnreadable", _INPUT | _FAILED, LASTS,
        "the input could not be read: see the message, and the log of the check Job's pod")
    ANSWERING = ("Answering", _RUNNING, FINE, "pods answer requests")
    RUN_ENDED = ("RunEnded", _RUNNING, FINE, "the pods have ended, and what they answered is kept")
    UNFINISHED = ("Unfinished", _COMPLETE, PASSES, "not all requests are answered yet")
    MERGING = ("Merging", _COMPLETE, PASSES, "a Job makes the output of what the pods have answered")
    MERGED = ("Merged", _COMPLETE, FINE, "each request is in the output or in the error file, once")
    EXPIRED = ("Expired", _FAILED, LASTS, "expireAfterSeconds ended it: what was answered by then is in the output")
    RUN_FAILED = ("RunFailed", _FAILED, LASTS,
        "pods failed too often: what was answered is in the output, the rest in the error file")
    MERGE_FAILED = ("MergeFailed", _COMPLETE | _FAILED, LASTS,
        "the output could not be made of what was answered, which is kept: see the log of the merge Job's pod")
    # fmt: on

    @classmethod
    def named(cls, name: str) -> "Reason":
        """The reason of that name, or with that name before. Raises ValueError where there is none."""
        found = next((member for member in cls if member == name), None) or FORMER.get(name)
        if found is None:
            raise ValueError(f"{name} is no reason of a condition")
        return found


FORMER = {"TokenRefused": Reason.HUB_TOKEN_REFUSED, "ClaimNotBound": Reason.VOLUME_NOT_BOUND}
"""Names of earlier versions. An inspect Job of such a version may still say one."""

Finding = tuple[Reason, str]
"""Why something is as it is: the reason, and the sentence for people."""
