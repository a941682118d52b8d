"""examples/policies on a real API server: what they let a tenant do, and what a hostile one tries."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from cluster.control_plane import ControlPlane
from cluster.host import REPOSITORY
from support.kube import Kube, Object
from vllm_operator.api import API_VERSION, BATCH_KIND, CLASS_KIND, KIND

pytestmark = pytest.mark.control_plane

POLICIES = REPOSITORY / "examples" / "policies"
ALICE = ("--as=alice", "--as-group=team-a", "--as-group=system:authenticated")
REVIEWER = ("--as=reviewer", "--as-group=team-a", "--as-group=system:authenticated")
CODE = {"model": {"uri": "hf://org/name", "trustRemoteCode": True}}


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> Iterator[Kube]:
    """The CRDs, the namespaces, the tenant's role and two classes; no policy yet."""
    kube = Kube(control_plane.kubeconfig, "team-a")
    for crd in ("inferenceservices", "servingclasses", "inferencebatches"):
        kube.run("apply", "--server-side", "--force-conflicts", "-f", str(REPOSITORY / "crds" / f"{crd}.yaml"))
        kube.run("wait", "--for=condition=Established", f"crd/{crd}.vllm-operator.dev", "--timeout=60s")
    for namespace in ("team-a", "team-b"):  # other tests of this API server may have them
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for file in ("tenant", "tenant-batches"):
        kube.run("apply", "-f", str(POLICIES / f"{file}.yaml"))
    for name in ("h100", "small"):
        kube.apply({"apiVersion": API_VERSION, "kind": CLASS_KIND, "metadata": {"name": name}, "spec": {}})
    yield kube
    kube.run("delete", "servingclass", "h100", "small")
    kube.run("delete", "namespace", "team-a", "team-b", "--wait=false")


def service(name: str, **spec: Any) -> str:
    """A manifest."""
    whole = {"model": {"uri": "hf://org/name"}, **spec}
    return json.dumps({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": whole})


def batch(name: str, *, code: bool = False, **spec: Any) -> str:
    """A manifest."""
    template = CODE if code else {"model": {"uri": "hf://org/name"}}
    whole = {"template": template, "input": {"uri": "pvc://data/in"}, "output": {"uri": "pvc://data/out"}, **spec}
    return json.dumps({"apiVersion": API_VERSION, "kind": BATCH_KIND, "metadata": {"name": name}, "spec": whole})


def refusal(kube: Kube, *words: str, stdin: str | None = None) -> str:
    """What kubectl says against a command; empty where it does it."""
    try:
        kube.run(*words, stdin=stdin)
    except AssertionError as error:
        return str(error)
    return ""


@pytest.fixture
def policy(request: pytest.FixtureRequest, cluster: Kube) -> Iterator[Kube]:
    """One of the policies, in force."""
    file = str(POLICIES / f"{request.param}.yaml")
    cluster.run("apply", "-f", file)
    try:
        whole = json.loads(service("probe", servingClassName="none", **CODE))
        whole["metadata"]["finalizers"] = ["orphan"]
        forbidden = json.dumps(whole)
        attempt = ("create", "--dry-run=server", "-f", "-", *ALICE)
        # By its name: the one of the test before may still hold.
        says = f"ValidatingAdmissionPolicy 'vllm-{request.param}'"
        cluster.wait("the policy holds", 60, lambda: says in refusal(cluster, *attempt, stdin=forbidden))
        yield cluster
    finally:
        cluster.run("delete", "-f", file)
        cluster.run("delete", "inferenceservices,inferencebatches", "--all")


def test_a_tenant_writes_services_and_sees_their_pods(cluster: Kube) -> None:
    cluster.run("create", "-f", "-", *ALICE, stdin=service("mine"))
    cluster.run("scale", "inferenceservice/mine", "--replicas=2", *ALICE)
    cluster.run("get", "inferenceservices,pods,events", *ALICE)
    assert cluster.run("auth", "can-i", "patch", "inferenceservices.vllm-operator.dev", *ALICE).strip() == "yes"
    cluster.run("delete", "inferenceservice", "mine", *ALICE)


def test_a_quota_limits_how_many_services_a_team_has(cluster: Kube) -> None:
    quota, _ = yaml.safe_load_all((POLICIES / "quota.yaml").read_text())
    hard = quota["spec"]["hard"]
    hard |= dict.fromkeys(hard, "1")
    where = ("get", "resourcequota", quota["metadata"]["name"], "-o", "jsonpath={.status.used}")

    def counted() -> bool:
        """Kubernetes comes to count a kind some time after its CRD was made; of a quota that is there, much later."""
        cluster.run("delete", "-f", str(POLICIES / "quota.yaml"), "--ignore-not-found")
        cluster.apply(quota)
        time.sleep(1)
        return bool(json.loads(cluster.run(*where) or "{}").keys() == hard.keys())

    try:
        cluster.wait("services and batches are counted", 120, counted)
        cluster.run("create", "-f", "-", *ALICE, stdin=service("first"))
        said = refusal(cluster, "create", "-f", "-", *ALICE, stdin=service("second"))
        assert "exceeded quota: vllm-objects" in said
    finally:
        cluster.run("delete", "-f", str(POLICIES / "quota.yaml"), "--ignore-not-found")
        cluster.run("delete", "inferenceservices", "first", "--ignore-not-found")


def pod(name: str, **others: Any) -> Object:
    """A pod that keeps away from others: in its namespace, or where `others` says."""
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "other"}}, **others}
    away = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    spec = {"containers": [{"name": "web", "image": "web"}], "affinity": away}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def test_a_quota_keeps_pods_from_keeping_those_of_other_namespaces_away(cluster: Kube) -> None:
    cluster.run("apply", "-f", str(POLICIES / "quota.yaml"))
    try:
        cluster.run("create", "-f", "-", stdin=json.dumps(pod("near")))
        attempt = ("create", "--dry-run=server", "-f", "-")
        everywhere, says = json.dumps(pod("everywhere", namespaceSelector={})), "quota: cross-namespace-affinity"
        cluster.wait("it is refused", 30, lambda: says in refusal(cluster, *attempt, stdin=everywhere))
    finally:
        cluster.run("delete", "-f", str(POLICIES / "quota.yaml"))
        cluster.run("delete", "pod", "near", "--ignore-not-found", "--wait=false")


