"""Which pods the Service selects, and whom the NetworkPolicy lets in."""

from dataclasses import replace

import pytest

from support.snapshots import service
from vllm_operator.api.resource import InferenceService
from vllm_operator.manifests import Parts, Peers, desired, pod_template
from vllm_operator.manifests.metadata import Manifest, identity
from vllm_operator.manifests.names import SERVICE_UID_LABEL
from vllm_operator.settings import Settings

OWNER = service()
NEW = pod_template(OWNER, Settings())
OLD: Manifest = {"metadata": {"labels": identity(OWNER)}}


def selector(template: Manifest | None, *pod_uids: str) -> dict[str, str]:
    children = desired(Parts(OWNER, template, pod_uids=pod_uids))
    found: dict[str, str] = next(child for child in children if child["kind"] == "Service")["spec"]["selector"]
    return found


@pytest.mark.parametrize(
    ("template", "pods"), [(NEW, ()), (NEW, ("uid", "uid")), (None, ()), (None, ("uid",))], ids=str
)
def test_where_all_pods_carry_it(template: Manifest | None, pods: tuple[str, ...]) -> None:
    assert selector(template, *pods) == {**identity(OWNER), SERVICE_UID_LABEL: "uid"}


@pytest.mark.parametrize(
    ("template", "pods"),
    [(OLD, ()), (OLD, ("",)), (NEW, ("uid", "")), (NEW, ("of another",)), (None, ("",)), (OLD, ("uid",))],
    ids=["kept", "kept, with its pods", "rolling out", "of a predecessor", "withheld", "rolling back"],
)
def test_where_one_does_not_or_will_not(template: Manifest | None, pods: tuple[str, ...]) -> None:
    assert selector(template, *pods) == identity(OWNER)


def test_users_cannot_set_it_and_a_file_has_no_uid() -> None:
    owner = service(pod={"labels": {SERVICE_UID_LABEL: "of another"}})
    assert pod_template(owner, Settings())["metadata"]["labels"][SERVICE_UID_LABEL] == "uid"
    assert SERVICE_UID_LABEL not in pod_template(replace(OWNER, uid=""), Settings())["metadata"]["labels"]


def test_what_cannot_change_or_selects_by_name_stays() -> None:
    owner = service(replicas=2, networkPolicy={"allowFrom": []})
    children = desired(Parts(owner, NEW), ("ServiceMonitor",))
    selectors = {
        child["kind"]: child["spec"].get("selector") or child["spec"].get("podSelector")
        for child in children
        if child["kind"] != "Service"
    }
    assert selectors == {
        kind: {"matchLabels": identity(owner)}
        for kind in ("NetworkPolicy", "Deployment", "PodDisruptionBudget", "ServiceMonitor")
    }


def test_who_may_ask_is_who_the_spec_says_and_the_operator() -> None:
    """Otherwise it would know neither vLLM's version nor its KV cache, nor that it hangs."""
    team = {"podSelector": {"matchLabels": {"team": "a"}}}
    owner = service(networkPolicy={"allowFrom": [team]})
    users, operator = ingress(owner, Peers("operators"))
    assert (users["from"], [port["port"] for port in users["ports"]]) == ([team], [8000])
    named = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["operators"]}
    assert operator == {
        "from": [
            {
                "namespaceSelector": {"matchExpressions": [named]},
                "podSelector": {"matchLabels": {"app.kubernetes.io/name": "vllm-operator"}},
            }
        ],
        "ports": [{"port": 8000, "protocol": "TCP"}],
    }
    assert ingress(owner, Peers()) == [users]


def ingress(owner: InferenceService, peers: Peers) -> list[Manifest]:
    children = desired(Parts(owner, NEW, peers=peers))
    (policy,) = (child for child in children if child["kind"] == "NetworkPolicy")
    rules: list[Manifest] = policy["spec"]["ingress"]
    return rules
