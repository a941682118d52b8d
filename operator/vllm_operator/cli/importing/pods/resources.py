"""CPU, memory and devices of a container: fields, and whether as many devices were asked for as vLLM has ranks."""

from ..documents import ImportInputError
from ..part import Part
from ..report import Went
from ..server import Server
from ..values import UnfitError, size

_GPUS = ("nvidia.com/gpu", "amd.com/gpu")
_OTHER_DEVICES = (
    "google.com/tpu", "aws.amazon.com/neuron", "habana.ai/", "gpu.intel.com/", "huawei.com/",
        "cambricon.com/", "metax-tech.com/", "iluvatar", "hygon.com/", "enflame.com", "npu",
)  # fmt: skip


def take_resources(server: Server, resources: Part) -> None:
    """Take requests and limits over. Raises ImportInputError for devices that are not served."""
    counts: dict[str, tuple[int, Part]] = {}
    for kind in ("requests", "limits"):
        for name, amount in resources.at(kind).items():
            if any(name.startswith(other) or other in name for other in _OTHER_DEVICES):
                raise ImportInputError(f"{name} is asked for: only GPUs of NVIDIA and AMD, and CPUs, are served")
            if name in ("cpu", "memory", "ephemeral-storage"):
                _amount(server, kind, name, amount)
            elif _is_gpu(name):
                counts[name] = (_whole(amount.text), amount)
            else:
                _other(server, kind, name, amount)
    for claim in resources.at("claims").each():
        server.draft.say(claim.origin(), Went.LEFT, "name the claim's DeviceClass in accelerator.deviceClass")
    for name, (count, amount) in counts.items():
        take_devices(server, name, count, amount)
        for kind in ("requests", "limits"):
            twin = resources.at(kind, name)
            if twin:
                server.draft.say(twin.origin(f"{kind} {name}"), Went.FIELD, "accelerator and tensorParallelSize")


def _is_gpu(name: str) -> bool:
    return name in _GPUS or name.startswith(("nvidia.com/mig-", "nvidia.com/gpu"))


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else 1


def _amount(server: Server, kind: str, name: str, amount: Part) -> None:
    origin = amount.origin(f"{kind} {name}={amount.text}")
    try:
        value = amount.text if name == "cpu" else size(amount.text)
    except UnfitError as error:
        server.draft.say(origin, Went.LEFT, str(error))
        return
    note = "the operator adds /dev/shm to it" if name == "memory" else ""
    server.draft.put(f"resources.{kind}.{name}", value, origin, note)


def _other(server: Server, kind: str, name: str, amount: Part) -> None:
    origin = amount.origin(f"{kind} {name}={amount.text}")
    if name.startswith("hugepages"):
        text = "pods get no huge pages: vLLM runs without"
    elif "rdma" in name or "/efa" in name:
        server.draft.put_if_allowed("accelerator.rdma", {"resource": name, "count": _whole(amount.text)}, origin)
        return
    else:
        text = f"pods ask for no {name}: whole GPUs by accelerator and tensorParallelSize"
    server.draft.say(origin, Went.LEFT, text)


def take_devices(server: Server, name: str, count: int, amount: Part) -> None:
    """The kind of device, and whether their number is that of vLLM's ranks."""
    draft = server.draft
    origin = amount.origin(f"{name}={count}")
    if name != "nvidia.com/gpu" and not draft.put("accelerator.resource", name, origin):
        return
    ranks = ranks_of(server)
    if count == ranks:
        draft.say(origin, Went.FIELD, f"one {name} for each of the {ranks} ranks" if ranks > 1 else "one GPU, one rank")
    elif count < ranks:
        draft.say(origin, Went.LEFT, f"vLLM has {ranks} ranks, and each needs one: pods ask for {ranks}")
    else:
        draft.say(
            origin,
            Went.LEFT,
            f"vLLM has {ranks} rank{'s' * (ranks > 1)} and leaves {count - ranks} unused: pods ask for {ranks}; to use "
            f"all, set tensorParallelSize: {count}; if they are slices of one GPU, set accelerator.count: {count}",
        )


def ranks_of(server: Server) -> int:
    """Processes of a pod with a device each, as the draft has them."""
    ranks = 1
    for path in ("tensorParallelSize", "pipelineParallelSize", "dataParallelSize"):
        value = server.draft.get(path)
        ranks *= value if isinstance(value, int) else 1
    return ranks // (server.draft.get("nodesPerReplica") or 1)
