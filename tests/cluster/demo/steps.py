"""The five steps of the demo, and how to take them back."""

import json
import subprocess
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import yaml

from cluster.demo.answer import QUESTION, ask, await_connection, reachable
from cluster.demo.kubectl import Kubectl
from cluster.demo.progress import Progress
from cluster.demo.record import Record
from cluster.demo.targets import Local, Target, choose, remove_kind_network
from cluster.demo.waits import model_made, service_ready, wait
from cluster.host import REPOSITORY, ClusterError, end_running, say, step
from cluster.programs import program

SYSTEM, DEMO = "vllm-operator-system", "demo"
RELEASE, SERVICE, JOB = "vllm-operator", "tiny", "tiny-model"
DEFINITION = "inferenceservices.vllm-operator.dev"
DEFINITIONS = (DEFINITION, "servingclasses.vllm-operator.dev", "inferencebatches.vllm-operator.dev")
# Where the operator notes who acts: namespace and name.
LEASES = ("kube-system/vllm-operator-all", "default/vllm-operator")
MARK = {"app.kubernetes.io/managed-by": "vllm-operator-demo"}
IMAGES = ("vllm-cpu", "operator")


def up() -> None:
    """Everything from a cluster to an answer; what is there already is used."""
    target = choose()
    target.check()
    record = _record(target)
    progress = Progress(5)
    with ThreadPoolExecutor(len(IMAGES) + 1) as pool:
        try:
            with progress.step("A cluster"):
                progress.line(f"  {target.description}")
                images = {pool.submit(target.build, name): name for name in IMAGES}  # while the cluster starts
                kubectl = target.start()
                target.provide_volume(kubectl)
            helm = pool.submit(program, "helm")  # after Kubernetes, whose libraries it shares
            with progress.step("The images"):
                references = _images(target, images)
            with progress.step("The operator, by its Helm chart"):
                _start_model(kubectl, record, references["vllm-cpu"])  # it is made while the operator starts
                _install(kubectl, record, helm.result(), references)
        except BaseException:
            end_running()  # or leaving the pool would wait for them
            raise
    with progress.step("A model and an InferenceService that serves it"):
        wait(progress, "the tiny model", 300, model_made(kubectl, DEMO, JOB))
        kubectl.apply(DEMO, (REPOSITORY / "examples" / "tiny.yaml").read_text())
        wait(progress, "the service to be Ready", 600, service_ready(kubectl, DEMO, SERVICE))
    with progress.step("An answer, streamed through the Service by the OpenAI SDK"):
        _answer(kubectl, progress, routed=isinstance(target, Local))
    progress.line()
    progress.summary()
    _next(kubectl, progress)


def _record(target: Target) -> Record:
    """Note which cluster this run is about; one at a time."""
    record = Record.of(target)
    if (previous := Record.load()) is not None:
        if not previous.same_cluster(record):
            raise ClusterError(
                f"An earlier demo still runs in {previous.target().description}: end it with `make demo-down` first."
            )
        return previous
    record.save()
    return record


def _images(target: Target, builds: Mapping[Future[str], str]) -> dict[str, str]:
    """Load each as soon as it is built; returns the names that they have in the cluster."""
    references = {}
    for built in as_completed(builds):
        references[builds[built]] = built.result()
        target.load(builds[built])
    return references


def _namespace(kubectl: Kubectl, record: Record, name: str) -> None:
    """Make a namespace, unless the demo has made it before; never take over one that is somebody else's."""
    found = kubectl.get("namespace", name)
    if found and found["metadata"].get("deletionTimestamp"):
        kubectl.run("wait", "--for=delete", f"namespace/{name}", "--timeout=180s")
        found = None
    if found:
        if MARK.items() <= found["metadata"].get("labels", {}).items():
            return
        raise ClusterError(f"The namespace {name} is there and is not the demo's: remove it, or use another cluster.")
    if name not in record.namespaces:
        record.namespaces.append(name)
        record.save()
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": MARK}}
    kubectl.run("create", "--filename=-", text=json.dumps(namespace))


def _start_model(kubectl: Kubectl, record: Record, image: str) -> None:
    """Start the Job that makes the tiny model, unless it is at work or done."""
    _namespace(kubectl, record, DEMO)
    job = kubectl.get("job", JOB, f"--namespace={DEMO}")
    if job and not any(c["type"] == "Failed" for c in job["status"].get("conditions", [])):
        return
    if job:
        kubectl.run("delete", "job", JOB, f"--namespace={DEMO}", "--wait=true")
    objects: list[dict[str, Any]] = list(
        yaml.safe_load_all(kubectl.run("kustomize", str(REPOSITORY / "examples" / "tiny-model")))
    )
    for one in objects:
        if one["kind"] == "Job":
            one["spec"]["template"]["spec"]["containers"][0]["image"] = image
    kubectl.apply(DEMO, yaml.safe_dump_all(objects))


def _helm(kubectl: Kubectl, helm: Path, *arguments: str) -> str:
    config = [f"--kubeconfig={kubectl.kubeconfig}"] if kubectl.kubeconfig else []
    context = [f"--kube-context={kubectl.context}"] if kubectl.context else []
    words = [str(helm), *arguments, f"--namespace={SYSTEM}", *config, *context]
    result = subprocess.run(words, check=False, capture_output=True, text=True)
    if result.returncode:
        raise ClusterError(f"helm {' '.join(arguments)} failed: {result.stderr.strip()[-2000:]}")
    return result.stdout


