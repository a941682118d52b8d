"""What the chart renders, without a cluster.

After a change of the chart that is meant, write tests/chart/golden/ again with
`UPDATE_GOLDEN=1 pytest tests/chart/test_render.py` and read the difference.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.host import REPOSITORY
from support.applied import MOST, annotations_size
from support.chart import CHART, CRD_SOURCE, CRDS, IMAGE, NAMESPACE, RELEASE, VALUES, documents, helm, one_of, template
from vllm_operator.loop.lease import Place
from vllm_operator.loop.leases import places
from vllm_operator.loop.shares import Share
from vllm_operator.settings import Images, Settings

pytestmark = pytest.mark.chart

GOLDEN = Path(__file__).parent / "golden"
CASES: dict[str, list[str]] = {
    "default": [],
    "namespaces": [f"--values={VALUES / 'namespaces.yaml'}"],
    "all": [f"--values={VALUES / 'all.yaml'}"],
    "shards": ["--set=shards=2"],
}


@pytest.mark.parametrize("case", CASES)
def test_helm_finds_no_fault(case: str) -> None:
    helm("lint", "--strict", CHART, IMAGE, *CASES[case]).ok()


@pytest.mark.parametrize("case", CASES)
def test_renders_what_is_on_record(case: str) -> None:
    printed, golden = template(*CASES[case]), GOLDEN / f"{case}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(printed)
    assert printed == golden.read_text(), "if this is meant: UPDATE_GOLDEN=1 pytest tests/chart/test_render.py"


def test_all_values_means_all() -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    given = yaml.safe_load((VALUES / "all.yaml").read_text())
    assert given.keys() == schema()["properties"].keys() - {"global", "shards"}  # which goes without watchNamespaces
    assert [key for key in given if given[key] == defaults[key]] == []
    assert given["settings"].keys() == schema()["properties"]["settings"]["properties"].keys()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("watchNamespace=team-a", "watchNamespace"),
        ("watchNamespaces[0]=Team_A", "watchNamespaces"),
        ("watchNamespaces=team-a", "watchNamespaces"),
        ("shards=0", "shards"),
        ("settings.hubEndpiont=https://hub.example.com", "hubEndpiont"),
        ("settings.watchNamespaces[0]=team-a", "watchNamespaces"),
        ("settings.images.tpu=x", "tpu"),
        ("settings.workers=0", "workers"),
        ("settings.engineMetrics=sometimes", "engineMetrics"),
        ("image.digest=sha256:0123", "digest"),
        ("image.digest=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "digest"),
        ("image.name=x", "name"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("image.repository=true", "repository"),
        ("replicas=two", "replicas"),
        ("networkPolicy=true", "networkPolicy"),
        ("networkPolicy.metricsFrom[0]=monitoring", "metricsFrom"),
        ("settings.imagePullSecrets[0].name=registry-key", "imagePullSecrets"),
        ("crds.keep=true", "keep"),
        ("imagePullSecrets[0]=registry-key", "imagePullSecrets"),
        ("serviceMonitor=true", "serviceMonitor"),
        ("prometheusRule.thresholds.VllmErors=0.1", "VllmErors"),
        ("prometheusRule.thresholds.VllmErrors=many", "VllmErrors"),
        ("prometheusRule.disabled=VllmErrors", "disabled"),
        ("dashboards=true", "dashboards"),
    ],
)
def test_refuses_a_wrong_value(value: str, message: str) -> None:
    said = helm("template", "test", CHART, IMAGE, f"--set={value}").refused()
    assert "values don't meet the specifications of the schema" in said
    assert message in said


@pytest.mark.parametrize("verb", ["template", "install"])
def test_without_an_image_it_says_so_at_once_and_how_to_get_one(verb: str) -> None:
    dry = ["--dry-run=client"] if verb == "install" else []
    said = helm(verb, "test", CHART, *dry).refused()
    assert "image.repository is not set" in said
    assert "make release REGISTRY=" in said


def test_the_notes_tell_the_image_and_that_none_is_set_for_the_cpu() -> None:
    def notes(*words: str) -> str:
        return helm("install", "test", CHART, IMAGE, "--dry-run=client", *words).ok().partition("NOTES:")[2]

    assert "It runs localhost/vllm-operator:dev." in notes()
    assert "settings.images.cpu" in notes()
    assert "settings.images.cpu" not in notes("--set=settings.images.cpu=example.com/vllm-cpu:0.32.0")


def test_names_that_yaml_reads_as_something_else_stay_names() -> None:
    printed = helm("template", "1", CHART, "--namespace=123", IMAGE, '--set-json=watchNamespaces=["no","2024"]').ok()
    rendered = [one for one in documents(printed) if one["kind"] != "CustomResourceDefinition"]
    meta = [one["metadata"] for one in rendered]
    assert [one for one in meta if not isinstance(one.get("namespace", ""), str)] == []
    assert [one for one in meta if not isinstance(one["name"], str)] == []
    assert {one.get("namespace") for one in meta} >= {"123", "no", "2024"}
    subjects = [subject for one in rendered for subject in one.get("subjects", ())]
    assert {(one.get("namespace"), one["name"]) for one in subjects if one["kind"] == "ServiceAccount"} == {
        ("123", "1")
    }


def test_a_monitor_has_the_labels_that_a_prometheus_selects_by() -> None:
    printed = template("--set=serviceMonitor.enabled=true,serviceMonitor.labels.release=prometheus")
    labels = one_of("ServiceMonitor", documents(printed))["metadata"]["labels"]
    assert (labels["release"], labels["app.kubernetes.io/instance"]) == ("prometheus", RELEASE)


def test_has_the_current_crds() -> None:
    for crd in CRDS:
        command = [sys.executable, "-m", "vllm_operator", "crd", crd.stem]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "operator")}
        printed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
        for file in (crd, CHART / "files" / crd.name):
            same = file.read_text() == printed  # pytest would print a difference of thousands of lines
            assert same, f"{file.relative_to(REPOSITORY)} is stale: run `make generated`"


def test_renders_the_crds_as_they_are() -> None:
    """YAML to YAML in helm goes through JSON: a number or a text could change on its way."""
    printed = helm("template", "test", CHART, IMAGE, "--show-only=templates/crd.yaml").ok()
    assert CRD_SOURCE in printed
    for rendered, crd in zip(documents(printed), CRDS, strict=True):
        assert annotations_size(rendered) < MOST, crd.name
        assert rendered["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert rendered["metadata"].pop("labels")["app.kubernetes.io/managed-by"] == "Helm"
        assert rendered == yaml.load(crd.read_text(), yaml.CSafeLoader)


def schema() -> dict[str, Any]:
    """The schema of the chart's values."""
    read: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return read


