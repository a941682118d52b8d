"""One service, from spec to children to status. Read this first.

gather (evidence) -> assess (does it fit) -> plan the changes (a value) -> execute them -> status (pure) -> write it.
The user's trouble becomes a condition and waits for a change; the world's is raised, and the queue tries again.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from .. import metrics
from ..again import Again, soonest
from ..api import API_VERSION, KIND
from ..api.conditions import ConditionType, find
from ..api.reasons import Reason
from ..api.resource import Key, Reference
from ..api.times import written
from ..apply.changes import plan_changes
from ..apply.execute import Hands, execute
from ..apply.fewer import plan_fewer
from ..apply.renderings import Known
from ..assess.fits import NOT_ASSESSED, Assessment
from ..cluster import GoneError, RefusedError, UnavailableError
from ..loop.arrivals import Arrivals
from ..loop.kinds import Surroundings
from ..readers.devices import DeviceClasses
from ..readers.together import Together
from ..snapshots.own import ObjectSnapshot
from ..status.conditions import operator_failed
from ..status.evidence import UNREAD, Account, Evidence, Outcome
from ..status.figures import figures, fleet
from ..status.status import outline, stamp_of, status
from .agreement import Agreement
from .first_status import Settling
from .gather import gather
from .holdings import SupplyReader
from .judge import Judge
from .memory import Memory, Shared, remember
from .rules import rules
from .view import View

log = logging.getLogger(__name__)

# No object: the nodes are to be looked at anew, by every operator.
NODES_CHANGED = Key("", "")
# A service that is going away is soon gone.
GONE_SECONDS = 3.0


class ServiceReconciler:
    """Reconciles InferenceServices."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._view = View(surroundings.indices)
        self._memories: dict[Key, Memory] = {}
        self._agreement = Agreement(self._view, surroundings.settings, surroundings.claimants)
        self._arrivals = Arrivals(surroundings.clock)
        self._judge = Judge(surroundings, self._view.nodes)
        together = Together(surroundings.settings, surroundings.requeue, surroundings.clock)
        classes = DeviceClasses(surroundings.cluster, surroundings.clock)
        supply = SupplyReader(self._view, surroundings.clock)
        self._shared = Shared(together, classes, supply)

    def known(self) -> list[Key]:
        """All services, and before them the nodes, on which their plans rest. Users wait for those that were edited."""
        return [NODES_CHANGED, *sorted(self._view.known(), key=self._is_unchanged)]

    def _is_unchanged(self, key: Key) -> bool:
        service = self._view.service(key)
        return service is None or not service.edited

    async def reconcile(self, key: Key) -> float | None:
        """Brings a service to its desired state. Returns seconds after which to look again; None: wait for a change."""
        if key == NODES_CHANGED:
            await self._judge.look_at_nodes()
            return None
        snapshot = self._view.service(key)
        if snapshot is None:
            self.forget(key)
            return None
        with metrics.reconcile_seconds.time():
            try:
                again = soonest(await self._reconcile(key, snapshot, self._remember(key, snapshot.uid)))
            except GoneError as error:  # the service, or its namespace
                again = Again(GONE_SECONDS, str(error))
            except Exception:
                self._judge.give_up(key)
                raise
        if again:
            log.debug("%s: again in %.1f s, as %s", key, again.seconds, again.why)
        return again.seconds if again else None

    async def _reconcile(self, key: Key, snapshot: ObjectSnapshot, memory: Memory) -> list[Again]:
        evidence = await gather(key, snapshot, memory, self._surroundings, self._agreement)
        if evidence.spec_error:
            return await self._refuse(evidence, evidence.spec_error[0], memory)
        assessment = await self._judge.assess(evidence)
        if assessment.chosen:
            evidence = evidence.with_chosen(assessment.chosen)
        outcome = await self._outcome(evidence, assessment, memory)
        stays = (outcome.error or outcome.withheld) and not evidence.never_ran
        seen = evidence.held_to_deployed(refused=outcome.error is not None) if stays else evidence
        account = Account(seen, assessment, outcome)
        waits = [*memory.waits(), *self._rules(account, memory)]
        if not any(wait.holds_status for wait in waits):
            waits += await self._tell(account, memory)
        return waits

    async def _refuse(self, evidence: Evidence, reason: Reason, memory: Memory) -> list[Again]:
        """Tells why the spec is refused. What runs stays, or becomes less where the spec asks for that."""
        key = evidence.service.key
        self._arrivals.settled(key)
        self._shared.together.leave(key)
        self._judge.forget(key)
        outcome = await self._outcome(evidence, NOT_ASSESSED, memory) if reason not in UNREAD else Outcome()
        account = Account(evidence.held_to_deployed(), outcome=outcome)
        waits = [*memory.claims.waits(), *self._rules(account, memory)]
        return [*await self._tell(account, memory), *(wait for wait in waits if not wait.holds_status)]

    def _rules(self, account: Account, memory: Memory) -> Iterator[Again]:
        settling = Settling(
            written=memory.writer.has_written,
            settled_at=memory.settled_at,
            others_wait=self._arrivals.holds_status(account.service.namespace),
        )
        return rules(account, settling, memory.ledger, self._surroundings.clock())

    async def _outcome(self, evidence: Evidence, assessment: Assessment, memory: Memory) -> Outcome:
        """What became of the children. A fault of ours is told as well, in place of a status that is never written."""
        try:
            return await self._bring_about(evidence, assessment, memory)
        except (GoneError, UnavailableError):
            raise
        except Exception as error:
            log.exception("%s: its children cannot be seen to", evidence.service.key)
            metrics.reconcile_errors.labels(type(error).__name__).inc()
            self._arrivals.settled(evidence.service.key)
            return Outcome(error=operator_failed("service", error))

    async def _bring_about(self, evidence: Evidence, assessment: Assessment, memory: Memory) -> Outcome:
        """Plans the changes of the children, and executes them."""
        service, around = evidence.service, self._surroundings
        known = Known(assessment, around.settings, memory.ledger, memory.rendered, around.clock())
        changes = plan_fewer(evidence, known) if evidence.spec_error else plan_changes(evidence, known)
        if changes.rendered:
            memory.rendered = {service.revision: changes.rendered}
        hands = Hands(around.cluster, memory.ledger, around.clock)
        outcome = await execute(service, changes, hands)
        if outcome.error and not evidence.spec_error:
            refused = replace(evidence, spec_error=outcome.error)
            await execute(service, plan_fewer(refused, known), hands)
        memory.jobs = outcome.jobs
        self._arrivals.settled(service.key)
        memory.settled_at = around.clock() if memory.settled_at is None else memory.settled_at
        return outcome

    async def _tell(self, account: Account, memory: Memory) -> list[Again]:
        """Brings the metrics up to date, and writes the status where that is due."""
        service, before = account.service, account.evidence.before
        now = written(datetime.now(UTC))
        after = status(account, now)
        restarts = memory.restarts.count(self._view.pods(service.key))
        fleet.show(service.key, figures(account, find(after, ConditionType.READY), restarts))
        about = Reference(API_VERSION, KIND, service.key, service.uid)
        try:
            wait = await memory.writer.write(about, before, after)
        except RefusedError as error:
            wait = await memory.writer.write(about, before, outline(after, str(error), stamp_of(account, now)))
        return [wait] if wait else []

    def _remember(self, key: Key, uid: str) -> Memory:
        memory = self._memories.get(key)
        if memory is None or memory.uid != uid:
            self.forget(key)
            memory = self._memories[key] = remember(key, uid, self._surroundings, self._shared)
            self._arrivals.arrived(key)
        return memory

    def forget(self, key: Key) -> None:
        """The service is gone, or another operator sees to it."""
        self._arrivals.settled(key)
        self._memories.pop(key, None)
        self._judge.forget(key)
        self._shared.together.leave(key)
        fleet.forget(key)
