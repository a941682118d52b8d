"""`kubectl vllm batch run` and `fetch`: submit, follow, fetch. Decides the order, and what the exit status says."""

import argparse
import asyncio
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...api import BATCH_KIND
from ...api.conditions import ConditionType, find, holds
from ...api.reasons import Reason
from ...api.resource import Body
from ..fleet.client import AskedWrongError, FleetError, LoggedOutError, UserClient, connect
from .fetching import errors_file, fetch
from .following import Screen, Sleep, follow
from .submission import Submission, submission

ALL_ANSWERED, FAILED, SOME_FAILED, INTERRUPTED = 0, 1, 3, 130
# Tokens of clouds last minutes, batches hours: then the kubeconfig is asked for another one.
SHORTEST_LOGIN_SECONDS = 60.0
# Ends before all was answered, of which the output has what was.
_WITH_OUTPUT = (Reason.EXPIRED.value, Reason.RUN_FAILED.value)


class Errand:
    """One batch, from its submission to the file of its answers."""

    def __init__(self, target: Path, screen: Screen, sleep: Sleep = asyncio.sleep) -> None:
        self.target, self.screen, self._sleep = target, screen, sleep
        self.named: tuple[str, str] | None = None
        """Namespace and name, once there is a batch."""

    async def submit(self, client: UserClient, namespace: str, asked: Submission) -> None:
        """Makes the batch and what it needs: all of it or nothing. Raises FleetError."""
        made: list[tuple[str, str]] = []
        try:
            for manifest in (*asked.needs, asked.batch):
                created = await client.create(manifest["kind"], namespace, manifest)
                made.append((manifest["kind"], manifest["metadata"]["name"]))
            for kind, name in made[:-1]:
                await client.adopt(kind, namespace, name, {**asked.batch, "metadata": created["metadata"]})
        except FleetError:
            for kind, name in reversed(made):
                with suppress(FleetError):
                    await client.delete(kind, namespace, name)
            raise
        self.named = (namespace, made[-1][1])
        self.screen.say(f"inferencebatch {self.named[1]} in namespace {namespace} was made")

    async def bring(self, client: UserClient) -> int:
        """Waits for the end, fetches what there is, and returns the exit status. Raises FleetError."""
        namespace, name = self.named or ("", "")
        batch = await follow(client, namespace, name, self.screen, self._sleep)
        status = batch["status"]
        failed, why = holds(status, ConditionType.FAILED), find(status, ConditionType.FAILED)
        if failed and not (why["reason"] in _WITH_OUTPUT and status.get("startedAt")):
            raise FleetError(f"batch {name} failed: {why.get('message', '')}")
        self.screen.show(f"{name}: the output is fetched")
        await fetch(client, namespace, batch, self.target, self._sleep)
        if failed:
            raise FleetError(f"batch {name} failed, and {self.target} has what was answered: {why.get('message')}")
        return self._said(batch)

    def _said(self, batch: Body) -> int:
        status = batch.get("status") or {}
        done, wrong = (int(status.get(one) or 0) for one in ("done", "failed"))
        beside = f", {wrong:,} failed: {errors_file(self.target)}" if wrong else ""
        self.screen.say(f"{done:,} answered: {self.target}{beside}")
        return SOME_FAILED if wrong else ALL_ANSWERED


def run(arguments: argparse.Namespace) -> int:
    """The exit status. Raises FleetError."""
    if not arguments.output.absolute().parent.is_dir():
        raise AskedWrongError(f"there is no folder {arguments.output.absolute().parent}: make it, or write elsewhere")
    asked = submission(arguments) if arguments.action == "run" else None
    errand = Errand(arguments.output, Screen(sys.stderr))
    try:
        return asyncio.run(_go(arguments, errand, asked))
    except KeyboardInterrupt:
        errand.screen.say(_interrupted(arguments, errand))
        return INTERRUPTED
    finally:
        errand.screen.close()


async def _go(arguments: argparse.Namespace, errand: Errand, asked: Submission | None) -> int:
    async with connect(arguments.kubeconfig, arguments.context) as client:
        namespace = arguments.namespace or client.namespace
        if asked:
            await _whole(errand.submit(client, namespace, asked))
        else:
            await client.get(BATCH_KIND, namespace, arguments.name)
            errand.named = (namespace, arguments.name)
    while True:
        began = time.monotonic()
        try:
            async with connect(arguments.kubeconfig, arguments.context) as client:
                return await errand.bring(client)
        except LoggedOutError:
            if time.monotonic() - began < SHORTEST_LOGIN_SECONDS:
                raise


async def _whole(step: Coroutine[Any, Any, None]) -> None:
    """Does a step to its end, also where Ctrl-C comes meanwhile: half of it would leave objects that nobody owns."""
    task = asyncio.ensure_future(step)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _interrupted(arguments: argparse.Namespace, errand: Errand) -> str:
    if errand.named is None:
        return "interrupted: there is no batch"
    namespace, name = errand.named
    again = f"kubectl vllm batch fetch {name} -n {namespace} -o {arguments.output}"
    return (
        f"the batch goes on. Follow it and fetch the answers: {again}\nEnd it: kubectl delete vib {name} -n {namespace}"
    )
