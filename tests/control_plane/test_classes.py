"""ServingClasses on a real API server: what reaches a service, what is refused, and what stays as it was."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.gitops import DEGRADED, HEALTHY, read
from support.kube import Kube, Object, conditions
from support.operator_process import OperatorProcess, add_account
from support.services import args, children, reason, replicas, service

pytestmark = pytest.mark.control_plane
NARROW = "narrow"


@pytest.fixture
def own(kube: Kube) -> Iterator[str]:
    """The name of a class of this test, which goes with it."""
    name = kube.namespace[:63].strip("-")
    yield name
    kube.run("delete", "vsc", "--all", "--ignore-not-found")


def serving_class(name: str, **spec: Any) -> Object:
    """A class for the CPU: fake nodes always have room there."""
    given = {"accelerator": {"resource": "cpu"}, **spec}
    return {
        "apiVersion": "vllm-operator.dev/v1alpha1",
        "kind": "ServingClass",
        "metadata": {"name": name},
        "spec": given,
    }


def of_class(name: str, of: str | None, **spec: Any) -> Object:
    """A service that says nothing but its model, and its class."""
    item = service(name, **({} if of is None else {"servingClassName": of}), **spec)
    del item["spec"]["accelerator"]
    return item


def only(namespace: str) -> Object:
    """Selects one namespace."""
    return {"matchLabels": {"kubernetes.io/metadata.name": namespace}}


def resolved(kube: Kube, name: str = "llama") -> dict[str, str]:
    """What did not come from the spec: the value, and where from."""
    found = (kube.get("vis", name) or {}).get("status", {}).get("resolved", [])
    return {one["field"]: f"{one['value']} from {one['from']}" for one in found}


def message(kube: Kube, kind: str, name: str = "llama") -> str:
    """The message of a condition; empty while there is none."""
    return str(conditions(kube.get("vis", name) or {}).get(kind, {}).get("message", ""))


def pods(kube: Kube, name: str = "llama") -> set[str]:
    """The uids of a service's pods."""
    return {pod["metadata"]["uid"] for pod in kube.list("pods", f"app.kubernetes.io/instance={name}")}


def test_a_default_class_gives_a_service_all_but_its_model(kube: Kube, own: str) -> None:
    kube.apply(
        serving_class(
            own,
            default=True,
            namespaces=only(kube.namespace),
            pod={"tolerations": [{"key": "gpu", "operator": "Exists"}]},
            cache={"storage": "1Gi", "accessMode": "ReadWriteMany"},
            defaults={"maxModelLen": 1024, "kvCache": {"memoryPerGPU": "1Gi"}},
        )
    )
    kube.apply(of_class("llama", None), of_class("none", ""))
    kube.ready("llama", 30)
    assert "--max-model-len=1024" in args(kube)
    found = resolved(kube)
    assert found["servingClassName"] == f"{own} from operator"
    assert found["maxModelLen"] == f"1024 from ServingClass {own}"
    assert found["accelerator.resource"] == f"cpu from ServingClass {own}"
    assert children(kube)["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    template = children(kube)["Deployment"]["spec"]["template"]
    assert template["metadata"]["labels"]["vllm-operator.dev/serving-class"] == own
    kube.wait("the other has a status", 20, lambda: resolved(kube, "none"))
    assert "servingClassName" not in resolved(kube, "none")


def test_a_changed_class_rolls_nothing_before_the_user_says_so(kube: Kube, own: str) -> None:
    kube.apply(serving_class(own, defaults={"maxModelLen": 1024}), of_class("llama", own))
    kube.ready("llama", 30)
    before = pods(kube)
    kube.merge("vsc", own, {"spec": {"defaults": {"maxModelLen": 2048}}})
    kube.wait("it is told", 20, lambda: reason(kube, "Outdated") == "ClassChanged")
    assert "maxModelLen 1024 -> 2048: set rollout.restartedAt" in message(kube, "Outdated")
    assert (pods(kube), reason(kube)) == (before, "Available")
    kube.merge("vis", "llama", {"spec": {"rollout": {"restartedAt": "2026-11-24T12:00:00Z"}}})
    kube.wait("it is rolled", 30, lambda: "--max-model-len=2048" in args(kube))
    kube.wait("it is told no more", 30, lambda: not reason(kube, "Outdated"))


def test_a_tightened_limit_takes_no_pod_away(kube: Kube, own: str) -> None:
    kube.apply(serving_class(own, limits={"maxReplicas": 4}), of_class("llama", own, replicas=2))
    kube.ready("llama", 30)
    before = pods(kube)
    kube.merge("vsc", own, {"spec": {"limits": {"maxReplicas": 1}}})
    kube.wait("it is told", 20, lambda: reason(kube, "Admitted") == "ClassLimitExceeded")
    assert (pods(kube), reason(kube)) == (before, "Available")
    kube.run("scale", "vis/llama", "--replicas=3")
    kube.wait("no more are made", 20, lambda: reason(kube) == "ClassLimitExceeded")
    assert f"no more pods are made: ServingClass {own} allows 1 replicas" in message(kube, "Ready")
    assert (replicas(kube), pods(kube)) == (2, before)
    # What is there is kept repaired.
    kube.run("delete", "deployment", "llama")
    kube.wait("it is made again", 20, lambda: replicas(kube) == 2)
    kube.run("scale", "vis/llama", "--replicas=1")
    kube.wait("it is admitted", 20, lambda: not reason(kube, "Admitted") and replicas(kube) == 1)


def test_what_is_out_of_limits_gets_no_pods_and_a_sentence(kube: Kube, own: str) -> None:
    kube.apply(serving_class(own, limits={"allowed": {"dtype": ["bfloat16"]}}), of_class("llama", own, dtype="float16"))
    kube.wait("it is told", 20, lambda: reason(kube) == "ClassLimitExceeded")
    told = message(kube, "Ready")
    assert f"no pods are made: ServingClass {own} allows dtype bfloat16 (limits.allowed), and it is float16" in told
    assert "Deployment" not in children(kube)
    found = kube.get("vis", "llama")
    assert found
    assert read(found) == DEGRADED
    kube.merge("vis", "llama", {"spec": {"dtype": "bfloat16"}})
    kube.ready("llama", 30)


def test_a_namespaces_gpus_are_handed_out_in_order(kube: Kube, own: str) -> None:
    gpu = {"accelerator": {"resource": "nvidia.com/gpu"}, "limits": {"gpusPerNamespace": 2}}
    kube.apply(serving_class(own, **gpu), of_class("first", own, tensorParallelSize=2))
    kube.wait("the first has its pods", 30, lambda: "Deployment" in children(kube, "first"))
    kube.apply(of_class("second", own))
    kube.wait("the second waits", 30, lambda: reason(kube, "Admitted", "second") == "ClassLimitExceeded")
    assert "2 GPUs for all its services and batches in a namespace" in message(kube, "Admitted", "second")
    assert not reason(kube, "Admitted", "first")
    kube.run("delete", "vis", "first")
    kube.wait("the second has its pods", 90, lambda: "Deployment" in children(kube, "second"))


def test_who_may_use_a_class_is_said_by_labels_of_the_namespace(kube: Kube, own: str) -> None:
    kube.apply(serving_class(own, namespaces={"matchLabels": {"tier": "gold"}}), of_class("llama", own))
    kube.wait("it is told", 20, lambda: reason(kube) == "ClassNotAllowed")
    kube.run("label", "namespace", kube.namespace, "tier=gold")
    kube.ready("llama", 30)
    before = pods(kube)
    kube.run("label", "namespace", kube.namespace, "tier-")
    kube.wait("it is told again", 20, lambda: reason(kube, "Admitted") == "ClassNotAllowed")
    assert (pods(kube), reason(kube)) == (before, "Available")


def test_a_class_may_come_after_its_services_and_go_before_them(kube: Kube, own: str) -> None:
    kube.apply(of_class("llama", own))
    kube.wait("it is told", 20, lambda: reason(kube) == "ClassNotFound")
    kube.apply(serving_class(own, defaults={"maxModelLen": 1024}))
    kube.ready("llama", 30)
    before = pods(kube)
    kube.run("delete", "vsc", own)
    kube.wait("it is told again", 20, lambda: reason(kube, "Admitted") == "ClassNotFound")
    assert (pods(kube), reason(kube)) == (before, "Available")
    assert resolved(kube)["maxModelLen"] == f"1024 from ServingClass {own}"


def test_a_class_says_whether_it_can_be_used(kube: Kube, own: str) -> None:
    older, wrong = f"{own[:50]}-older", f"{own[:50]}-wrong"
    elsewhere = only("not-there")
    kube.apply(serving_class(older, default=True, namespaces=elsewhere))
    kube.wait("it is ready", 20, lambda: conditions(kube.get("vsc", older) or {}).get("Ready"))
    kube.apply(
        serving_class(own, default=True, namespaces=elsewhere),
        serving_class(wrong, images={"cpu": "elsewhere.example.com/vllm:1"}),
    )

    def told(name: str) -> str:
        return str(conditions(kube.get("vsc", name) or {}).get("Ready", {}).get("message", ""))

    kube.wait("both say which one holds", 20, lambda: all("of 2 default classes" in told(one) for one in (own, older)))
    kube.wait("the wrong one says why", 20, lambda: "setting allowedImages does not allow" in told(wrong))
    good, bad = kube.get("vsc", own), kube.get("vsc", wrong)
    assert good
    assert bad
    assert read(good) == HEALTHY
    assert read(bad) == DEGRADED


def test_an_operator_for_a_namespace_reads_classes_where_it_may_and_else_says_so(
    kube: Kube, operator: OperatorProcess, own: str
) -> None:
    words = (f"--set=watchNamespaces[0]={kube.namespace}", "--set=servingClasses.read=false")
    account = add_account(operator.control_plane, NARROW, *words)
    # Everybody may list classes, but not the labels of namespaces.
    kube.apply(serving_class(own, namespaces=only(kube.namespace), defaults={"maxModelLen": 1024}))
    operator.stop()
    narrow = OperatorProcess(operator.control_plane, account, NARROW)
    try:
        narrow.start(watchNamespaces=[kube.namespace])
        kube.apply(of_class("llama", own), service("plain"))
        kube.ready("plain", 30)
        kube.wait("it is told", 30, lambda: reason(kube) == "ClassUnreadable")
        assert "list and watch on namespaces" in message(kube, "Ready")
        narrow.stop()
        add_account(operator.control_plane, NARROW, words[0])
        narrow.start(watchNamespaces=[kube.namespace])
        kube.ready("llama", 30)
        assert "--max-model-len=1024" in args(kube)
    finally:
        narrow.stop()
        operator.start()
