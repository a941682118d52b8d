"""An honest team's edits while another team attacks without pause: how long until their Deployment has them.

`python -m bench.hostile --edits 500` (`make bench-hostile`, about 15 minutes): first alone, then beside attacks. The
attacker makes and deletes services of all the models in tests/hostile, and edits forty others all the time.
"""

import argparse
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import quantiles

from bench.fakes import meanwhile
from bench.figures import Table
from hostile.attacks import MODELS, model
from hostile.stage import ALICE, TEAMS, stage, tenant_of
from hostile.tenants import MOST_MIB, Honest, Tenant
from support.kube import Object
from support.services import service

AIM_SECONDS = 2.0


def listed(*items: Object) -> Object:
    """Objects as one."""
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


@contextmanager
def attacked(tenant: Tenant) -> Iterator[list[int]]:
    """Attacks while the block runs; rounds done so far."""
    rounds = [0]
    models = listed(*(service(f"{name}-{copy}", **model(name)) for name in MODELS for copy in range(4)))

    def attack(ends: threading.Event) -> None:
        while not ends.is_set():
            rounds[0] += 1
            tenant.tries("apply", models)
            flood = (service(f"flood-{number}", replicas=0, maxModelLen=1000 + rounds[0]) for number in range(40))
            tenant.tries("apply", listed(*flood))
            names = [item["metadata"]["name"] for item in models["items"]]
            tenant.kube.run("delete", "vis", *names, "--wait=false", "--ignore-not-found", check=False)

    with meanwhile(attack):
        yield rounds


def main() -> int:
    """Measures alone and attacked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=500)
    count = parser.parse_args().edits
    table = Table()
    with stage("bench-hostile") as watched:
        honest = Honest.settle(watched)
        alone = percentiles([honest.edit() for _ in range(count)])
        table.add("an edit alone, p50", alone[0], "s")
        table.add("an edit alone, p99", alone[1], "s")
        with attacked(tenant_of(watched, TEAMS[0], *ALICE)) as rounds:
            beside = percentiles([honest.edit() for _ in range(count)])
        table.add("rounds of attacks beside it", rounds[0])
        table.add("an edit beside them, p50", beside[0], "s")
        table.add("an edit beside them, p99", beside[1], "s", most=AIM_SECONDS)
        table.add("times as long, p50", beside[0] / alone[0])
        table.add("times as long, p99", beside[1] / alone[1])
        table.add("most memory of the operator", watched.operator.peak_mib(), "MiB", most=MOST_MIB)
        watched.unharmed()
    print(table.markdown())
    return 1 if table.missed else 0


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """The 50th and 99th."""
    cuts = quantiles(seconds, n=100, method="inclusive")
    return cuts[49], cuts[98]


if __name__ == "__main__":
    sys.exit(main())
