"""Why a service is looked at again though no event asks for it, beside what is being read. Pure: one rule a line."""

from collections.abc import Iterator

from ..again import Again
from ..apply.ledger import WATCH_LAG_SECONDS, Ledger
from ..assess.limits import is_limit
from ..status.evidence import Account
from .first_status import Settling, seconds_to_hold_first_status

# Who holds the GPUs that pods wait for changes without an event of theirs.
SUPPLY_SECONDS = 30.0
# Of those that a class has no room for in their namespace, each would concern every other one.
CLASS_SECONDS = 30.0
# What the API server refused may be allowed later without any event of ours: a quota, an admission policy.
REFUSED_RETRY_SECONDS = 30.0
# The children of a deleted service of the same name are soon gone.
PREDECESSOR_SECONDS = 3.0


def rules(account: Account, settling: Settling, ledger: Ledger, now: float) -> Iterator[Again]:
    """Every reason to come back."""
    if wait := seconds_to_hold_first_status(account, settling, now):
        yield wait
    if ledger.unseen():
        yield Again(WATCH_LAG_SECONDS, "the watch has yet to show what was applied")
    outcome = account.outcome
    if outcome.predecessor:
        yield Again(PREDECESSOR_SECONDS, "what a deleted service of this name had may be gone")
    if outcome.error or outcome.beside or outcome.jobs.refused:
        yield Again(REFUSED_RETRY_SECONDS, "the API server may allow later what it refused")
    if is_limit(account.evidence.refusal):
        yield Again(CLASS_SECONDS, "other services of the class may ask for less")
    if account.evidence.taking:
        yield Again(account.evidence.taking, "Ray Serve may have begun with what has changed")
    if account.evidence.supply:
        yield Again(SUPPLY_SECONDS, "GPUs may have become free")
