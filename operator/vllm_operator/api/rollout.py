"""How changes of a service reach its pods, and how pods end."""

from typing import Annotated

from .base import ApiModel, Form, Limits, optional, rule, with_rules
from .fields import Flag

STEPS_RULE = rule(
    "!has(self.maxUnavailable) || self.maxUnavailable > 0 || (has(self.maxSurge) && self.maxSurge > 0)",
    "with rollout.maxSurge and rollout.maxUnavailable both 0 no pod could be replaced: set maxSurge to 1, "
    "where GPUs are spare, or maxUnavailable to 1",
)


class Rollout(ApiModel):
    """How changes reach the pods, and how pods end."""

    model_config = with_rules(STEPS_RULE)

    max_surge: int | None = optional(
        "Pods that a rollout may start beyond the number asked for, on GPUs that are spare (default 0). With 1, a "
        "single replica serves until its successor does.",
        1,
        rolls=False,
        ge=0,
        le=1000,
    )
    max_unavailable: int | None = optional(
        "Pods that a rollout may take away before their successors serve (default: 1, or 0 with a maxSurge).",
        1,
        rolls=False,
        ge=0,
        le=1000,
    )
    drain_delay_seconds: int | None = optional(
        "Seconds for which a pod that ends takes requests as ever, before it drains (default 10). Endpoints learn of "
        "its end in that time; a cloud's load balancer that sends to pods by their addresses needs longer, like 40.",
        40,
        ge=0,
        le=600,
    )
    drain_timeout_seconds: int | None = optional(
        "Seconds that requests in flight get to finish when a pod ends (default 120); then they are cut.",
        120,
        flag=Flag("shutdown-timeout", "otherwise"),
        ge=1,
        le=86400,
    )
    restarted_at: (
        Annotated[
            str,
            Limits(max_length=40),
            Form(
                r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})",
                "must be a time like 2026-11-24T12:00:00Z",
            ),
        ]
        | None
    ) = optional(
        "A time (RFC 3339). Another one renders the pods anew, with the operator's current defaults, and rolls them; "
        "without it they stay.",
        "2026-11-24T12:00:00Z",
    )
