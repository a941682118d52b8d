"""Our own container in a pod, or in a template of pods, and what that has of GPUs. Pure."""

from collections.abc import Iterable

from ..api.limits import count_of
from ..api.resource import Body
from ..manifests.devices import request_in
from ..manifests.names import CONTAINER, is_gpu


def ours(containers: Iterable[Body], name: str = CONTAINER) -> Body:
    """Our own container, or its status: a service mesh or a policy may have put others beside it, and before it."""
    return next((container for container in containers if container.get("name") == name), {})


def devices(body: Body) -> tuple[str, int]:
    """What a pod, or a template of pods, has of GPUs, or of slices of them, and how many; claimed ones have no name."""
    limits = ours(body["spec"]["containers"]).get("resources", {}).get("limits") or {}
    named = ((name, count_of(count)) for name, count in limits.items() if is_gpu(name))
    return next(named, ("", _claimed(body)))


def _claimed(body: Body) -> int:
    """Devices of a pod's ResourceClaim. Whoever may edit pods may have left there what is no request."""
    try:
        request = request_in(body)
    except ValueError:
        return 0
    return count_of(request["count"]) if request else 0
