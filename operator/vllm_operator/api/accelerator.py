"""The kind of device that each rank runs on: of a service, or of a ServingClass."""

from typing import Annotated

from .base import ApiModel, Bytes, Form, Limits, optional, required, rule, with_rules

_CPU = "has(self.resource) && self.resource == 'cpu'"
_MIG, _SHARED = "self.startsWith('nvidia.com/mig-')", "self.endsWith('.shared')"


PRODUCT_RULE = rule(
    f"!has(self.product) || !({_CPU})",
    "accelerator.product is for GPUs: remove it, or set accelerator.resource to nvidia.com/gpu or amd.com/gpu",
)
MEMORY_RULE = rule(
    f"!has(self.memory) || !({_CPU})",
    "accelerator.memory is for GPUs: remove it; on the CPU, resources.limits.memory says how much there is",
)


class Accelerator(ApiModel):
    """The kind of device that each rank runs on."""

    model_config = with_rules(PRODUCT_RULE, MEMORY_RULE)

    resource: Annotated[str, Limits(max_length=128)] = required(
        "Resource that each rank asks for: nvidia.com/gpu, amd.com/gpu or cpu; omitted: the ServingClass's, else "
        "nvidia.com/gpu.",
        "nvidia.com/gpu",
        default="nvidia.com/gpu",
        left_open=True,
        rules=[
            rule(
                f"!{_MIG}",
                "MIG slices are not supported yet: a slice's memory is not planned for, and slices cannot reach each "
                "other; use nvidia.com/gpu (whole GPUs)",
            ),
            rule(
                f"!{_SHARED}",
                "time-sliced GPUs are not supported yet: nothing separates the memory of those who share one; "
                "use nvidia.com/gpu (whole GPUs)",
            ),
            rule(
                f"{_MIG} || {_SHARED} || self in ['nvidia.com/gpu', 'amd.com/gpu', 'cpu']",
                "must be nvidia.com/gpu, amd.com/gpu or cpu",
            ),
        ],
    )
    product: (
        Annotated[
            str,
            Limits(max_length=63),
            Form(
                r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?",
                "must be the value of the nodes' product label, like NVIDIA-H100-80GB-HBM3",
            ),
        ]
        | None
    ) = optional(
        "GPU product as the nodes are labelled (nvidia.com/gpu.product, amd.com/gpu.product-name).",
        "NVIDIA-H100-80GB-HBM3",
    )
    memory: Bytes | None = optional(
        "Memory of each GPU, for the memory plan, where neither the product nor the nodes' labels tell.",
        "80Gi",
        rolls=False,
    )