def keys(model: type[Settings | Images]) -> set[str]:
    """The keys of a settings file."""
    return {field.alias or name for name, field in model.model_fields.items()}


def settings(*words: str) -> Settings:
    """The settings that the operator reads from what the chart renders."""
    mounted = one_of("ConfigMap", documents(template(*words)))
    return Settings.model_validate(yaml.safe_load(mounted["data"]["settings.yaml"]))


def test_knows_exactly_the_operators_settings() -> None:
    known = schema()["properties"]["settings"]["properties"]
    # The chart makes Roles and Deployments of two, too: they are values of their own. And one it knows.
    assert known.keys() == keys(Settings) - {"watchNamespaces", "shards", "operatorNamespace"}
    assert known["images"]["properties"].keys() == keys(Images)


def test_settings_reach_the_operator() -> None:
    # The operator's own image inspects models.
    own = one_of("Deployment", documents(template()))["spec"]["template"]["spec"]["containers"][0]["image"]
    where = {"operatorNamespace": NAMESPACE}
    assert settings() == Settings.model_validate({"images": {"operator": own}, **where})
    given = yaml.safe_load((VALUES / "all.yaml").read_text())
    expected = Settings.model_validate(given["settings"] | where | {"watchNamespaces": given["watchNamespaces"]})
    assert settings(*CASES["all"]) == expected
    others = Settings.model_fields.keys() - {"shards"}
    assert all(getattr(expected, name) != getattr(Settings(), name) for name in others)


def test_only_the_operators_pod_gets_its_token() -> None:
    manifests = documents(template())
    assert one_of("ServiceAccount", manifests)["automountServiceAccountToken"] is False
    assert one_of("Deployment", manifests)["spec"]["template"]["spec"]["automountServiceAccountToken"] is True


@pytest.mark.parametrize("release", ["r" * 53, "llm.platform"])
def test_names_fit_with_any_release_name(release: str) -> None:
    for one in documents(template("--set=serviceMonitor.enabled=true", release=release)):
        # Labels and names of Services are held to 63 characters; names of Services have no dots, either.
        assert all(len(value) <= 63 for value in one["metadata"]["labels"].values())
        if one["kind"] == "Service":
            assert re.fullmatch("[a-z]([-a-z0-9]{0,61}[a-z0-9])?", one["metadata"]["name"])


def test_two_releases_of_one_name_in_two_namespaces_share_no_cluster_object() -> None:
    def names(namespace: str) -> set[tuple[str, str]]:
        words = [f"--namespace={namespace}", "--set=crds.install=false", f"--set=watchNamespaces[0]={namespace}"]
        found = documents(helm("template", "vllm", CHART, IMAGE, *words).ok())
        return {(one["kind"], one["metadata"]["name"]) for one in found if "namespace" not in one["metadata"]}

    assert names("team-a")
    assert not names("team-a") & names("team-b")


def test_grants_the_rules_of_the_file_and_those_of_the_cluster_only_where_it_sees_all_of_it() -> None:
    rules = yaml.safe_load((CHART / "files" / "rbac.yaml").read_text())

    def granted(case: str, kind: str, name: str = RELEASE) -> list[Any]:
        roles = [one for one in documents(template(*CASES[case])) if one["kind"] == kind]
        return [role["rules"] for role in roles if role["metadata"]["name"] == name]

    assert granted("default", "ClusterRole") == [rules["namespaced"] + rules["granted"] + rules["cluster"]]
    assert granted("default", "Role") == granted("namespaces", "ClusterRole") == []
    assert granted("namespaces", "Role") == [rules["namespaced"]] * 2
    classes = f"{NAMESPACE}-{RELEASE}-classes"
    assert granted("namespaces", "ClusterRole", classes) == [rules["granted"]]
    assert granted("default", "ClusterRole", classes) == granted("all", "ClusterRole", classes) == []


