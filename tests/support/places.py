"""Where each field of the spec arrives: a vLLM flag stands on its field, and the places of all others stand here.

`argv` names what vLLM's parser makes of a flag, `env` a variable of its container, `pod` a place in the pod template,
`child` a place in another child, `plan` an input of the memory plan; an item of a list goes by its number or its name.
"""

from typing import Literal, NamedTuple

from vllm_operator.api.fields import fields
from vllm_operator.api.spec import InferenceServiceSpec


class Place(NamedTuple):
    """One visible consequence of a field: the kind of place, and the place."""

    kind: Literal["argv", "env", "pod", "child", "plan"]
    place: str


_CONTAINER = "spec.containers.0"

_OTHERS: dict[str, Place] = {
    "model.uri": Place("argv", "model_tag"),
    "model.imagePath": Place("argv", "model_tag"),
    "model.objectStore.endpoint": Place("env", "AWS_ENDPOINT_URL"),
    "model.objectStore.region": Place("env", "AWS_REGION"),
    "model.objectStore.credentialsSecretName": Place("env", "AWS_SECRET_ACCESS_KEY"),
    "model.tokenSecretRef": Place("env", "HF_TOKEN"),
    "servingClassName": Place("pod", "metadata.labels"),
    "image": Place("pod", f"{_CONTAINER}.image"),
    "runtime": Place("pod", "metadata.annotations"),
    "accelerator.resource": Place("pod", f"{_CONTAINER}.resources.limits"),
    "accelerator.product": Place("pod", "spec.nodeSelector"),
    "accelerator.memory": Place("plan", "totalBytes"),
    "accelerator.count": Place("pod", f"{_CONTAINER}.resources.limits"),
    "accelerator.deviceClass": Place("pod", "metadata.annotations"),
    "accelerator.deviceSelector": Place("pod", "metadata.annotations"),
    "accelerator.rdma.resource": Place("pod", f"{_CONTAINER}.resources.limits"),
    "accelerator.rdma.count": Place("pod", f"{_CONTAINER}.resources.limits"),
    "planPolicy": Place("plan", "withheld"),
    "replicas": Place("child", "Deployment spec.replicas"),
    "suspend": Place("child", "Deployment spec.replicas"),
    "autoscaling.minReplicas": Place("child", "HorizontalPodAutoscaler spec.minReplicas"),
    "autoscaling.maxReplicas": Place("child", "HorizontalPodAutoscaler spec.maxReplicas"),
    "autoscaling.provider": Place("child", "ScaledObject spec.scaleTargetRef.kind"),
    "autoscaling.targets.waitingRequests": Place(
        "child", "HorizontalPodAutoscaler spec.metrics.0.pods.target.averageValue"
    ),
    "autoscaling.targets.runningRequests": Place(
        "child", "HorizontalPodAutoscaler spec.metrics.1.pods.target.averageValue"
    ),
    "autoscaling.targets.kvCacheUtilizationPercent": Place(
        "child", "HorizontalPodAutoscaler spec.metrics.1.pods.target.averageValue"
    ),
    "autoscaling.targets.timeToFirstTokenMilliseconds": Place(
        "child", "HorizontalPodAutoscaler spec.metrics.2.pods.target.averageValue"
    ),
    "autoscaling.scaleUp.maxReplicasPerStep": Place(
        "child", "HorizontalPodAutoscaler spec.behavior.scaleUp.policies.0.value"
    ),
    "autoscaling.scaleUp.stabilizationSeconds": Place(
        "child", "HorizontalPodAutoscaler spec.behavior.scaleUp.stabilizationWindowSeconds"
    ),
    "autoscaling.scaleDown.stabilizationSeconds": Place(
        "child", "HorizontalPodAutoscaler spec.behavior.scaleDown.stabilizationWindowSeconds"
    ),
    "autoscaling.triggers": Place("child", "ScaledObject spec.triggers"),
    "cache.claim.storage": Place("child", "PersistentVolumeClaim spec.resources.requests.storage"),
    "cache.claim.storageClassName": Place("child", "PersistentVolumeClaim spec.storageClassName"),
    "cache.claim.accessMode": Place("child", "PersistentVolumeClaim spec.accessModes"),
    "cache.claim.retain": Place("child", "PersistentVolumeClaim metadata.ownerReferences"),
    "cache.existingClaim": Place("pod", "spec.volumes.cache.persistentVolumeClaim.claimName"),
    "resources.requests.cpu": Place("pod", f"{_CONTAINER}.resources.requests.cpu"),
    "resources.requests.memory": Place("pod", f"{_CONTAINER}.resources.requests.memory"),
    "resources.requests.ephemeral-storage": Place("pod", f"{_CONTAINER}.resources.requests.ephemeral-storage"),
    "resources.limits.ephemeral-storage": Place("pod", f"{_CONTAINER}.resources.limits.ephemeral-storage"),
    "resources.limits.cpu": Place("pod", f"{_CONTAINER}.resources.limits.cpu"),
    "resources.limits.memory": Place("pod", f"{_CONTAINER}.resources.limits.memory"),
    "pod.nodeSelector": Place("pod", "spec.nodeSelector"),
    "pod.tolerations": Place("pod", "spec.tolerations"),
    "pod.affinity": Place("pod", "spec.affinity"),
    "pod.topologySpreadConstraints": Place("pod", "spec.topologySpreadConstraints"),
    "pod.exclusiveTopology": Place("pod", "metadata.annotations"),
    "pod.priorityClassName": Place("pod", "spec.priorityClassName"),
    "pod.runtimeClassName": Place("pod", "spec.runtimeClassName"),
    "pod.schedulerName": Place("pod", "spec.schedulerName"),
    "pod.imagePullSecrets": Place("pod", "spec.imagePullSecrets"),
    "pod.serviceAccountName": Place("pod", "spec.serviceAccountName"),
    "pod.labels": Place("pod", "metadata.labels"),
    "pod.annotations": Place("pod", "metadata.annotations"),
    "pod.fsGroup": Place("pod", "spec.securityContext.fsGroup"),
    "startupTimeoutSeconds": Place("pod", f"{_CONTAINER}.startupProbe.failureThreshold"),
    "apiKeySecretRef": Place("env", "VLLM_API_KEY"),
    # Of these, the last step is the field's own name.
    "apiKeySecretRefs[].name": Place("pod", "spec.volumes.api-keys.projected.sources.0.secret"),
    "apiKeySecretRefs[].key": Place("pod", "spec.volumes.api-keys.projected.sources.0.secret.items.0"),
    "chatTemplate.fromImage": Place("argv", "chat_template"),
    "parserPlugins.toolCall.name": Place("pod", "spec.volumes.tool-parser-plugin.configMap.name"),
    "parserPlugins.toolCall.key": Place("pod", "spec.volumes.tool-parser-plugin.configMap.items.0.key"),
    "parserPlugins.reasoning.name": Place("pod", "spec.volumes.reasoning-parser-plugin.configMap.name"),
    "parserPlugins.reasoning.key": Place("pod", "spec.volumes.reasoning-parser-plugin.configMap.items.0.key"),
    "chatTemplate.configMapKeyRef.name": Place("pod", "spec.volumes.chat-template.configMap.name"),
    "chatTemplate.configMapKeyRef.key": Place("pod", "spec.volumes.chat-template.configMap.items.0.key"),
    "networkPolicy.allowFrom": Place("child", "NetworkPolicy spec.ingress.0.from"),
    "rollout.maxSurge": Place("child", "Deployment spec.strategy.rollingUpdate.maxSurge"),
    "rollout.maxUnavailable": Place("child", "Deployment spec.strategy.rollingUpdate.maxUnavailable"),
    "rollout.drainDelaySeconds": Place("pod", "spec.terminationGracePeriodSeconds"),
    "rollout.restartedAt": Place("pod", "metadata.annotations"),
    "extraArgs": Place("argv", "seed"),
    "env": Place("pod", f"{_CONTAINER}.env"),
}

_OF_FLAGS = {
    field.path: Place("argv", field.flags[0].name.replace("-", "_"))
    for field in fields(InferenceServiceSpec)
    if field.flags and field.flags[0].passed not in ("presence", "path")
}
PLACES = {**_OF_FLAGS, **_OTHERS}
