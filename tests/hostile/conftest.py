"""The stage, and who is on it."""

from collections.abc import Iterator

import pytest

from hostile.stage import ALICE, EDITH, TEAMS, stage, tenant_of
from hostile.tenants import Honest, Tenant, Watched


@pytest.fixture(scope="session")
def watched() -> Iterator[Watched]:
    """The operator, and what must hold of it after each attack."""
    with stage("test-hostile") as watched:
        yield watched


@pytest.fixture
def alice(watched: Watched) -> Iterator[Tenant]:
    """Who may write InferenceServices in team-a, and nothing else."""
    tenant = tenant_of(watched, TEAMS[0], *ALICE)
    yield tenant
    tenant.kube.run("delete", "vis", "--all", "--wait=false")


@pytest.fixture
def edith(watched: Watched) -> Iterator[Tenant]:
    """Who has Kubernetes' role `edit` in team-b."""
    tenant = tenant_of(watched, TEAMS[1], *EDITH)
    yield tenant
    tenant.kube.run("delete", "vis", "--all", "--wait=false")


@pytest.fixture(scope="session")
def honest(watched: Watched) -> Honest:
    """A team with one service, and how long its edits take while nobody attacks."""
    return Honest.settle(watched)
