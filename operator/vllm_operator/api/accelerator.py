"""The kind of device that each rank runs on: of a service, or of a ServingClass."""

from typing import Annotated

from .base import ApiModel, Bytes, Form, Limits, ObjectName, more_than_zero, optional, required, rule, with_rules

_CPU = "has(self.resource) && self.resource == 'cpu'"
_SLICES = r"nvidia\.com/mig-[1-7]g\.[0-9]{1,3}gb(\.me)?"
SHARED = "nvidia.com/gpu.shared"
WHOLE = ("nvidia.com/gpu", "amd.com/gpu")

PRODUCT_RULE = rule(
    f"!has(self.product) || !({_CPU})",
    "accelerator.product is for GPUs: remove it, or set accelerator.resource to nvidia.com/gpu or amd.com/gpu",
)
MEMORY_RULE = rule(
    f"!has(self.memory) || !({_CPU})",
    "accelerator.memory is for GPUs: remove it; on the CPU, resources.limits.memory says how much there is",
)
COUNT_RULE = rule(
    f"!has(self.count) || ((!has(self.resource) || self.resource in ['nvidia.com/gpu', '{SHARED}'])"
    " && !has(self.deviceClass))",
    "accelerator.count is a number of slices of a time-sliced NVIDIA GPU: remove it; other devices follow from "
    "tensorParallelSize",
)
CLASS_RULE = rule(
    f"!has(self.deviceClass) || !has(self.resource) || self.resource in {list(WHOLE)!r}",
    "beside accelerator.deviceClass, accelerator.resource only says whose GPUs they are: nvidia.com/gpu or amd.com/gpu",
)
SELECTOR_RULE = rule(
    "!has(self.deviceSelector) || has(self.deviceClass)",
    "accelerator.deviceSelector picks among the devices of a class: set accelerator.deviceClass as well",
)
_ONE_RANK = (
    "(!has(self.tensorParallelSize) || (type(self.tensorParallelSize) == int && self.tensorParallelSize == 1))"
    " && (!has(self.pipelineParallelSize) || self.pipelineParallelSize == 1)"
    " && (!has(self.dataParallelSize) || self.dataParallelSize == 1)"
)
ONE_SLICE_RULE = rule(
    "!has(self.accelerator) || !has(self.accelerator.resource) ||"
    " (!self.accelerator.resource.startsWith('nvidia.com/mig-') && !self.accelerator.resource.endsWith('.shared'))"
    f" || ({_ONE_RANK})",
    "slices of GPUs cannot serve one model together: with MIG slices or shared GPUs set all parallel sizes to 1, or "
    "use nvidia.com/gpu (whole GPUs)",
)
ONE_RANK_RULE = rule(
    f"!has(self.accelerator) || !has(self.accelerator.count) || ({_ONE_RANK})",
    "accelerator.count is a number of slices of one GPU, on which vLLM runs with one rank: set all parallel "
    "sizes to 1, or remove accelerator.count, as other GPUs follow from these",
)
AUTO_CLAIMS_RULE = rule(
    "!has(self.accelerator) || !has(self.accelerator.deviceClass) || !has(self.tensorParallelSize)"
    " || type(self.tensorParallelSize) == int",
    "tensorParallelSize: auto chooses by the labels of nodes, which tell nothing of accelerator.deviceClass: set a "
    "number",
)
SPEC_RULES = (ONE_SLICE_RULE, ONE_RANK_RULE, AUTO_CLAIMS_RULE)
"""Rules between the accelerator and the rest of a service's spec."""


class Rdma(ApiModel):
    """Devices by which a pod's memory is read and written over the network."""

    resource: Annotated[str, Limits(max_length=128)] = required(
        "Extended resource that the pods ask for. The operator's setting allowedRdmaResources must allow it.",
        "rdma/hca",
        rules=[
            rule(
                r"self.matches(r'^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",
                "must be an extended resource like rdma/hca",
            ),
            rule(
                "!self.startsWith('nvidia.com/gpu') && !self.startsWith('nvidia.com/mig-')"
                " && !self.startsWith('amd.com/gpu') && !self.contains('kubernetes.io/')",
                "accelerator.rdma is for network devices: GPUs follow from accelerator.resource and tensorParallelSize",
            ),
        ],
    )
    count: int = required("Devices of each pod.", 8, default=1, left_open=True, ge=1, le=64)


class Accelerator(ApiModel):
    """The kind of device that each rank runs on."""

    model_config = with_rules(PRODUCT_RULE, MEMORY_RULE, COUNT_RULE, CLASS_RULE, SELECTOR_RULE)

    resource: Annotated[str, Limits(max_length=128)] = required(
        "Resource that each rank asks for: nvidia.com/gpu, amd.com/gpu, a MIG slice like nvidia.com/mig-1g.10gb, "
        "nvidia.com/gpu.shared or cpu; omitted: the ServingClass's, else nvidia.com/gpu.",
        "nvidia.com/gpu",
        default="nvidia.com/gpu",
        left_open=True,
        rules=[
            rule(
                f"self in ['nvidia.com/gpu', '{SHARED}', 'amd.com/gpu', 'cpu'] || self.matches(r'^{_SLICES}$')",
                "must be nvidia.com/gpu, amd.com/gpu, a MIG slice like nvidia.com/mig-1g.10gb, nvidia.com/gpu.shared "
                "or cpu",
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
        rules=[more_than_zero("accelerator.memory", "leave it out where the nodes' labels tell it")],
    )
    count: int | None = optional(
        "Slices of one time-sliced GPU that each pod takes, for a larger share of it; omitted: one device for each "
        "rank. vLLM runs on them with one rank.",
        6,
        ge=1,
        le=64,
    )
    device_class: ObjectName | None = optional(
        "DeviceClass of which each rank gets a device by a ResourceClaim (DRA), instead of `resource`.",
        "gpu.nvidia.com",
    )
    device_selector: Annotated[str, Limits(min_length=1, max_length=2048)] | None = optional(
        "CEL expression that the devices must meet, as in a ResourceClaim.",
        "device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('80Gi')) >= 0",
    )
    rdma: Rdma | None = optional(
        "Network devices for RDMA beside the GPUs; the container may then lock memory (IPC_LOCK).",
        {"resource": "rdma/hca", "count": 8},
    )