@pytest.mark.parametrize(
    ("case", "wanted"),
    [
        ("default", places(None, Settings())),
        ("namespaces", [*places("team-a", Settings()), *places("team-b", Settings())]),
        ("all", places("team-a", Settings(lease_namespace="platform", heed_old_leases=False))),
        ("shards", [one for index in range(2) for one in places(None, Settings(shards=2), Share(index, 2))]),
    ],
)
def test_grants_exactly_the_leases_that_the_operator_holds(case: str, wanted: list[Place]) -> None:
    found = documents(template(*CASES[case]))
    roles = [one for one in found if one["kind"] == "Role" and "leases" in str(one["rules"])]
    granted = {(role["metadata"]["namespace"], name) for role in roles for name in role["rules"][0]["resourceNames"]}
    assert granted == {(place.namespace, place.name) for place in wanted}
    assert [rule for role in roles for rule in role["rules"] if "resourceNames" not in rule] == []
    bound = {one["roleRef"]["name"] for one in found if one["kind"] == "RoleBinding"}
    assert bound >= {role["metadata"]["name"] for role in roles}


def test_asks_for_no_secret_and_no_wildcard() -> None:
    for case in CASES.values():
        for one in documents(template(*case)):
            for rule in one.get("rules", []):
                assert "secrets" not in rule["resources"]
                assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_values_of_an_earlier_chart_make_the_same_but_for_a_policy_that_it_did_not_have() -> None:
    newer = [f"--set={name}=null" for name in ("shards", "replicas", "servingClasses", "networkPolicy")]
    manifests = documents(template(*newer))  # as helm upgrade --reuse-values
    assert manifests == [one for one in documents(template()) if one["kind"] != "NetworkPolicy"]


def test_each_shard_is_a_deployment_of_pods_that_no_other_selects() -> None:
    manifests = documents(template("--set=shards=3"))
    deployments = [one for one in manifests if one["kind"] == "Deployment"]
    assert [one["metadata"]["name"] for one in deployments] == [f"{RELEASE}-{index}" for index in range(3)]
    for index, one in enumerate(deployments):
        pod, selector = one["spec"]["template"], one["spec"]["selector"]["matchLabels"]
        assert pod["spec"]["containers"][0]["args"][-1] == f"--shard={index}"
        assert selector.items() <= pod["metadata"]["labels"].items()
        others = [other["spec"]["template"]["metadata"]["labels"] for other in deployments if other is not one]
        assert not any(selector.items() <= labels.items() for labels in others)
        service = one_of("Service", manifests)["spec"]["selector"]
        assert service.items() <= pod["metadata"]["labels"].items(), "their metrics are scraped"
    assert settings("--set=shards=3").shards == 3
    rules = one_of("PrometheusRule", documents(template("--set=shards=3", "--set=prometheusRule.enabled=true")))
    down = next(
        one for group in rules["spec"]["groups"] for one in group["rules"] if one["alert"] == "VllmOperatorDown"
    )
    assert down["expr"].endswith("< 3")
    assert down["annotations"]["summary"].endswith("shard of it")
    words = ("--set=shards=2", "--set=watchNamespaces[0]=team-a")
    assert "set shards or watchNamespaces" in helm("template", RELEASE, CHART, IMAGE, *words).refused()


def test_a_drain_takes_one_replica_at_a_time_and_the_only_one_is_in_nobodys_way() -> None:
    manifests = documents(template())
    deployment, budget = one_of("Deployment", manifests), one_of("PodDisruptionBudget", manifests)
    assert deployment["spec"]["replicas"] == 2
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]
    assert "PodDisruptionBudget" not in {one["kind"] for one in documents(template("--set=replicas=1"))}


def test_only_the_metrics_can_be_reached_and_only_from_where_they_are_read() -> None:
    def policy(*words: str) -> dict[str, Any]:
        manifests = documents(template(*words))
        found: dict[str, Any] = one_of("NetworkPolicy", manifests)["spec"]
        assert found["podSelector"] == one_of("Deployment", manifests)["spec"]["selector"]
        return found

    (rule,) = policy()["ingress"]
    labels = {"kubernetes.io/metadata.name": "monitoring"}
    assert rule == {
        "from": [{"namespaceSelector": {"matchLabels": labels}}],
        "ports": [{"port": "metrics", "protocol": "TCP"}],
    }
    # A rule without a source would let everybody in.
    assert policy("--set-json=networkPolicy.metricsFrom=[]")["ingress"] == []
    without = documents(template("--set=networkPolicy.enabled=false"))
    assert "NetworkPolicy" not in {one["kind"] for one in without}
