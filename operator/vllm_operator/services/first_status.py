"""How long the first status of a service waits, so that it says something: one write less for each service.

It waits for the Deployment controller's answer, for some seconds at most, and gives way to the children of services
that came at the same time. What the user has to know at once never waits: a refusal, a plan that does not fit, and
that all pods serve.
"""

from typing import NamedTuple

from ..again import Again
from ..status.evidence import Account

# For the Deployment controller.
FIRST_STATUS_SECONDS = 3.0
# One that gives way is looked at again so often.
GIVE_WAY_SECONDS = 0.5


class Settling(NamedTuple):
    """How far a service, and those that came with it, have got."""

    written: bool
    """Whether this operator has written a status of it already."""
    settled_at: float | None
    """When its children were first as they should be, in seconds of the clock."""
    others_wait: bool
    """Whether services that came at the same time have no children yet."""


def seconds_to_hold_first_status(account: Account, settling: Settling, now: float) -> Again | None:
    """None where the status is to be written now, or is not the first one."""
    evidence, outcome = account.evidence, account.outcome
    verdict = outcome.withheld and (evidence.refusal or not account.assessment.pending)
    if "conditions" in evidence.before or settling.written or outcome.error or verdict:
        return None
    if evidence.all_serve:
        return None
    if settling.others_wait:
        return Again(GIVE_WAY_SECONDS, "other services have no children yet", holds_status=True)
    deployment = evidence.deployment
    answered = deployment and deployment.replicas >= (evidence.service.wanted_replicas or 1)
    left = (now if settling.settled_at is None else settling.settled_at) + FIRST_STATUS_SECONDS - now
    if left > 0 and not answered:
        return Again(left, "the Deployment controller has not answered", holds_status=True)
    return None
