"""LeaderWorkerSet in the control plane under test: its CRD, and its own controller where it is to act."""

from cluster.tools import module_files
from support.kube import Kube

LEADER_WORKER_SETS = "leaderworkersets.leaderworkerset.x-k8s.io"


def install_api(kube: Kube) -> None:
    """Serves LeaderWorkerSets, from now on. Nobody acts on them."""
    path = module_files("lws") / "config" / "crd" / "bases" / "leaderworkerset.x-k8s.io_leaderworkersets.yaml"
    kube.run("apply", "--server-side", "-f", str(path))
    # kubectl refuses a kind that it does not find yet.
    kube.wait(
        "the API is there", 30, lambda: LEADER_WORKER_SETS in kube.run("api-resources", "-o", "name", check=False)
    )


def remove_api(kube: Kube) -> None:
    """Serves no LeaderWorkerSets any more; those that there were are gone."""
    kube.run("delete", "crd", LEADER_WORKER_SETS)
