"""What `kubectl vllm import` prints passes `kubectl apply --dry-run=server`; it reads workloads from the cluster."""

import subprocess
import sys
from typing import Any

import pytest
import yaml

from cluster.api import Api
from cluster.control_plane import ControlPlane
from cluster.host import REPOSITORY
from cluster.tools import tool
from support.imports import CASES, FOLDER, result
from support.kube import Kube

pytestmark = pytest.mark.control_plane
SERVICES = "/apis/vllm-operator.dev/v1alpha1/namespaces/default/inferenceservices"


def kubectl(control_plane: ControlPlane, *words: str, text: str = "") -> tuple[int, str]:
    """Exit status and output of a kubectl command."""
    command = [str(tool("kubectl")), "--kubeconfig", str(control_plane.kubeconfig), *words]
    done = subprocess.run(command, input=text, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane) -> Api:
    """An API server that knows our CRDs, with the namespaces of the cases."""
    status, said = kubectl(control_plane, "apply", "--server-side", "--force-conflicts", "-f", str(REPOSITORY / "crds"))
    assert status == 0, said
    api = control_plane.api()
    Kube(control_plane.kubeconfig, "default").wait("it does", 60, lambda: api.request("GET", SERVICES)[0] == 200)
    documents = [document for name in CASES for document in result(name).documents]
    for namespace in {document["metadata"].get("namespace", "default") for document in documents} - {"default"}:
        kubectl(control_plane, "create", "namespace", namespace)
    return api


@pytest.mark.parametrize("name", CASES)
def test_the_api_server_takes_what_is_printed(control_plane: ControlPlane, api: Api, name: str) -> None:
    text = yaml.safe_dump_all(result(name).documents)
    status, said = kubectl(control_plane, "apply", "--dry-run=server", "--validate=strict", "-f", "-", text=text)
    assert status == 0, said


def imported(control_plane: ControlPlane, *words: str) -> subprocess.CompletedProcess[str]:
    """`kubectl vllm import` against the cluster."""
    command = [sys.executable, "-m", "vllm_operator", "import", *words, "--kubeconfig", str(control_plane.kubeconfig)]
    return subprocess.run(command, text=True, check=False, capture_output=True)


def test_a_workload_of_the_cluster_with_what_stands_around_it(control_plane: ControlPlane, api: Api) -> None:
    status, said = kubectl(control_plane, "apply", "-f", str(FOLDER / "config-map.yaml"))
    assert status == 0, said
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "from-maps"},
        "spec": {"selector": {"app": "from-maps"}, "ports": [{"port": 8000}]},
    }
    kubectl(control_plane, "apply", "-f", "-", text=yaml.safe_dump(service))
    done = imported(control_plane, "deploy/from-maps", "-n", "default")
    assert done.returncode == 3, done.stderr
    (document,) = yaml.safe_load_all(done.stdout)
    assert document["metadata"]["name"] == "from-maps"
    assert document["spec"]["model"]["uri"] == "hf://Qwen/Qwen3-8B"
    assert document["spec"]["kvCache"] == {"gpuMemoryUtilizationPercent": 80}
    assert "Service/from-maps" in done.stderr
    assert "is not known to this import" not in done.stderr


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("deployment/none", "there is no Deployment none in namespace default"),
        ("cronjob/llama", "cronjob is not a kind that can be imported"),
    ],
)
def test_what_is_not_there_is_one_sentence(control_plane: ControlPlane, api: Api, source: str, said: str) -> None:
    done = imported(control_plane, source, "-n", "default")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr
