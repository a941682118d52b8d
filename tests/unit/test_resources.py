"""The rules of RBAC: what the chart has is what the operator's code asks for, and that is little."""

import yaml

from cluster.host import REPOSITORY
from support.rights import Right, granted
from vllm_operator.manifests.kinds import CHILD_KINDS
from vllm_operator.resources import RESOURCES, Resource, rules

CHART_FILE = "charts/vllm-operator/files/rbac.yaml"


def test_the_charts_rules_are_fresh() -> None:
    kept = yaml.safe_load((REPOSITORY / CHART_FILE).read_text())
    assert kept == rules(), f"{CHART_FILE} is stale: run `make generated`"


def test_every_kind_of_child_is_a_resource() -> None:
    assert [row.kind for row in CHILD_KINDS if RESOURCES[row.kind].plural != row.plural] == []


def test_nothing_is_asked_for_that_reads_secrets_or_means_everything() -> None:
    asked = granted([rule for some in rules().values() for rule in some])
    assert [right for right in asked if right.resource.startswith("secrets") or "*" in right] == []


def test_a_rule_for_each_part_of_a_resource() -> None:
    made = rules({"Pod": Resource("v1", "pods", ("list",), {"log": ("get",)})})
    assert granted(made["namespaced"]) == {Right("list", "", "pods"), Right("get", "", "pods/log")}
    assert (made["cluster"], made["named"]) == ([], [])


def test_a_path_leads_to_an_object_or_to_all_in_a_namespace_or_in_the_cluster() -> None:
    pods, leases = RESOURCES["Pod"], RESOURCES["Lease"]
    assert pods.path("a", "b", "log") == "/api/v1/namespaces/a/pods/b/log"
    assert [pods.path("a"), pods.path()] == ["/api/v1/namespaces/a/pods", "/api/v1/pods"]
    assert leases.path("a", "b") == "/apis/coordination.k8s.io/v1/namespaces/a/leases/b"
    assert RESOURCES["Node"].path(name="n") == "/api/v1/nodes/n"


def test_what_is_granted_by_name_is_in_no_rule_without_names() -> None:
    made = rules()
    assert {right.resource for right in granted(made["named"])} == {"leases"}
    assert not any(
        right.resource == "leases" for place in ("namespaced", "granted", "cluster") for right in granted(made[place])
    )


def test_what_belongs_to_no_namespace_is_asked_for_apart() -> None:
    made = rules({"Node": Resource("v1", "nodes", ("list",), cluster_scoped=True)})
    assert (granted(made["cluster"]), made["namespaced"]) == ({Right("list", "", "nodes")}, [])
