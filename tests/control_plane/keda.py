"""KEDA's own API in the control plane under test: the CRD of its ScaledObject, from its Go module."""

import json
from pathlib import Path

from cluster.host import command
from support.kube import Kube

VERSION = "v2.21.0"
SCALED_OBJECTS = "scaledobjects.keda.sh"


def install_api(kube: Kube) -> None:
    """Serves ScaledObjects, from now on. Nobody acts on them."""
    module = json.loads(command(["go", "mod", "download", "-json", f"github.com/kedacore/keda/v2@{VERSION}"]))
    path = Path(module["Dir"]) / "config" / "crd" / "bases" / "keda.sh_scaledobjects.yaml"
    kube.run("apply", "--server-side", "-f", str(path))
    # kubectl refuses a kind that it does not find yet.
    kube.wait("the API is there", 30, lambda: SCALED_OBJECTS in kube.run("api-resources", "-o", "name", check=False))


def remove_api(kube: Kube) -> None:
    """Serves no ScaledObjects any more; those that there were are gone."""
    kube.run("delete", "crd", SCALED_OBJECTS)