def _install(kubectl: Kubectl, record: Record, helm: Path, references: Mapping[str, str]) -> None:
    """Install or upgrade the chart with the images that were built."""
    if not record.release and kubectl.get("customresourcedefinition", DEFINITION):
        raise ClusterError(
            f"This cluster has vllm-operator already, and not from this demo: use it with `kubectl apply -k "
            f"examples/tiny-model` and `kubectl apply -f examples/tiny.yaml` (the image: {references['vllm-cpu']})."
        )
    _namespace(kubectl, record, SYSTEM)
    if not record.release:
        record.leases = [lease for lease in LEASES if not kubectl.get("lease", *_named(lease))]
    record.release = record.definitions = True
    record.save()
    releases = json.loads(_helm(kubectl, helm, "list", "--output=json", "--filter", f"^{RELEASE}$"))
    if any(release["status"] not in {"deployed", "failed"} for release in releases):
        _helm(kubectl, helm, "uninstall", RELEASE, "--wait")  # an installation that was interrupted
    values = {**image_values(references["operator"]), "settings.images.cpu": references["vllm-cpu"]}
    chart = str(REPOSITORY / "charts" / "vllm-operator")
    settings = [f"--set-string={name}={value}" for name, value in values.items()]
    _helm(kubectl, helm, "upgrade", "--install", RELEASE, chart, *settings, "--wait", "--timeout=4m")


def image_values(reference: str) -> dict[str, str]:
    """The chart's values for an image name:tag, name@digest or name:tag@digest; a name alone is the tag latest."""
    name, _, digest = reference.partition("@")
    repository, _, tag = name.rpartition(":")
    if not repository or "/" in tag:  # that colon stands before a port
        repository, tag = name, "latest"
    return {"image.repository": repository, "image.tag": tag, "image.digest": digest}


def _answer(kubectl: Kubectl, progress: Progress, *, routed: bool) -> None:
    """Ask one question and print the answer as it comes."""
    with reachable(kubectl, DEMO, SERVICE, routed=routed) as (base_url, way):
        await_connection(base_url)
        progress.line(f"  by {way}")
        progress.line(f"  user:      {QUESTION}")
        print("  assistant: ", end="", flush=True)
        words = 0
        for text in ask(base_url, SERVICE):
            print(text, end="", flush=True)
            words += 1
        print(flush=True)
    if not words:
        raise ClusterError("The model answered nothing.")


def _next(kubectl: Kubectl, progress: Progress) -> None:
    """The status, and what a user may do now."""
    progress.line()
    progress.line(kubectl.run("get", "inferenceservices", f"--namespace={DEMO}").rstrip())
    own = " ".join(kubectl.options)
    progress.line(f"""
Go on with:
  alias k='{kubectl.program} {own}'
  k get vis,pods -n {DEMO}                              # vis: the short name of InferenceService
  k describe vis {SERVICE} -n {DEMO}
  k scale vis {SERVICE} -n {DEMO} --replicas=2
  k explain inferenceservice.spec
  k port-forward -n {DEMO} service/{SERVICE} 8000           # then: bash examples/clients/curl.sh
  make demo-down                                     # remove what this has started
""")


def down() -> None:
    """Remove what `up` has made, from what it wrote down."""
    record = Record.load()
    if record is None:
        say("Nothing to remove: no demo was started from this machine.")
        return
    target = record.target()
    say(f"Removing the demo from {target.description}.")
    if target.own:
        target.remove()
        if record.network:
            remove_kind_network()
    else:
        _remove_from(target.start(), record)
    record.forget()
    say("Removed.")


def _named(lease: str) -> list[str]:
    namespace, _, name = lease.partition("/")
    return [name, f"--namespace={namespace}"]


def _remove_from(kubectl: Kubectl, record: Record) -> None:
    """Remove what the demo put into a cluster that is not its own."""
    _delete_namespace(kubectl, record, DEMO)
    if record.release:
        helm = program("helm")
        if json.loads(_helm(kubectl, helm, "list", "--output=json", "--filter", f"^{RELEASE}$")):
            with step("uninstalling the operator"):
                _helm(kubectl, helm, "uninstall", RELEASE, "--wait")
        record.release = False
        record.save()
    _delete_namespace(kubectl, record, SYSTEM)
    for lease in record.leases:
        kubectl.run("delete", "lease", *_named(lease), "--ignore-not-found")
    if record.definitions and kubectl.get("customresourcedefinition", DEFINITION):
        others = kubectl.get("inferenceservices,servingclasses,inferencebatches", "--all-namespaces") or {"items": []}
        if others["items"]:
            say(f"The definitions {', '.join(DEFINITIONS)} stay, as {len(others['items'])} objects of others exist.")
        else:
            kubectl.run("delete", "customresourcedefinition", *DEFINITIONS)


def _delete_namespace(kubectl: Kubectl, record: Record, name: str) -> None:
    if name not in record.namespaces:
        return
    found = kubectl.get("namespace", name)
    if found and MARK.items() <= found["metadata"].get("labels", {}).items():
        with step(f"deleting the namespace {name}"):
            kubectl.run("delete", "namespace", name, "--timeout=300s")
    record.namespaces.remove(name)
    record.save()
