"""Lines of a log that tell of ranks which do not work together: shared memory, and the network. Order is priority."""

from ..api.reasons import Reason
from .symptom import OF_SYSTEM, Symptom

OF_NCCL = "nccl"
"""A `source`: NCCL's own words (src/ of https://github.com/NVIDIA/nccl), as it logs them and torch repeats the last."""
HOST_MEMORY = (
    "its node gives it no more host memory: raise resources.requests.memory, and resources.limits.memory where it is "
    "set"
)
_TORCH = "torch/lib/libtorch_cuda.so"
# How ranks find each other: the store of torch.distributed, at the first rank (torch/csrc/distributed/c10d).
_STORE = "torch/lib/libtorch_cpu.so"
_FULL = (
    "the pod's shared memory (/dev/shm) is full, most often of what earlier runs of its container left there: delete "
    "the pod, and the next one starts with it empty"
)
_SEGMENT = "Error while creating shared memory segment {path} (size {size}), error: "
_OTHERS = "see first what the other ranks say, then NetworkPolicies and the network between the nodes"

RANKS = (
    Symptom(OF_SYSTEM, "No space left on device: '/psm_{}'", Reason.NO_SPACE_LEFT, _FULL),
    Symptom(OF_NCCL, f"{_SEGMENT}No space left on device", Reason.NO_SPACE_LEFT, _FULL),
    Symptom(OF_NCCL, f"{_SEGMENT}Cannot allocate memory", Reason.OUT_OF_MEMORY, HOST_MEMORY),
    # Here it is the limit of what may be locked (RLIMIT_MEMLOCK): the node may have enough memory.
    Symptom(
        OF_NCCL,
        "Call to ibv_{call} failed with error Cannot allocate memory",
        Reason.GPU_ERROR,
        "node {node} lets the pod lock too little memory for RDMA (ibv_{call}): see that its container runtime has no "
        "limit of that (LimitMEMLOCK=infinity of its systemd unit), as accelerator.rdma needs",
    ),
    Symptom(
        OF_NCCL,
        "Duplicate GPU detected : rank {one} and rank {other} both on CUDA device {device}",
        Reason.GPU_UNAVAILABLE,
        "ranks {one} and {other} got the same GPU of node {node}: shares of one GPU (time-slicing) serve no model "
        "together; check the device plugin there",
    ),
    Symptom(
        OF_NCCL,
        "Bootstrap : no socket interface found",
        Reason.RANK_UNREACHABLE,
        "NCCL finds no network interface in the pod: check NCCL_SOCKET_IFNAME in env",
    ),
)

# What a rank says that only hears of what ended another, or does not reach it: any cause counts before.
ECHOES = (
    Symptom(
        OF_NCCL,
        "socketStartConnect: Connect to {address} failed : {what}",
        Reason.RANK_UNREACHABLE,
        f"a rank does not reach another one at {{address}} ({{what}}): {_OTHERS}",
    ),
    Symptom(
        OF_NCCL,
        "remote process exited or there was a network error",
        Reason.RANK_UNREACHABLE,
        f"a rank has lost another one (NCCL): {_OTHERS}",
    ),
    Symptom(
        _TORCH,
        "ncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely.",
        Reason.RANK_UNREACHABLE,
        f"a rank has lost another one (NCCL): {_OTHERS}",
    ),
    Symptom(
        _TORCH,
        "Watchdog caught collective operation timeout: ",
        Reason.RANK_UNREACHABLE,
        f"a rank waited in vain for the others (collective operation timeout): {_OTHERS}",
    ),
    # Only what a rank ended with: torch logs each try.
    Symptom(
        _STORE,
        "network addresses of ({address}, {port}) cannot be retrieved (gai error: {} - {what})",
        Reason.RANK_UNREACHABLE,
        f"a rank does not find the address of the first one, {{address}} ({{what}}): {_OTHERS}, and the cluster's DNS",
        ends=True,
    ),
    Symptom(
        _STORE,
        "The client socket has failed to connect to any network address of ({address}, {port}).",
        Reason.RANK_UNREACHABLE,
        f"a rank does not reach the first one at {{address}}:{{port}}: {_OTHERS}",
        ends=True,
    ),
    Symptom(
        _STORE,
        "The client socket has timed out after {} while trying to connect to ({address}, {port}).",
        Reason.RANK_UNREACHABLE,
        f"a rank does not reach the first one at {{address}}:{{port}}: {_OTHERS}",
        ends=True,
    ),
    Symptom(
        _STORE,
        "Timed out after {} seconds waiting for clients. {joined}/{wanted} clients joined.",
        Reason.RANK_UNREACHABLE,
        f"of {{wanted}} ranks {{joined}} reached the first one in time: {_OTHERS}",
        ends=True,
    ),
    Symptom(
        _STORE,
        "gloo/transport/tcp/pair.cc{}] {what}",
        Reason.RANK_UNREACHABLE,
        f"a rank has lost another one (gloo: {{what}}): {_OTHERS}",
        ends=True,
    ),
)
