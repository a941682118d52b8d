"""What each field of the spec does. The one table; a test walks the schema and holds every field against it.

`argv` names a flag of vLLM, `env` a variable of its container, `pod` a place in the pod template, `child` a place in
another child, `plan` an input of the memory plan; an item of a list goes by its number or its name. What is `argv`,
`env` or `pod` rolls the pods when it changes; the rest changes no pod.
"""

from typing import Literal, NamedTuple


class Effect(NamedTuple):
    """One visible consequence of a field: the kind of place, and the place."""

    kind: Literal["argv", "env", "pod", "child", "plan"]
    place: str


def _argv(flag: str) -> Effect:
    return Effect("argv", flag)


def _pod(path: str) -> Effect:
    return Effect("pod", path)


def _child(path: str) -> Effect:
    return Effect("child", path)


_CONTAINER = "spec.containers.0"

EFFECTS: dict[str, Effect] = {
    "model.uri": _argv("model_tag"),
    "model.revision": _argv("revision"),
    "model.servedModelNames": _argv("served_model_name"),
    "model.tokenSecretRef": Effect("env", "HF_TOKEN"),
    "model.tokenizer.uri": _argv("tokenizer"),
    "model.tokenizer.revision": _argv("tokenizer_revision"),
    "model.trustRemoteCode": _argv("trust_remote_code"),
    "servingClassName": _pod("metadata.labels"),
    "image": _pod(f"{_CONTAINER}.image"),
    "quantization": _argv("quantization"),
    "dtype": _argv("dtype"),
    "tensorParallelSize": _argv("tensor_parallel_size"),
    "pipelineParallelSize": _argv("pipeline_parallel_size"),
    "expertParallel": _argv("enable_expert_parallel"),
    "maxModelLen": _argv("max_model_len"),
    "maxNumSeqs": _argv("max_num_seqs"),
    "maxNumBatchedTokens": _argv("max_num_batched_tokens"),
    "maxQueuedRequests": _argv("max_num_queued_reqs"),
    "enforceEager": _argv("enforce_eager"),
    "kvCache.dtype": _argv("kv_cache_dtype"),
    "kvCache.gpuMemoryUtilizationPercent": _argv("gpu_memory_utilization"),
    "kvCache.memoryPerGPU": _argv("kv_cache_memory_bytes"),
    "kvCache.blockSize": _argv("block_size"),
    "kvCache.prefixCaching": _argv("enable_prefix_caching"),
    "kvCache.cpuOffload": _argv("kv_offloading_size"),
    "accelerator.resource": _pod(f"{_CONTAINER}.resources.limits"),
    "accelerator.product": _pod("spec.nodeSelector"),
    "accelerator.memory": Effect("plan", "totalBytes"),
    "planPolicy": Effect("plan", "withheld"),
    "replicas": _child("Deployment spec.replicas"),
    "suspend": _child("Deployment spec.replicas"),
    "autoscaling.minReplicas": _child("HorizontalPodAutoscaler spec.minReplicas"),
    "autoscaling.maxReplicas": _child("HorizontalPodAutoscaler spec.maxReplicas"),
    "autoscaling.provider": _child("ScaledObject spec.scaleTargetRef.kind"),
    "autoscaling.targets.waitingRequests": _child("HorizontalPodAutoscaler spec.metrics.0.pods.target.averageValue"),
    "autoscaling.targets.runningRequests": _child("HorizontalPodAutoscaler spec.metrics.1.pods.target.averageValue"),
    "autoscaling.targets.kvCacheUtilizationPercent": _child(
        "HorizontalPodAutoscaler spec.metrics.1.pods.target.averageValue"
    ),
    "autoscaling.targets.timeToFirstTokenMilliseconds": _child(
        "HorizontalPodAutoscaler spec.metrics.2.pods.target.averageValue"
    ),
    "autoscaling.scaleUp.maxReplicasPerStep": _child("HorizontalPodAutoscaler spec.behavior.scaleUp.policies.0.value"),
    "autoscaling.scaleUp.stabilizationSeconds": _child(
        "HorizontalPodAutoscaler spec.behavior.scaleUp.stabilizationWindowSeconds"
    ),
    "autoscaling.scaleDown.stabilizationSeconds": _child(
        "HorizontalPodAutoscaler spec.behavior.scaleDown.stabilizationWindowSeconds"
    ),
    "autoscaling.triggers": _child("ScaledObject spec.triggers"),
    "cache.claim.storage": _child("PersistentVolumeClaim spec.resources.requests.storage"),
    "cache.claim.storageClassName": _child("PersistentVolumeClaim spec.storageClassName"),
    "cache.claim.accessMode": _child("PersistentVolumeClaim spec.accessModes"),
    "cache.claim.retain": _child("PersistentVolumeClaim metadata.ownerReferences"),
    "cache.existingClaim": _pod("spec.volumes.cache.persistentVolumeClaim.claimName"),
    "resources.requests.cpu": _pod(f"{_CONTAINER}.resources.requests.cpu"),
    "resources.requests.memory": _pod(f"{_CONTAINER}.resources.requests.memory"),
    "resources.limits.cpu": _pod(f"{_CONTAINER}.resources.limits.cpu"),
    "resources.limits.memory": _pod(f"{_CONTAINER}.resources.limits.memory"),
    "pod.nodeSelector": _pod("spec.nodeSelector"),
    "pod.tolerations": _pod("spec.tolerations"),
    "pod.affinity": _pod("spec.affinity"),
    "pod.topologySpreadConstraints": _pod("spec.topologySpreadConstraints"),
    "pod.priorityClassName": _pod("spec.priorityClassName"),
    "pod.runtimeClassName": _pod("spec.runtimeClassName"),
    "pod.schedulerName": _pod("spec.schedulerName"),
    "pod.imagePullSecrets": _pod("spec.imagePullSecrets"),
    "pod.serviceAccountName": _pod("spec.serviceAccountName"),
    "pod.labels": _pod("metadata.labels"),
    "pod.annotations": _pod("metadata.annotations"),
    "pod.fsGroup": _pod("spec.securityContext.fsGroup"),
    "startupTimeoutSeconds": _pod(f"{_CONTAINER}.startupProbe.failureThreshold"),
    "apiKeySecretRef": Effect("env", "VLLM_API_KEY"),
    "lora.adapters": _argv("lora_modules"),
    "lora.maxRank": _argv("max_lora_rank"),
    "speculative.method": _argv("speculative_config"),
    "speculative.model": _argv("speculative_config"),
    "speculative.numSpeculativeTokens": _argv("speculative_config"),
    "toolCallParser": _argv("tool_call_parser"),
    "reasoningParser": _argv("reasoning_parser"),
    "chatTemplate.configMapKeyRef.name": _pod("spec.volumes.chat-template.configMap.name"),
    "chatTemplate.configMapKeyRef.key": _pod("spec.volumes.chat-template.configMap.items.0.key"),
    "networkPolicy.allowFrom": _child("NetworkPolicy spec.ingress.0.from"),
    "rollout.maxSurge": _child("Deployment spec.strategy.rollingUpdate.maxSurge"),
    "rollout.maxUnavailable": _child("Deployment spec.strategy.rollingUpdate.maxUnavailable"),
    "rollout.drainTimeoutSeconds": _argv("shutdown_timeout"),
    "rollout.restartedAt": _pod("metadata.annotations"),
    "extraArgs": _argv("seed"),
    "env": _pod(f"{_CONTAINER}.env"),
}

_ROLLS = ("argv", "env", "pod")
# Top-level fields of the spec that the pods are made of, and what within these changes no pod.
POD_FIELDS = tuple(dict.fromkeys(path.split(".", 1)[0] for path, effect in EFFECTS.items() if effect.kind in _ROLLS))
OTHER_FIELDS = tuple(
    path for path, effect in EFFECTS.items() if effect.kind not in _ROLLS and path.split(".", 1)[0] in POD_FIELDS
)
