"""What a user may write in `spec.autoscaling`: how many pods there are, by what vLLM feels."""

from typing import Annotated, Literal

from pydantic import Field

from .base import ApiModel, Form, Limits, ObjectName, optional, required, rule, with_rules


class AutoscalingTargets(ApiModel):
    """What each pod should have at most, on average. The number of pods follows the target that asks for most."""

    waiting_requests: int = required(
        "Requests that wait in vLLM's queue, per pod; 0: not a target.", 5, default=5, ge=0, le=10000
    )
    running_requests: int = required(
        "Requests that run at once, per pod; 0 (the default): not a target.", 100, default=0, ge=0, le=10000
    )
    kv_cache_utilization_percent: int = required(
        "Percent of the KV cache in use, per pod; 0: not a target.",
        80,
        default=80,
        ge=0,
        le=100,
        rules=[
            rule(
                "self <= 90",
                "must be at most 90: pods are added at 10 % above a target, and a cache is never more than full",
            )
        ],
    )
    time_to_first_token_milliseconds: int = required(
        "Milliseconds until 95 % of the requests had their first token, over two minutes; 0 (the default): not a "
        "target.",
        1000,
        default=0,
        ge=0,
        le=3600000,
    )


class ScaleUp(ApiModel):
    """How pods are added."""

    max_replicas_per_step: int = required(
        "Most pods that are added in the time that a pod takes to start (status.startupSeconds): pods that still load "
        "the model must not bring more of them.",
        2,
        default=2,
        ge=1,
        le=1000,
    )
    stabilization_seconds: int = required(
        "Seconds for which more pods must have been asked for before they are added.", 0, default=0, ge=0, le=3600
    )


class ScaleDown(ApiModel):
    """How pods are taken away: one a minute."""

    stabilization_seconds: int = required(
        "Seconds for which fewer pods must have been enough before one is taken away.", 300, default=300, ge=0, le=3600
    )


class AuthenticationRef(ApiModel):
    """A TriggerAuthentication of KEDA."""

    name: ObjectName = required("Name of the TriggerAuthentication, in the namespace of the service.", "queue")


class Trigger(ApiModel):
    """A trigger of KEDA, in KEDA's own form: https://keda.sh/docs/latest/scalers/."""

    type: Annotated[str, Limits(max_length=63), Form(r"[a-z0-9][-a-z0-9]*", "must be the name of a KEDA scaler")] = (
        required(
            "KEDA's name of the scaler.",
            "prometheus",
            rules=[
                rule(
                    "!(self in ['cpu', 'memory'])",
                    "CPU and memory say nothing of vLLM's load: use autoscaling.targets, or another trigger",
                )
            ],
        )
    )
    metadata: dict[Annotated[str, Limits(max_length=253)], Annotated[str, Limits(max_length=4096)]] = required(
        "What the scaler needs, as KEDA documents it.",
        {"serverAddress": "http://prometheus.monitoring:9090", "query": "sum(gateway_waiting)", "threshold": "5"},
        max_length=32,
        rules=[
            # Both would lend the rights of KEDA, or the pods' secrets, to whoever may write a service.
            rule(
                "self.all(k, !k.endsWith('FromEnv') && k != 'identityOwner')",
                "may not name variables of the pods (...FromEnv) nor an identityOwner: use authenticationRef",
            )
        ],
    )
    authentication_ref: AuthenticationRef | None = optional(
        "Where KEDA finds the credentials for the scaler.", {"name": "queue"}
    )


_TARGETS = ("waitingRequests", "runningRequests", "kvCacheUtilizationPercent", "timeToFirstTokenMilliseconds")
_TRIGGERED = "has(self.triggers) && size(self.triggers) > 0"


class Autoscaling(ApiModel):
    """Scales the number of pods by what vLLM feels: never by CPU or GPU memory, which do not follow its load."""

    model_config = with_rules(
        rule(
            "self.minReplicas <= self.maxReplicas", "autoscaling.minReplicas must not be above autoscaling.maxReplicas"
        ),
        rule(
            f"self.minReplicas > 0 || (self.provider == 'KEDA' && {_TRIGGERED})",
            "autoscaling.minReplicas 0 needs provider KEDA and autoscaling.triggers: without pods vLLM has no metrics, "
            "so something else must say when there is work",
        ),
        rule(
            f"self.provider == 'KEDA' || !({_TRIGGERED})",
            "autoscaling.triggers are KEDA's: set autoscaling.provider to KEDA, or remove them",
        ),
        rule(
            f"!has(self.targets) || {' || '.join(f'self.targets.{name} > 0' for name in _TARGETS)} || ({_TRIGGERED})",
            "autoscaling has nothing to scale by: set at least one of autoscaling.targets above 0",
        ),
    )

    min_replicas: int = required(
        "Fewest pods. 0 only with provider KEDA and a trigger of your own; without a pod, requests are refused at once "
        "until a trigger has brought one and it has loaded the model: clients, or a gateway, must try again.",
        1,
        default=1,
        ge=0,
        le=1000,
    )
    max_replicas: int = required("Most pods.", 8, ge=1, le=1000)
    provider: Literal["HPA", "KEDA"] = required(
        "Who scales: a HorizontalPodAutoscaler (needs prometheus-adapter with the chart's rules), or KEDA.",
        "HPA",
        default="HPA",
    )
    targets: AutoscalingTargets = Field(
        default_factory=lambda: AutoscalingTargets.model_validate({}),
        description="When to scale.",
        examples=[{"waitingRequests": 5, "kvCacheUtilizationPercent": 80}],
    )
    scale_up: ScaleUp = Field(
        default_factory=lambda: ScaleUp.model_validate({}),
        description="How pods are added.",
        examples=[{"maxReplicasPerStep": 2}],
    )
    scale_down: ScaleDown = Field(
        default_factory=lambda: ScaleDown.model_validate({}),
        description="How pods are taken away: one a minute.",
        examples=[{"stabilizationSeconds": 300}],
    )
    triggers: list[Trigger] | None = optional(
        "Triggers of KEDA beside the targets, in KEDA's own form; the number of pods follows what asks for most.",
        [
            {
                "type": "cron",
                "metadata": {"timezone": "UTC", "start": "0 8 * * *", "end": "0 18 * * *", "desiredReplicas": "1"},
            }
        ],
        max_length=8,
        list_type="atomic",
    )