@pytest.mark.parametrize(
    ("verb", "resource"),
    [(verb, resource) for resource in (
        "pods", "pods/exec", "pods/proxy", "pods/portforward", "secrets", "configmaps", "deployments.apps",
        "jobs.batch", "controllerrevisions.apps", "leases.coordination.k8s.io", "persistentvolumeclaims", "services",
        "roles", "rolebindings", "serviceaccounts/token", "inferenceservices.vllm-operator.dev/status",
        "servingclasses.vllm-operator.dev", "scaledobjects.keda.sh",
    ) for verb in ("create", "update", "patch", "delete")]
    + [("get", "secrets"), ("list", "secrets"), ("get", "configmaps"), ("impersonate", "users"),
       ("trust-remote-code", "inferenceservices.vllm-operator.dev"), ("use", "servingclasses.vllm-operator.dev")],
)  # fmt: skip
def test_a_tenant_may_do_nothing_else(cluster: Kube, verb: str, resource: str) -> None:
    kind, _, subresource = resource.partition("/")
    part = [f"--subresource={subresource}"] if subresource else []
    assert cluster.run("auth", "can-i", verb, kind, *part, *ALICE, check=False).strip() == "no"


def test_a_tenant_may_do_nothing_in_another_namespace(cluster: Kube) -> None:
    other = Kube(cluster.kubeconfig, "team-b")
    assert "forbidden" in refusal(other, "create", "-f", "-", *ALICE, stdin=service("mine"))
    assert "forbidden" in refusal(other, "get", "inferenceservices", *ALICE)


def bind(kube: Kube, role: str, user: str) -> None:
    """Gives a user a ClusterRole in the team's namespace."""
    group = "rbac.authorization.k8s.io"
    kube.apply(
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": f"{role}-{user}"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
        }
    )


@pytest.mark.parametrize("policy", ["trust-remote-code"], indirect=True)
def test_only_whom_rbac_lets_may_have_remote_code_run(policy: Kube) -> None:
    bind(policy, "vllm-trust-remote-code", "reviewer")
    said = "you may not ask for that here"
    policy.run("create", "-f", "-", *ALICE, stdin=service("plain"))
    for words in (["create"], ["apply"], ["apply", "--server-side"]):
        assert said in refusal(policy, *words, "-f", "-", *ALICE, stdin=service("code", **CODE))
    patch = json.dumps({"spec": CODE})
    assert said in refusal(policy, "patch", "inferenceservice", "plain", "--type=merge", "-p", patch, *ALICE)
    policy.run("create", "-f", "-", *REVIEWER, stdin=service("code", **CODE))

    def patched(change: dict[str, Any]) -> str:
        words = ("patch", "inferenceservice", "code", "--type=merge", "-p", json.dumps({"spec": change}))
        return refusal(policy, *words, *ALICE)

    assert patched({"maxModelLen": 4096}) == "", "what is not about the code"
    assert said in patched({"model": {"uri": "hf://evil/name"}}), "the reviewed service, with other code"
    assert said in patched({"model": {"revision": "evil"}})
    assert said in patched({"model": {"tokenizer": {"uri": "hf://evil/name"}}})
    assert said in patched({"speculative": {"method": "eagle", "model": "hf://evil/draft", "numSpeculativeTokens": 2}})
    assert said in patched({"lora": {"adapters": [{"name": "a", "uri": "hf://evil/adapter"}]}})
    assert said in patched({"cache": {"existingClaim": "mine"}})
    assert said in patched({"env": [{"name": "HF_HUB_OFFLINE", "value": "1"}]})
    policy.run("scale", "inferenceservice/code", "--replicas=2", *ALICE)
    assert patched({"model": {"uri": "hf://evil/name", "trustRemoteCode": False}}) == ""
    assert said in patched({"model": {"trustRemoteCode": True}}), "switched off, and on again"


