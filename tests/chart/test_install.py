"""Installing, upgrading and removing the chart on a real API server.

It has a control plane of its own: helm refuses to install over a CRD that another test has applied.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.control_plane import ControlPlane
from support.chart import CHART, CRD, CRD_NAME, NAMESPACE, RELEASE, VALUES, Client, Said, Word

pytestmark = pytest.mark.chart

TEAMS = ("team-a", "team-b")
PLATFORM = "platform"
CLASSES = "servingclasses.vllm-operator.dev"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A cluster with namespaces: the operator's, which holds pods to the strictest standard, and two teams'."""
    control_plane = ControlPlane.start("test-chart")
    try:
        client = Client(control_plane)
        for name in (NAMESPACE, PLATFORM, *TEAMS):
            client.kubectl("create", "namespace", name).ok()
        client.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted").ok()
        for role in ("view", "edit"):
            client.kubectl(
                "create", "clusterrolebinding", f"a-{role}er", f"--clusterrole={role}", f"--user={role}er"
            ).ok()
        yield client
    finally:
        control_plane.stop()


@pytest.fixture
def installed(client: Client) -> Iterator[Client]:
    """A cluster with the chart as it comes; helm does not wait for pods, as there are no nodes."""
    client.helm("install", CHART).ok()
    yield client
    client.kubectl("delete", CRD_NAME, "--all", "--all-namespaces").ok()
    client.helm("uninstall", "--ignore-not-found").ok()


def wait_until(what: str, check: Callable[[], object], seconds: float = 15) -> None:
    """Wait for something that the API server or a controller does a little later."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"{what}: not so after {seconds:.0f} s"
        time.sleep(0.1)


def create_service(client: Client, name: str, *words: Word, **spec: object) -> Said:
    """What creating a service of that name is answered."""
    manifest = {
        "apiVersion": "vllm-operator.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "team-a"},
        "spec": {"model": {"uri": "hf://org/name"}, **spec},
    }
    return client.kubectl("create", "--validate=strict", *words, "--filename=-", text=yaml.safe_dump(manifest))


def allowed(client: Client, user: str, verb: str, resource: str, namespace: str) -> bool:
    """Whether RBAC lets the user do that."""
    said = client.kubectl("auth", "can-i", verb, resource, f"--namespace={namespace}", f"--as={user}")
    return said.output.strip() == "yes"


def pod_template(client: Client) -> dict[str, Any]:
    """The pod template of the operator's Deployment."""
    found: dict[str, Any] = client.get("deployment", RELEASE, f"--namespace={NAMESPACE}")["spec"]["template"]
    return found


def changed_chart(directory: Path) -> Path:
    """A copy of the chart whose CRD has one more field."""
    copy = directory / CHART.name
    shutil.copytree(CHART, copy)
    crd = yaml.load(CRD.read_text(), yaml.CSafeLoader)
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["novelty"] = {"type": "string", "maxLength": 10}
    (copy / "files" / CRD.name).write_text(yaml.safe_dump(crd))
    return copy


def test_the_pod_keeps_the_restricted_standard(installed: Client) -> None:
    words = ("pods", f"--namespace={NAMESPACE}", f"--selector=app.kubernetes.io/instance={RELEASE}")
    wait_until("the operator's pod is admitted", lambda: installed.names(*words))
    installed.kubectl("wait", "--for=condition=Established", f"crd/{CRD_NAME}", "--timeout=10s").ok()


def test_editors_create_services_and_viewers_look(installed: Client) -> None:
    # A controller adds our rules to the cluster's roles.
    wait_until("editors may create", lambda: create_service(installed, "edited", "--as=editer").status == 0)
    refused = create_service(installed, "viewed", "--as=viewer").refused()
    assert 'User "viewer" cannot create resource "inferenceservices"' in refused
    assert installed.names(CRD_NAME, "--namespace=team-a", "--as=viewer") == ["edited"]
    installed.kubectl("scale", CRD_NAME, "edited", "--replicas=2", "--namespace=team-a", "--as=editer").ok()
    installed.kubectl("delete", CRD_NAME, "edited", "--namespace=team-a", "--as=editer").ok()


def test_everybody_may_list_the_classes_and_the_platform_team_writes_them(installed: Client) -> None:
    wait_until("a team may list them", lambda: allowed(installed, "somebody", "list", CLASSES, "default"))
    assert not allowed(installed, "editer", "create", CLASSES, "default")
    role = f"--clusterrole={NAMESPACE}-{RELEASE}-classes-edit"
    installed.kubectl("create", "clusterrolebinding", "platform-team", role, "--user=platformer").ok()
    try:
        wait_until("the platform team may", lambda: allowed(installed, "platformer", "create", CLASSES, "default"))
    finally:
        installed.kubectl("delete", "clusterrolebinding", "platform-team").ok()


def test_an_upgrade_serves_a_new_field(installed: Client, tmp_path: Path) -> None:
    assert 'unknown field "spec.novelty"' in create_service(installed, "early", novelty="yes").refused()
    installed.helm("upgrade", changed_chart(tmp_path)).ok()
    wait_until("the new field is served", lambda: create_service(installed, "late", novelty="yes").status == 0)
    found = installed.get(CRD_NAME, "late", "--namespace=team-a")
    assert found["spec"]["novelty"] == "yes"


