"""A ServiceMonitor's API in the control plane under test: a CRD that keeps everything."""

from pathlib import Path

from support.kube import Kube

MONITORS = "servicemonitors.monitoring.coreos.com"


def install_api(kube: Kube) -> None:
    """Serves ServiceMonitors, from now on. Nobody acts on them."""
    kube.run("apply", "-f", str(Path(__file__).parent / "servicemonitors.yaml"))


def remove_api(kube: Kube) -> None:
    """Serves no ServiceMonitors any more; those that there were are gone."""
    kube.run("delete", "crd", MONITORS)