@pytest.mark.parametrize("policy", ["trust-remote-code"], indirect=True)
def test_only_whom_rbac_lets_may_have_a_batch_run_remote_code(policy: Kube) -> None:
    bind(policy, "vllm-trust-remote-code", "reviewer")
    said = "you may not ask for that here"
    policy.run("create", "-f", "-", *ALICE, stdin=batch("plain"))
    assert said in refusal(policy, "create", "-f", "-", *ALICE, stdin=batch("code", code=True))
    policy.run("create", "-f", "-", *REVIEWER, stdin=batch("code", code=True))

    def patched(name: str, template: dict[str, Any]) -> str:
        words = ("patch", "vib", name, "--type=merge", "-p", json.dumps({"spec": {"template": template}}))
        return refusal(policy, *words, *ALICE)

    assert said in patched("plain", CODE)
    assert patched("code", {"maxModelLen": 4096}) == "", "what is not about the code"
    assert said in patched("code", {"model": {"uri": "hf://evil/name"}})


@pytest.mark.parametrize("policy", ["serving-classes"], indirect=True)
def test_only_whom_rbac_lets_may_use_a_class_for_a_batch(policy: Kube) -> None:
    bind(policy, "vllm-class-h100", "alice")
    for manifest, said in (
        (batch("no"), "every service and batch here names a ServingClass"),
        (batch("small", servingClassName="small"), "you may not use the ServingClass small"),
    ):
        assert said in refusal(policy, "create", "-f", "-", *ALICE, stdin=manifest)
    policy.run("create", "-f", "-", *ALICE, stdin=batch("mine", servingClassName="h100"))


@pytest.mark.parametrize("policy", ["serving-classes"], indirect=True)
def test_only_whom_rbac_lets_may_use_a_class(policy: Kube) -> None:
    bind(policy, "vllm-class-h100", "alice")
    assert "every service and batch here names a ServingClass" in refusal(
        policy, "create", "-f", "-", *ALICE, stdin=service("no")
    )
    small = service("small", servingClassName="small")
    assert "you may not use the ServingClass small" in refusal(policy, "create", "-f", "-", *ALICE, stdin=small)
    policy.run("create", "-f", "-", *ALICE, stdin=service("mine", servingClassName="h100"))
    for change, said in (
        ({"servingClassName": "small"}, "you may not use the ServingClass small"),
        ({"servingClassName": None}, "every service and batch here names a ServingClass"),
    ):
        words = ("patch", "inferenceservice", "mine", "--type=merge", "-p", json.dumps({"spec": change}))
        assert said in refusal(policy, *words, *ALICE)
    policy.run("scale", "inferenceservice/mine", "--replicas=2", *ALICE)


@pytest.mark.parametrize("policy", ["orphans"], indirect=True)
def test_nobody_leaves_pods_behind(policy: Kube) -> None:
    said = "that leaves its pods behind"
    for kind, manifest in (("inferenceservice", service("one")), ("inferencebatch", batch("one"))):
        policy.run("create", "-f", "-", *ALICE, stdin=manifest)
        assert said in refusal(policy, "delete", kind, "one", "--cascade=orphan", *ALICE)
        patch = json.dumps({"metadata": {"finalizers": ["orphan"]}})
        assert said in refusal(policy, "patch", kind, "one", "--type=merge", "-p", patch, *ALICE)
        policy.run("delete", kind, "one", *ALICE)


def test_the_readme_names_every_file() -> None:
    text = (POLICIES / "README.md").read_text()
    for path in POLICIES.glob("*.yaml"):
        assert f"[{path.name}]({path.name})" in text
        assert all(document["kind"] for document in yaml.safe_load_all(path.read_text()))