def test_a_changed_setting_restarts_the_operator_and_nothing_else_does(installed: Client) -> None:
    before = pod_template(installed)
    installed.helm("upgrade", CHART).ok()
    assert pod_template(installed) == before
    installed.helm("upgrade", CHART, "--set=settings.workers=4").ok()
    after = pod_template(installed)
    checksum = "checksum/settings"
    assert before["metadata"]["annotations"].pop(checksum) != after["metadata"]["annotations"].pop(checksum)
    assert after == before


def test_removal_leaves_the_services_and_the_next_installation_finds_them(installed: Client) -> None:
    create_service(installed, "kept").ok()
    assert CRD_NAME in installed.helm("uninstall").ok()  # helm says what it kept
    assert installed.names(CRD_NAME, "--all-namespaces") == ["kept"]
    for resource in ("clusterroles", "clusterrolebindings", "deployments", "configmaps", "services", "serviceaccounts"):
        label = f"--selector=app.kubernetes.io/instance={RELEASE}"
        assert installed.names(resource, "--all-namespaces", label) == []
    installed.helm("install", CHART).ok()
    assert installed.names(CRD_NAME, "--all-namespaces") == ["kept"]


def test_giving_up_the_crd_does_not_delete_it(installed: Client) -> None:
    create_service(installed, "kept").ok()
    installed.helm("upgrade", CHART, "--set=crds.install=false").ok()
    assert installed.names(CRD_NAME, "--all-namespaces") == ["kept"]


def test_a_release_of_another_name_leaves_the_crd_alone_or_takes_it(installed: Client) -> None:
    """The comment on crds.install in values.yaml says so."""
    installed.helm("uninstall").ok()
    refused = installed.helm("install", CHART, release="another").refused()
    assert f'"{CRD_NAME}"' in refused
    assert "invalid ownership metadata" in refused
    assert f'current value is "{RELEASE}"' in refused
    assert installed.names("deployments", "--all-namespaces") == []

    installed.helm("install", CHART, "--set=crds.install=false", release="another").ok()
    installed.helm("uninstall", release="another").ok()
    owned = installed.get("crd", CRD_NAME)["metadata"]["annotations"]
    assert owned["meta.helm.sh/release-name"] == RELEASE

    for release in ("another", RELEASE):
        installed.helm("install", CHART, "--take-ownership", release=release).ok()
        owned = installed.get("crd", CRD_NAME)["metadata"]["annotations"]
        assert owned["meta.helm.sh/release-name"] == release
        installed.helm("uninstall", release=release).ok()


def test_an_operator_for_namespaces_has_no_rights_outside_them(installed: Client) -> None:
    """Also next to a release of the same name: the user roles do not clash."""
    account = f"system:serviceaccount:{PLATFORM}:{RELEASE}"
    words = ("--set=crds.install=false", f"--values={VALUES / 'namespaces.yaml'}")
    installed.helm("install", CHART, *words, namespace=PLATFORM).ok()
    try:
        for team in TEAMS:
            wait_until("the Roles hold", lambda team=team: allowed(installed, account, "list", CRD_NAME, team))  # type: ignore[misc]
            assert allowed(installed, account, "patch", "deployments.apps", team)
            assert not allowed(installed, account, "get", "secrets", team)
        assert not allowed(installed, account, "list", CRD_NAME, "default")
        # Beside the classes, and the labels that say who may use them.
        wait_until("the ClusterRole holds", lambda: allowed(installed, account, "list", CLASSES, "default"))
        assert not allowed(installed, account, "patch", f"{CLASSES}/status", "default")
        assert not allowed(installed, account, "list", "nodes", "default")
        roles = installed.names("clusterroles", f"--selector=app.kubernetes.io/instance={RELEASE}")
        assert {one for one in roles if one.startswith(PLATFORM)} == {
            f"{PLATFORM}-{RELEASE}-{x}"
            for x in ("view", "edit", "batches-edit", "classes", "classes-view", "classes-edit")
        }
        bindings = installed.get("clusterrolebindings")["items"]
        held = {
            binding["roleRef"]["name"]
            for binding in bindings
            for subject in binding.get("subjects", [])
            if subject.get("namespace") == PLATFORM
        }
        assert held == {f"{PLATFORM}-{RELEASE}-classes"}
        without = "--set=servingClasses.read=false,servingClasses.public=false"
        installed.helm("upgrade", CHART, *words, without, namespace=PLATFORM).ok()
        assert not allowed(installed, account, "list", "namespaces", "default")
    finally:
        installed.helm("uninstall", namespace=PLATFORM).ok()


def test_the_api_server_takes_every_value(installed: Client) -> None:
    values = (
        f"--values={VALUES / 'all.yaml'}",
        "--set=serviceMonitor.enabled=false,prometheusRule.enabled=false",
    )  # no such API
    installed.helm("install", CHART, *values, namespace=PLATFORM).ok()
    installed.helm("uninstall", namespace=PLATFORM).ok()
