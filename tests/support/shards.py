"""Operators that share the namespaces of a cluster out: processes of this machine, each with its own account."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cluster.control_plane import ControlPlane
from support.operator_process import OperatorProcess, add_account


@contextmanager
def sharing(
    plane: ControlPlane, count: int, *, in_pods: bool = False, **settings: Any
) -> Iterator[list[OperatorProcess]]:
    """So many of them, started. `in_pods`: one that is started again is a container of the same pod."""
    found: list[OperatorProcess] = []
    try:
        for index in range(count):
            name = f"shard-{index}"
            rights = add_account(plane, name, f"--set=shards={count}")
            found.append(OperatorProcess(plane, rights, name, {"POD_NAME": name} if in_pods else {}, shard=index))
            found[-1].start(shards=count, **settings)
        yield found
    finally:
        for one in found:
            one.stop()
